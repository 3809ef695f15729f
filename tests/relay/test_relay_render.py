"""From a profile to FFmpeg's argument list, and the upstreams that it may be given."""

import pytest
from relay_profiles import before, profile

from channeld.relay.refusal import Kind, ProfileRefused
from channeld.relay.render import PROTOCOLS, command, render


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("", Kind.FORBIDDEN_PROTOCOL),
        ("/etc/passwd", Kind.FORBIDDEN_PROTOCOL),
        ("-y", Kind.FORBIDDEN_PROTOCOL),
        ("file:///etc/passwd", Kind.FORBIDDEN_PROTOCOL),
        ("file:/etc/passwd", Kind.FORBIDDEN_PROTOCOL),
        ("concat:http://a/|http://b/", Kind.FORBIDDEN_PROTOCOL),
        ("subfile,,start,0,end,0,,:http://a/", Kind.FORBIDDEN_PROTOCOL),
        ("crypto+http://a/", Kind.FORBIDDEN_PROTOCOL),
        ("async:http://a/", Kind.FORBIDDEN_PROTOCOL),
        ("tcp://127.0.0.1:22", Kind.FORBIDDEN_PROTOCOL),
        ("unix:///run/x", Kind.FORBIDDEN_PROTOCOL),
        ("gopher://a/", Kind.FORBIDDEN_PROTOCOL),
        ("HTTP://a/", Kind.FORBIDDEN_PROTOCOL),
        (" http://a/", Kind.FORBIDDEN_PROTOCOL),
        ("http:///x", Kind.BAD_VALUE),
        ("http://[::1/x", Kind.BAD_VALUE),
        ("http://a/ b", Kind.BAD_VALUE),
        ("rtmp://a/app playpath=x", Kind.BAD_VALUE),
        ("http://a/\r\nHost: b", Kind.BAD_VALUE),
        ("http://a/\0", Kind.BAD_VALUE),
        ("http://a/|http://b/", Kind.BAD_VALUE),
        ("http://ä/", Kind.BAD_VALUE),
        ("http://a/" + "x" * 4096, Kind.TOO_LONG),
    ],
)
def test_what_is_no_url_of_an_upstream_is_refused(url: str, kind: Kind) -> None:
    with pytest.raises(ProfileRefused) as refused:
        render(profile(), url)
    assert [(refusal.kind, refusal.field) for refusal in refused.value.refusals] == [(kind, "input_url")]


def test_a_refused_url_keeps_its_password() -> None:
    with pytest.raises(ProfileRefused) as refused:
        render(profile(), "ftp://admin:hunter2@192.0.2.1/x")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("scheme", sorted(PROTOCOLS))
def test_what_ffmpeg_may_open_follows_from_the_scheme(scheme: str) -> None:
    words = render(profile(input_timeout=7), f"{scheme}://user:pass@192.0.2.1:8000/live?x=1")
    allowed = words[words.index("-protocol_whitelist") + 1].split(",")
    assert scheme in allowed and not {"file", "pipe", "concat", "subfile", "data", "unix"} & set(allowed)
    assert "concat" not in words[words.index("-format_whitelist") + 1].split(",")
    assert ("7000000" in words[: words.index("-i")]) == (scheme != "rtp")


@pytest.mark.parametrize("option", ["-rw_timeout", "-timeout"])
def test_a_timeout_among_the_arguments_counts_under_the_upstreams_own_name(option: str) -> None:
    words = render(profile(before(f"{option} 5000000")), "http://192.0.2.1/")
    assert words[words.index("-rw_timeout") + 1] == "5000000" and "-timeout" not in words
    words = render(profile(before(f"{option} 5000000")), "rtsp://192.0.2.1/")
    assert words[words.index("-timeout") + 1] == "5000000" and "-rw_timeout" not in words


def test_options_of_hls_need_its_name_or_its_format() -> None:
    args = before("-live_start_index -1")
    assert "-live_start_index" in render(profile(args), "http://192.0.2.1/live.m3u8?token=1")
    assert "-live_start_index" in render(profile(before("-re -f hls -live_start_index -1")), "http://192.0.2.1/live")
    assert "-live_start_index" not in render(profile(args), "http://192.0.2.1/live.ts")
    assert "-live_start_index" not in render(profile(args), "rtsp://192.0.2.1/live.m3u8")


def test_a_profile_is_checked_again_when_it_is_used() -> None:
    with pytest.raises(ProfileRefused) as refused:
        render(profile(before("-report")), "http://192.0.2.1/")
    assert refused.value.refusals[0].kind is Kind.FORBIDDEN_OPTION


def test_a_command_is_a_list_that_ends_in_a_pipe() -> None:
    words = command("ffmpeg", profile(), "http://192.0.2.1/")
    assert (words[0], words[1], words[-1]) == ("ffmpeg", "-nostdin", "pipe:1")
    assert words[words.index("-i") :][:4] == ["-i", "http://192.0.2.1/", "-c", "copy"]
    assert words[words.index("-f") + 1] == "mpegts"
