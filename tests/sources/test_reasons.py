"""Why a source is lost, from lines that FFmpeg really writes; and whether one may be copied."""

from dataclasses import replace

import pytest

from channeld.base.errors import ChildExited, ChildStalled, StreamError
from channeld.base.units import FrameRate
from channeld.media.profile import Profile
from channeld.sources.reasons import Diary
from channeld.sources.spec import Reason
from channeld.sources.suits import why_not_copied
from channeld.ts.nal import VideoCodec

EXITED = ChildExited("ffmpeg", 1, "[error] the last line")
HOUSE = Profile("house", 1280, 720, FrameRate(25, 1), 3_000_000, 128_000)
VIDEO = (
    "Stream #0:0[0x100]: Video: h264 (High) ([27][0][0][0] / 0x001B), yuv420p(tv, bt709, progressive), 1280x720, 25 fps, 25 tbr, 90k tbn"
)
AUDIO = "Stream #0:1[0x101]: Audio: aac (LC) ([15][0][0][0] / 0x000F), 48000 Hz, stereo, fltp, 130 kb/s"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["[tcp @ 0x55] [error] Connection to tcp://127.0.0.1:9?timeout=1 failed: Connection refused"], Reason.CANNOT_CONNECT),
        (["[error] rtsp://10.0.0.9/: No route to host"], Reason.CANNOT_CONNECT),
        (["[tcp @ 0x55] [error] Failed to resolve hostname nowhere.invalid: Name or service not known"], Reason.CANNOT_CONNECT),
        (
            ["[http @ 0x5] [warning] HTTP error 404 Not Found", "[error] http://h/x: Server returned 404 Not Found"],
            Reason.CANNOT_CONNECT,
        ),
        (["[rtsp @ 0x55] [error] method DESCRIBE failed: 401 Unauthorized"], Reason.AUTHENTICATION_FAILED),
        (
            ["[http @ 0x5] [warning] HTTP error 403 Forbidden", "[error] x: Server returned 403 Forbidden (access denied)"],
            Reason.AUTHENTICATION_FAILED,
        ),
        (["[error] udp://127.0.0.1:5000: Connection timed out"], Reason.TIMED_OUT),
        (["[error] http://h/x: Invalid data found when processing input"], Reason.UNSUPPORTED_FORMAT),
        (["[error] Stream map '0:v:0' matches no streams."], Reason.UNSUPPORTED_FORMAT),
        (["[fatal] something that nobody knows"], Reason.OTHER),
        (["[error] rtsp://127.0.0.1:43101/live: Invalid data found when processing input"], Reason.CANNOT_CONNECT),
        (
            ["[rtmp @ 0x5] [error] Cannot read RTMP handshake response", "[error] rtmp://127.0.0.1:43/live/x: Connection reset by peer"],
            Reason.CANNOT_CONNECT,
        ),
        (["[error] http://127.0.0.1:43101/x.m3u8: End of file"], Reason.CANNOT_CONNECT),
        (["[error] srt://127.0.0.1:43101: Input/output error"], Reason.CANNOT_CONNECT),
        (["[error] udp://127.0.0.1:43101: Input/output error"], Reason.TIMED_OUT),
        (
            ["[http @ 0x5] [warning] HTTP error 502 Bad Gateway", "[error] http://h/x: Server returned 5XX Server Error reply"],
            Reason.CANNOT_CONNECT,
        ),
    ],
)
def test_what_ffmpeg_says_before_anything_came_names_the_reason(lines: list[str], reason: Reason) -> None:
    diary = Diary()
    for line in lines:
        diary.feed(line)
    assert diary.explain(EXITED, was_live=False)[0] is reason


def test_a_password_in_an_address_is_not_told() -> None:
    diary = Diary()
    diary.feed("[error] rtsp://user:secret@10.0.0.9/live: Connection refused")
    reason, detail = diary.explain(EXITED, was_live=False)
    assert reason is Reason.CANNOT_CONNECT and "secret" not in detail


def test_damaged_pictures_are_not_the_reason_why_a_live_source_ended() -> None:
    diary = Diary()
    diary.feed("[h264 @ 0x5] [error] Invalid data found when processing input")
    assert diary.explain(None, was_live=True) == (Reason.ENDED, "the source ended")
    assert diary.explain(EXITED, was_live=True)[0] is Reason.ENDED


def test_a_live_source_that_hangs_up_has_ended() -> None:
    diary = Diary()
    diary.feed("[error] http://127.0.0.1:43101/x.ts: Input/output error")
    assert diary.explain(EXITED, was_live=True)[0] is Reason.ENDED


def test_silence_and_broken_rules_have_reasons_of_their_own() -> None:
    assert Diary().explain(ChildStalled("ffmpeg", 10.2), was_live=True) == (Reason.TIMED_OUT, "nothing came for 10 s")
    assert Diary().explain(StreamError("no picture"), was_live=False)[0] is Reason.UNSUPPORTED_FORMAT


def test_a_source_without_sound_is_known_by_its_line() -> None:
    diary = Diary()
    diary.feed("[fatal] Stream specifier ':a:0' in filtergraph description matches no streams.")
    assert diary.lacks_sound


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([VIDEO, AUDIO], None),
        ([VIDEO.replace("h264 (High)", "hevc (Main)"), AUDIO], "hevc"),
        ([VIDEO.replace("1280x720", "1920x1080"), AUDIO], "1920x1080"),
        ([VIDEO.replace("25 fps", "30 fps"), AUDIO], "rate"),
        ([VIDEO.replace("progressive", "top first"), AUDIO], "interlaced"),
        ([VIDEO, AUDIO.replace("48000", "44100")], "44100"),
        ([VIDEO, AUDIO.replace("stereo", "mono")], "mono"),
        ([VIDEO, AUDIO.replace("aac (LC)", "mp2")], "mp2"),
        ([VIDEO], "no sound"),
    ],
)
def test_a_source_is_copied_only_in_the_house_format(lines: list[str], why: str | None) -> None:
    found = why_not_copied(lines, HOUSE)
    assert (found is None) if why is None else (found is not None and why in found)


@pytest.mark.parametrize(
    ("video", "why"),
    [
        (VIDEO.replace("h264 (High)", "hevc (Main)"), None),
        (VIDEO, "its picture is h264, not hevc"),
        (VIDEO.replace("h264 (High)", "hevc (Main 10)").replace("yuv420p(", "yuv420p10le("), "its colours are yuv420p10le"),
    ],
)
def test_a_house_of_h265_copies_h265_of_eight_bits(video: str, why: str | None) -> None:
    found = why_not_copied([video, AUDIO], replace(HOUSE, codec=VideoCodec.H265))
    assert (found is None) if why is None else (found is not None and why in found)
