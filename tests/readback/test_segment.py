"""Segments that a player could not begin with are told apart by parsing alone."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channeld.readback.decode import decode
from channeld.readback.segment import inspect_segment

PACKET = 188
MakeSegment = Callable[..., bytes]


def rows(segment: bytes) -> np.ndarray:
    return np.frombuffer(segment, dtype=np.uint8).reshape(-1, PACKET).copy()


def pids(packets: np.ndarray) -> np.ndarray:
    return (packets[:, 1].astype(int) & 0x1F) << 8 | packets[:, 2]


def without(segment: bytes, pid: int) -> bytes:
    packets = rows(segment)
    return packets[pids(packets) != pid].tobytes()


VIDEO, AUDIO, PMT = 0x100, 0x101, 0x1000


def test_a_good_segment_has_no_fault_and_its_length_is_known(good_segment: bytes) -> None:
    facts = inspect_segment(good_segment, 2.0)
    assert facts.faults == ()
    assert facts.video_s == pytest.approx(2.0, abs=0.001)
    assert facts.audio_s == pytest.approx(2.0, abs=0.05)
    assert facts.first_pts is not None
    assert 0 < facts.video_bytes < len(good_segment)


def test_a_segment_from_the_middle_of_the_stream_has_no_fault(make_segment: MakeSegment) -> None:
    """As an origin cuts it: counters go on from anywhere. The second GOP of four, behind tables."""
    packets = rows(make_segment(4.0))
    begins = np.flatnonzero((pids(packets) == VIDEO) & (packets[:, 3] & 0x20 > 0) & (packets[:, 4] > 0) & (packets[:, 5] & 0x40 > 0))
    video = packets[begins[1] : begins[2]]
    tables = packets[:3][np.isin(pids(packets[:3]), (0, PMT))]
    head, body = tables.tobytes(), video[np.isin(pids(video), (VIDEO, AUDIO))]
    faults = inspect_segment(head + body.tobytes(), 1.0).faults
    assert [fault for fault in faults if "beside" not in fault] == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda segment: segment[: len(segment) // 2 + 50], "torn"),
        (lambda segment: segment[: len(segment) // 2 // PACKET * PACKET], "the manifest says"),
        (lambda segment: b"", "empty"),
        (lambda segment: b"<html>" * 400, "torn"),
        (lambda segment: b"x" * PACKET * 10, "no sync byte"),
        (lambda segment: segment[: PACKET * 100] + bytes(PACKET) + segment[PACKET * 101 :], "no sync byte"),
        (lambda segment: segment[: PACKET * 100] + segment[PACKET * 101 :], "counters break"),
        (lambda segment: without(segment, 0), "no PAT"),
        (lambda segment: without(segment, PMT), "no PMT"),
        (lambda segment: without(segment, AUDIO), "no audio comes"),
        (lambda segment: without(segment, VIDEO), "no video comes"),
    ],
)
def test_what_breaks_players_is_a_fault(good_segment: bytes, spoil: Callable[[bytes], bytes], words: str) -> None:
    assert any(words in fault for fault in inspect_segment(spoil(good_segment), 2.0).faults)


def test_a_track_that_the_tables_do_not_name_is_missing(make_segment: MakeSegment) -> None:
    assert any("names no audio" in fault for fault in inspect_segment(make_segment(audio=None), 2.0).faults)
    assert any("names no video" in fault for fault in inspect_segment(make_segment(video=None), 2.0).faults)


def test_a_damaged_table_is_a_fault(good_segment: bytes) -> None:
    packets = rows(good_segment)
    packets[np.flatnonzero(pids(packets) == PMT)[0], 20] ^= 0x10
    assert any("PMT is damaged" in fault for fault in inspect_segment(packets.tobytes()).faults)


def test_a_packet_that_stands_twice_is_none(good_segment: bytes) -> None:
    """ISO/IEC 13818-1 allows one repetition of each packet."""
    at = 50 * PACKET
    assert inspect_segment(good_segment[:at] + good_segment[at - PACKET : at] + good_segment[at:], 2.0).faults == ()


def test_a_segment_that_begins_between_key_frames_is_told(good_segment: bytes) -> None:
    packets = rows(good_segment)
    starts = np.flatnonzero((pids(packets) == VIDEO) & (packets[:, 1] & 0x40 > 0))
    tables = np.flatnonzero(np.isin(pids(packets), (0, PMT)))[:2]
    cut = np.concatenate([packets[tables], packets[starts[3] :]]).tobytes()
    assert any("not an IDR" in fault for fault in inspect_segment(cut).faults)


def test_h265_is_looked_at_as_h264_is(make_segment: MakeSegment, ffmpeg: str) -> None:
    segment = make_segment(coder=("libx265", "-x265-params", "log-level=error:open-gop=0:keyint=25"))
    assert inspect_segment(segment, 2.0).faults == ()
    packets = rows(segment)
    starts = np.flatnonzero((pids(packets) == VIDEO) & (packets[:, 1] & 0x40 > 0))
    tables = np.flatnonzero(np.isin(pids(packets), (0, PMT)))[:2]
    assert any("not an IDR" in fault for fault in inspect_segment(np.concatenate([packets[tables], packets[starts[3] :]]).tobytes()).faults)
    seen = decode(segment, 2.0, ffmpeg)
    assert (seen.errors, seen.is_silent, seen.is_black) == (0, False, False)


def test_a_hole_in_a_track_is_told(make_segment: MakeSegment) -> None:
    packets = rows(make_segment(4.0))
    audio = np.flatnonzero(pids(packets) == AUDIO)
    gone = audio[len(audio) // 4 : 3 * len(audio) // 4]
    assert any("its audio has a hole of" in fault for fault in inspect_segment(np.delete(packets, gone, axis=0).tobytes()).faults)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 400), st.integers(0, 255))
def test_whatever_comes_is_judged_and_never_raises(good_segment: bytes, at: int, length: int, value: int) -> None:
    spoilt = bytearray(good_segment)
    begin = at % len(spoilt)
    spoilt[begin : begin + length] = bytes((value,)) * min(length, len(spoilt) - begin)
    for number in range(0, min(len(spoilt), 400 * PACKET), PACKET):
        spoilt[number] = 0x47
    inspect_segment(bytes(spoilt), 2.0)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=6 * PACKET))
def test_noise_behind_sync_bytes_never_raises(noise: bytes) -> None:
    packets = bytearray(noise.ljust(PACKET, b"\0")[: len(noise) // PACKET * PACKET or PACKET])
    packets[::PACKET] = b"\x47" * len(packets[::PACKET])
    inspect_segment(bytes(packets), 1.0)
