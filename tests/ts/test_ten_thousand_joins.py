"""Ten thousand joins of unlike clips, fast and without waiting, over a wrap of the 33-bit clock: judged whole, decoded in samples."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from joins import Member, Window, decoded_faults, judge_window, member, windows
from judge.ts import read_ts
from prepared import PreparedShelf, stream_format

from channeld.ts.splicer import Splicer, SplicerState

JOINS = 10_000
WINDOW_JOINS = 250
DECODED_RUNS, DECODED_JOINS = 20, 10
FRAME_TICKS = 3600
ORIGIN = (1 << 33) - 600 * 90_000
"""Ten minutes before the wrap: about a seventh of the joins come before it."""
MOST_SKEW_TICKS = 990
"""11 ms."""

NUMBERED = {2: 400, 3: 500, 7: 600, 11: 400, 12: 700, 25: 900, 50: 300}
"""Frames of the numbered clips, and the pitch of each."""
REAL = {
    "ocean.ogv": (1.0, 1.4),
    "bbb.flv": (2.0, 2.6),
    "big_buck_bunny_0_30.webm": (6.0, 6.5),
    "big_buck_bunny-5.1-6s.mp4": (0.0, 0.4),
    "sintel_trailer-8s.mp4": (3.0, 3.3),
    "cityCC0.mpg": (1.0, 1.36),
    "vtest-5s.avi": (0.0, 0.3),
    "bear-av1-opus.mp4": (0.0, 0.5),
    "bear-vp9-odd-dimensions.webm": (0.0, 0.3),
    "prores_422.mov": (0.0, 0.5),
    "2x2-green.mp4": (0.0, None),
    "h264_high422_10bit.mp4": (0.0, 0.4),
    "clock-20s.mp4": (4.0, 4.3),
}


@pytest.fixture(scope="module")
def members(prepared: PreparedShelf, media_dir: Path) -> list[Member]:
    """Twenty clips of 0.08 s to 2 s, of thirteen makes and seven numbered."""
    made = [
        member(prepared.numbered(frames, base=frames * 1000, tone_hz=hz), f"{frames} frames", frames * 1000)
        for frames, hz in NUMBERED.items()
    ]
    real = {name: prepared.file(media_dir / name, in_s=begin, out_s=end) for name, (begin, end) in REAL.items()}
    return [*made, *(member(clip, name) for name, clip in real.items())]


def sampled(order: list[Member]) -> list[range]:
    """The runs of clips whose joins are decoded, spread from the first join to the last."""
    last = len(order) - DECODED_JOINS - 1
    return [range(begin, begin + DECODED_JOINS + 1) for begin in (last * run // (DECODED_RUNS - 1) for run in range(DECODED_RUNS))]


class Samples:
    """Picks the sampled runs out of windows as they go by."""

    def __init__(self, order: list[Member]) -> None:
        self.runs = {run: Window(0) for run in sampled(order)}
        self._next = 0

    def take(self, window: Window) -> None:
        """Windows overlap by one clip, which is taken once."""
        skipped = 1 if self._next else 0
        for entry, part in zip(window.members[skipped:], window.parts[skipped:], strict=True):
            for run, kept in self.runs.items():
                if self._next in run:
                    kept.members.append(entry)
                    kept.parts.append(part)
            self._next += 1


@pytest.mark.timeout(300)
def test_ten_thousand_joins_are_one_stream(members: list[Member], tmp_path: Path) -> None:
    """Not one continuity error, every step to the tick, PCR within 40 ms, skew within 11 ms and no drift, and it decodes."""
    choose = random.Random(20)
    order = [choose.choice(members) for _ in range(JOINS + 1)]
    splicer = Splicer(stream_format(), SplicerState(origin=ORIGIN))
    samples = Samples(order)
    skews: list[int] = []
    joins = 0
    for window in windows(order, splicer, joins=WINDOW_JOINS):
        verdict = judge_window(window, read_ts(window.stream), first_dts=ORIGIN + window.frames_before * FRAME_TICKS)
        assert verdict.faults == [], f"from join {joins} on"
        skews += verdict.skews
        joins += len(window.members) - 1
        samples.take(window)
    assert joins == JOINS
    assert splicer.next_dts > 1 << 33
    check_skews(skews)
    check_decoding(list(samples.runs.values()), tmp_path)


def check_skews(skews: list[int]) -> None:
    assert len(skews) > JOINS / 2
    assert max(abs(skew) for skew in skews) <= MOST_SKEW_TICKS
    first, last = sum(skews[:1000]) / 1000, sum(skews[-1000:]) / 1000
    assert abs(first - last) < 90, "the mean skew moves by more than a millisecond"


def check_decoding(runs: list[Window], folder: Path) -> None:
    """At two hundred joins: no complaint, every number once and in order, no click."""
    assert sum(len(run.members) - 1 for run in runs) == DECODED_RUNS * DECODED_JOINS
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda at: decoded_faults(runs[at], folder / f"{at}.ts"), range(len(runs))))
    assert [faults for faults in found if faults] == []
