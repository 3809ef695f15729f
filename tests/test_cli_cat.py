"""`channeld cat` beside a real daemon: what it writes is what FFmpeg plays, and it ends as a Unix filter does."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clips import numbered_clip
from station import until

CONFIG = """
state_dir: state
runtime_dir: run
hls_dir: hls
admin: {{listen: "127.0.0.1:{admin}"}}
media: {{listen: "127.0.0.1:{media}"}}
profiles:
  small: {{width: 320, height: 180, fps: 25, video_bitrate: 400k, audio_bitrate: 64k, gop_seconds: 1}}
defaults: {{profile: small}}
channels:
  one: {{playlist: list.txt, outputs: []}}
"""


@pytest.fixture
def daemon(tmp_path: Path, free_port: Callable[[], int]) -> Iterator["subprocess.Popen[bytes]"]:
    """Airs two clips of a second and a half in turn."""
    (tmp_path / "channeld.yaml").write_text(CONFIG.format(admin=free_port(), media=free_port()))
    for number in range(2):
        numbered_clip(tmp_path / f"{number}.mp4", frames=38, size=(320, 180), base=number * 1000)
    (tmp_path / "list.txt").write_text("0.mp4\n1.mp4\n")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "channeld", "run", "--config", str(tmp_path / "channeld.yaml")], stderr=log)
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not (tmp_path / "run" / "bus").exists()


def cat(folder: Path, *arguments: str, stdout: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "channeld", "cat", "one", "--config", str(folder / "channeld.yaml"), "--timeout", "40", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE)


def test_what_it_writes_decodes_over_joins_and_it_ends_with_its_reader_and_with_its_channel(
    daemon: "subprocess.Popen[bytes]", tmp_path: Path, ffmpeg: str
) -> None:
    written = tmp_path / "got.ts"
    with written.open("wb") as file, cat(tmp_path, "--reconnect", stdout=file.fileno()) as reader:
        until(lambda: written.stat().st_size > 250_000, "some joins", timeout_s=100)
        reader.send_signal(signal.SIGINT)
        assert reader.wait(20) == 130
    decode = [ffmpeg, "-v", "warning", "-xerror", "-err_detect", "explode", "-i", str(written), "-f", "null", "-"]
    decoded = subprocess.run(decode, capture_output=True, text=True, timeout=60, check=True)
    assert decoded.stderr == ""

    with cat(tmp_path, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None and reader.stderr is not None
        assert reader.stdout.read(188)[0] == 0x47
        reader.stdout.close()
        assert reader.wait(20) == 0
        assert reader.stderr.read() == b""

    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)  # as some who start programs leave it
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    with cat(tmp_path, stdout=write_end) as reader, os.fdopen(read_end, "rb") as end:
        os.close(write_end)
        time.sleep(1.0)  # the pipe is full meanwhile
        assert len(end.read(250_000)) == 250_000
        assert reader.poll() is None
        end.close()
        assert reader.wait(20) == 0

    with written.open("wb") as file, cat(tmp_path, stdout=file.fileno()) as reader:
        until(lambda: written.stat().st_size > 0, "it reads")
        daemon.send_signal(signal.SIGTERM)
        assert reader.stderr is not None
        assert reader.wait(60) == 0
        assert b"off the air" in reader.stderr.read()
        assert daemon.wait(30) == 0  # to be asked twice is another thing


def test_it_ends_with_its_reader_also_while_nothing_comes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "channeld", "cat", "one", "--reconnect", "--runtime-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        assert waiting.stdout is not None
        time.sleep(1.0)
        assert waiting.poll() is None
        waiting.stdout.close()
        assert waiting.wait(30) == 0


def test_a_channel_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    for folder, words, code in ((tmp_path, "no daemon", 3), (tmp_path / "there", "no channel", 2)):
        (tmp_path / "there" / "bus").mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "channeld", "cat", "none", "--runtime-dir", str(folder)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (told.returncode, told.stdout) == (code, "")
        assert words in told.stderr


def test_a_stdout_that_is_closed_is_told(tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m channeld cat one --runtime-dir {tmp_path} >&-"
    told = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert told.returncode == 2 and "stdout" in told.stderr and len(told.stderr.splitlines()) == 1


def test_whoever_says_where_the_daemon_is_needs_no_configuration(tmp_path: Path) -> None:
    """A player's user may not read it, or it is being edited."""
    broken = tmp_path / "channeld.yaml"
    broken.write_text("runtime_dir: [")
    command = [sys.executable, "-m", "channeld", "play", "one", "--player", "cat"]
    for options, code in (((), 2), (("--config", str(broken), "--runtime-dir", str(tmp_path)), 2), (("--runtime-dir", str(tmp_path)), 3)):
        environment = {**os.environ, "CHANNELD_CONFIG": str(broken)}
        told = subprocess.run(
            [*command, "--via", "shm", *options], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert told.returncode == code, told.stderr
