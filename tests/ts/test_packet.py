"""Packets as rows: what they say of themselves is what the judge reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge.ts_packets import split_packets
from prepared import PreparedShelf

from channeld.base.errors import StreamError
from channeld.ts import packet as tsp

runs = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20)), max_size=20)


@pytest.fixture(scope="module")
def stream(prepared: PreparedShelf) -> bytes:
    return prepared.numbered(50, base=50_000, tone_hz=300).ts_path.read_bytes()


def test_real_packets_are_read_as_the_judge_reads_them(stream: bytes) -> None:
    rows, judged = tsp.as_packets(stream), split_packets(stream)
    assert np.array_equal(tsp.pids(rows), judged.pid)
    assert np.array_equal(tsp.starts_unit(rows), judged.starts_unit)
    assert np.array_equal(tsp.payload_offsets(rows), judged.payload_at)
    assert np.array_equal(tsp.is_random_access(rows), (judged.adaptation_flags & 0x40) > 0)
    assert np.array_equal(tsp.carries_pcr(rows), (judged.adaptation_flags & 0x10) > 0)


def test_rows_are_a_view_of_the_bytes_not_a_copy(stream: bytes) -> None:
    payload = bytearray(stream[:376])
    rows = tsp.as_packets(payload)
    payload[188 + 7] ^= 0xFF
    assert rows[1, 7] == payload[188 + 7]


def test_a_missing_sync_byte_is_told_with_its_place(stream: bytes) -> None:
    payload = bytearray(stream[: 188 * 10])
    payload[188 * 6] = 0x46
    with pytest.raises(StreamError) as caught:
        tsp.as_packets(payload)
    assert caught.value.position == 188 * 6


@pytest.mark.parametrize("length", [1, 187, 189, 188 * 3 + 100])
def test_a_part_of_a_packet_is_refused(stream: bytes, length: int) -> None:
    with pytest.raises(StreamError):
        tsp.as_packets(stream[:length])


def test_nothing_is_no_packets() -> None:
    assert len(tsp.as_packets(b"")) == 0


def test_a_pcr_packet_carries_a_pcr_and_nothing_else() -> None:
    made = tsp.pcr_packet(tsp.VIDEO_PID)
    judged = split_packets(made.tobytes())
    assert judged.faults == ()
    assert (int(judged.pid[0]), bool(judged.has_payload[0]), int(judged.adaptation_flags[0])) == (tsp.VIDEO_PID, False, 0x10)
    assert tsp.carries_pcr(made[None])[0]


@given(runs)
def test_spread_lists_the_rows_of_every_run_in_order(wanted: list[tuple[int, int]]) -> None:
    starts, counts = [start for start, _ in wanted], [count for _, count in wanted]
    expected = [start + at for start, count in wanted for at in range(count)]
    assert tsp.spread(starts, counts).tolist() == expected
