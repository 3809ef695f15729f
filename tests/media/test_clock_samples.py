"""Clock references as streams write them: read, followed over wraps, and the steps that are jumps told from those that are not."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channeld.base.units import TICKS_PER_SECOND as TICKS
from channeld.media import clock_samples
from channeld.media.clock_samples import SAMPLE_BYTES, SAMPLES, Tick, shortest_jump_s, ticks_of
from channeld.ts.timeline import WRAP_TICKS as WRAP

PACKET = 188
FUZZED = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def with_pcr(ticks: int, pid: int = 0x100) -> bytes:
    field = (ticks % WRAP) << 15 | 0x7E00
    return (bytes((0x47, pid >> 8, pid & 0xFF, 0x30, 7, 0x10)) + field.to_bytes(6, "big")).ljust(PACKET, b"\xff")


def without(pid: int = 0x100) -> bytes:
    return bytes((0x47, pid >> 8, pid & 0xFF, 0x10)).ljust(PACKET, b"\xff")


def mpeg2_pack(ticks: int) -> bytes:
    high, middle, low = ticks >> 30, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    field = 0b01 << 46 | high << 43 | 1 << 42 | middle << 27 | 1 << 26 | low << 11 | 1 << 10 | 1
    return b"\0\0\1\xba" + field.to_bytes(6, "big") + b"\1\x89\xc3\xf8"


def mpeg1_pack(ticks: int) -> bytes:
    high, middle, low = ticks >> 30, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    field = 0b0010 << 36 | high << 33 | 1 << 32 | middle << 17 | 1 << 16 | low << 1 | 1
    return b"\0\0\1\xba" + field.to_bytes(5, "big") + b"\x80\1\1"


def stream(seconds: list[float]) -> bytes:
    """One clock reference each 0.04 s from each of these on, for a second."""
    return b"".join(with_pcr(round((begin + n / 25) * TICKS)) + without() * 9 for begin in seconds for n in range(25))


@pytest.mark.parametrize("value", [0, 1, 12_345_678_9, WRAP - 1, 1 << 32, 0x155555555, 0x0AAAAAAAA])
def test_a_clock_reads_as_it_was_written(value: int) -> None:
    packets = without(0x11) * 3 + with_pcr(value, 0x1ABC) + without() * 3
    assert ticks_of(packets, 1000) == [Tick(0x1ABC, 1000 + 3 * PACKET, value)]
    for pack in (mpeg1_pack, mpeg2_pack):
        assert ticks_of(b"something" + pack(value) + bytes(50), 7) == [Tick(0, 16, value)]


@pytest.mark.parametrize(("before", "behind"), [(b"", b""), (b"abcd", b""), (b"", bytes(16))], ids=["plain", "m2ts", "checksum"])
def test_packets_are_found_wherever_a_piece_begins_and_however_they_are_framed(before: bytes, behind: bytes) -> None:
    packets = [with_pcr(100 * n) for n in range(8)]
    piece = b"xyz" + b"".join(before + packet + behind for packet in packets)
    assert [tick.ticks for tick in ticks_of(piece + bytes(16), 0)] == [100 * n for n in range(8)]


@pytest.mark.parametrize(
    ("seconds", "found_s"),
    [
        (list(range(60)), None),
        ([*range(30), *range(30)], 30),
        ([*range(30), *range(500, 530)], 470),
        ([*range(30), 29, *range(30, 59)], 1),
        ([WRAP / TICKS - 30 + n for n in range(60)], None),
        ([], None),
    ],
    ids=["goes on", "anew", "ahead", "a little back", "wraps", "nothing"],
)
def test_a_step_that_the_bytes_do_not_account_for_is_a_jump(tmp_path: Path, seconds: list[float], found_s: float | None) -> None:
    (path := tmp_path / "clock.ts").write_bytes(stream(seconds))
    found = shortest_jump_s(path)
    assert found == (None if found_s is None else pytest.approx(found_s, abs=0.1))


def test_one_clock_alone_is_no_step(tmp_path: Path) -> None:
    (path := tmp_path / "one.ts").write_bytes(with_pcr(1) + without() * 9)
    assert shortest_jump_s(path) is None


def test_a_slow_stretch_is_no_jump_and_programs_have_clocks_of_their_own(tmp_path: Path) -> None:
    slow = b"".join(with_pcr((100 + 12 * n) * TICKS, 0x200) + without() * 9 for n in range(30))  # a clock each 12 s throughout
    other = b"".join(with_pcr(n * TICKS // 25) + without() * 9 for n in range(300))
    (path := tmp_path / "two.ts").write_bytes(slow + other)
    assert shortest_jump_s(path) is None


def test_a_long_file_is_looked_at_in_bounded_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole of many gigabytes between what was written at its begin and at its end: read in no time, or never."""
    looked: list[int] = []
    monkeypatch.setattr(clock_samples, "ticks_of", lambda piece, at: looked.append(len(piece)) or ticks_of(piece, at))
    path = tmp_path / "long.ts"
    with path.open("wb") as file:
        file.write(stream(list(range(1000, 1010))))
        file.seek(200 << 30)
        file.write(stream(list(range(10))))
    assert shortest_jump_s(path) is not None
    assert len(looked) == SAMPLES and max(looked) <= SAMPLE_BYTES


def test_a_file_of_nothing_but_clocks_costs_no_more_than_another(tmp_path: Path) -> None:
    pack = b"\0\0\1\xba\x44"
    assert len(ticks_of(pack * 50_000, 0)) == len(ticks_of(with_pcr(1) * 1_000, 0)) == clock_samples.MAX_TICKS


@FUZZED
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.integers(0, WRAP - 1).map(with_pcr),
            st.integers(0, WRAP - 1).map(mpeg2_pack),
            st.integers(0, WRAP - 1).map(mpeg1_pack),
            st.just(without() * 6),
        ),
        max_size=30,
    ),
    cut=st.integers(0, 40),
)
def test_any_bytes_are_clocks_in_order_or_none(tmp_path: Path, pieces: list[bytes], cut: int) -> None:
    piece = b"".join(pieces)
    piece = piece[: len(piece) - cut]
    found = ticks_of(piece, 0)
    assert [tick.at for tick in found] == sorted({tick.at for tick in found})
    assert all(0 <= tick.ticks < WRAP and 0 <= tick.at < len(piece) for tick in found)
    (path := tmp_path / "any.ts").write_bytes(piece)
    assert (jump_s := shortest_jump_s(path)) is None or jump_s >= 0
