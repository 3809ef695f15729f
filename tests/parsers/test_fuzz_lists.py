"""Lists, options and written values under any text: values or the one error, in bounded steps."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from steps import bounded

from channeld.base import units
from channeld.base.errors import ConfigError, PlaylistError
from channeld.base.redact import MASK, has_credentials, redact_source, redact_text, redact_url
from channeld.mock import wanted
from channeld.mock.faults import MAX_SECONDS, parse_fault
from channeld.playlist import parse as parsing
from channeld.playlist.locate import PathRules
from channeld.playlist.parse import MAX_BYTES, load, parse
from channeld.playlist.yaml_list import MAX_REPEAT, MAX_YAML_BYTES, read_yaml_items

FUZZED = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
RULES = PathRules(private_hosts=True)

_KEYS = [f"{key}: " for key in ("- path", "  path", "  title", "  in", "  out", "  duration", "  repeat", "  other")]
_PLACES = [
    "http://",
    "http://[::1",
    "http://h:99999/x",
    "https://user:p@h/",
    "rtsp://h",
    "file:///etc",
    "ftp://",
    "://",
    "/",
    "../",
    "a.mp4",
    "%",
    "\\",
]
_MARKS = [
    "#EXTM3U",
    "#EXTINF:",
    "#EXTINF:1,",
    'x="',
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a",
    "*a",
    "!!python/x",
    "|",
    ">",
    "'",
    '"',
    "? ",
    "---",
    "...",
    "~",
]
_TIMES = ["1:30", "00:00:01.5", "9" * 4000, "1e999999999", "-1", "0", ".5", "٣", "1_0", "59:60"]
_BLANKS = ["\n", "\n", "\n", "\r", "\t", "\x85", "\u2028", "\ufeff", " "]
_TEXT = st.lists(st.sampled_from([*_KEYS, *_PLACES, *_MARKS, *_TIMES, *_BLANKS]) | st.text(max_size=4), max_size=40).map("".join)


@settings(FUZZED, max_examples=300)
@given(_TEXT, st.sampled_from([".txt", ".m3u", ".m3u8", ".yaml", ".yml"]), st.sampled_from(["utf-8", "latin-1", "utf-16"]))
def test_any_playlist_of_known_pieces_is_read_or_refused_with_its_place(tmp_path: Path, text: str, suffix: str, encoding: str) -> None:
    data = text.encode(encoding, "replace")
    source = tmp_path / f"list{suffix}"
    try:
        found = bounded(lambda: parse(data, source=source, rules=RULES), most=2000 + 200 * len(data))
    except PlaylistError as error:
        assert str(error).startswith(str(source))
        return
    assert len(found.entries) <= len(data)
    for entry in found.entries:
        assert entry.fault or entry.path or entry.url
        for seconds in (entry.in_s, entry.out_s, entry.duration_s):
            assert seconds is None or 0 <= float(seconds) < 1e10


@FUZZED
@given(_TEXT)
def test_any_yaml_is_items_or_an_error(text: str) -> None:
    try:
        items = bounded(lambda: read_yaml_items(text, Path("list.yaml"), max_entries=5, max_characters=50), most=2000 + 100 * len(text))
    except PlaylistError as error:
        assert "list.yaml" in str(error)
        return
    assert len(items) <= 5 and all(0 < len(item.locator) <= 50 and 1 <= item.repeat <= MAX_REPEAT for item in items)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {path: a, duration: 0}", "'duration' is zero"),
        ("- " + "a" * 51, "more than 50 characters"),
        ("- 'a\n\n  b'", "several lines"),
        ("- a\n" * 6, "more than 5 entries"),
        ("- {path: a, in: 1e999999999}", "'in': not a time"),
        ("- {path: a, out: " + "9" * 4000 + "}", "'out': not a time"),
    ],
)
def test_yaml_that_costs_or_means_too_much_is_refused(text: str, words: str) -> None:
    with pytest.raises(PlaylistError, match=words):
        read_yaml_items(text, Path("list.yaml"), max_entries=5, max_characters=50)


def test_a_list_beyond_its_cap_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(PlaylistError, match="larger than 4 MiB"):
        parse(b"#" * (MAX_YAML_BYTES + 1), source=tmp_path / "list.yaml", rules=RULES)
    with (tmp_path / "list.txt").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(PlaylistError, match="larger than 32 MiB"):
        load(tmp_path / "list.txt", RULES)


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MAX_ENTRIES", 3)
    for number in range(4):
        (tmp_path / f"{number}.mp4").touch()
    with pytest.raises(PlaylistError, match="more than 3 media files"):
        load(tmp_path, RULES)


_PIECES = st.sampled_from(
    [
        *"0123456789.,:/=xkMGTs-[]@ %\n",
        "127.0.0.1",
        "..",
        "at",
        "kind",
        "stop",
        "slow",
        "rate",
        "every",
        "for",
        "to",
        "1e9",
        "٣",
        "²",
        "nan",
    ]
)
_WRITTEN = (
    st.lists(_PIECES, max_size=14).map("".join)
    | st.text(max_size=20)
    | st.sampled_from(["9" * 5000, "1e999999999", "0." + "1" * 5000, "1/0"])
)
_OPTIONS: list[Callable[[str], object]] = [wanted.parse_listen, wanted.parse_size, wanted.parse_fps, wanted.parse_bitrate]


@settings(FUZZED, max_examples=300)
@given(_WRITTEN)
def test_any_option_of_a_mock_source_is_a_value_or_a_refusal(text: str) -> None:
    for read in _OPTIONS:
        try:
            bounded(lambda read=read: read(text), most=500)
        except ConfigError as error:
            assert error.key
    for written in (text, f"kind=slow,rate={text}", f"at={text},kind=stop", f"kind=size,to={text}"):
        try:
            fault = bounded(lambda written=written: parse_fault(written, "ts"), most=3000)
        except ConfigError as error:
            assert error.key in ("fault", "size")
        else:
            assert 0 <= fault.at_s[0] <= fault.at_s[1] <= MAX_SECONDS


_PROTOCOLS = st.sampled_from([*wanted.PROTOCOLS, "ftp"])


@FUZZED
@given(
    _PROTOCOLS,
    st.none() | st.text(max_size=12) | st.sampled_from(["rtmp://h/a", "srt://h:1"]),
    st.booleans(),
    st.integers(0, 9),
    st.sampled_from([*wanted.VIDEO_CODECS]),
    st.sampled_from([*wanted.AUDIO_CODECS]),
)
def test_any_mock_source_is_possible_or_refused(
    protocol: str, push: str | None, has_login: bool, port: int, video: str, sound: str
) -> None:
    access = wanted.Access("u", "p") if has_login else None
    try:
        made = wanted.Wanted(protocol, port=port, push_url=push, access=access, stream=wanted.Stream(vcodec=video, acodec=sound))
    except ConfigError as error:
        assert error.key and "--" in str(error)
    else:
        assert made.protocol in wanted.PROTOCOLS and (push is None or push.startswith(f"{protocol}://"))


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (lambda: wanted.Wanted("ftp"), "protocol"),
        (lambda: wanted.Wanted("ts", push_url="ts://h"), "push"),
        (lambda: wanted.Wanted("rtmp", push_url="srt://h"), "push"),
        (lambda: wanted.Wanted("udp", port=1, access=wanted.Access("u", "p")), "user"),
        (lambda: wanted.Wanted("srt"), "listen"),
        (lambda: wanted.Wanted("rtmp", port=1, stream=wanted.Stream(vcodec="hevc")), "vcodec"),
        (lambda: wanted.Wanted("rtmp", port=1, stream=wanted.Stream(acodec="mp2")), "acodec"),
        (lambda: wanted.Wanted("rtsp", stream=wanted.Stream(vcodec="mpeg2video")), "vcodec"),
        (lambda: wanted.Wanted("ts", stream=wanted.Stream(acodec="pcm_mulaw")), "acodec"),
        (lambda: wanted.parse_listen("h"), "listen"),
        (lambda: wanted.parse_size("3x3"), "size"),
        (lambda: wanted.parse_fps("0"), "fps"),
        (lambda: wanted.parse_bitrate("1"), "bitrate"),
        (lambda: wanted.one_of("--vcodec", "x", ("y",)), "vcodec"),
    ],
)
def test_an_impossible_mock_source_is_refused_by_its_option(made: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        made()
    assert refused.value.key == key


def test_what_is_written_well_is_taken() -> None:
    assert wanted.parse_listen("[::1]:80") == ("::1", 80) and wanted.parse_size("640x360") == (640, 360)
    assert wanted.parse_fps("30000/1001") == Fraction(30000, 1001) and wanted.parse_bitrate("1.5M") == 1500
    assert wanted.one_of("--vcodec", "y", ("y",)) == "y" and wanted.Stream().gop_frames == 50


@settings(FUZZED, max_examples=300)
@given(_WRITTEN)
def test_any_written_number_is_a_value_or_a_short_refusal(text: str) -> None:
    for read in (units.parse_frame_rate, units.parse_bitrate, units.parse_size, units.parse_timecode):
        try:
            value = bounded(lambda read=read: read(text), most=200)
        except ValueError as error:
            assert len(str(error)) < 6000
        else:
            assert float(value.num if isinstance(value, units.FrameRate) else value) < 1e33


def test_a_number_that_would_be_computed_for_ever_is_refused_unread() -> None:
    """Python's Fraction("1e999999999") is a number of a billion digits; floats of that size are infinite."""
    for read in (units.parse_frame_rate, units.parse_bitrate, units.parse_size, units.parse_timecode):
        for text in ("1e999999999", "1e-999999999", "9" * 4000, "0." + "9" * 4000, "1/0", "1/00"):
            with pytest.raises(ValueError, match="not a"):
                read(text)
    with pytest.raises(ValueError, match="outside 1 to 120"):
        units.parse_frame_rate(121)
    with pytest.raises(ValueError, match="go to 59"):
        units.parse_timecode("1:60:00")
    assert [str(units.parse_frame_rate(each)) for each in (25, 25.0, "29.97", "30000/1001", "12.5")] == [
        "25",
        "25",
        "30000/1001",
        "30000/1001",
        "25/2",
    ]
    assert (units.parse_bitrate("2.5M"), units.parse_size("1.5K"), units.parse_timecode("1:02:03.5")) == (
        2_500_000,
        1536,
        Fraction(7447, 2),
    )
    rate = units.FrameRate(30000, 1001)
    assert (rate.tick(2), rate.frames_in(1), rate.seconds(30)) == (6006, 30, 1.001)


_ADDRESS = st.lists(
    st.sampled_from([*"a1.+-_:/@?&=#[]% ", "://", "rtmp", "srt", "http", "localhost", "secret", "'", "|"]), max_size=20
).map("".join)


@settings(FUZZED, max_examples=300)
@given(_ADDRESS | st.text(max_size=40))
def test_any_text_is_redacted_in_little_more_than_its_length(text: str) -> None:
    once = bounded(lambda: redact_text(text), most=500)
    assert len(once) <= 5 * len(text)
    assert isinstance(redact_source(text), str) and isinstance(redact_url(text), str)
    assert isinstance(bounded(lambda: has_credentials(text), most=500), bool)


@pytest.mark.parametrize(
    "text",
    [
        "rtmp://h/app/secret",
        "1rtmp://h/app/secret",
        "x_rtmps://h/app/secret",
        ".srt://h/app/secret",
        "(rtmp://h/app/secret)",
        "http://u:secret@h/x?k=secret",
    ],
)
def test_a_secret_is_masked_whatever_stands_before_its_scheme(text: str) -> None:
    assert "secret" not in redact_text(text) and MASK in redact_text(text)


def test_what_is_no_url_at_all_is_masked_whole() -> None:
    assert redact_url("http://[::1") == MASK
    assert redact_source("http://h/a|b?k=secret") == "http://h/a|b?k=***"
    assert redact_source("film.mp4") == "film.mp4"


@pytest.mark.parametrize("url", ["http://bob@h/a.png", "http://h/a.png?v=1&Password=x", "https://h/?api_key=1", "http://[h/a.png"])
def test_a_sign_of_a_secret_in_an_address_is_seen(url: str) -> None:
    assert has_credentials(url) and not has_credentials("https://h/a.png?v=3&size=big#user")


def test_a_long_line_of_what_might_be_schemes_is_redacted_in_its_own_length() -> None:
    """A million letters: whatever looks from each of them to the end does not come back."""
    for piece in ("a.", "a", "1.", "a:", "://", "a://"):
        assert len(redact_text(piece * (1_000_000 // len(piece)))) > 1000
