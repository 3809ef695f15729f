"""33-bit clocks: bytes and wraps, against the judge's own arithmetic."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from judge.steps import unwrap as judged_unwrap
from judge.ts_packets import packets_by_pid, read_pcr, split_packets

from channeld.base.units import Ticks90k
from channeld.ts.packet import VIDEO_PID, pcr_packet
from channeld.ts.timeline import WRAP_TICKS, read_timestamps, unwrap, write_pcrs, write_timestamps

ticks = st.integers(-(1 << 36), 1 << 40)
few = st.lists(ticks, min_size=1, max_size=30)
columns = st.integers(13, 178)


def stamp_by_hand(five: bytes) -> int:
    """ISO/IEC 13818-1, table 2-21, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in five)
    assert bits[7] == bits[23] == bits[39] == "1", "marker bits"
    return int(bits[4:7] + bits[8:23] + bits[24:39], 2)


@given(few, st.integers(1, 3), st.data())
def test_a_timestamp_reads_back_as_it_was_written_modulo_the_wrap(values: list[int], prefix: int, data: st.DataObject) -> None:
    at = np.array([data.draw(columns) for _ in values])
    packets = np.zeros((len(values), 188), dtype=np.uint8)
    rows = np.arange(len(values))
    write_timestamps(packets, rows, at, np.array(values), prefix=np.full(len(values), prefix))
    wrapped = [value % (1 << 33) for value in values]
    assert read_timestamps(packets, rows, at).tolist() == wrapped
    fields = [packets[row, column : column + 5].tobytes() for row, column in zip(rows, at, strict=True)]
    assert [stamp_by_hand(field) for field in fields] == wrapped
    assert {field[0] >> 4 for field in fields} == {prefix}


@given(few, st.data())
def test_writing_a_timestamp_changes_five_bytes_only(values: list[int], data: st.DataObject) -> None:
    column = data.draw(columns)
    packets = np.full((1, 188), 0xAA, dtype=np.uint8)
    write_timestamps(packets, np.array([0]), np.array([column]), np.array(values[:1]), prefix=np.array([2]))
    assert np.delete(packets[0], range(column, column + 5)).tolist() == [0xAA] * 183


@given(few)
def test_a_pcr_is_what_the_judge_reads(values: list[int]) -> None:
    packets = np.tile(pcr_packet(VIDEO_PID), (len(values), 1))
    write_pcrs(packets, np.arange(len(values)), np.array(values))
    judged = split_packets(packets.tobytes())
    base, extension, _ = read_pcr(judged, packets_by_pid(judged)[VIDEO_PID])
    assert base.tolist() == [value % (1 << 33) for value in values]
    assert not extension.any()


@given(ticks, st.integers(-(1 << 32) + 1, (1 << 32) - 1))
def test_unwrap_finds_the_tick_again_within_half_a_cycle(near: int, away: int) -> None:
    assert unwrap((near + away) % WRAP_TICKS, near=Ticks90k(near)) == near + away


@given(ticks, st.lists(st.integers(-(1 << 31), 1 << 31), max_size=30))
def test_unwrap_agrees_with_the_judge_over_a_whole_series(begin: int, steps: list[int]) -> None:
    series = np.cumsum([begin, *steps])
    found = [begin]
    for value in (series[1:] % WRAP_TICKS).tolist():
        found.append(unwrap(value, near=Ticks90k(found[-1])))
    assert found == judged_unwrap(series % WRAP_TICKS, 33, near=begin).tolist()
