"""PAT and PMT as another reader sees them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge.ts_packets import packets_by_pid, split_packets
from judge.ts_psi import crc32_mpeg as judged_crc
from judge.ts_psi import read_psi

from channeld.base.errors import StreamError
from channeld.ts.nal import VideoCodec
from channeld.ts.packet import AUDIO_PID, PMT_PID, VIDEO_PID
from channeld.ts.psi import codec_of, crc32_mpeg, tables


def test_tables_name_one_program_with_h264_and_aac_and_its_clock() -> None:
    packets = split_packets(tables().tobytes())
    report = read_psi(packets, packets_by_pid(packets))
    assert packets.faults == ()
    # The media PIDs carry nothing here; that is no fault of the tables.
    assert report.faults == ()
    assert (report.pmt_pid, report.pcr_pid) == (PMT_PID, VIDEO_PID)
    assert report.streams == {VIDEO_PID: 0x1B, AUDIO_PID: 0x0F}


def test_both_tables_have_counters_of_zero_and_whole_sections() -> None:
    packets = split_packets(tables().tobytes())
    assert packets.counter.tolist() == [0, 0]
    assert packets.starts_unit.all()


def test_a_caller_may_change_its_tables_without_changing_those_of_others() -> None:
    mine = tables()
    mine[:, 3] |= 7
    assert split_packets(tables().tobytes()).counter.tolist() == [0, 0]


@given(st.binary(max_size=200))
def test_the_checksum_is_the_judges(section: bytes) -> None:
    assert crc32_mpeg(section) == judged_crc(section)


def test_one_changed_bit_of_a_table_is_seen() -> None:
    stream = bytearray(tables().tobytes())
    stream[188 + 20] ^= 1
    packets = split_packets(bytes(stream))
    assert any("PMT" in fault for fault in read_psi(packets, packets_by_pid(packets)).faults)


def test_tables_name_the_codec_and_are_read_again() -> None:
    assert [codec_of(tables(codec)) for codec in VideoCodec] == list(VideoCodec)
    with pytest.raises(StreamError, match="no PMT"):
        codec_of(tables()[:1])
