"""What access units say of themselves, and that no bytes whatever make its reader do anything but refuse."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channeld.base.errors import StreamError
from channeld.ts.codecs import AacFormat, aac_frame, avc_format, avc_sample, nal_units

NALS = st.lists(st.binary(min_size=1, max_size=30).filter(lambda nal: b"\0\0\1" not in nal and b"\0\0\0" not in nal), max_size=8)


@given(NALS)
def test_nal_units_come_back_whichever_start_codes_are_before_them(nals: list[bytes]) -> None:
    ended = [nal.rstrip(b"\0") + b"\x80" for nal in nals]
    assert nal_units(b"".join(b"\0\0\0\1" + nal for nal in ended)) == ended
    assert nal_units(b"".join(b"\0\0\1" + nal for nal in ended)) == ended


@given(NALS)
def test_a_sample_is_the_slices_behind_their_lengths(nals: list[bytes]) -> None:
    sample, found = avc_sample(nals), []
    while sample:
        length = int.from_bytes(sample[:4], "big")
        found.append(sample[4 : 4 + length])
        sample = sample[4 + length :]
    assert found == [nal for nal in nals if nal[0] % 32 not in (7, 8, 9, 12)]


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=4))
def test_no_parameter_sets_do_more_than_be_refused(nals: list[bytes]) -> None:
    for given_nals in (nals, [b"\x67" + b"".join(nals), b"\x68"], [b"\x67\x64\x00\x28" + b"".join(nals), b"\x68"]):
        try:
            found = avc_format(given_nals)
        except StreamError:
            continue
        assert 0 < found.width < 1 << 16 and 0 < found.height < 1 << 16


@given(st.binary(max_size=40))
def test_no_audio_unit_does_more_than_be_refused(unit: bytes) -> None:
    try:
        _, frame = aac_frame(unit)
    except StreamError:
        return
    assert unit.endswith(frame)


def test_an_adts_frame_is_taken_out_of_its_header() -> None:
    frame = b"sound" * 20
    size = len(frame) + 7
    head = bytes((0xFF, 0xF1, 1 << 6 | 3 << 2, 2 << 6 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC))
    form, found = aac_frame(head + frame)
    assert (form, found, form.codec, form.sample_rate) == (AacFormat(2, 3, 2), frame, "mp4a.40.2", 48_000)
    assert form.specific_config == b"\x11\x90"
    for wrong in (head + frame[1:], head + frame + b"x", frame, head[:6]):
        with pytest.raises(StreamError):
            aac_frame(wrong)


@pytest.mark.parametrize(
    ("size", "encoding"),
    [
        ((160, 90), ["-preset", "ultrafast"]),
        ((322, 182), ["-profile:v", "high"]),
        ((720, 576), ["-flags", "+ilme+ildct", "-x264opts", "cqm=jvt"]),
        ((130, 66), ["-pix_fmt", "yuv444p", "-profile:v", "high444"]),
    ],
)
def test_the_size_is_what_ffprobe_says(size: tuple[int, int], encoding: list[str], tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "one.h264"
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size[0]}x{size[1]}", "-frames:v", "1"]
    subprocess.run([ffmpeg, "-nostdin", "-v", "error", *source, "-c:v", "libx264", *encoding, str(path)], check=True, timeout=60)
    line = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    (stream,) = json.loads(subprocess.run(line, check=True, capture_output=True, timeout=60).stdout)["streams"]
    found = avc_format(nal_units(path.read_bytes()))
    assert (found.width, found.height) == (stream["width"], stream["height"]) == size
