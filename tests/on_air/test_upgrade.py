"""An upgrade of the code taken over on air, as viewers of both origins and of HTTP-TS see it.

Rule: the daemon runs from a copy of the package, which the test changes as an installer would. What runs the new code says so
itself: changed files leave a mark with the pid of the process that loads them.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil
import pytest
from clips import numbered_clip
from judge.hls_recorder import HlsRecorder
from judge.ts import read_ts
from nginx_origin import NginxOrigin, missing_parts, wait_until
from recordings import TsRecorder
from running import FPS, RunningDaemon, origin_ports
from seen import CLIP_FRAMES, CLIPS, Seen, first_number, look
from timeline import WATCHED

import channeld

HOST, WORKER, PUSH = "channeld.playout.host", "channeld.api.media_worker", "rtmp://"
POLL_S = 0.1
BEFORE, AFTER = 5, 7
"""Segments of a second: before the first restart, and after each, which is more than the lead of a host that is replaced."""
MARK = "\n__import__('pathlib').Path({folder!r}, str(__import__('os').getpid())).touch()\n"


class Installed:
    """A copy of the package that a daemon runs from; `marks` has the pids of the processes that loaded what was changed."""

    def __init__(self, folder: Path) -> None:
        self.path, self._marks = folder / "lib", folder / "marks"
        self._marks.mkdir()
        source = Path(channeld.__file__).parent
        shutil.copytree(source, self.path / source.name, ignore=shutil.ignore_patterns("__pycache__"))

    def upgrade(self, *modules: str) -> None:
        """Change these files of the package."""
        for module in modules:
            with (self.path / "channeld" / module).open("a", encoding="utf-8") as file:
                file.write(MARK.format(folder=str(self._marks)))

    def break_off(self, module: str) -> None:
        """Have a file raise when it is loaded."""
        with (self.path / "channeld" / module).open("a", encoding="utf-8") as file:
            file.write("\nraise ImportError('half an upgrade')\n")

    def repair(self, module: str) -> None:
        """Put a file of this tree in its place."""
        shutil.copy(Path(channeld.__file__).parent / module, self.path / "channeld" / module)

    def marks(self) -> set[int]:
        return {int(path.name) for path in self._marks.iterdir()}


@dataclass(frozen=True, slots=True)
class Site:
    """One channel on air with a push, embedded HLS and HTTP-TS; `viewers` of both HLS origins."""

    daemon: RunningDaemon
    installed: Installed
    viewers: dict[str, HlsRecorder]

    def pid(self, words: str) -> int:
        """Of the one process with these words in its command line; 0 while there is not just one."""
        process = self.daemon.child(words)
        return process.pid if process is not None else 0

    def pids(self) -> dict[str, int]:
        return {words: self.pid(words) for words in (HOST, WORKER, PUSH)}

    def wait_for_news(self, segments: int) -> None:
        goals = {name: max(viewer.fetched, default=-1) + segments for name, viewer in self.viewers.items()}
        wait_until(
            lambda: all(max(self.viewers[name].fetched, default=-1) >= goal for name, goal in goals.items()),
            what="news for every viewer",
            timeout_s=60,
        )

    def restart_control(self) -> None:
        """Have another control take over, of the code that is installed now, and wait until all is as it should be."""
        since = self.daemon.get("/api/v1/status")["since"]
        assert self.daemon.post("/api/v1/restart?part=control").status_code == 202
        wait_until(lambda: self.daemon.answers("/readyz") and self.daemon.get("/api/v1/status")["since"] != since, what="another control")

    def wait_until_up(self) -> None:
        self.daemon.wait_for("one", is_up, what="the channel to be up", timeout_s=60)

    def seen_since(self, since: dict[str, int]) -> dict[str, Seen]:
        """What each viewer of HLS saw; nginx's segments are judged by their pictures alone."""
        folder = self.daemon.folder / "seen"
        embedded = look(self.viewers["embedded"], since["embedded"], folder)
        return {"embedded": embedded, "nginx": look(self.viewers["nginx"], since["nginx"], folder, allowances=None)}


def is_up(channel: dict[str, Any]) -> bool:
    """On air, the next clips ready, every output delivering."""
    is_ready = bool(channel["next"]) and all(each["ready"] for each in channel["next"])
    return bool(channel["state"] == "on_air" and is_ready and all(output["state"] == "up" for output in channel["outputs"]))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if missing := missing_parts():
        pytest.skip(f"missing on this machine: {missing}")
    clips = [numbered_clip(tmp_path / f"{n}.mp4", frames=CLIP_FRAMES, base=first_number(n), size=(320, 180)) for n in range(CLIPS)]
    (tmp_path / "loop.txt").write_text("".join(f"{path}\n" for path in clips))
    origin = NginxOrigin(tmp_path / "origin", ports=origin_ports(), fragment_s=1)
    outputs = [{"hls": {"segment_seconds": 1, "window": 8}}, {"ts": {}}, {"rtmp": origin.rtmp_url("one")}]
    daemon = RunningDaemon(tmp_path / "daemon", {"one": {"playlist": str(tmp_path / "loop.txt"), "outputs": outputs}})
    daemon.config["media_roots"] = [str(tmp_path)]
    installed = Installed(tmp_path)
    # The folder that a program is started in must not come before the copy.
    daemon.environment = {"PYTHONPATH": str(installed.path), "PYTHONSAFEPATH": "1"}
    urls = {"embedded": daemon.hls_url("one"), "nginx": origin.hls_url("one")}
    viewers = {name: HlsRecorder(url, tmp_path / "viewer" / name, poll_s=POLL_S, recheck=False) for name, url in urls.items()}
    found = Site(daemon, installed, viewers)
    try:
        origin.start()
        daemon.start()
        found.wait_until_up()
        for viewer in viewers.values():
            viewer.start()
        found.wait_for_news(BEFORE)
        yield found
    finally:
        for viewer in viewers.values():
            viewer.close()
        faults = daemon.stop()
        origin.stop()
    assert faults == []


def test_only_what_runs_changed_code_is_replaced_and_no_viewer_of_hls_sees_it(site: Site) -> None:
    since = {name: max(viewer.fetched) for name, viewer in site.viewers.items()}
    first = site.pids()
    site.installed.upgrade("channel/planner.py")
    take_over(site)
    assert site.pids() == first, "control alone was changed"

    site.installed.break_off("api/media_app.py")
    site.restart_control()
    wait_until(lambda: "half an upgrade" in site.daemon.log_path.read_text(), what="the new worker's failure to be told")
    site.wait_for_news(AFTER)
    assert psutil.Process(first[WORKER]).is_running(), "one that cannot be followed serves on"
    site.installed.repair("api/media_app.py")

    loaded_before = site.installed.marks()
    site.installed.upgrade("playout/air.py", "api/media_app.py")
    with TsRecorder(site.daemon.ts_url("one"), site.daemon.folder / "cut.ts") as over_http:
        wait_until(lambda: over_http.path.exists() and over_http.path.stat().st_size > 0, what="a viewer of HTTP-TS")
        site.restart_control()
        wait_until(lambda: {site.pid(HOST), site.pid(WORKER)}.isdisjoint({0, first[HOST], first[WORKER]}), what="a new host and worker")
        site.wait_until_up()
    site.wait_for_news(AFTER)
    second = site.pids()
    assert second[PUSH] == first[PUSH]
    assert {second[HOST], second[WORKER]} <= site.installed.marks() - loaded_before, "what was replaced runs the new code"

    take_over(site)
    assert site.pids() == second, "what was replaced counts as new"
    assert {name: seen.complaints() for name, seen in site.seen_since(since).items()} == {"embedded": [], "nginx": []}
    # A worker's port is closed for a moment, which a viewer of HLS has in its buffer; an HTTP-TS connection ends, on a whole stream.
    assert set(site.viewers["embedded"].trouble) <= {"manifest answers nothing after it was there"}
    assert site.viewers["nginx"].trouble == []
    assert over_http.trouble == []
    assert read_ts(over_http.path, fps=Fraction(FPS), allowances=WATCHED).faults() == []


def take_over(site: Site) -> None:
    """Restart control and see everybody served for a while."""
    site.restart_control()
    site.wait_until_up()
    site.wait_for_news(AFTER)
