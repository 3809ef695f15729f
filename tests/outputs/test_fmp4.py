"""Boxes of fragmented MP4, read back by a parser that shares no code with the writer."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.mp4 import boxes, samples, timescale, tree

from channeld.outputs.fmp4 import AUDIO_TRACK, NOT_SYNC, SYNC, VIDEO_TRACK, Samples, audio_header, segment, video_header
from channeld.ts.codecs import AacFormat, AvcFormat

PAYLOADS = st.lists(st.binary(max_size=40), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), payloads=PAYLOADS, begins_at=st.integers(0, 2**64 - 1), sequence=st.integers(0, 2**40))
def test_samples_come_back_with_their_times_flags_and_bytes(
    data: st.DataObject, payloads: list[bytes], begins_at: int, sequence: int
) -> None:
    count = len(payloads)
    durations = data.draw(st.lists(st.integers(1, 2**31 - 1), min_size=count, max_size=count))
    offsets = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=count, max_size=count))
    is_sync = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    flags = np.where(is_sync, SYNC, NOT_SYNC)
    made = Samples(begins_at, payloads, np.array(durations), np.array(offsets), flags)
    found = samples(b"".join(segment(VIDEO_TRACK, sequence, made)))
    assert [(each.data, each.duration, each.is_sync, each.pts - each.dts) for each in found] == list(
        zip(payloads, durations, is_sync, offsets, strict=True)
    )
    assert [each.dts - begins_at for each in found] == [sum(durations[:number]) for number in range(count)]


@given(payloads=PAYLOADS, begins_at=st.integers(0, 2**64 - 1))
def test_one_duration_for_all_needs_no_column(payloads: list[bytes], begins_at: int) -> None:
    found = samples(b"".join(segment(AUDIO_TRACK, 7, Samples(begins_at, payloads, 1024))))
    assert [(each.dts, each.pts, each.data, each.is_sync) for each in found] == [
        (begins_at + 1024 * number, begins_at + 1024 * number, payload, True) for number, payload in enumerate(payloads)
    ]


@given(sps=st.binary(min_size=4, max_size=200), pps=st.binary(min_size=1, max_size=100), ticks=st.integers(1, 2**32 - 1))
def test_a_header_of_video_holds_the_parameter_sets(sps: bytes, pps: bytes, ticks: int) -> None:
    header = video_header(AvcFormat(sps, pps, 1280, 720), ticks)
    assert [kind for kind, _, _ in boxes(header)] == [b"ftyp", b"moov"]
    assert timescale(header) == ticks
    ((begin, end),) = tree(header)["moov/trak/mdia/minf/stbl/stsd"]
    ((_, entry, entry_end),) = boxes(header, begin + 8, end)
    ((kind, record, _),) = boxes(header, entry + 78, entry_end)
    assert kind == b"avcC"
    assert header[record + 8 : record + 8 + len(sps)] == sps
    assert header[record + 11 + len(sps) : record + 11 + len(sps) + len(pps)] == pps


def test_every_table_of_a_header_is_empty_and_its_track_is_extended() -> None:
    header = audio_header(AacFormat(2, 3, 2), 48_000)
    found = tree(header)
    for name in ("stts", "stsc", "stco"):
        ((begin, end),) = found[f"moov/trak/mdia/minf/stbl/{name}"]
        assert header[begin:end] == bytes(8)
    ((trex, _),) = found["moov/mvex/trex"]
    ((tkhd, _),) = found["moov/trak/tkhd"]
    assert header[trex + 4 : trex + 8] == header[tkhd + 12 : tkhd + 16] == AUDIO_TRACK.to_bytes(4, "big")
