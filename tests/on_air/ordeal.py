"""What an upstream suffers while its channel is on air, and what viewers saw of it, in figures and in faults.

Rule: a blow is known by the monotonic clock, what aired by the as-run log, and when it was seen by when a viewer's process had the bytes of
that picture. Streams are judged by code that shares nothing with channeld.
"""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from judge.decode import decode_faults, gray_frames
from judge.ts import SPLICED, TsReport, read_ts
from nginx_origin import wait_until
from peers.upstreams import MAY_AIR_ON, REASONS, Upstream
from recordings import whole_gops
from running import FPS, FRAME_TICKS, RunningDaemon

POLL_S = 0.15
SLATE_S, AIRS_ON_S, BACK_S = 40.0, 8.0, 90.0
"""How long a slate is waited for, where the source may survive and where not; and for the source."""
WORDS = {
    "cannot-connect": "cannot_connect",
    "timed-out": "timed_out",
    "authentication-failed": "authentication_failed",
    "unsupported-format": "unsupported_format",
    "the-source-ended": "ended",
    "source-lost": "other",
}
"""Of slates, and the reason that they tell."""
SWITCH_S = 0.1
STILL_LUMA = 0.05
LINGERS_NS = 4 * 10**9
"""What came damaged is in store for a while, and decoded otherwise until the next key frame."""
LUMA_OF_A_SLATE = 60
"""A slate is a dark card, all that sources send is brighter."""


@dataclass(slots=True)
class Blow:
    """One fault: when it came and was over (monotonic), and what was wrong."""

    fault: str
    blown_ns: int
    mended_ns: int = 0
    back_ns: int = 0
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one blow, in seconds: to the first slate and to the first with the right reason; from live, and from mended, to on air.

    `silent_s`, `silent_reason_s`: to the same two slates from the last that came of the source; None where something came all the time.
    """

    upstream: str
    fault: str
    slate_s: float | None
    reason_s: float | None
    silent_s: float | None
    silent_reason_s: float | None
    back_s: float | None
    mended_s: float | None


def reason_of(entry: str | None) -> str | None:
    """What a slate tells; None for what is none, or tells nothing."""
    words = (entry or "").removeprefix("@slate/")
    return next((reason for begin, reason in WORDS.items() if words.startswith(begin)), None)


@dataclass
class Ordeal:
    """One channel, named as its upstream."""

    daemon: RunningDaemon
    upstream: Upstream
    folder: Path
    seed: int
    blows: list[Blow] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(f"{self.seed}.{self.name}")
        token = (self.daemon.folder / "state" / "admin.token").read_text().strip()
        self._client = httpx.Client(base_url=self.daemon.admin_url, headers={"Authorization": f"Bearer {token}"}, timeout=20)
        self._viewer: subprocess.Popen[bytes] | None = None
        self._wall_ns = time.time_ns() - time.monotonic_ns()

    @property
    def name(self) -> str:
        """Of the upstream, its channel and its source."""
        return self.upstream.name

    @property
    def stream(self) -> Path:
        """What the viewer keeps."""
        return self.folder / f"{self.name}.ts"

    # -- on air -------------------------------------------------------------------------------------------------

    def _source(self) -> dict[str, Any]:
        source: dict[str, Any] = self._client.get(f"/api/v1/channels/{self.name}").raise_for_status().json()["sources"][0]
        return source

    def _airings(self, limit: int) -> list[dict[str, Any]]:
        """Newest last."""
        listed: list[dict[str, Any]] = self._client.get(f"/api/v1/as-run?channel={self.name}&limit={limit}").raise_for_status().json()
        return listed[::-1]

    def is_on_air(self) -> bool:
        """The source is."""
        return bool(self._source()["on_air"])

    def until_on_air(self, what: str) -> None:
        """Raises TimeoutError with how the source stands."""
        try:
            _until(self.is_on_air, what=what, timeout_s=BACK_S)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self._source()}") from error

    def watch(self) -> None:
        """Begin to watch."""
        url = httpx.URL(self.daemon.ts_url(self.name))
        words = [sys.executable, str(Path(__file__).with_name("ordeal_viewer.py")), url.host, str(url.port), url.path]
        self._viewer = subprocess.Popen([*words, str(self.stream), str(self.stream.with_suffix(".times"))])
        wait_until(lambda: self.stream.exists() and self.stream.stat().st_size > 0, what="the first bytes", timeout_s=30)

    def suffer(self, faults: Iterable[str], until_s: float = float("inf")) -> None:
        """One after the other, at any moment, until so much of the monotonic clock."""
        for fault in faults:
            time.sleep(self._dice.uniform(0.3, 2.5))
            if time.monotonic() > until_s:
                break
            self._blow(fault)

    def _blow(self, fault: str) -> None:
        blow = Blow(fault, time.monotonic_ns())
        newest = self._airings(1)[-1]["id"]
        blow.blown_ns = time.monotonic_ns()
        self.blows.append(blow)
        self.upstream.befall(fault)
        blow.blown_ns = max(blow.blown_ns, self.upstream.peer.struck_ns)
        wanted = REASONS[fault]

        def is_told() -> bool:
            return any(reason_of(each["entry"]) in wanted for each in self._airings(30) if each["id"] > newest)

        try:
            _until(is_told, what="a slate", timeout_s=AIRS_ON_S if fault in MAY_AIR_ON else SLATE_S)
        except TimeoutError:
            if fault not in MAY_AIR_ON:
                aired = [each["entry"] for each in self._airings(30) if each["id"] > newest]
                blow.wrong = f"no slate for {sorted(wanted)}, but {aired}; {self._source()}"
        time.sleep(self._dice.uniform(0.0, 0.5))
        self.upstream.mend(fault)
        blow.mended_ns = time.monotonic_ns()
        self.until_on_air(f"{self.name} on air after {fault}")
        blow.back_ns = time.monotonic_ns()

    def finish(self) -> None:
        """Watch no more."""
        self._client.close()
        viewer, self._viewer = self._viewer, None
        if viewer is None:
            return
        if viewer.poll() is not None:
            self.trouble.append(f"the viewer was left alone, with {viewer.returncode}")
        viewer.terminate()
        viewer.wait(10)

    # -- judged -------------------------------------------------------------------------------------------------

    @cached_property
    def report(self) -> TsReport:
        """Of the stream, up to its last whole GOP."""
        return read_ts(whole_gops(self.stream.read_bytes()), fps=Fraction(FPS), allowances=SPLICED)

    @cached_property
    def _seen(self) -> tuple[dict[int, int], int]:
        """When each DTS had come, and the first PTS."""
        times = np.frombuffer(self.stream.with_suffix(".times").read_bytes(), dtype="<u8").reshape(-1, 2).astype(np.int64)
        track = self.report.video
        assert track is not None
        until = (np.asarray(track.units.last_packet) + 1) * 188
        came = times[np.searchsorted(times[:, 0], until).clip(max=len(times) - 1), 1]
        return dict(zip(np.asarray(track.units.dts).tolist(), came.tolist(), strict=True)), int(np.min(track.units.pts))

    def faults(self) -> list[str]:
        """Everything that a viewer had to complain of, a sentence each."""
        found = [*self.trouble, *self.report.faults(), *decode_faults(self._whole())]
        found += [f"{number} {blow.fault}: {blow.wrong}" for number, blow in enumerate(self.blows) if blow.wrong]
        return [f"{self.name}: {each}" for each in found]

    def _whole(self) -> Path:
        """The stream up to its last whole GOP, as a file."""
        path = self.stream.with_suffix(".whole.ts")
        path.write_bytes(whole_gops(self.stream.read_bytes()))
        return path

    @cached_property
    def _looks(self) -> tuple[Any, Any]:
        """Of every picture, small and gray: how bright it is, and how much of it differs from the one before."""
        luma, change, before = [], [], None
        for frame in gray_frames(self._whole(), size=(32, 18)):
            now = np.asarray(frame, dtype=np.int16)
            luma.append(float(now.mean()))
            change.append(255.0 if before is None else float(np.abs(now - before).mean()))
            before = now
        return np.array(luma), np.array(change)

    @cached_property
    def longest_still_s(self) -> float:
        """How long a picture of the source stood at most, in the stream.

        But for garbage: of what is damaged here and there a decoder makes the picture before it, and `frozen_seconds` is who minds.
        """
        luma, change = self._looks
        came_ns = np.sort(np.fromiter(self._seen[0].values(), dtype=np.int64))[: len(luma)]
        counts = (change < STILL_LUMA) & (luma >= LUMA_OF_A_SLATE)
        for blow in self.blows:
            if blow.fault == "garbage":
                ends_ns = blow.back_ns + LINGERS_NS if blow.back_ns else 1 << 62
                counts[: len(came_ns)] &= (came_ns < blow.blown_ns) | (came_ns > ends_ns)
        return max((len(list(run)) for does, run in groupby(counts) if does), default=0) / FPS

    @property
    def longest_wait_s(self) -> float:
        """How long nothing came to the viewer at most."""
        return float(np.diff(sorted(self._seen[0].values())).max()) / 1e9

    def pictures(self, airings: Sequence[dict[str, Any]]) -> list[str]:
        """Whether pictures are what the as-run log says: slates dark, sources bright; the first two of an airing are not looked at.

        None of a source's stands for longer than the loss grace and what a switch takes, nor does a viewer wait so long for any.
        """
        luma = self._looks[0]
        first, wrong = self._seen[1], []
        for each, after in pairwise(airings):
            begin, end = ((int(one["ticks"]) + FRAME_TICKS - first) // FRAME_TICKS for one in (each, after))
            part = luma[max(0, begin + 2) : max(0, end)]
            is_slate = each["entry"] is None or each["entry"].startswith("@slate/")
            if len(part) and bool(np.median(part) < LUMA_OF_A_SLATE) is not is_slate:
                wrong.append(
                    f"{self.name}: {each['entry']} at {(begin * FRAME_TICKS) / 90_000:.2f} s looks otherwise (luma {np.median(part):.0f})"
                )
        limit_s = self.upstream.kind.graces["loss_grace_seconds"] + SWITCH_S
        loses = self.upstream.kind.source.get("transport") == "udp"  # what its line loses is repeated until the next key frame
        if self.longest_still_s > limit_s + loses:
            wrong.append(f"{self.name}: a picture stands for {self.longest_still_s:.2f} s, more than {limit_s + loses:g} s")
        if self.longest_wait_s > limit_s:
            wrong.append(f"{self.name}: nothing came for {self.longest_wait_s:.2f} s, more than {limit_s:g} s")
        return wrong

    def figures(self, airings: Sequence[dict[str, Any]]) -> list[Figures]:
        """Of each blow."""
        seen = self._seen[0]
        aired = [(seen[at], str(each["entry"])) for each in airings if (at := int(each["ticks"])) in seen]
        changes = [line for line in self.daemon.log("source_changed") if line["source"] == self.name]
        lives = [self._told_ns(line) for line in changes if line["state"] == "live"]
        lost = [(self._told_ns(line), line["silent_s"]) for line in changes if line["state"] == "lost" and line["silent_s"] is not None]
        return [self._figures(blow, aired, lives, lost) for blow in self.blows if blow.back_ns]

    def _told_ns(self, line: dict[str, Any]) -> int:
        """When a line was logged, by the monotonic clock."""
        return int(datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00")).timestamp() * 1e9) - self._wall_ns

    def _figures(self, blow: Blow, aired: Sequence[tuple[int, str]], lives: Sequence[int], lost: Sequence[tuple[int, float]]) -> Figures:
        def after(begin_ns: int, end_ns: int, holds: Callable[[str], object]) -> int | None:
            return next((at for at, entry in aired if begin_ns <= at <= end_ns and holds(entry)), None)

        def seconds(end_ns: int | None, begin_ns: int | None) -> float | None:
            return None if end_ns is None or begin_ns is None else round((end_ns - begin_ns) / 1e9, 3)

        slate = after(blow.blown_ns, blow.mended_ns, lambda entry: entry.startswith("@slate/"))
        reason = after(blow.blown_ns, blow.mended_ns + 10**9, lambda entry: reason_of(entry) in REASONS[blow.fault])
        back = (
            after(max(blow.mended_ns, reason or 0), blow.back_ns + 2 * 10**9, lambda entry: entry.startswith("@live/")) if reason else None
        )

        def silence_before(at_ns: int | None) -> int | None:
            told = [at - round(silent_s * 1e9) for at, silent_s in lost if at_ns is not None and blow.blown_ns <= at <= at_ns]
            return told[-1] if told else None

        live = max((at for at in lives if back is not None and at < back), default=None)
        return Figures(
            self.name,
            blow.fault,
            seconds(slate, blow.blown_ns),
            seconds(reason, blow.blown_ns),
            seconds(slate, silence_before(slate)),
            seconds(reason, silence_before(reason)),
            seconds(back, live),
            seconds(back, blow.mended_ns),
        )


def _until(holds: Callable[[], object], *, what: str, timeout_s: float) -> None:
    """As `wait_until`, but asks less often: many ask the same daemon."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(POLL_S)


def shuffled(faults: Sequence[str], rounds: int, seed: int) -> list[str]:
    """Each so often, in an order that is always the same."""
    order = list(faults) * rounds
    random.Random(seed).shuffle(order)
    return order
