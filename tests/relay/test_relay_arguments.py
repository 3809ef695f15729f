"""The parser of relay profiles: what it takes, what it refuses, and how it says so."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hostile_arguments import HOSTILE
from relay_profiles import COPY, after, before, profile

from channeld.relay.arguments import OutputHalf, parse, refusals_of
from channeld.relay.filtergraph import filters_of, read_chain
from channeld.relay.forbidden import FORBIDDEN
from channeld.relay.options import ALIASES, INPUT, OUTPUT
from channeld.relay.profile import Hardware, OutputFormat
from channeld.relay.refusal import SHOWN_CHARACTERS, Kind, ProfileRefused

_REACHED_OUT: list[str] = []
_IS_WATCHED = [False]
_REACHING = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "socket.", "open")


def _watch(event: str, _: tuple[Any, ...]) -> None:
    if _IS_WATCHED[0] and event.startswith(_REACHING):
        _REACHED_OUT.append(event)


sys.addaudithook(_watch)


@pytest.fixture
def reached_out() -> Iterator[list[str]]:
    """Processes, sockets and files that the interpreter opened during the test."""
    _REACHED_OUT.clear()
    _IS_WATCHED[0] = True
    yield _REACHED_OUT
    _IS_WATCHED[0] = False


@pytest.mark.parametrize(("args", "kind", "position"), HOSTILE, ids=lambda value: str(value)[:60] if isinstance(value, str) else "")
def test_a_hostile_list_is_refused_with_its_reason_and_place(args: str, kind: Kind, position: int | None, reached_out: list[str]) -> None:
    refusals = refusals_of(profile(args))
    assert (kind, position) in [(refusal.kind, refusal.position) for refusal in refusals]
    assert all(refusal.problem and refusal.remedy and refusal.field == "ffmpeg_args" for refusal in refusals)
    with pytest.raises(ProfileRefused):
        parse(profile(args))
    assert reached_out == [], "no process, no socket, no file"


def test_the_table_of_hostile_lists_is_long_and_each_differs() -> None:
    assert len({args for args, _, _ in HOSTILE}) == len(HOSTILE) >= 80


def test_every_kind_of_refusal_is_in_the_table() -> None:
    assert {kind for _, kind, _ in HOSTILE} == set(Kind) - {Kind.BAD_FIELD}


def test_a_list_becomes_input_options_middle_and_what_the_output_half_said() -> None:
    args = (
        "-re -fflags +genpts -i {input_url} -map 0:v:0 -map 0:a? -vcodec libx264 -b:v 2500k -vf scale=1280:-2 -c:a aac "
        "-metadata:s:a:0 language=eng -an -f hls -hls_time 4 -hls_list_size {max_segments} -method PUT "
        "-hls_segment_filename {output_path}/s_%03d.ts -y {output_path}/index.m3u8"
    )
    parsed = parse(profile(args, output_format=OutputFormat.HLS, max_segments=9))
    assert parsed.input_options == ("-re", "-fflags", "+genpts")
    assert " ".join(parsed.middle) == (
        "-map 0:v:0 -map 0:a? -c:v libx264 -b:v 2500k -filter:v scale=w=1280:h=-2 -c:a aac -metadata:s:a:0 language=eng -an"
    )
    assert parsed.output == OutputHalf(OutputFormat.HLS, 4.0, 9)


def test_without_a_word_of_segments_the_fields_count() -> None:
    parsed = parse(profile(segment_duration=8, max_segments=5))
    assert parsed.output == OutputHalf(OutputFormat.TRANSPORT_STREAM, 8.0, 5)


def test_dash_has_its_own_words_for_segments() -> None:
    args = "-i {input_url} -c copy -f dash -seg_duration 2.5 -window_size 7 {output_path}/manifest.mpd"
    assert parse(profile(args, output_format=OutputFormat.DASH)).output == OutputHalf(OutputFormat.DASH, 2.5, 7)


def test_a_variable_is_filled_in_within_a_value() -> None:
    args = after("-c:v libx264 -c:a aac -force_key_frames expr:gte(t,n_forced*{segment_duration})")
    assert "expr:gte(t,n_forced*3)" in parse(profile(args, segment_duration=3)).middle


def test_copy_needs_no_format_but_may_not_encode() -> None:
    assert parse(profile("-i {input_url} -c copy {output_path}", output_format=OutputFormat.COPY)).middle == ("-c", "copy")
    (refusal,) = refusals_of(profile(after("-c:v libx264 -c:a copy"), output_format=OutputFormat.COPY))
    assert (refusal.kind, refusal.position) == (Kind.FORMAT_MISMATCH, 4)


def test_the_codecs_are_said_for_pictures_and_sound_alike() -> None:
    """FFmpeg would take MPEG-2 for a transport stream, whatever it would take for the container that was asked for."""
    for codecs in ("-c copy", "-c:v copy -c:a aac", "-c:v libx264 -an", "-vn -c:a copy", "-c copy -c:v libx264 -vf null"):
        assert refusals_of(profile(after(codecs))) == ()
    assert [refusal.kind for refusal in refusals_of(profile(after("-map 0:v")))] == [Kind.MISSING_CODEC] * 2


def test_a_profile_as_a_database_gives_it_is_as_good() -> None:
    args = "-hwaccel cuda -i {input_url} -c copy -f hls {output_path}/x.m3u8"
    assert parse(profile(args, output_format="hls", hardware_acceleration="nvidia")).output.output_format is OutputFormat.HLS


def test_hardware_is_used_only_by_a_profile_that_says_so() -> None:
    args = before("-init_hw_device vaapi=card:/dev/dri/renderD129 -filter_hw_device card -hwaccel vaapi -hwaccel_device card")
    assert refusals_of(profile(args, hardware_acceleration=Hardware.VAAPI)) == ()
    assert {refusal.kind for refusal in refusals_of(profile(args, hardware_acceleration=Hardware.NVIDIA))} == {Kind.HARDWARE_MISMATCH}


def test_everything_wrong_is_told_at_once_and_in_order() -> None:
    args = before("-report -safe 0") + " -c:v magicyuv /tmp/x"
    refusals = refusals_of(profile(args, name="", max_segments=0))
    assert [(refusal.field, refusal.kind) for refusal in refusals] == [
        ("name", Kind.BAD_FIELD),
        ("max_segments", Kind.BAD_FIELD),
        ("ffmpeg_args", Kind.FORBIDDEN_OPTION),
        ("ffmpeg_args", Kind.FORBIDDEN_OPTION),
        ("ffmpeg_args", Kind.FORBIDDEN_CODEC),
        ("ffmpeg_args", Kind.SECOND_OUTPUT),
    ]


def test_a_refusal_reads_as_a_sentence_with_place_and_remedy() -> None:
    (refusal,) = refusals_of(profile(after("-c:v libx264 -crf 90 -an")))
    assert str(refusal) == "ffmpeg_args, argument 6 (90): -crf takes no such value; give number, 0 to 63"
    (refusal,) = refusals_of(profile(max_segments=1))
    assert str(refusal) == "max_segments (1): it is out of range; give 2 to 100 segments"
    with pytest.raises(ProfileRefused, match=r"argument 5 \(-crff\): the option is not allowed; perhaps -crf"):
        parse(profile(after("-c:v libx264 -crff 22 -an")))


def test_a_refusal_shows_no_secret_and_little() -> None:
    secret = "rtsp://admin:hunter2@192.0.2.1/cam?token=abc"
    for args in (
        f"-i {secret} -c copy -f mpegts {{output_path}}",
        before(f"-headers '-Authorization: hunter2' -http_proxy {secret} -passphrase hunter2"),
    ):
        told = str(ProfileRefused(refusals_of(profile(args))))
        assert "hunter2" not in told and "abc" not in told
    (refusal,) = refusals_of(profile(after("-c copy -metadata title=" + "/" * 900)))
    assert len(refusal.argument) == SHOWN_CHARACTERS
    (refusal,) = refusals_of(profile(after("-c copy -metadata title=a\x1b[31m")))
    assert "\x1b" not in str(refusal)


def test_an_option_is_either_allowed_or_forbidden_and_every_alias_leads_to_one() -> None:
    assert set(FORBIDDEN) & (set(INPUT) | set(OUTPUT)) == set()
    assert {target.partition(":")[0] for target in ALIASES.values()} <= set(INPUT) | set(OUTPUT)


def test_the_right_list_is_right() -> None:
    assert refusals_of(profile(COPY)) == ()


def test_a_chain_that_was_read_is_taken_apart_again() -> None:
    chain = read_chain("yadif,crop='min(iw,640)':ih", "v")
    assert isinstance(chain, str) and filters_of(chain, "v") == ["yadif", "crop=w='min(iw,640)':h=ih"]
