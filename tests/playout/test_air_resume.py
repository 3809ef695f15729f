"""A dead host's ring is gone on with: byte for byte what the dead one would have published, wherever it was killed."""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import pytest
from clips import read_numbers
from judge.ts import SPLICED, read_ts
from on_fake_air import CountingReaders, filler_of, source_of
from prepared import PreparedShelf, stream_format

from channeld.base.clock import SystemClock
from channeld.base.errors import StreamError
from channeld.bus.reader import RingReader
from channeld.bus.ring import RingWriter
from channeld.media.clip import PreparedClip
from channeld.playout.air import Air
from channeld.playout.lookahead import MAX_TAG_BYTES, ClipSource
from channeld.playout.opening import Opening
from channeld.playout.resume import decode_state
from channeld.ts.splicer import Splicer

Until = Callable[[Callable[[], object]], None]
SLICES = 1500
DEADLINE_S = 60.0
FINGERPRINT = "tiny-1"


def silent(kind: str, **values: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Programme:
    """What airs: a clip, or the filler for so many frames. The plan for each boundary follows from what airs alone."""

    prepared: PreparedShelf
    items: tuple[ClipSource | int, ...]

    def new_ring(self) -> RingWriter:
        """Room for everything that a test publishes."""
        stream = stream_format()
        description = {
            "channel": "one",
            "fps": [stream.fps.num, stream.fps.den],
            "composition_delay": stream.composition_delay,
            "pcr_lead": stream.pcr_lead,
            "fingerprint": FINGERPRINT,
        }
        return RingWriter.create(capacity_bytes=24 << 20, slice_capacity=4096, generation=77, description=description)

    def new_air(self, ring: RingWriter, readers: CountingReaders) -> Air:
        filler = filler_of(self.prepared)
        return Air("one", Splicer(stream_format()), ring, filler, readers, silent, anchor_ns=time.monotonic_ns())

    def adopt(self, fd: int, readers: CountingReaders, **more: object) -> Air:
        """As the host does it."""
        filler = self.prepared.filler()
        values = {"filler": {"ts": str(filler.ts_path), "idx": str(filler.idx_path)}, "sources": [], "fingerprint": FINGERPRINT}
        return Opening(SystemClock(), readers, silent, WeakValueDictionary()).adopted("one", values | more, fd)

    def play(self, air: Air, readers: CountingReaders, slices: int) -> None:
        """Release as fast as the disk allows, up to a number of slices in the ring."""
        planned = None
        settle(readers)
        while air.is_waiting(time.monotonic_ns()):
            time.sleep(0.001)
        while air.ring.head_seq < slices:
            now = air.now
            coming = self.items[now.serial % len(self.items)]
            airing = self.items[(now.serial - 1) % len(self.items)] if now.serial else None
            is_time = not isinstance(airing, int) or now.feed.frames_sent >= airing
            if planned != now.serial and isinstance(coming, ClipSource) and is_time:
                planned = now.serial
                assert air.accept_plan(now.serial, [coming], now_ns=time.monotonic_ns())
            settle(readers)
            air.release()


def settle(readers: CountingReaders) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not readers.is_idle:
        assert time.monotonic() < deadline
        time.sleep(0.0002)


@pytest.fixture
def programme(prepared: PreparedShelf, long_clip: PreparedClip, short_clip: PreparedClip, second_clip: PreparedClip) -> Programme:
    """Long and short clips, the filler between two of them, and clips of a single frame."""
    single = prepared.numbered(1, base=900)
    order: list[PreparedClip | int] = [short_clip, long_clip, 40, second_clip, single, short_clip, single, single, 7, long_clip]
    items = [
        each if isinstance(each, int) else replace(source_of(each, f"a{number}"), tag=json.dumps({"entry": number, "title": "Ünïcode"}))
        for number, each in enumerate(order * 8)
    ]
    return Programme(prepared, tuple(items))


def published(ring: RingWriter, slices: int) -> list[tuple[bytes, int, int, bool]]:
    """Every slice with its times and marks."""
    fd = ring.open_reader_fd()
    reader = RingReader(fd)
    os.close(fd)
    found = [reader.read(seq, head=slices) for seq in range(1, slices + 1)]
    reader.close()
    return [(piece.data, piece.dts, piece.duration, piece.is_random_access) for piece in found]


def uninterrupted(programme: Programme) -> list[tuple[bytes, int, int, bool]]:
    ring, readers = programme.new_ring(), CountingReaders()
    programme.play(programme.new_air(ring, readers), readers, SLICES)
    whole = published(ring, SLICES)
    readers.close()
    ring.close()
    return whole


def in_a_process(work: Callable[[], None]) -> int:
    """Run it in a child of ours; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def play_on(programme: Programme, ring: RingWriter, *, is_new: bool, after_s: float) -> None:
    """Play for so long: then the kernel ends this process at whatever instruction it is."""
    readers = CountingReaders()
    air = programme.new_air(ring, readers) if is_new else programme.adopt(ring.fd, readers)
    if is_new:
        programme.play(air, readers, 1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    programme.play(air, readers, SLICES)


def test_hosts_killed_at_random_moments_publish_the_same_bytes_as_one_that_lives(programme: Programme) -> None:
    """Killed anywhere, in the middle of a publish too: over joins, B-frames, clips of one frame, and while the filler airs."""
    expected = uninterrupted(programme)
    chance, kills = random.Random(7), 0
    ring = programme.new_ring()
    fd = ring.open_reader_fd()
    reader = RingReader(fd)
    os.close(fd)
    deadline = time.monotonic() + 2 * DEADLINE_S
    while reader.head_seq < SLICES:
        assert time.monotonic() < deadline
        after_s = chance.uniform(0.0005, 0.02)
        pid = in_a_process(lambda is_new=reader.head_seq == 0, after_s=after_s: play_on(programme, ring, is_new=is_new, after_s=after_s))
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) or reader.head_seq == SLICES
        kills += os.WIFSIGNALED(status)
    assert kills >= 10
    assert published(ring, SLICES) == expected
    assert read_ts(b"".join(piece[0] for piece in expected), allowances=replace(SPLICED, open_end=True)).faults() == []
    reader.close()
    ring.close()


@pytest.fixture
def readers() -> CountingReaders:
    return CountingReaders()


def test_what_was_on_air_is_known_again_to_the_frame(programme: Programme, readers: CountingReaders) -> None:
    ring = programme.new_ring()
    first = programme.new_air(ring, readers)
    programme.play(first, readers, 9)
    again = programme.adopt(ring.fd, readers)
    assert again.present() == first.present() | {"plan": []}
    assert json.loads(str(again.present()["tag"]))["title"] == "Ünïcode"
    assert again.present()["serial"] == 2
    assert decode_state(again.ring.state()).frames == again.present()["frames"] == first.now.feed.frames_sent
    readers.close()
    again.ring.close()
    ring.close()


@pytest.mark.parametrize("after", [1, 2])
def test_a_plan_made_before_the_newest_boundary_was_heard_of_counts_from_behind_it(
    programme: Programme, readers: CountingReaders, after: int
) -> None:
    """Control knew of the first airing only, and had planned the second, which is on air by now."""
    ring = programme.new_ring()
    programme.play(programme.new_air(ring, readers), readers, 9)
    clips = [item for item in programme.items if isinstance(item, ClipSource)]
    planned = clips[1:4] if after == 1 else clips[2:4]
    sources = [{"airing": each.airing, "entry": each.entry, "ts": each.ts_path, "idx": each.idx_path} for each in planned]
    air = programme.adopt(ring.fd, readers, sources=sources, after=after)
    assert air.present()["plan"] == [each.airing for each in clips[2:4]]
    readers.close()
    air.ring.close()
    ring.close()


@pytest.mark.parametrize("slices", range(1, 6))
def test_a_clip_that_is_gone_gives_way_to_the_filler_at_the_next_frame(
    prepared: PreparedShelf, long_clip: PreparedClip, readers: CountingReaders, tmp_path: Path, slices: int
) -> None:
    """Pictures sent ahead of their display leave a hole of a few frames: the timeline goes on behind the last of them."""
    for name, source in (("c.ts", long_clip.ts_path), ("c.idx", long_clip.idx_path)):
        (tmp_path / name).write_bytes(source.read_bytes())
    programme = Programme(prepared, (ClipSource("a", "e", str(tmp_path / "c.ts"), str(tmp_path / "c.idx")), 500))
    ring = programme.new_ring()
    dead = programme.new_air(ring, readers)
    programme.play(dead, readers, slices)
    dead.close()
    (tmp_path / "c.ts").unlink()
    air = programme.adopt(ring.fd, readers)
    programme.play(air, readers, 15)
    stream = b"".join(piece[0] for piece in published(ring, 15))
    faults = read_ts(stream, allowances=replace(SPLICED, open_end=True)).faults()
    longer_steps = (" apart", " by ", "picture missing")
    assert [fault for fault in faults if not any(words in fault for words in longer_steps)] == []
    assert (slices in (1, 5)) == (faults == []), "where the clip may be cut there is none"
    (tmp_path / "aired.ts").write_bytes(stream)
    aired = [number for number in read_numbers(tmp_path / "aired.ts") if number is not None]
    assert len(aired) == slices * 5 and aired == sorted(set(aired)), "whatever was sent is seen, each picture once"
    readers.close()
    air.ring.close()
    ring.close()


@pytest.mark.parametrize("is_planned", [True, False])
def test_a_clip_that_is_left_gives_way_to_what_is_planned_at_the_next_frame_and_is_not_read(
    prepared: PreparedShelf, long_clip: PreparedClip, second_clip: PreparedClip, readers: CountingReaders, is_planned: bool
) -> None:
    programme = Programme(prepared, (source_of(long_clip, "left"), 500))
    ring = programme.new_ring()
    dead = programme.new_air(ring, readers)
    programme.play(dead, readers, 5)
    dead.close()
    told: list[tuple[str, dict[str, Any]]] = []
    filler, coming = prepared.filler(), source_of(second_clip, "next")
    sources = [{"airing": coming.airing, "entry": coming.entry, "ts": coming.ts_path, "idx": coming.idx_path}] if is_planned else []
    values = {
        "filler": {"ts": str(filler.ts_path), "idx": str(filler.idx_path)},
        "sources": sources,
        "fingerprint": FINGERPRINT,
        "leave": True,
    }
    report = lambda kind, **facts: told.append((kind, facts))  # noqa: E731
    air = Opening(SystemClock(), readers, report, WeakValueDictionary()).adopted("one", values, ring.fd)
    settle(readers)
    while air.is_waiting(time.monotonic_ns()):
        time.sleep(0.001)
    air.release()
    (ended, started) = told
    assert (ended[0], ended[1]["airing"], ended[1]["reason"], ended[1]["error"]) == ("ended", "left", "cut", None)
    assert (started[0], started[1]["airing"]) == ("started", "next" if is_planned else None)
    assert ended[1]["end_dts"] == started[1]["dts"]
    readers.close()
    air.ring.close()
    ring.close()


def refused(programme: Programme, ring: RingWriter, why: str, **more: object) -> None:
    """The ring is not adopted, and is as it was."""
    readers = CountingReaders()
    head, state = ring.head_seq, ring.state()
    with pytest.raises((ValueError, StreamError), match=why):
        programme.adopt(ring.fd, readers, **more)
    assert (ring.head_seq, ring.state()) == (head, state)
    readers.close()


def test_a_ring_that_cannot_be_gone_on_with_is_refused_and_left_alone(programme: Programme, readers: CountingReaders) -> None:
    ring = programme.new_ring()
    refused(programme, ring, "nothing to go on from")
    programme.play(programme.new_air(ring, readers), readers, 3)
    refused(programme, ring, "fingerprint", fingerprint="another")
    refused(programme, ring, "filler cannot be read", filler={"ts": "/nowhere.ts", "idx": "/nowhere.idx"})
    refused(programme, ring, "caught up with", max_late_s=-3600)
    for _ in range(2):
        ring.publish(b"\x47" * 188, dts=0, duration=1, is_random_access=False, state=b'{"version":0}')
    refused(programme, ring, "version 0")
    ring.mark_ended()
    refused(programme, ring, "ended")
    readers.close()
    ring.close()


def test_a_source_too_long_for_the_state_beside_the_stream_is_refused() -> None:
    values = {"airing": "a", "entry": "e", "ts": "/c.ts", "idx": "/c.idx"}
    assert ClipSource.from_message(values | {"tag": "x" * MAX_TAG_BYTES}).tag == "x" * MAX_TAG_BYTES
    for wrong in ({"tag": "x" * (MAX_TAG_BYTES + 1)}, {"tag": "ü" * MAX_TAG_BYTES}, {"ts": "/" + "x" * 8000}):
        with pytest.raises(ValueError, match="too long"):
            ClipSource.from_message(values | wrong)


@pytest.mark.parametrize("frame", [1, 24, 25, 99, 100, 101, 130, 224, 5000])
def test_a_channel_may_begin_in_the_middle_of_a_clip(
    prepared: PreparedShelf, long_clip: PreparedClip, readers: CountingReaders, tmp_path: Path, frame: int
) -> None:
    """At the random access point at or before the frame, picture and sound together."""
    programme = Programme(prepared, (replace(source_of(long_clip, "a"), from_frame=frame), 500))
    ring = programme.new_ring()
    air = programme.new_air(ring, readers)
    programme.play(air, readers, 12)
    stream = b"".join(piece[0] for piece in published(ring, 12))
    assert read_ts(stream, allowances=replace(SPLICED, open_end=True)).faults() == []
    (tmp_path / "aired.ts").write_bytes(stream)
    begin = min(frame, 224) // 25 * 25
    assert read_numbers(tmp_path / "aired.ts")[:20] == list(range(200 + begin, 220 + begin))
    readers.close()
    ring.close()
