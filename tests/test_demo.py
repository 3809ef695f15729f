"""The demo, as a new user runs it: real clips, an nginx of its own, free ports, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from nginx_origin import missing_parts, wait_until

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/hls/demo/index\.m3u8")


class Demo:
    """A running demo and what it said."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._said = folder.with_suffix(".log")
        self._log = self._said.open("wb")
        argv = [sys.executable, "-m", "channeld", "demo", "--dir", str(folder), *arguments]
        self.process = subprocess.Popen(argv, stdout=self._log, stderr=self._log, start_new_session=True)

    @property
    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def wait_until_on_air(self) -> list[str]:
        """The HLS addresses that the demo announces."""
        wait_until(lambda: "Ctrl-C ends everything" in self.said, what="announcement", timeout_s=90)
        return ADDRESS.findall(self.said)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        finally:
            self._log.close()


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[object]:
    running: list[Demo] = []

    def start(*arguments: str) -> Demo:
        running.append(Demo(tmp_path / "demo", *arguments))
        return running[-1]

    yield start
    for demo in running:
        if demo.process.poll() is None:
            os.killpg(demo.process.pid, signal.SIGKILL)
            demo.process.wait()


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.skipif(bool(missing_parts()), reason="no nginx with its RTMP module on this machine")
def test_the_demo_airs_on_both_origins_and_leaves_nothing_behind(start_demo) -> None:  # type: ignore[no-untyped-def]
    demo = start_demo()
    addresses = demo.wait_until_on_air()
    assert len(addresses) == 2, demo.said
    assert all("#EXTINF" in fetch(address) for address in addresses)
    children = demo.children()
    names = {child.name() for child in children}
    assert {"nginx", "ffmpeg"} <= names
    assert demo.end() == 0
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert list((demo.folder / "run").rglob("demo.rtmp")) == []


def test_the_demo_airs_a_folder_of_the_user_without_nginx(start_demo, media_dir: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("bear-av1-opus.mp4", "2x2-green.mp4"):
        (videos / name).write_bytes((media_dir / name).read_bytes())
    demo = start_demo("--no-nginx", "--media", str(videos))
    addresses = demo.wait_until_on_air()
    assert len(addresses) == 1
    assert "#EXTINF" in fetch(addresses[0])
    assert "bear-av1-opus.mp4" in (demo.folder / "playlists" / "demo.m3u").read_text()
    assert demo.end() == 0
