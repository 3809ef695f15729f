"""Transport streams, indexes, segments and manifests under noise and under damage: judged or refused by the one error, in bounded steps."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prepared import TINY
from steps import bounded

from channeld.base.errors import StreamError
from channeld.media.profile import COMPOSITION_DELAY
from channeld.outputs import hls_manifest
from channeld.readback.manifest import MAX_LISTED, MAX_MANIFEST_BYTES, read_manifest
from channeld.readback.segment import MAX_FAULTS, inspect_segment
from channeld.ts.conform import MAX_UNIT_PACKETS, Conformer, StreamRules
from channeld.ts.elementary import first_random_access_unit
from channeld.ts.index import MAX_JSON_BYTES, Base, ClipHeader, IndexParser, encode_header
from channeld.ts.live_conform import MAX_PENDING_PACKETS, LiveConformer
from channeld.ts.packet import as_packets, pcr_packet
from channeld.ts.psi import crc32_mpeg, tables

FUZZED = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
PACKET = 188
RULES = StreamRules(TINY.fps, TINY.gop_frames, COMPOSITION_DELAY)
LONG_FIELD = 255
"""An adaptation field that ends behind its packet."""


def packet(pid: int, body: bytes, *, begins: bool = True, flags: int = 0x40) -> bytes:
    """One packet, filled up by its adaptation field."""
    room = PACKET - 4 - len(body)
    field = bytes((room - 1, flags)).ljust(room, b"\xff") if room > 1 else bytes(room)
    return bytes((0x47, begins << 6 | pid >> 8, pid & 0xFF, 0x30 if room else 0x10)) + field + body


def pes(stream_id: int, pts: int, more: bytes = b"") -> bytes:
    stamp = bytes((0x21 | pts >> 29 & 0x0E, pts >> 22 & 0xFF, pts >> 14 & 0xFE | 1, pts >> 7 & 0xFF, pts << 1 & 0xFE | 1))
    return b"\0\0\1" + bytes((stream_id, 0, 0, 0x80, 0x80, 5)) + stamp + more


# What is done to a stream: bytes written over (often those of headers), packets left out, doubled or in another order.
_WRITTEN = st.tuples(st.just("write"), st.integers(0, 1 << 20), st.one_of(st.integers(1, 12), st.integers(0, 187)), st.integers(0, 255))
_MOVED = st.tuples(st.sampled_from(["drop", "double", "swap"]), st.integers(0, 1 << 20), st.integers(1, 30), st.integers(0, 1 << 20))
DAMAGE = st.lists(_WRITTEN | _MOVED, min_size=1, max_size=10)


def damaged(stream: bytes, damage: list[tuple[str, int, int, int]]) -> bytes:
    rows = [bytearray(stream[at : at + PACKET]) for at in range(0, len(stream), PACKET)]
    for kind, where, column, value in damage:
        at = where % len(rows)
        if kind == "write":
            rows[at][column] = value
        elif kind == "drop" and len(rows) > 2 * column:
            del rows[at : at + column]
        elif kind == "double":
            rows[at:at] = [bytearray(row) for row in rows[at : at + column]]
        else:
            other = value % len(rows)
            rows[at], rows[other] = rows[other], rows[at]
    return b"".join(rows)


def conform(conformer: Conformer, stream: bytes, step: int = 40_000) -> int:
    """Pictures of all blocks, each of which a reader must be able to trust."""
    blocks = [block for at in range(0, len(stream), step) for block in conformer.feed(stream[at : at + step])] + conformer.finish()
    for block in blocks:
        for units in (block.video, block.audio):
            ends = units["packet"].astype(np.int64) + units["packets"]
            assert not len(units) or (units["packets"].min() > 0 and ends.max() <= len(block.packets))
    return sum(len(block.video) for block in blocks)


MAKERS: list[Callable[[], Conformer]] = [
    lambda: Conformer(RULES),
    lambda: LiveConformer(RULES),
    lambda: LiveConformer(RULES, has_free_gops=True),
]


@FUZZED
@given(damage=DAMAGE, make=st.sampled_from(MAKERS))
def test_a_damaged_stream_is_conformed_or_refused(
    house_stream: bytes, damage: list[tuple[str, int, int, int]], make: Callable[[], Conformer]
) -> None:
    try:
        bounded(lambda: conform(make(), damaged(house_stream, damage)), most=60_000)
    except StreamError as error:
        assert str(error)


@FUZZED
@given(noise=st.binary(max_size=8 * PACKET), make=st.sampled_from(MAKERS))
def test_noise_is_no_stream_to_any_conformer(noise: bytes, make: Callable[[], Conformer]) -> None:
    spoilt = bytearray(noise[: len(noise) // PACKET * PACKET])
    spoilt[::PACKET] = b"\x47" * len(spoilt[::PACKET])
    for stream in (noise, bytes(spoilt)):
        try:
            assert bounded(lambda stream=stream: conform(make(), stream, 300), most=20_000) <= 8
        except StreamError as error:
            assert str(error)


@FUZZED
@given(noise=st.binary(max_size=6 * PACKET), damage=DAMAGE)
def test_packets_and_the_picture_in_them_are_read_or_refused(
    house_stream: bytes, noise: bytes, damage: list[tuple[str, int, int, int]]
) -> None:
    for stream in (noise, damaged(house_stream[: 100 * PACKET], damage)):
        try:
            picture = bounded(lambda stream=stream: first_random_access_unit(stream), most=2000)
        except StreamError:
            continue
        assert picture is None or 0 < len(picture) < len(stream)
        assert len(as_packets(stream)) * PACKET == len(stream)


@FUZZED
@given(noise=st.binary(max_size=6 * PACKET), damage=DAMAGE, declared_s=st.none() | st.floats())
def test_any_segment_is_judged(
    house_stream: bytes, noise: bytes, damage: list[tuple[str, int, int, int]], declared_s: float | None
) -> None:
    body = damaged(house_stream[: 300 * PACKET], damage)
    for segment in (noise, body, tables().tobytes() + body[4 * PACKET :]):
        facts = bounded(lambda segment=segment: inspect_segment(segment, declared_s), most=6000)
        assert len(facts.faults) <= MAX_FAULTS and all(facts.faults)


@FUZZED
@given(section=st.binary(max_size=100), pid=st.sampled_from([0, 0x1000]), pointer=st.sampled_from([0, 0, 0, 1, 100, 183, 255]))
def test_any_table_with_a_right_checksum_is_read(section: bytes, pid: int, pointer: int) -> None:
    whole = section + crc32_mpeg(section).to_bytes(4, "big")
    table = bytes((0x47, 0x40 | pid >> 8, pid & 0xFF, 0x10, pointer)) + (bytes(pointer) + whole)[:183].ljust(183, b"\xff")
    rows = tables()
    rows[pid > 0] = np.frombuffer(table, dtype=np.uint8)
    inspect_segment(rows.tobytes() + packet(0x100, pes(0xE0, 90_000, b"\0\0\1\x65")))


def test_a_table_too_short_to_be_one_is_damaged() -> None:
    section = bytes((2, 0xB0, 4))
    short = packet(0x1000, b"\0" + section + crc32_mpeg(section).to_bytes(4, "big"))
    assert "its PMT is damaged" in inspect_segment(tables()[0].tobytes() + short).faults


def test_a_picture_of_eight_bytes_is_no_idr() -> None:
    faults = inspect_segment(tables().tobytes() + packet(0x100, pes(0xE0, 0)[:8]) + packet(0x101, pes(0xC0, 0))).faults
    assert any("not an IDR" in fault for fault in faults)


def test_a_table_that_names_another_codec_is_asked_for_no_idr() -> None:
    rows = tables()
    rows[1, 17] = 0x02  # MPEG-2
    rows[1, 27:31] = np.frombuffer(crc32_mpeg(rows[1, 5:27].tobytes()).to_bytes(4, "big"), dtype=np.uint8)
    faults = inspect_segment(rows.tobytes() + packet(0x100, pes(0xE0, 90_000)) + packet(0x101, pes(0xC0, 90_000))).faults
    assert not any("IDR" in fault or "PMT" in fault for fault in faults)


def test_packets_marked_as_damaged_are_told(house_stream: bytes) -> None:
    rows = as_packets(house_stream).copy()
    rows[50, 1] |= 0x80
    assert any("marked as damaged" in fault for fault in inspect_segment(rows.tobytes()).faults)


def test_tables_that_come_behind_the_picture_are_told() -> None:
    media = packet(0x100, pes(0xE0, 90_000, b"\0\0\1\x65")) + packet(0x101, pes(0xC0, 90_000))
    assert "media stand before its PAT" in inspect_segment(media + tables().tobytes()).faults


def test_a_track_without_timestamps_is_told() -> None:
    faults = inspect_segment(tables().tobytes() + packet(0x100, pes(0xE0, 0)) + packet(0x101, b"no header" * 3)).faults
    assert "its audio has packets without a timestamp" in faults


def test_pictures_that_step_back_and_sound_that_is_longer_are_told() -> None:
    pictures = b"".join(packet(0x100, pes(0xE0, pts, b"\0\0\1\x65")) for pts in (90_000, 93_600, 91_800))
    sounds = b"".join(packet(0x101, pes(0xC0, 90_000 + 1920 * number)) for number in range(70))
    faults = " ".join(inspect_segment(tables().tobytes() + pictures + sounds).faults)
    assert "its video step back by 0.020 s" in faults and "stand beside 1.5 s of audio" in faults


def test_an_adaptation_field_that_ends_behind_its_packet_is_refused_wherever_it_comes(house_stream: bytes) -> None:
    rows = as_packets(house_stream).copy()
    sounds = np.flatnonzero(((rows[:, 1] & 0x5F) == 0x41) & (rows[:, 2] == 0x01))
    for at in sounds[[0, len(sounds) // 2, -1]]:
        spoilt = rows.copy()
        spoilt[at, 3] |= 0x20
        spoilt[at, 4] = LONG_FIELD
        for make in MAKERS:
            rules = StreamRules(TINY.fps, TINY.gop_frames, COMPOSITION_DELAY, block_seconds=0.4)
            for conformer in (make(), Conformer(rules)):
                with pytest.raises(StreamError, match="crosses packets"):
                    conform(conformer, spoilt.tobytes())


def test_a_picture_of_more_packets_than_an_index_counts_is_refused() -> None:
    one = packet(0x101, pes(0xC0, 90_000)) + packet(0x100, pes(0xE0, 90_000, b"\0\0\1\x65"))
    more = packet(0x100, bytes(184), begins=False) * (MAX_UNIT_PACKETS + 1)
    conformer = Conformer(RULES)
    conformer.feed(one + more)
    with pytest.raises(StreamError, match=f"more than {MAX_UNIT_PACKETS} packets"):
        conformer.finish()


def test_what_never_becomes_a_block_is_refused_before_it_fills_the_memory() -> None:
    assert LiveConformer(RULES).max_pending_packets == MAX_PENDING_PACKETS < Conformer(RULES).max_pending_packets
    for conformer in (Conformer(RULES), LiveConformer(RULES)):
        conformer.max_pending_packets = 1000
        with pytest.raises(StreamError, match="do not come together"):
            conform(conformer, packet(0x100, bytes(184), begins=False) * 1001)


def test_pictures_whose_sound_stops_are_refused(house_stream: bytes) -> None:
    rows = as_packets(house_stream)
    pids = (rows[:, 1].astype(int) & 0x1F) << 8 | rows[:, 2]
    begins = np.flatnonzero((pids == 0x100) & ((rows[:, 1] & 0x40) != 0))
    conformer = LiveConformer(RULES, has_free_gops=True)
    conformer.feed(rows[: begins[20]].tobytes())
    pictures = rows[begins[20] :][pids[begins[20] :] == 0x100].tobytes()
    with pytest.raises(StreamError, match="without their sound"):
        for _ in range(10):
            conformer.feed(pictures)


def test_key_frames_that_are_too_far_apart_are_refused(house_stream: bytes) -> None:
    rows = as_packets(house_stream).copy()
    pids = (rows[:, 1].astype(int) & 0x1F) << 8 | rows[:, 2]
    keys = np.flatnonzero((pids == 0x100) & ((rows[:, 1] & 0x40) != 0) & ((rows[:, 3] & 0x20) != 0) & ((rows[:, 5] & 0x40) != 0))
    rows[keys[1:], 5] &= 0xBF
    short = StreamRules(TINY.fps, 10, COMPOSITION_DELAY)
    with pytest.raises(StreamError, match="more than 20 pictures apart"):
        conform(LiveConformer(short, has_free_gops=True), rows.tobytes())


def test_a_stream_of_sound_alone_has_no_picture() -> None:
    sound = b"".join(packet(0x101, pes(0xC0, 90_000 + 1920 * number)) for number in range(5))
    conformer = Conformer(RULES)
    assert conformer.feed(sound) == [] and conformer.finish() == []


@FUZZED
@given(st.binary(max_size=200) | st.text('[]{}:,"0123456789eInfity-', max_size=80).map(str.encode))
def test_the_base_of_a_live_clip_is_read_or_refused(text: bytes) -> None:
    for written in (text, b'{"index_at": %s, "frames": 1, "audio_units": 1}' % text, b"[" * 100_000, b'{"index_at":1e999}'):
        try:
            base = Base.parse(written)
        except StreamError:
            continue
        assert min(base.index_at, base.frames, base.audio_units) >= 0
        assert Base.parse(base.encode()) == base


@FUZZED
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"CHNLIDX1", b"BLK1", b"END1", b"\x02\0\0\0{}"]), max_size=8))
def test_any_index_is_read_or_refused_and_a_length_promises_no_memory(pieces: list[bytes]) -> None:
    for content in (b"".join(pieces), b"CHNLIDX1" + b"".join(pieces)):
        parser = IndexParser()
        try:
            bounded(lambda parser=parser, content=content: parser.feed(content), most=5000)
        except StreamError:
            continue
        with pytest.raises(StreamError):
            IndexParser().read_header(b"CHNLIDX1" + (MAX_JSON_BYTES + 1).to_bytes(4, "little"))


_TAGS = [
    "#EXTM3U",
    "#EXTINF:",
    "#EXTINF:2,",
    "#EXT-X-TARGETDURATION:2",
    "#EXT-X-MEDIA-SEQUENCE:",
    "#EXT-X-PROGRAM-DATE-TIME:",
    "a.ts",
    "#EXT-X-DISCONTINUITY",
]
_VALUES = [
    "0001-01-01",
    "9999-12-31T23:59:59",
    "9" * 30,
    "-1",
    "nan",
    "1e400",
    "1_0",
    "²",
    "\u2028",
    "\x85",
    "\0",
    "2026-07-02T00:00:00.000+14:00",
    "#EXT-X-STREAM-INF",
]
_MANIFEST = st.lists(st.sampled_from([*_TAGS, *_VALUES, "\n", "\n", "\r\n"]) | st.text(max_size=4), max_size=40).map("".join)


@settings(FUZZED, max_examples=300)
@given(_MANIFEST | st.binary(max_size=200))
def test_any_manifest_is_read_or_refused_with_a_sentence(text: str | bytes) -> None:
    written = text.encode("utf-8", "replace") if isinstance(text, str) else text
    for content in (written, b"#EXTM3U\n" + written, b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + written, written + b"\na.ts\n"):
        for read in (read_manifest, hls_manifest.parse):
            try:
                found = bounded(lambda read=read, content=content: read(content), most=4000)
            except ValueError as error:
                assert str(error)
            else:
                assert 0 < len(found.segments) <= len(content)


def test_a_manifest_without_end_is_refused() -> None:
    head = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n"
    with pytest.raises(ValueError, match="more than 10000 segments"):
        read_manifest(head + b"#EXTINF:2,\na\n" * (MAX_LISTED + 1))
    with pytest.raises(ValueError, match="bytes"):
        read_manifest(head.ljust(MAX_MANIFEST_BYTES + 1, b"#"))
    with pytest.raises(ValueError, match="not a duration"):
        read_manifest(head + b"#EXTINF:soon,\na.ts\n")


def test_pictures_wait_for_their_sound(house_stream: bytes) -> None:
    rows = as_packets(house_stream)
    pids = (rows[:, 1].astype(int) & 0x1F) << 8 | rows[:, 2]
    is_sound = pids == 0x101
    first = np.flatnonzero(is_sound & ((rows[:, 1] & 0x40) != 0))[1]
    kept = np.flatnonzero(~is_sound | (np.arange(len(rows)) < first))
    conformer = LiveConformer(RULES, has_free_gops=True)
    assert conformer.feed(rows[kept[:200]].tobytes()) == [] and conformer.video_frames == 0


def test_the_first_picture_of_packets_is_taken_out_whole(house_stream: bytes) -> None:
    picture = first_random_access_unit(house_stream)
    assert picture is not None and picture.startswith(b"\0\0") and b"\0\0\1\x65" in picture
    assert first_random_access_unit(tables().tobytes()) is None
    assert first_random_access_unit(packet(0x100, b"\0\0\2" + bytes(20))) is None


def test_a_header_is_read_for_its_own_sake() -> None:
    parser = IndexParser()
    parser.read_header(encode_header(ClipHeader("key", TINY.fps, 25, 1)) + b"BLK1 and no more")
    assert parser.header is not None and parser.header.profile_key == "key"


def test_the_packet_of_a_clock_alone_is_one() -> None:
    assert as_packets(pcr_packet(0x100).tobytes())[0, 5] == 0x10
