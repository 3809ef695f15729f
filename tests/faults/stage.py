"""The stage of the fault tests: one real nginx and one real daemon with four channels on two hosts, and viewers of all of them.

Rule: a fault is for one channel; `row` proves that the others saw nothing of it, and keeps what was measured.

| channel | host | outputs | is |
|---|---|---|---|
| calm | 0 | rtmp, hls | the neighbour on another host |
| side | 1 | hls | the neighbour on the same host |
| air  | 1 | rtmp, hls | hit by faults of processes and outputs; pushes over a wire that can fail, and may ask nginx to drop a session |
| hit  | 1 | rtmp, hls | hit by faults of lists, clips and files; airs short clips of its own |
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from clips import numbered_clip
from far_network import FarNetwork
from injection import Wire, processes_with, small_disk
from judge.hls_recorder import HlsRecorder
from nginx_origin import NginxOrigin, wait_until
from running import RunningDaemon, prepare
from seen import CLIP_FRAMES, CLIPS, Seen, first_number, look

from channeld.channel.inquest import LOOP_S

PUSHED = ("calm", "air", "hit")
CHANNELS = ("calm", "side", "air", "hit")
HOST_OF = {"calm": 0, "side": 1, "air": 1, "hit": 1}
POLL_S = 0.2
AFTER_SEGMENTS = 2
START_SEGMENTS = 4
"""Until the filler of the first seconds has passed every viewer."""
SHORT_FRAMES, SHORTS = 25, 5
LATENESS_LIMIT_MS = 500.0
"""Generous: the figure is what counts, and a machine that runs other things as well must not fail the suite."""


@dataclass(slots=True)
class Row:
    """One row of the fault table while it runs; `measured` goes into the table."""

    number: int
    begun_s: float
    since: dict[str, int]
    measured: dict[str, float | int | str] = field(default_factory=dict)


class Stage:
    """Everything that runs. Made once a session; `close` ends it all."""

    def __init__(self, folder: Path, origin: NginxOrigin, far: FarNetwork | str) -> None:
        self.folder, self.origin, self.media = folder, origin, folder / "media"
        self.media.mkdir()
        self.has_own_disk = False
        self.far = far
        """Where the wire ends, or why it ends on this machine."""
        self.wire = Wire(origin.rtmp_port, far.listen() if isinstance(far, FarNetwork) else None)
        self.daemon = RunningDaemon(folder / "daemon", {name: self._channel(name) for name in CHANNELS})
        self.daemon.config["hosts"] = 2
        self.daemon.config["media_roots"] = [str(folder), str(self.media)]
        self._viewers: dict[str, HlsRecorder] = {}

    def _channel(self, name: str) -> dict[str, Any]:
        pushes: dict[str, Any] = {
            "air": {"url": f"rtmp://{self.wire.place}/live/air", "control": self.origin.control_url("control")},
            "calm": self.origin.rtmp_url("calm"),
            "hit": self.origin.rtmp_url("hit"),
        }
        rtmp = [{"rtmp": pushes[name]}] if name in pushes else []
        return {"playlist": str(self.playlist(name)), "outputs": [{"hls": {"segment_seconds": 1, "window": 12}}, *rtmp]}

    def playlist(self, channel: str) -> Path:
        """A channel's list; YAML, which text with a path in each line is not, where hostile lists are tried."""
        return self.folder / (f"{channel}.yaml" if channel == "hit" else f"{channel}.txt")

    def write_list(self, channel: str, clips: Sequence[Path | str]) -> None:
        """Put a list in place, whole."""
        temporary = self.folder / f".{channel}.part"
        mark = "- " if channel == "hit" else ""
        temporary.write_text("".join(f"{mark}{clip}\n" for clip in clips) or "[]\n")
        temporary.replace(self.playlist(channel))

    @property
    def loop(self) -> list[Path]:
        """The numbered clips."""
        return [self.folder / f"loop{clip}.mp4" for clip in range(CLIPS)]

    @property
    def shorts(self) -> list[Path]:
        """The clips of a second that `hit` airs."""
        return [self.media / f"short{clip}.mp4" for clip in range(SHORTS)]

    def restore(self) -> None:
        """Bring the short clips and their list back, and wait until they air."""
        for clip, path in enumerate(self.shorts):
            if not path.exists():
                numbered_clip(path, frames=SHORT_FRAMES, base=first_short(clip), size=(320, 180))
        self.write_list("hit", self.shorts)
        if self.daemon.process is not None:
            self.daemon.wait_for("hit", self._airs_shorts, what="the short clips to air again", timeout_s=60)

    def _airs_shorts(self, channel: dict[str, Any]) -> bool:
        if not is_steady(channel) or channel["edit_error"] is not None:
            return False
        return {each["path"] for each in (channel["now"], *channel["next"])} <= {str(path) for path in self.shorts}

    def open(self) -> None:
        """Make the clips, start everything, and wait until every viewer has seen something of the loop."""
        for clip, path in enumerate(self.loop):
            numbered_clip(path, frames=CLIP_FRAMES, base=first_number(clip), size=(320, 180))
        for channel in CHANNELS:
            self.write_list(channel, self.loop)
        self.restore()
        self._prepare()
        self.origin.start()
        self.daemon.start()
        for channel in CHANNELS:
            self._watch(channel, self.daemon.hls_url(channel))
        for channel in ("calm", "air"):
            self._watch(f"{channel}@nginx", self.origin.hls_url(channel))
        for channel in CHANNELS:
            self.daemon.wait_for(channel, lambda found: is_steady(found), what=f"{channel} to be on air with all clips ready", timeout_s=60)
        self.wait_for_news(tuple(self._viewers), START_SEGMENTS)

    def _prepare(self) -> None:
        """Have all clips in the cache: what is passed over at the start, as not prepared in time, would air out of turn a lap later."""
        lists = {
            name: {"playlist": str(self.playlist(name)), "media_roots": [str(self.folder), str(self.media)]} for name in ("calm", "hit")
        }
        cache = prepare(self.folder / "prepared", lists)
        shutil.copytree(cache, self.daemon.folder / "state" / "cache", ignore=shutil.ignore_patterns("writer.lock"), dirs_exist_ok=True)

    def _watch(self, name: str, url: str) -> None:
        self._viewers[name] = HlsRecorder(url, self.folder / "seen" / name, poll_s=POLL_S, recheck=False).start()

    def close(self) -> list[str]:
        """End everything; what is wrong with how the daemon ended."""
        for viewer in self._viewers.values():
            viewer.close()
        faults = self.daemon.stop()
        self.wire.close()
        self.origin.stop()
        return faults

    # -- what viewers see ---------------------------------------------------------------------------------------

    def newest(self, viewer: str) -> int:
        """Number of the newest segment that a viewer has; −1 for none."""
        return max(self._viewers[viewer].fetched, default=-1)

    def wait_for_news(self, viewers: Sequence[str], segments: int = AFTER_SEGMENTS, timeout_s: float = 30.0) -> None:
        """Wait until each of these viewers has so many segments more."""
        goals = {viewer: self.newest(viewer) + segments for viewer in viewers}
        for viewer, goal in goals.items():
            wait_until(lambda v=viewer, g=goal: self.newest(v) >= g, what=f"{segments} more segments of {viewer}", timeout_s=timeout_s)  # type: ignore[misc]

    def look(self, viewer: str, since: int, *, is_judged: bool = True) -> Seen:
        """What a viewer saw from a segment on. nginx's own stream is judged elsewhere."""
        folder = self.folder / "seen"
        if "@nginx" in viewer or not is_judged:
            return look(self._viewers[viewer], since, folder, allowances=None)
        return look(self._viewers[viewer], since, folder)

    def segments(self, viewer: str, since: int) -> bytes:
        """The bytes of a viewer's segments from a number on."""
        fetched = self._viewers[viewer].fetched
        return b"".join(fetched[number].path.read_bytes() for number in sorted(fetched) if number >= since)

    # -- rows ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def row(self, number: int, *, neighbours: Sequence[str] = ("calm", "side")) -> Iterator[Row]:
        """Let something go wrong inside, and prove afterwards that these neighbours saw nothing of it."""
        row = Row(number, time.monotonic(), {viewer: self.newest(viewer) for viewer in self._viewers})
        hosts = {HOST_OF[name] for name in neighbours}
        before = {host: lateness_counts(self.metrics(), host) for host in hosts}
        underruns = self.underruns(neighbours)
        try:
            yield row
        finally:
            self.restore()
        self.wait_for_news(neighbours)
        p99 = max((p99_ms(before[host], lateness_counts(self.metrics(), host)) for host in hosts), default=0.0)
        row.measured |= {"neighbours_late_p99_ms": p99} if hosts else {}
        complaints = {name: self.look(name, row.since[name]).complaints() for name in neighbours}
        record(row)
        assert complaints == {name: [] for name in neighbours}
        assert self.underruns(neighbours) == underruns
        assert p99 <= LATENESS_LIMIT_MS

    def metrics(self) -> str:
        """The text of /metrics."""
        with self.daemon.client() as client:
            return client.get("/metrics").raise_for_status().text

    def underruns(self, channels: Sequence[str]) -> float:
        """How often the filler had to stand in for a clip that was not in memory."""
        rows = (line.rsplit(" ", 1) for line in self.metrics().splitlines() if line.startswith("channeld_underruns_total{"))
        return sum(float(value) for name, value in rows if any(f'"{channel}"' in name for channel in channels))

    # -- processes ----------------------------------------------------------------------------------------------

    def output(self, channel: str, name: str = "rtmp") -> dict[str, Any]:
        """One output as the admin interface describes it."""
        found: dict[str, Any] = next(output for output in self.daemon.channel(channel)["outputs"] if output["name"] == name)
        return found

    def host_pid(self, channel: str) -> int:
        """Pid of the playout host that a channel lives on: the one that has the channel's FIFO open."""
        fifo = self.daemon.folder / "run" / "fifo"
        for process in processes_with("channeld.playout.host"):
            with contextlib.suppress(psutil.Error, OSError):
                links = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]  # noqa: PTH208, PTH115
                if any(link.startswith(f"{fifo}/{channel}.") for link in links):
                    return process.pid
        raise LookupError(f"no host feeds {channel}")

    def settled_host_pid(self, channel: str) -> int:
        """The same, once the host is old enough that its end accuses no channel of it."""
        pid = self.host_pid(channel)
        begun_s = psutil.Process(pid).create_time()
        wait_until(lambda: time.time() - begun_s > LOOP_S + 1, what="the host to be older")
        return pid

    def push_pid(self, channel: str) -> int:
        """Pid of a channel's egress FFmpeg, once it is up."""
        wait_until(lambda: self.output(channel)["state"] == "up", what=f"the push of {channel} to be up", timeout_s=40)
        return int(self.output(channel)["pid"])


def first_short(clip: int) -> int:
    """The number of a short clip's first picture."""
    return 100_000 + 1000 * clip


@contextlib.contextmanager
def state_disk(stage: Stage) -> Iterator[None]:
    """A disk of its own under the state folder, where one can be made, so that it can be frozen."""
    disk = small_disk(stage.folder / "state.img", stage.daemon.folder / "state", megabytes=256)
    try:
        disk.__enter__()
        stage.has_own_disk = True
    except pytest.skip.Exception:
        yield
        return
    try:
        yield
    finally:
        disk.__exit__(None, None, None)


def poll_s(holds: Callable[[], object], *, what: str, timeout_s: float = 40.0) -> float:
    """Wait for a condition; how many seconds it took."""
    begun = time.monotonic()
    wait_until(holds, what=what, timeout_s=timeout_s)
    return round(time.monotonic() - begun, 2)


def is_steady(channel: dict[str, Any]) -> bool:
    """On air, with all that comes ready."""
    return channel["state"] == "on_air" and bool(channel["next"]) and all(each["ready"] for each in channel["next"])


def lateness_counts(metrics: str, host: int) -> dict[float, float]:
    """Cumulative counts of one host's release lateness, by upper bound in seconds."""
    mark = f'channeld_release_lateness_seconds_bucket{{host="{host}",le="'
    rows = (line[len(mark) :].split('"} ') for line in metrics.splitlines() if line.startswith(mark))
    return {float(bound): float(count) for bound, count in rows}


def p99_ms(before: dict[float, float], after: dict[float, float]) -> float:
    """Upper bound of the bucket that holds the 99th percentile of what came between, in ms; the host may have been replaced."""
    is_new = not before or any(after[bound] < count for bound, count in before.items())
    counts = {bound: count - (0 if is_new else before[bound]) for bound, count in after.items()}
    total = counts.get(float("inf"), 0.0)
    bound = next((bound for bound, count in sorted(counts.items()) if count >= 0.99 * total), 0.0)
    return bound * 1000


def record(row: Row) -> None:
    """Append what was measured to the file that the table is made from, if there is one."""
    path = os.environ.get("CHANNELD_FAULT_FIGURES")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: value for name, value in asdict(row).items() if name in ("number", "measured")}) + "\n")
