"""The judge of transport streams finds clean ones clean, and every kind of damage."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from clips import numbered_clip
from judge.ts import FFMPEG_FILE, Allowances, read_ts

from .conftest import HOUSE
from .streams import PACKET, has_dts, join, packets, pes_at, pid_of, remux, renumber, restamp, shift, stamp, units

VIDEO, AUDIO = 0x100, 0x101
FPS = Fraction(25)
Parts = list[bytearray]


def faults(stream: bytes, allowances: Allowances = FFMPEG_FILE) -> list[str]:
    return read_ts(stream, fps=FPS, allowances=allowances).faults()


def test_a_stream_made_by_ffmpeg_is_clean(good: Path) -> None:
    report = read_ts(good, allowances=FFMPEG_FILE)
    assert report.faults() == []
    assert report.video is not None and report.audio is not None and report.video.video is not None
    assert (len(report.video.units), report.video.video.key_frames) == (100, 2)
    assert (report.psi.pcr_pid, report.psi.streams) == (VIDEO, {VIDEO: 0x1B, AUDIO: 0x0F})
    assert [unit.is_random_access for unit in report.video.listed()].count(True) == 2


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(60)], ids=str)
def test_rational_rates_are_clean_to_the_tick_and_another_rate_is_not(tmp_path: Path, rate: Fraction) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", frames=96, fps=rate, size=(160, 90), options=HOUSE)
    stream = remux(clip, tmp_path / "a.ts", "-pes_payload_size", "0")
    assert read_ts(stream, fps=rate, allowances=FFMPEG_FILE).faults() == []
    assert read_ts(stream, allowances=FFMPEG_FILE).faults() == []
    assert len(read_ts(stream, fps=rate * Fraction(1001, 1000), allowances=FFMPEG_FILE).faults()) == 2


def test_the_33_bit_wrap_is_no_fault(good: Path) -> None:
    first = read_ts(good, allowances=FFMPEG_FILE)
    assert first.video is not None
    moved = shift(packets(good.read_bytes()), (1 << 33) - 90_000 * 2 - int(first.video.units.dts[0]))
    report = read_ts(join(moved), fps=FPS, allowances=FFMPEG_FILE)
    assert report.faults() == []
    assert report.video is not None and report.video.units.dts[-1] > 1 << 33
    assert report.leads_ms == first.leads_ms


def test_adaptation_only_packets_and_a_repeated_packet_are_legal(good: Path) -> None:
    parts = packets(good.read_bytes())
    number = units(parts, VIDEO)[50][1]
    stuffing = parts[number].copy()
    stuffing[3:] = bytes((0x20 | parts[number - 1][3] & 15, 183, 0)) + b"\xff" * 182
    parts[number + 1 : number + 1] = [parts[number].copy()]
    parts[number:number] = [stuffing]
    report = read_ts(join(parts), fps=FPS, allowances=FFMPEG_FILE)
    assert report.faults() == []
    assert (report.counters[VIDEO].duplicates, report.counters[VIDEO].adaptation_only) == (1, 1)


def test_a_packet_sent_three_times_is_found(good: Path) -> None:
    parts = packets(good.read_bytes())
    number = units(parts, VIDEO)[50][1]
    parts[number:number] = [parts[number].copy(), parts[number].copy()]
    assert "1 continuity errors" in faults(join(parts))[0]


def _drop_packet(parts: Parts) -> Parts:
    del parts[units(parts, VIDEO)[50][1]]
    return parts


def _drop_audio_packet(parts: Parts) -> Parts:
    del parts[units(parts, AUDIO)[10][0]]
    return parts


def _repeat_unit(parts: Parts) -> Parts:
    unit = units(parts, VIDEO)[10]
    parts[unit[-1] + 1 : unit[-1] + 1] = [parts[number].copy() for number in unit]
    return renumber(parts)


def _repeat_frame_with_right_timestamps(parts: Parts) -> Parts:
    """The pictures of two units are the same; the timestamps stay perfect."""
    all_units = units(parts, VIDEO)
    early, late = all_units[10], all_units[11]
    copies = [parts[number].copy() for number in early]
    for which in ("pts", "dts") if has_dts(copies[0]) and has_dts(parts[late[0]]) else ("pts",):
        restamp(copies[0], which, stamp(parts[late[0]], which))
    kept = [packet for number, packet in enumerate(parts) if number not in late or number == late[0]]
    at = kept.index(parts[late[0]])
    kept[at : at + 1] = copies
    return renumber(kept)


def _drop_frame_and_close_the_gap(parts: Parts) -> Parts:
    gone = set(units(parts, VIDEO)[60])
    for unit in units(parts, VIDEO)[61:]:
        for which in ("pts", "dts") if has_dts(parts[unit[0]]) else ("pts",):
            restamp(parts[unit[0]], which, stamp(parts[unit[0]], which) - 3600)
    return renumber([packet for number, packet in enumerate(parts) if number not in gone])


def _swap_video_pts(parts: Parts) -> Parts:
    later = [parts[unit[0]] for unit in units(parts, VIDEO)[10:20] if stamp(parts[unit[0]], "pts") - stamp(parts[unit[0]], "dts") >= 3600]
    first, second = stamp(later[0], "pts"), stamp(later[1], "pts")
    restamp(later[0], "pts", second)
    restamp(later[1], "pts", first)
    return parts


def _swap_audio_pts(parts: Parts) -> Parts:
    first, second = (parts[unit[0]] for unit in units(parts, AUDIO)[10:12])
    one, two = stamp(first, "pts"), stamp(second, "pts")
    restamp(first, "pts", two)
    restamp(second, "pts", one)
    return parts


def _jump_by(pid: int, which: str, ticks: int) -> Callable[[Parts], Parts]:
    def mutate(parts: Parts) -> Parts:
        for unit in units(parts, pid)[40:]:
            if which == "pts" or has_dts(parts[unit[0]]):
                restamp(parts[unit[0]], which, stamp(parts[unit[0]], which) + ticks)
        return parts

    return mutate


def _clear_pcr(parts: Parts) -> Parts:
    for unit in units(parts, VIDEO)[10:14]:
        parts[unit[0]][5] &= ~0x10
    return parts


def _turn_pcr_back(parts: Parts) -> Parts:
    parts[units(parts, VIDEO)[10][0]][6:10] = bytes(4)
    return parts


def _byte(pid: int, offset: int, value: int) -> Callable[[Parts], Parts]:
    def mutate(parts: Parts) -> Parts:
        number = [number for number, packet in enumerate(parts) if pid_of(packet) == pid][3]
        parts[number][offset] = value
        return parts

    return mutate


def _lose_tables(parts: Parts) -> Parts:
    return [packet for number, packet in enumerate(parts) if pid_of(packet) not in (0, 0x1000) or number < 10]


def _rename_pid(parts: Parts) -> Parts:
    for packet in parts[len(parts) // 2 :]:
        if pid_of(packet) == AUDIO:
            packet[2] = 0x02
    return parts


def _lower_rai(parts: Parts) -> Parts:
    parts[units(parts, VIDEO)[50][0]][5] &= ~0x40
    return parts


def _spoil_adts(parts: Parts) -> Parts:
    packet = parts[units(parts, AUDIO)[10][0]]
    packet[pes_at(packet) + 9 + packet[pes_at(packet) + 8] + 2] ^= 0x04
    return parts


def _cut_pes(parts: Parts) -> Parts:
    packet = parts[units(parts, AUDIO)[10][0]]
    packet[pes_at(packet) + 5] ^= 1
    return parts


MUTATIONS: dict[str, tuple[Callable[[Parts], Parts], str]] = {
    "a lost video packet": (_drop_packet, "PID 0x100: 1 continuity errors"),
    "a lost audio packet": (_drop_audio_packet, "PID 0x101: 1 continuity errors"),
    "an access unit sent twice": (_repeat_unit, "video DTS does not step by 3600"),
    "a frame shown twice behind right timestamps": (_repeat_frame_with_right_timestamps, "by picture order count"),
    "a frame lost behind right timestamps": (_drop_frame_and_close_the_gap, "by picture order count"),
    "two video PTS swapped": (_swap_video_pts, "PTS order is not picture order"),
    "two audio PTS swapped": (_swap_audio_pts, "audio PTS does not step by 1920"),
    "video PTS one tick late": (_jump_by(VIDEO, "pts", 1), "video PTS does not step by 3600"),
    "video DTS one tick early": (_jump_by(VIDEO, "dts", -1), "video DTS does not step by 3600"),
    "audio one tick late": (_jump_by(AUDIO, "pts", 1), "audio PTS does not step by 1920: unit 40 by 1921"),
    "PTS before DTS": (_jump_by(VIDEO, "pts", -90_000), "PTS is before DTS"),
    "a hole in the PCR": (_clear_pcr, "PCRs are up to"),
    "PCR going back": (_turn_pcr_back, "PCR goes back"),
    "a wrong CRC in the PAT": (_byte(0, 14, 0x55), "PAT section has a wrong CRC"),
    "a wrong CRC in the PMT": (_byte(0x1000, 12, 0xF3), "PMT section has a wrong CRC"),
    "tables only at the start": (_lose_tables, "PMTs are up to"),
    "a transport error": (_byte(VIDEO, 1, 0x81), "transport error indicator"),
    "lost sync": (_byte(VIDEO, 0, 0x48), "sync byte"),
    "scrambling": (_byte(VIDEO, 3, 0x90), "scrambled"),
    "a PID that no table names": (_rename_pid, "no table names: 0x102"),
    "a key frame that is not marked": (_lower_rai, "IDR picture without random access indicator: unit 50"),
    "an ADTS frame of another rate": (_spoil_adts, "audio is not 48 kHz: unit 10"),
    "a PES length that is not its bytes": (_cut_pes, "a PES length other than its bytes in unit 10"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_damage_is_found(good: Path, name: str) -> None:
    mutate, expected = MUTATIONS[name]
    found = faults(join(mutate(packets(good.read_bytes()))))
    assert any(expected in fault for fault in found), found


def test_other_parameter_sets_after_a_plain_join_are_found(good: Path, tmp_path: Path) -> None:
    other = numbered_clip(tmp_path / "b.mp4", frames=50, size=(160, 90), options=HOUSE)
    tail = remux(other, tmp_path / "b.ts", "-pes_payload_size", "0", "-output_ts_offset", "4")
    found = faults(good.read_bytes() + tail.read_bytes())
    assert any("parameter sets change within the stream (2 SPS" in fault for fault in found), found


def test_a_lead_of_the_pcr_outside_of_the_rules_is_found(good: Path) -> None:
    assert faults(good.read_bytes(), replace(FFMPEG_FILE, min_lead_ms=0.0, max_lead_ms=1500.0)) == []
    assert "before its DTS" in " ".join(faults(good.read_bytes(), replace(FFMPEG_FILE, max_lead_ms=300.0)))
    assert "after its DTS" in " ".join(faults(good.read_bytes(), replace(FFMPEG_FILE, min_lead_ms=900.0)))


def test_a_recording_cut_anywhere_is_clean_only_when_that_is_said(good: Path) -> None:
    stream = good.read_bytes()
    parts = packets(stream)
    cut = stream[: (units(parts, VIDEO)[80][0] + 2) * PACKET]
    assert faults(cut) != []
    assert faults(cut, replace(FFMPEG_FILE, open_end=True)) == []


def test_segments_must_each_begin_with_tables_and_a_key_frame(good: Path) -> None:
    stream = good.read_bytes()
    middle = units(packets(stream), VIDEO)[30][0] * PACKET
    report = read_ts(stream, fps=FPS, allowances=FFMPEG_FILE, segment_bytes=(middle, len(stream) - middle))
    assert report.faults() == [
        "segment 1 does not begin with a PAT",
        "segment 1 does not begin with a PMT",
        "segment 1 does not begin with a random access point",
    ]


def test_rounding_to_a_millisecond_is_a_fault_unless_allowed_and_drift_always_is(good: Path) -> None:
    def rounded(parts: Parts, stretch: float) -> bytes:
        for unit in units(parts, AUDIO):
            packet = parts[unit[0]]
            restamp(packet, "pts", round(stamp(packet, "pts") * stretch / 90) * 90)
        return join(parts)

    loose = replace(FFMPEG_FILE, rounding_ticks=90)
    assert "audio PTS does not step" in faults(rounded(packets(good.read_bytes()), 1.0))[0]
    assert faults(rounded(packets(good.read_bytes()), 1.0), loose) == []
    assert "audio PTS leaves its grid" in faults(rounded(packets(good.read_bytes()), 1.001), loose)[0]


def test_nothing_and_noise_are_told_and_do_not_raise() -> None:
    assert faults(b"") != []
    assert faults(bytes(range(256)) * 188) != []
