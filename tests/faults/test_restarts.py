"""Control and playout hosts killed and replaced at random moments under five channels, seen from nginx's HLS and the embedded one.

Planned: no picture lost or repeated, no discontinuity. Killed: a gap of 2 s at most, one discontinuity at most. Every egress FFmpeg
keeps its pid throughout.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from clips import numbered_clip
from judge.hls_recorder import HlsRecorder
from nginx_origin import NginxOrigin, missing_parts, wait_until
from running import RunningDaemon, origin_ports
from seen import CLIP_FRAMES, CLIPS, Seen, first_number, look
from stage import POLL_S, Row, is_steady, lateness_counts, p99_ms, record

CHANNELS = ("one", "two", "three", "four", "five")
HOSTS = 2
MAX_GAP_S = 2.0
AFTER = 4
"""Segments of a second that each viewer gets between two restarts."""


class Five:
    """Five channels on two hosts, each pushed to nginx and served by the embedded origin, with a viewer at both."""

    def __init__(self, folder: Path, origin: NginxOrigin) -> None:
        self.folder, self.origin = folder, origin
        self.clips = [folder / f"loop{clip}.mp4" for clip in range(CLIPS)]
        outputs = lambda name: [{"hls": {"segment_seconds": 1, "window": 6}}, {"rtmp": origin.rtmp_url(name)}]  # noqa: E731
        channels = {name: {"playlist": str(folder / "loop.txt"), "outputs": outputs(name)} for name in CHANNELS}
        self.daemon = RunningDaemon(folder / "daemon", channels)
        self.daemon.config["hosts"] = HOSTS
        self.daemon.config["media_roots"] = [str(folder)]
        self.viewers: dict[str, HlsRecorder] = {}

    def open(self) -> None:
        for clip, path in enumerate(self.clips):
            numbered_clip(path, frames=CLIP_FRAMES, base=first_number(clip), size=(320, 180))
        (self.folder / "loop.txt").write_text("".join(f"{path}\n" for path in self.clips))
        self.origin.start()
        self.daemon.start()
        for name in CHANNELS:
            self.daemon.wait_for(name, is_up, what=f"{name} to be up", timeout_s=60)
            for viewer, url in ((name, self.daemon.hls_url(name)), (f"{name}@nginx", self.origin.hls_url(name))):
                self.viewers[viewer] = HlsRecorder(url, self.folder / "seen" / viewer, poll_s=POLL_S, recheck=False).start()
        self.wait_for_news(AFTER + 1)

    def close(self) -> list[str]:
        for viewer in self.viewers.values():
            viewer.close()
        faults = self.daemon.stop()
        self.origin.stop()
        return faults

    def newest(self) -> dict[str, int]:
        """Number of every viewer's newest segment."""
        return {name: max(viewer.fetched, default=-1) for name, viewer in self.viewers.items()}

    def wait_for_news(self, segments: int) -> None:
        goals = {name: newest + segments for name, newest in self.newest().items()}
        wait_until(lambda: all(self.newest()[name] >= goal for name, goal in goals.items()), what="news for every viewer", timeout_s=60)

    def push_pids(self) -> list[int]:
        """Of all egress FFmpegs, by channel."""
        return [push_of(self.daemon.channel(name))["pid"] for name in CHANNELS]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.daemon.get("/api/v1/status")
        return found

    # -- what is done to it -----------------------------------------------------------------------------------------

    def kill_control(self, dice: random.Random) -> None:
        self.daemon.kill()
        self.daemon.start()

    def replace_control(self, dice: random.Random) -> None:
        since = self.status()["since"]
        assert self.daemon.post("/api/v1/restart").status_code == 202
        wait_until(lambda: self.daemon.answers("/readyz") and self.status()["since"] != since, what="another control", timeout_s=30)

    def kill_host(self, dice: random.Random) -> None:
        before = self.status()["hosts"]
        name = dice.choice(sorted(before))
        os.kill(before[name], signal.SIGKILL)
        wait_until(lambda: self.status()["hosts"].get(name) not in (None, before[name]), what="another host", timeout_s=30)

    def replace_hosts(self, dice: random.Random) -> None:
        before = set(self.status()["hosts"].values())
        assert self.daemon.post("/api/v1/restart?part=hosts").status_code == 202

        def are_replaced() -> bool:
            hosts = self.status()["hosts"]
            return len(hosts) == HOSTS and not before & set(hosts.values())

        wait_until(are_replaced, what="other hosts", timeout_s=30)


def push_of(channel: dict[str, Any]) -> dict[str, Any]:
    push: dict[str, Any] = next(output for output in channel["outputs"] if output["type"] == "rtmp")
    return push


def is_up(channel: dict[str, Any]) -> bool:
    """On air with all clips ready, the push delivering."""
    return is_steady(channel) and push_of(channel)["state"] == "up"


@pytest.fixture
def five(tmp_path: Path) -> Iterator[Five]:
    if missing := missing_parts():
        pytest.skip(f"missing on this machine: {missing}")
    made = Five(tmp_path, NginxOrigin(tmp_path / "origin", ports=origin_ports(), fragment_s=1))
    try:
        made.open()
        yield made
    finally:
        faults = made.close()
    assert faults == []


Deed = Callable[[Five, random.Random], None]
KILLS: tuple[Deed, ...] = (Five.kill_control, Five.kill_host)
PLANNED: tuple[Deed, ...] = (Five.replace_control, Five.replace_hosts)


def run(five: Five, deeds: Sequence[Deed], dice: random.Random) -> None:
    """Do one after the other, each at a random moment of the clips, and judge what every viewer saw of it."""
    pids = five.push_pids()
    worst: dict[str, float | int | str] = {"restarts": len(deeds), "killed_gap_s": 0.0, "killed_discontinuities": 0, "killed_lost": 0}
    for number, deed in enumerate(deeds):
        time.sleep(dice.uniform(0.0, 1.5))  # the moment of the clip is what is random
        since = five.newest()
        deed(five, dice)
        for name in CHANNELS:
            five.daemon.wait_for(name, is_up, what=f"{name} to be up after {deed.__name__}", timeout_s=40)
        five.wait_for_news(AFTER)
        seen = {name: look_at(five, name, since[name]) for name in five.viewers}
        told = {name: str(each) for name, each in seen.items() if each.gap_s > 1 or each.complaints()}
        assert five.push_pids() == pids, (number, deed.__name__)
        if deed in PLANNED:
            bad = {name: each for name, each in seen.items() if each.lost or each.repeated or each.strange or each.discontinuities}
            assert bad == {}, (number, deed.__name__)
        else:
            gap_s = max(each.gap_s for each in seen.values())
            worst["killed_gap_s"] = max(worst["killed_gap_s"], gap_s)
            worst["killed_discontinuities"] = max(worst["killed_discontinuities"], *(each.discontinuities for each in seen.values()))
            worst["killed_lost"] = max(worst["killed_lost"], *(each.lost for each in seen.values()))
            assert gap_s <= MAX_GAP_S and all(each.discontinuities <= 1 for each in seen.values()), (number, deed.__name__, told)
    worst["late_p99_ms"] = max(p99_ms({}, lateness_counts(metrics(five), host)) for host in range(HOSTS))
    record(Row(4, 0.0, {}, worst))


def look_at(five: Five, viewer: str, since: int) -> Seen:
    folder = five.folder / "seen"
    return look(five.viewers[viewer], since, folder, allowances=None) if "@nginx" in viewer else look(five.viewers[viewer], since, folder)


def metrics(five: Five) -> str:
    with five.daemon.client() as client:
        return client.get("/metrics").raise_for_status().text


def test_control_and_hosts_killed_and_replaced_once_each(five: Five) -> None:
    run(five, (Five.kill_control, Five.replace_hosts, Five.kill_host, Five.replace_control), random.Random(1))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_restarts_at_random_moments(five: Five) -> None:
    dice = random.Random(50)
    run(five, [dice.choice((*KILLS, *PLANNED)) for _ in range(50)], dice)
