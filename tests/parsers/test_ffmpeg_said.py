"""Lines that real FFmpegs wrote of live sources (`ffmpeg_said/`, made by record_ffmpeg_lines.py): what they mean."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from steps import bounded

from channeld.base.errors import ChildExited, SpawnError
from channeld.base.units import FrameRate
from channeld.media.picture_rules import PictureRules
from channeld.media.probe import read_answer
from channeld.media.probe_banner import parse_banner
from channeld.media.profile import Profile
from channeld.media.stillness import MAX_SPANS, StillnessLog
from channeld.media.verdict import DecodeLog
from channeld.process.ffmpeg_log import LineKind, parse_line
from channeld.sources.measures import Losses
from channeld.sources.picture_watch import PictureWatch
from channeld.sources.reasons import MAX_DETAIL, Diary
from channeld.sources.spec import Reason
from channeld.sources.suits import why_not_copied

FUZZED = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
HOUSE = Profile("house", 320, 180, FrameRate(25, 1), 300_000, 64_000)
MAX_LINE = 4096
"""As media.child cuts them."""
REFUSED, AUTH, FORMAT, SILENT = Reason.CANNOT_CONNECT, Reason.AUTHENTICATION_FAILED, Reason.UNSUPPORTED_FORMAT, Reason.TIMED_OUT


def recorded(version: str) -> dict[str, list[str]]:
    text = (Path(__file__).parent / "ffmpeg_said" / f"{version}.txt").read_text()
    return {name: lines for name, *lines in (part.splitlines() for part in text.split("== ")[1:])}


SAID = {version: recorded(version) for version in ("5.1.9", "9.0.2")}
LINES = sorted({line for said in SAID.values() for lines in said.values() for line in lines})
REASONS = {
    **{f"{scheme}: nobody there": REFUSED for scheme in ("rtsp", "http", "https", "rtmp", "rtmps", "tcp", "srt")},
    **dict.fromkeys(("http: no such name", "rtsp: no such name", "http: no way there"), REFUSED),
    **{f"{scheme}: silent": SILENT for scheme in ("http", "https", "rtmp", "rtmps", "tcp")},
    **{f"http: {status}": REFUSED for status in ("400 Bad Request", "404 Not Found", "410 Gone", "500 Internal Server Error", "503 Busy")},
    **{f"rtsp: {status}": REFUSED for status in ("404", "454", "500", "503", "no more sessions")},
    **dict.fromkeys(("http: 401 Unauthorized", "http: 403 Forbidden", "rtsp: 403"), AUTH),
    **{f"rtsp: wrong password, {kind}": AUTH for kind in ("basic", "digest")},
    **{f"rtsp: {name}": FORMAT for name in ("garbage", "an empty description", "a description of nothing", "an unknown codec")},
    **{f"hls: {name}": FORMAT for name in ("segments that are files", "an empty manifest", "half a manifest", "a manifest that is a page")},
    "hls: segments that are not there": REFUSED,
    **{f"http stream: {name}": FORMAT for name in ("sound alone", "a codec not listed", "text", "page", "noise")},
    "srt: no listener's password": AUTH,
    "srt: another mode": REFUSED,
    "udp: garbage": FORMAT,
}


OTHERWISE = dict.fromkeys((("5.1.9", "rtsp: garbage"), ("5.1.9", "rtsp: an unknown codec")), REFUSED)
"""What that version says of these, it says of a server that hangs up, too, and that is what happens."""


def diary_of(lines: list[str]) -> Diary:
    diary = Diary()
    for line in lines:
        diary.feed(line)
    return diary


@pytest.mark.parametrize("version", SAID)
@pytest.mark.parametrize("name", REASONS)
def test_a_source_that_does_not_come_has_the_reason_of_its_fault(version: str, name: str) -> None:
    lines = SAID[version][name]
    reason, detail = diary_of(lines).explain(ChildExited("ffmpeg", 1, "\n".join(lines)), was_live=False)
    assert reason is OTHERWISE.get((version, name), REASONS[name]), detail
    assert detail and "secret" not in detail


@pytest.mark.parametrize("version", SAID)
def test_a_source_without_sound_is_known_whatever_ffmpeg_says_it_with(version: str) -> None:
    assert diary_of(SAID[version]["http stream: without sound"]).lacks_sound
    assert not diary_of(SAID[version]["http stream: sound alone"]).lacks_sound


@pytest.mark.parametrize("version", SAID)
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("whole", "44100 Hz mono"),
        ("mpeg2 interlaced", "mpeg2video"),
        ("five channels, in Matroska", "44100 Hz 5"),
        ("without sound", "no sound"),
        ("titled", "44100 Hz mono"),
    ],
)
def test_streams_are_told_apart_as_ffmpeg_lists_them(version: str, name: str, why: str) -> None:
    diary = diary_of(SAID[version][f"http stream: {name}"])
    assert why in str(why_not_copied(diary.streams, HOUSE))
    answer = parse_banner([line.partition("] ")[2] for line in SAID[version][f"http stream: {name}"] if line.startswith("[info]")])
    assert (answer["streams"][0]["width"], answer["streams"][0]["height"]) == (320, 180)
    assert answer["streams"][0]["avg_frame_rate"] == "25.0/1"


def test_an_interlaced_picture_is_known_by_its_line() -> None:
    line = next(line for line in SAID["5.1.9"]["http stream: mpeg2 interlaced"] if "Video: mpeg2video" in line)
    sound = next(line for line in SAID["5.1.9"]["http stream: whole"] if "Audio:" in line)
    assert "interlaced" in str(why_not_copied([line.replace("mpeg2video", "h264"), sound], HOUSE))


def test_what_a_title_says_is_no_fact_of_the_picture() -> None:
    """FFmpeg prints what whoever made the file wrote among its own lines."""
    video = "  Stream #0:0: Video: h264, yuv420p, 640x360, 25 fps"
    for title in ("displaymatrix: rotation of 90", "displaymatrix: rotation of ....", "Duration: 00:00:1.2.3", "Stream #0:7: Video: h264"):
        answer = parse_banner([video, f"    title           : {title}", f"                    : {title}"])
        assert [len(answer["streams"]), answer["streams"][0].get("side_data_list"), answer["format"]] == [1, None, {}]
    assert parse_banner([video, "      displaymatrix: rotation of -90.00 degrees"])["streams"][0]["side_data_list"] == [{"rotation": -90.0}]


def test_the_banner_tells_what_prepare_needs() -> None:
    answer = parse_banner(
        [
            "Input #0, mov,mp4, from 'x':",
            "  Duration: 01:02:03.50, start: -0.040000, bitrate: 1 kb/s",
            "  Stream #0:0[0x1](eng): Video: hevc (Main 10), yuv420p10le(pc, smpte2084, top first), 720x576 [SAR 16:15], 1k fps",
            "  Stream #0:1(deu): Audio: aac (LC), 48000 Hz, 5.1(side), fltp (default)",
            "  Stream #0:2: Audio: pcm_s16le, 8000 Hz, 3 channels, s16",
            "  Stream #0:3: Audio: none",
            "  Stream #0:4: Data: none",
            "  Duration: N/A",
        ]
    )
    video, sound, three, nothing, _ = answer["streams"]
    assert answer["format"] == {"format_name": "mov,mp4", "duration": 3723.5, "start_time": None}
    assert (video["sample_aspect_ratio"], video["avg_frame_rate"], video["field_order"]) == ("16:15", "1000.0/1", "tt")
    assert (video["color_transfer"], video["pix_fmt"], video["color_range"]) == ("smpte2084", "yuv420p10le", "pc")
    assert (sound["channels"], sound["tags"], three["channels"], nothing["codec_name"]) == (6, {"language": "deu"}, 3, "unknown")


@pytest.mark.parametrize(
    ("said", "colours"),
    [
        ("yuv420p10le(tv, bt2020nc/bt2020/smpte2084, progressive)", ("bt2020nc", "bt2020", "smpte2084")),
        ("yuv420p10le(tv, unknown/unknown/smpte2084, progressive)", ("unknown", "unknown", "smpte2084")),
        ("yuv420p(tv, bt709, top coded first (swapped))", ("bt709", "bt709", "bt709")),
        ("yuvj420p(pc, bt470bg/unknown/unknown)", ("bt470bg", "unknown", "unknown")),
        ("yuv420p(smpte170m)", ("smpte170m", "smpte170m", "smpte170m")),
        ("yuv420p(tv, progressive)", None),
        ("yuv420p(progressive)", None),
        ("yuv420p, 640x360 (default) (attached pic)", None),
    ],
)
def test_colours_are_what_the_banner_says(said: str, colours: tuple[str, str, str] | None) -> None:
    stream = parse_banner([f"  Stream #0:0: Video: hevc (Main 10) (hev1 / 0x31766568), {said}, 640x360, 25 fps"])["streams"][0]
    found = tuple(stream.get(key) for key in ("color_space", "color_primaries", "color_transfer"))
    assert found == (colours or (None, None, None))


def test_each_program_has_its_tracks() -> None:
    picture, sound = "Video: h264, yuv420p, 640x360, 25 fps", "Audio: aac, 48000 Hz, stereo"
    lines = ["  Program 7 ", "    Metadata:", "      service_name    : Program 9", f"  Stream #0:0: {sound}", "  Program 8 "]
    lines += [f"  Stream #0:1: {picture}", f"  Stream #0:2: {sound}", "  No Program", f"  Stream #0:3: {sound}"]
    answer = parse_banner(lines)
    programs = {program["program_id"]: [stream["index"] for stream in program["streams"]] for program in answer["programs"]}
    assert programs == {7: [0], 8: [1, 2]} and len(answer["streams"]) == 4
    assert [track.index for track in read_answer(answer).audio] == [2]


def test_how_an_attempt_ended_is_told_when_no_line_says_why() -> None:
    last = ChildExited("ffmpeg", 1, "[error] one\n[tcp @ 0x1] [error] the last")
    assert Diary().explain(last, was_live=False) == (Reason.OTHER, "the last")
    assert Diary().explain(ChildExited("ffmpeg", 1, ""), was_live=True) == (Reason.ENDED, "no reason given")
    assert Diary().explain(SpawnError("no memory"), was_live=False) == (Reason.OTHER, "no memory")
    diary = diary_of(["[error] x: Connection refused", "[error] y: Connection timed out"])
    assert [diary.explain(None, was_live=each)[0] for each in (False, True)] == [Reason.CANNOT_CONNECT, Reason.TIMED_OUT]


def test_a_source_that_complains_without_end_costs_no_memory() -> None:
    diary = diary_of(["[info] Stream #0:0: Video: " + "x" * 4000, "[error] Connection refused " + "y" * 4000] * 30)
    assert len(diary.streams) <= 20 and all(len(line) <= MAX_DETAIL for line in diary.streams)
    assert len(diary.explain(None, was_live=False)[1]) <= MAX_DETAIL


# Real lines, with pieces of others put in, parts left out, and marks that patterns look for; and any text at all.
_MARKS = st.sampled_from(
    [*"[]@:,'.-#0x \t\x00\x1b٣²", " fps", "Stream #0:", "a:0", " Hz, ", "1.2.3", "....", "9" * 400, "://", "DTS ", "Connection "]
)
_MUTATED = st.builds(
    lambda line, at, gone, more: (line[: at % (len(line) + 1)] + "".join(more) + line[at % (len(line) + 1) + gone :])[:MAX_LINE],
    st.sampled_from(LINES),
    st.integers(0, 300),
    st.integers(0, 20),
    st.lists(_MARKS | st.text(max_size=4) | st.sampled_from(LINES), max_size=4),
)
_ANY = st.lists(_MUTATED | st.sampled_from(LINES) | st.text(max_size=200), max_size=10)


@FUZZED
@given(_ANY)
def test_any_lines_are_explained_and_never_raise(lines: list[str]) -> None:
    def read() -> tuple[Reason, str]:
        diary = diary_of(lines)
        assert isinstance(why_not_copied(diary.streams, HOUSE), str | None)
        assert isinstance(why_not_copied(lines, HOUSE), str | None)
        return diary.explain(ChildExited("ffmpeg", 1, "\n".join(lines)), was_live=False)

    reason, detail = bounded(read, most=2000 + 300 * len(lines))
    assert isinstance(reason, Reason) and len(detail) <= MAX_DETAIL


@FUZZED
@given(_MUTATED | st.text(max_size=300))
@example("[" * 4000)
@example("[tcp @ 0x" * 400)
def test_any_line_is_taken_apart(line: str) -> None:
    parsed = bounded(lambda: parse_line(line), most=400)
    assert isinstance(parsed.kind, LineKind) and parsed.level


@FUZZED
@given(_ANY)
@example(["  Duration: " + "9" * 4000 + ":00:00"])
@example(["  Stream #0:0: Video: h264, yuv420p, 1x1, .. fps", "  displaymatrix: rotation of .-."])
def test_any_banner_is_read_into_plain_values(lines: list[str]) -> None:
    spoken = [line.partition("] ")[2] if line.startswith("[info]") else line for line in lines]
    answer = bounded(lambda: parse_banner(spoken), most=1000 + 200 * len(lines))
    assert len(answer["streams"]) <= len(lines)
    json.dumps(answer)
    if any(stream.get("width") and stream["codec_name"] != "unknown" for stream in answer["streams"]):
        read_answer(answer)


_SPANS = st.builds(
    "{}_{}: {}{}".format, st.sampled_from(["silence", "freezedetect.freeze"]), st.sampled_from(["start", "end"]), st.floats(), _MARKS
)


@FUZZED
@given(st.lists(_MUTATED | _SPANS | st.text(max_size=80), max_size=15))
@example(["silence_start: 1.2.3", "silence_end: -"])
def test_any_lines_of_a_prepare_are_counted(lines: list[str]) -> None:
    log, still = DecodeLog(), StillnessLog()

    def read() -> None:
        for line in lines:
            log.feed(line)
            still.feed(line)

    bounded(read, most=1000 + 60 * len(lines))
    assert all(0.0 <= log.error_share(index) <= 1.0 for index in range(3))
    assert all(len(spans) <= MAX_SPANS for spans in still.facts(60.0).values())


_EVENTS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["silence_start: ", "silence_end: ", "lavfi.black_start=", "lavfi.black_end=", "lavfi.freezedetect.freeze_start: "]),
    st.floats() | st.just(""),
    _MARKS,
)
_MISSED = st.builds("RTP: missed {} packets{}".format, st.integers(), _MARKS)


@FUZZED
@given(st.lists(_MUTATED | _EVENTS | _MISSED | st.text(max_size=80), max_size=15))
def test_any_lines_of_a_live_source_are_counted_and_judged(lines: list[str]) -> None:
    watch, losses = PictureWatch(PictureRules(5.0, 5.0, 5.0)), Losses()

    def read() -> None:
        for line in lines:
            watch.feed(line, 0.0)
            losses.feed(line)

    bounded(read, most=1000 + 60 * len(lines))
    trouble = watch.trouble(10.0)
    assert trouble is None or isinstance(trouble[0], Reason)
    assert all(0 <= count <= 65_535 * len(lines) for count in losses.counts.values())


@pytest.mark.parametrize(
    ("line", "begins"),
    [
        ("[libx264 @ 0x563c6d254880] [info] using SAR=1/1", True),
        ("x265 [info]: HEVC encoder version 3.5+1-f0c1022b6", True),
        ("[h264_nvenc @ 0x55] [verbose] Loaded Nvenc version 12.1", True),
        ("[info]   Stream #0:0 -> #0:0 (h264 (native) -> h264 (libx264))", False),
        ("[h264 @ 0x55] [error] no frame!", False),
        ("[aac @ 0x55] [info] Qavg: 120.5", False),
    ],
)
def test_the_encoder_of_pictures_is_heard_to_begin(line: str, begins: bool) -> None:
    diary = Diary()
    diary.feed(line)
    assert diary.encodes is begins
