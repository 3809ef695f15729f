"""The read-back against real servers: what it fetches, what it refuses to fetch, and that nobody delays anybody."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wayward_origin import WaywardOrigin

from channeld.readback.judge import Condition
from channeld.readback.programme import Airing, Programme, Stillness
from channeld.readback.subject import Reading, Subject, WatchSettings
from channeld.readback.watch import ReadBack

DEADLINE_S = 40.0
MakeSegment = Callable[..., bytes]


class Watched:
    """A read-back and what it told."""

    def __init__(self, ffmpeg: str, settings: WatchSettings) -> None:
        self.readings: list[Reading] = []
        self.programmes: dict[str, Programme] = {}
        self._told = threading.Condition()
        self.readback = ReadBack(settings, self.programmes, ffmpeg=ffmpeg, on_reading=self._take)
        self.readback.start()

    def _take(self, reading: Reading) -> None:
        with self._told:
            self.readings.append(reading)
            self._told.notify_all()

    def of(self, output: str) -> list[Reading]:
        return [reading for reading in self.readings if reading.subject.output == output]

    def wait(self, holds: Callable[[Reading], object], what: str, *, output: str = "hls", timeout_s: float = DEADLINE_S) -> Reading:
        """The first reading of an output, from now on or before, for which it holds."""
        deadline = time.monotonic() + timeout_s
        seen = 0
        with self._told:
            while True:
                told = self.of(output)
                found = next((reading for reading in told[seen:] if holds(reading)), None)
                if found is not None:
                    return found
                seen = len(told)
                assert self._told.wait(deadline - time.monotonic()), f"never came: {what}; last {told[-1:]}"

    def wait_for(self, condition: Condition, *, output: str = "hls", timeout_s: float = DEADLINE_S) -> Reading:
        return self.wait(
            lambda reading: reading.verdict and reading.verdict.condition is condition, condition.value, output=output, timeout_s=timeout_s
        )


def subject(origin: WaywardOrigin, output: str = "hls", *, kind: str = "hls", path: str = "/live/index.m3u8") -> Subject:
    return Subject("one", output, "hls" if kind == "hls" else "rtmp", origin.base + path, target_s=1.0)


@pytest.fixture
def watched(ffmpeg: str) -> Iterator[Watched]:
    """A read-back that does not decode, with a short time limit."""
    made = Watched(ffmpeg, WatchSettings(cpu_budget=0.0, timeout_s=1.0))
    yield made
    made.readback.close()


@pytest.fixture
def decoding(ffmpeg: str) -> Iterator[Watched]:
    """A read-back that may decode everything."""
    made = Watched(ffmpeg, WatchSettings(cpu_budget=1.0, timeout_s=1.0))
    yield made
    made.readback.close()


@pytest.fixture(scope="session")
def good_segment(make_segment: MakeSegment) -> bytes:
    """One second: the shorter, the sooner a verdict."""
    return make_segment(1.0)


@pytest.fixture
def live(origin: WaywardOrigin, good_segment: bytes) -> WaywardOrigin:
    for _ in range(3):
        origin.add(good_segment)
    return origin


def test_a_live_origin_is_ok_and_its_newest_segment_is_fetched_once(watched: Watched, live: WaywardOrigin, good_segment: bytes) -> None:
    watched.readback.watch([subject(live)])
    reading = watched.wait_for(Condition.OK)
    assert (reading.media_sequence, reading.segment_errors) == (2, 0)
    assert reading.end_pts is not None
    newest = live.add(good_segment)
    watched.wait(lambda reading: reading.media_sequence == 3, "the next segment")
    watched.wait(lambda reading: reading.age_s and reading.age_s > 1.0, "another look")
    assert live.asked.count(newest) == 1
    assert sum(path.endswith(".ts") for path in live.asked) == 2


def test_a_torn_segment_breaks_the_output_and_a_whole_one_heals_it(watched: Watched, live: WaywardOrigin, good_segment: bytes) -> None:
    watched.readback.watch([subject(live)])
    watched.wait_for(Condition.OK)
    live.add(good_segment[: len(good_segment) // 2 + 7])
    broken = watched.wait_for(Condition.BROKEN).verdict
    assert broken is not None
    assert "torn" in (broken.reason or "")
    live.add(good_segment)
    healed = watched.wait(lambda reading: reading.media_sequence == 4, "the whole one")
    assert healed.verdict is not None
    assert (healed.verdict.condition, healed.segment_errors) == (Condition.OK, 1)


def test_a_slow_and_a_silent_server_delay_nobody_else(watched: Watched, live: WaywardOrigin) -> None:
    """Each look is bounded: the others go on looking while one server hangs and another drips bytes."""
    live.answers |= {"/slow/index.m3u8": live.drip, "/silent/index.m3u8": live.hang}
    watched.readback.watch([subject(live), *(subject(live, name, kind="rtmp", path=f"/{name}/index.m3u8") for name in ("slow", "silent"))])
    watched.wait(lambda reading: reading.age_s and reading.age_s > 2.5, "more looks")
    looks = watched.of("hls")
    gaps = [after.seen_s - before.seen_s for before, after in itertools.pairwise(looks)]
    assert len(looks) >= 3
    assert max(gaps) < 2.0  # two looks of the others, one after the other, take longer
    for name in ("slow", "silent"):
        assert watched.wait(lambda reading: True, "a look", output=name).verdict is None  # time to begin


def test_a_huge_manifest_is_not_read_to_its_end(watched: Watched, live: WaywardOrigin) -> None:
    live.answers["/live/index.m3u8"] = live.flood
    watched.readback.watch([subject(live)])
    watched.wait(lambda reading: True, "a look")
    deadline = time.monotonic() + DEADLINE_S
    while "gave up" not in live.asked:
        assert time.monotonic() < deadline, "the server still sends"
        time.sleep(0.02)


@pytest.mark.long
def test_a_server_that_stops_answering_becomes_unreachable(watched: Watched, live: WaywardOrigin) -> None:
    watched.readback.watch([subject(live)])
    watched.wait_for(Condition.OK)
    live.answers["/live/index.m3u8"] = live.hang
    verdict = watched.wait_for(Condition.UNREACHABLE).verdict
    assert verdict is not None
    assert "no whole answer within 1 s" in (verdict.reason or "")


@pytest.mark.parametrize("where", ["redirect", "listed"])
def test_nobody_is_sent_anywhere_else(watched: Watched, live: WaywardOrigin, where: str, good_segment: bytes) -> None:
    """Neither a redirect nor a listed address makes the daemon ask a server that nobody configured."""
    other = WaywardOrigin()
    other.start()
    try:
        if where == "redirect":
            newest = live.add(good_segment)
            live.answers[newest] = live.redirect(f"{other.base}/private")
        else:
            live.listed[-1] = (f"{other.base}/private.ts", 1.0)
        watched.readback.watch([subject(live)])
        verdict = watched.wait_for(Condition.BROKEN).verdict
        assert verdict is not None
        assert ("Redirects are not followed" if where == "redirect" else "another server") in (verdict.reason or "")
        assert other.asked == []
    finally:
        other.close()


@pytest.mark.long
def test_a_redirected_manifest_is_unreachable(watched: Watched, live: WaywardOrigin) -> None:
    watched.readback.watch([subject(live)])
    watched.wait_for(Condition.OK)
    live.answers["/live/index.m3u8"] = live.redirect("http://169.254.169.254/latest/meta-data/")
    verdict = watched.wait_for(Condition.UNREACHABLE).verdict
    assert verdict is not None
    assert "answers 302" in (verdict.reason or "")


def test_what_is_no_longer_watched_is_not_asked_for(watched: Watched, live: WaywardOrigin) -> None:
    watched.readback.watch([subject(live), subject(live, "b", path="/b/index.m3u8")])
    watched.wait(lambda reading: True, "a look", output="b")
    watched.readback.watch([subject(live)])
    before = len(watched.of("hls"))
    asked = live.asked.count("/b/index.m3u8")
    watched.wait(lambda reading: len(watched.of("hls")) > before + 1, "two looks")
    assert live.asked.count("/b/index.m3u8") <= asked + 1


def air(watched: Watched, origin: WaywardOrigin, segment: bytes, stillness: Stillness | None, *, condition: Condition) -> Reading:
    """Have segments of this kind published while a clip of these facts airs; gives the reading with that verdict."""
    watched.programmes["one"] = Programme().started(Airing(0, time.monotonic_ns(), stillness))
    watched.readback.watch([subject(origin)])
    deadline = time.monotonic() + DEADLINE_S
    for number in range(20):
        origin.add(segment)
        sequence = origin.first + len(origin.listed) - 1
        watched.wait(lambda reading, wanted=sequence: reading.media_sequence == wanted, f"segment {number}")
        decoded_before = watched.readback.budget.spent_s
        while watched.readback.budget.spent_s == decoded_before and time.monotonic() < deadline and number < 1:
            time.sleep(0.02)
        found = [each for each in watched.of("hls") if each.verdict and each.verdict.condition is condition]
        if found and (condition is not Condition.OK or number >= 3):
            return found[-1]
    pytest.fail(f"never {condition}: {watched.readings[-1]}")


def test_black_silent_air_is_told_apart_from_a_quiet_clip(decoding: Watched, live: WaywardOrigin, make_segment: MakeSegment) -> None:
    quiet = make_segment(1.0, video="color=black:s=320x180:r=25", audio="anullsrc=r=48000")
    verdict = air(decoding, live, quiet, Stillness(), condition=Condition.FROZEN).verdict
    assert verdict is not None
    assert "black" in (verdict.reason or "")
    decoding.readings.clear()
    everything = ((0.0, 1e6),)
    reading = air(decoding, live, quiet, Stillness(silent=everything, still=everything), condition=Condition.OK)
    assert reading.segment_errors == 0
    assert 0 < decoding.readback.budget.spent_s < 5


def test_silence_alone_is_silence(decoding: Watched, live: WaywardOrigin, make_segment: MakeSegment) -> None:
    verdict = air(decoding, live, make_segment(1.0, audio="anullsrc=r=48000"), Stillness(), condition=Condition.SILENT).verdict
    assert verdict is not None
    assert "silence" in (verdict.reason or "")


def test_what_parses_but_does_not_decode_is_broken(decoding: Watched, live: WaywardOrigin, good_segment: bytes) -> None:
    """Bytes overwritten within pictures leave every packet header as it was."""
    spoilt = bytearray(good_segment)
    for at in range(0, len(spoilt), 188):
        if spoilt[at + 1 : at + 3] == b"\x01\x00" and spoilt[at + 3] & 0x30 == 0x10:  # video, no start, payload only
            spoilt[at + 100 : at + 180] = bytes(80)
    verdict = air(decoding, live, bytes(spoilt), Stillness(), condition=Condition.BROKEN).verdict
    assert verdict is not None
    assert "decoding:" in (verdict.reason or "")


def test_closing_ends_a_hanging_look_at_once(ffmpeg: str, live: WaywardOrigin, tmp_path: Path) -> None:
    live.answers["/live/index.m3u8"] = live.hang
    made = Watched(ffmpeg, WatchSettings(timeout_s=600.0))
    made.readback.watch([subject(live)])
    deadline = time.monotonic() + DEADLINE_S
    while not live.asked:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    made.readback.close(timeout_s=10.0)
    assert not made.readback.alive
