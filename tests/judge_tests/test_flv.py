"""The judge of FLV files finds what 1 ms of rounding may not hide."""

from fractions import Fraction
from pathlib import Path

import pytest
from judge.flv import read_flv

from .streams import remux

FPS = Fraction(25)


@pytest.fixture(scope="module")
def recorded(source: Path) -> Path:
    return remux(source, source.with_name("good.flv"))


def _tags(raw: bytes) -> list[tuple[int, int]]:
    """Offset and whole size of every tag."""
    found, at = [], 13
    while at < len(raw):
        found.append((at, 15 + int.from_bytes(raw[at + 1 : at + 4], "big")))
        at += found[-1][1]
    return found


def _media(raw: bytes, kind: int) -> list[tuple[int, int]]:
    return [(at, size) for at, size in _tags(raw) if raw[at] == kind and raw[at + 12] == 1]


def _faults(raw: bytes, folder: Path) -> list[str]:
    path = folder / "changed.flv"
    path.write_bytes(raw)
    return read_flv(path).faults(FPS)


def test_a_file_made_by_ffmpeg_is_clean(recorded: Path) -> None:
    report = read_flv(recorded)
    assert report.faults(FPS) == []
    assert len(report.video.dts_ms) == 100
    assert (report.video.distinct_headers, report.audio.distinct_headers) == (1, 1)


def test_another_frame_rate_is_found(recorded: Path) -> None:
    assert any("video DTS in ms" in fault for fault in read_flv(recorded).faults(Fraction(30)))
    assert any("leaves its grid" in fault for fault in read_flv(recorded).faults(Fraction(2490, 100)))


@pytest.mark.parametrize(
    ("kind", "name", "late_ms"), [(9, "video DTS in ms", 1), (9, "video DTS in ms", 40), (8, "audio in ms", 2), (8, "audio in ms", 21)]
)
def test_a_lost_tag_and_a_late_tag_are_found(recorded: Path, tmp_path: Path, kind: int, name: str, late_ms: int) -> None:
    raw = recorded.read_bytes()
    at, size = _media(raw, kind)[20]
    assert any(f"{name} does not step" in fault for fault in _faults(raw[:at] + raw[at + size :], tmp_path))
    late = bytearray(raw)
    late[at + 4 : at + 7] = (int.from_bytes(raw[at + 4 : at + 7], "big") + late_ms).to_bytes(3, "big")
    assert any(name in fault for fault in _faults(bytes(late), tmp_path))


@pytest.mark.parametrize(("kind", "name"), [(9, "video"), (8, "audio")])
def test_another_sequence_header_is_found_and_the_same_one_again_is_not(recorded: Path, tmp_path: Path, kind: int, name: str) -> None:
    raw = recorded.read_bytes()
    at, size = next((at, size) for at, size in _tags(raw) if raw[at] == kind and raw[at + 12] == 0)
    behind = _media(raw, kind)[20][0]
    header = bytearray(raw[at : at + size])
    assert _faults(raw[:behind] + header + raw[behind:], tmp_path) == []
    header[-5] ^= 1
    assert f"{name} has 2 different sequence headers" in _faults(raw[:behind] + header + raw[behind:], tmp_path)


def test_a_wrong_composition_time_is_found(recorded: Path, tmp_path: Path) -> None:
    raw = bytearray(recorded.read_bytes())
    at, _ = _media(bytes(raw), 9)[20]
    raw[at + 15] += 5
    assert any("video PTS in ms does not step" in fault for fault in _faults(bytes(raw), tmp_path))


def test_a_wrong_tag_size_and_no_flv_at_all_are_found(recorded: Path, tmp_path: Path) -> None:
    raw = bytearray(recorded.read_bytes())
    at, size = _media(bytes(raw), 9)[20]
    raw[at + size - 1] ^= 1
    assert any("wrong size after it" in fault for fault in _faults(bytes(raw), tmp_path))
    assert "does not begin with an FLV header" in _faults(b"", tmp_path)
