"""The clip index: what was written comes back, whole or not at all."""

import itertools
import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared import PreparedShelf, blocks_of

from channeld.base.errors import StreamError
from channeld.base.units import FrameRate
from channeld.ts.index import (
    AUDIO_AU,
    VIDEO_AU,
    Block,
    BlockRecord,
    ClipHeader,
    IndexParser,
    Totals,
    encode_block,
    encode_header,
    encode_trailer,
)

HEADER = ClipHeader("0123", FrameRate(30000, 1001), 60, 1, {"source": "a.mkv", "gain_db": -2.5})
TOTALS = Totals(50, 94, {"ts_bytes": 4711, "warnings": ["ä"]})
BLOCK_HEAD = 36


def small_block(number: int, pictures: int = 3, sounds: int = 5) -> Block:
    """A block of a few packets; the tables are the index's whole matter, the packets only have to be packets."""
    video, audio = np.zeros(pictures, dtype=VIDEO_AU), np.zeros(sounds, dtype=AUDIO_AU)
    video["packet"], video["packets"] = 2 + np.arange(pictures), 1
    video["pts_at"], video["flags"], video["composition"] = 13, 7, np.arange(pictures) - 1
    audio["packet"], audio["packets"], audio["pts_at"] = 2 + pictures + np.arange(sounds), 1, 13
    packets = b"".join(bytes((0x47, number, row)).ljust(188, b"\xaa") for row in range(2 + pictures + sounds))
    return Block(number, packets, video, audio, -1200)


def encoded(blocks: list[Block]) -> list[bytes]:
    """The records of an index, one by one."""
    offset, records = 0, [encode_header(HEADER)]
    for block in blocks:
        records.append(encode_block(block, ts_offset=offset))
        offset += len(block.ts)
    return [*records, encode_trailer(TOTALS)]


BLOCKS = [small_block(0), small_block(1, 5, 8), small_block(2, 1, 0)]
RECORDS = encoded(BLOCKS)
WHOLE = b"".join(RECORDS)


def parse(payload: bytes) -> tuple[IndexParser, list[BlockRecord]]:
    parser = IndexParser()
    return parser, parser.feed(payload)


def is_same(record: BlockRecord, block: Block) -> bool:
    tables = np.array_equal(record.video, block.video) and np.array_equal(record.audio, block.audio)
    return tables and (record.number, record.audio_offset, record.ts_length) == (block.number, block.audio_offset, len(block.ts))


def test_an_index_comes_back_as_it_was_written() -> None:
    parser, records = parse(WHOLE)
    assert (parser.header, parser.totals) == (HEADER, TOTALS)
    assert len(records) == 3 and all(map(is_same, records, BLOCKS))
    ts = b"".join(block.ts for block in BLOCKS)
    joined = [record.with_packets(ts[record.ts_offset : record.ts_offset + record.ts_length]) for record in records]
    assert [block.ts for block in joined] == [block.ts for block in BLOCKS]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_an_index_may_come_in_pieces_of_any_length(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(WHOLE)]
    parser, records = IndexParser(), []
    for begin, end in itertools.pairwise(bounds):
        records += parser.feed(WHOLE[begin:end])
    assert parser.totals == TOTALS
    assert all(map(is_same, records, BLOCKS))


def test_every_truncation_gives_whole_records_or_nothing() -> None:
    ends = np.cumsum([len(record) for record in RECORDS])
    for length in range(len(WHOLE) + 1):
        parser, records = parse(WHOLE[:length])
        whole = int(np.searchsorted(ends, length, side="right"))
        assert (parser.header is not None) == (whole > 0)
        assert len(records) == min(max(whole - 1, 0), len(BLOCKS))
        assert all(map(is_same, records, BLOCKS))
        assert (parser.totals is not None) == (length == len(WHOLE))


def test_every_flipped_byte_is_refused_or_leaves_the_index_incomplete() -> None:
    """A length that grew waits for bytes that never come; everything else is an error. Nothing that differs comes out."""
    for place in range(len(WHOLE)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(WHOLE)
            damaged[place] ^= flip
            parser = IndexParser()
            try:
                records = parser.feed(bytes(damaged))
            except StreamError:
                continue
            assert parser.totals is None, f"byte {place}"
            assert all(map(is_same, records, BLOCKS))


def test_every_flipped_byte_of_the_packets_is_refused() -> None:
    record = parse(WHOLE)[1][0]
    for place in range(len(BLOCKS[0].ts)):
        damaged = bytearray(BLOCKS[0].ts)
        damaged[place] ^= 0x10
        with pytest.raises(StreamError, match="damaged"):
            record.with_packets(bytes(damaged))
    with pytest.raises(StreamError, match="damaged"):
        record.with_packets(BLOCKS[0].ts[:-188])


def test_a_real_clips_index_and_packets_fit(prepared: PreparedShelf) -> None:
    clip = prepared.numbered(50, base=50_000, tone_hz=300)
    parser, records = parse(clip.idx_path.read_bytes())
    assert parser.header is not None and parser.totals is not None
    assert sum(len(record.video) for record in records) == parser.totals.video_frames == 50
    assert sum(len(block.ts) for block in blocks_of(clip)) == clip.ts_path.stat().st_size


def json_record(magic: bytes, text: bytes) -> bytes:
    body = magic + struct.pack("<I", len(text)) + text
    return body + struct.pack("<I", zlib.crc32(body))


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{}",
        b"\xff",
        b"{",
        b"[" * 100_000,
        json.dumps({"profile_key": "k", "fps": [25], "gop_frames": 1, "composition_delay": 1, "facts": {}}).encode(),
        b'{"profile_key": "k", "fps": [25, 1], "gop_frames": 1e999, "composition_delay": 1, "facts": {}}',
        b'{"profile_key": "k", "fps": [25, 1], "gop_frames": "x", "composition_delay": 1, "facts": {}}',
        b'{"profile_key": "k", "fps": [25, 1], "gop_frames": 5, "composition_delay": 1, "facts": 5}',
    ],
)
def test_a_header_with_a_right_checksum_and_wrong_content_is_refused(text: bytes) -> None:
    with pytest.raises(StreamError, match="not a clip index"):
        parse(json_record(b"CHNLIDX1", text))


@given(st.binary(min_size=1, max_size=300))
def test_what_is_no_index_is_refused_or_waited_for(noise: bytes) -> None:
    try:
        parser, records = parse(noise)
    except StreamError:
        return
    assert not records and parser.totals is None


@pytest.mark.parametrize("payload", [RECORDS[1], WHOLE + b"x", WHOLE + RECORDS[1], RECORDS[0] + RECORDS[0]])
def test_records_out_of_order_are_refused(payload: bytes) -> None:
    parser = IndexParser()
    with pytest.raises(StreamError):
        parser.feed(payload)


@settings(max_examples=200)
@given(st.binary(min_size=BLOCK_HEAD - 8, max_size=BLOCK_HEAD - 8))
def test_a_block_head_of_any_numbers_is_refused_or_waits_within_bounds(numbers: bytes) -> None:
    parser, records = parse(RECORDS[0])
    try:
        records = parser.feed(b"BLK1" + numbers + b"\0\0\0\0")
    except StreamError:
        return
    assert not records


def changed(block: Block, kind: str, field: str, value: int) -> bytes:
    """A block's record with one number of its tables changed and all checksums right."""
    units = getattr(block, kind).copy()
    units[field][1] = value
    return encode_block(replace(block, **{kind: units}), ts_offset=0)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("video", "packet", 10_000),
        ("video", "packets", 60_000),
        ("video", "pts_at", 185),
        ("audio", "packet", 2**32 - 1),
        ("audio", "packets", 9),
        ("audio", "pts_at", 255),
    ],
)
def test_units_outside_of_the_block_are_refused_although_every_checksum_is_right(kind: str, field: str, value: int) -> None:
    parser, _ = parse(RECORDS[0])
    (record,) = parser.feed(changed(BLOCKS[0], kind, field, value))
    with pytest.raises(StreamError):
        record.with_packets(BLOCKS[0].ts)


def test_a_block_that_is_no_whole_packets_or_has_no_picture_is_refused() -> None:
    for block in (replace(BLOCKS[0], ts=BLOCKS[0].ts[:-1]), replace(BLOCKS[0], video=BLOCKS[0].video[:0])):
        parser, _ = parse(RECORDS[0])
        (record,) = parser.feed(encode_block(block, ts_offset=0))
        with pytest.raises(StreamError):
            record.with_packets(block.ts)
