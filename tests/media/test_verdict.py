"""What FFmpeg's words come to."""

import errno

import pytest

from channeld.base.errors import PrepareError
from channeld.media.facts import Colour, MediaFacts, Picture, Span, VideoFacts
from channeld.media.verdict import DecodeLog, Tolerance, check_declared, judge

VIDEO = VideoFacts(0, "h264", Picture(320, 180), Colour(), Span(0.0, 4.0, 4.0), 25, 25)


def log_of(*, decoded: int, corrupt: int, house_frames: int) -> DecodeLog:
    """Lines as FFmpeg 5.1 writes them."""
    log = DecodeLog()
    for _ in range(corrupt):
        log.feed("[warning] file:/x.mp4: corrupt decoded frame in stream 0")
    log.feed(f"[verbose]   Input stream #0:0 (video): {decoded} packets read (1234 bytes); {decoded} frames decoded; ")
    log.feed(f"[Parsed_fps_3 @ 0x55] [verbose] {decoded} frames in, {house_frames} frames out; 0 frames dropped, 0 frames duplicated.")
    return log


def test_a_few_damaged_frames_are_a_warning():
    assert judge(log_of(decoded=100, corrupt=5, house_frames=100), VIDEO, None, 100, Tolerance()) == (
        "5 frames of the picture have errors",
    )


def test_more_than_the_tolerance_is_refused():
    with pytest.raises(PrepareError, match="6% of the picture's frames have errors"):
        judge(log_of(decoded=100, corrupt=6, house_frames=100), VIDEO, None, 100, Tolerance())


def test_the_tolerance_is_the_owner_s():
    assert judge(log_of(decoded=100, corrupt=40, house_frames=50), VIDEO, None, 100, Tolerance(0.4, 0.5))


def test_a_picture_that_ends_early_is_refused():
    with pytest.raises(PrepareError, match="only 89 of 100 frames"):
        judge(log_of(decoded=89, corrupt=0, house_frames=89), VIDEO, None, 100, Tolerance())


def test_no_picture_at_all_is_refused():
    with pytest.raises(PrepareError, match="no picture"):
        judge(DecodeLog(), VIDEO, None, 100, Tolerance())


def test_lines_of_newer_ffmpeg_count_the_same():
    log = DecodeLog()
    log.feed("[vist#0:0/h264 @ 0x5581] [warning] corrupt decoded frame")
    log.feed("[vist#0:0/h264 @ 0x5581] [dec:h264 @ 0x5582] [error] Error submitting packet to decoder: Invalid data found")
    assert log.errors(0) == 2


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("[file:/x.mkv @ 0x1] [error] file:/x.mkv: Input/output error", errno.EIO),
        ("x264 [error]: malloc of size 1500068 failed", errno.ENOMEM),
        ("[error] Error while filtering: Cannot allocate memory", errno.ENOMEM),
        ("[error] Error while opening decoder for input stream #0:0 : Resource temporarily unavailable", errno.ENOMEM),
        ("ffmpeg: error while loading shared libraries: libicudata.so.72: failed to map segment from shared object", errno.ENOMEM),
    ],
)
def test_what_the_machine_refuses_is_not_the_clip_s_fault(line: str, number: int):
    log = DecodeLog()
    log.feed("[warning] file:/x.mp4: corrupt decoded frame in stream 0")
    assert log.machine_failure is None
    log.feed(line)
    assert log.machine_failure is not None and log.machine_failure.errno == number


def test_a_header_that_promises_more_than_is_there_is_refused_before_any_work():
    cut = VideoFacts(0, "h264", Picture(320, 180), Colour(), Span(0.0, 46.7, 0.04), 25, 25)
    with pytest.raises(PrepareError, match=r"cut short: 0\.0 s of the declared 46\.7 s"):
        check_declared(MediaFacts("mkv", 0.0, 46.7, cut, ()), Tolerance())
