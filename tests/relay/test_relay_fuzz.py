"""The parser of relay profiles under arbitrary text: one error or one safe list, never anything else."""

import re
import shlex

from hostile_arguments import HOSTILE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relay_profiles import profile

from channeld.relay.arguments import Arguments, parse
from channeld.relay.filter_table import FILTERS
from channeld.relay.filtergraph import Fault, read_chain
from channeld.relay.options import DECODERS, ENCODERS, INPUT, OUTPUT
from channeld.relay.profile import Hardware, OutputFormat, RelayProfile
from channeld.relay.refusal import ProfileRefused
from channeld.relay.render import render

# Fixed seeds: a suite that fails must fail again.
FUZZED = settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
URL = "http://192.0.2.1/live"
# A slash may stand in a fraction or a version, between factors of an expression, and in the name of a render node.
_RENDER_NODE = re.compile(r"/dev/dri/renderD[0-9]{1,3}")
_DIVISION = re.compile(r"(?<=[A-Za-z0-9)])/[-(]*(?=[0-9a-z])")
_PATHLIKE = re.compile(r"(^|[=:,'|@\s])\.{0,2}/|\.\.|://|\bfile|movie|concat|\btee\b|pipe")

_EXAMPLES = sorted({option.example for option in (*INPUT.values(), *OUTPUT.values()) if option.example})
_CHAINS = sorted(known.example for known in FILTERS.values())
_PIECES = sorted({word for args, _, _ in HOSTILE for word in args.split()})
_SUFFIXES = ("", ":v", ":a", ":s", ":v:0", ":x", ":s:a:0")
_CODECS = sorted({codec for table in (ENCODERS, DECODERS) for codecs in table.values() for codec in codecs})
_OPTION = st.builds(
    lambda name, suffix: f"-{name}{suffix}", st.sampled_from(sorted({*INPUT, *OUTPUT, "i", "vf", "acodec"})), st.sampled_from(_SUFFIXES)
)
_WORD = st.one_of(
    _OPTION, st.sampled_from(_EXAMPLES), st.sampled_from(_CHAINS), st.sampled_from(_CODECS), st.sampled_from(_PIECES), st.text()
)
_WORDS = st.lists(_WORD, max_size=20)


@st.composite
def _near_right(draw: st.DrawFn) -> str:
    """Lists that are right in most places: options of the tables with values of theirs, and sometimes one word that is not."""

    def some(table: dict[str, object], codecs: dict[str, tuple[str, ...]]) -> list[str]:
        words: list[str] = []
        for name in draw(st.lists(st.sampled_from(sorted(table)), max_size=6, unique=True)):
            option = {**INPUT, **OUTPUT}[name] if table is not INPUT else INPUT[name]
            kind = draw(st.sampled_from(sorted(option.specifiers.replace("m", "-"))))
            words.append(f"-{name}" + ("" if kind == "-" else f":{kind}"))
            if name == "c":
                words.append(draw(st.sampled_from(codecs.get(kind, ("copy",)))))
            elif name == "filter":
                words.append(",".join(draw(st.lists(st.sampled_from(_CHAINS), min_size=1, max_size=3))))
            elif option.example:
                words.append(option.example)
        return words

    words = [*some(INPUT, DECODERS), "-i", "{input_url}", *some(OUTPUT, ENCODERS)]
    words += [
        *draw(st.sampled_from([["-c:v:0", "libx264", "-c:a:0", "aac"], ["-vn", "-c:a:0", "aac"], []])),
        "-f",
        "mpegts",
        "{output_path}",
    ]
    if draw(st.booleans()):
        words.insert(draw(st.integers(0, len(words))), draw(_WORD))
    return shlex.join(words)


def _judge(given_profile: RelayProfile) -> Arguments | None:
    """The one error, or arguments that keep every promise."""
    try:
        parsed = parse(given_profile)
    except ProfileRefused as refused:
        assert refused.refusals and str(refused)
        return None
    words = render(given_profile, URL)
    assert words.count("-i") == 1 and words[words.index("-i") + 1] == URL
    assert sum(URL in word for word in words) == 1
    for word in (*parsed.input_options, *parsed.middle):
        assert word.isascii() and word.isprintable() and "{" not in word and "}" not in word
        bare = _DIVISION.sub("", _RENDER_NODE.sub("", word))
        assert "/" not in bare and not _PATHLIKE.search(bare), word
    _judge_again(given_profile, parsed)
    return parsed


def _judge_again(given_profile: RelayProfile, parsed: Arguments) -> None:
    """What was accepted passes the allow-list once more, as it stands, and comes out the same."""
    words = [*parsed.input_options, "-i", "{input_url}", *parsed.middle, "-f", "mpegts", "{output_path}"]
    again = parse(profile(shlex.join(words), hardware_acceleration=given_profile.hardware_acceleration))
    assert (again.input_options, again.middle) == (parsed.input_options, parsed.middle)


@FUZZED
@given(st.text(max_size=400), st.sampled_from(OutputFormat))
def test_any_text_is_refused_or_safe(text: str, output_format: OutputFormat) -> None:
    _judge(profile(text, output_format=output_format))


@FUZZED
@given(_WORDS, st.sampled_from(OutputFormat))
def test_any_mixture_of_known_words_is_refused_or_safe(words: list[str], output_format: OutputFormat) -> None:
    _judge(profile(shlex.join(["-i", "{input_url}", *words, "-f", "mpegts", "{output_path}"]), output_format=output_format))
    _judge(profile(" ".join(words), output_format=output_format))


_ACCEPTED: list[Arguments] = []


@FUZZED
@given(_near_right(), st.sampled_from(Hardware))
def test_a_list_that_is_nearly_right_is_refused_or_safe(args: str, hardware: Hardware) -> None:
    parsed = _judge(profile(args, hardware_acceleration=hardware))
    if parsed is not None:
        _ACCEPTED.append(parsed)


def test_the_fuzzing_of_nearly_right_lists_reached_the_accepting_side() -> None:
    """A property that holds for refusals alone would say nothing."""
    if not _ACCEPTED:
        test_a_list_that_is_nearly_right_is_refused_or_safe()
    assert len(_ACCEPTED) > 30
    assert len({parsed.middle for parsed in _ACCEPTED}) > 20


@FUZZED
@given(
    st.one_of(
        st.text(max_size=80), st.lists(st.one_of(st.sampled_from(_CHAINS), st.text("=:,'\\[];wh()iw/*2. ", max_size=12))).map(",".join)
    ),
    st.sampled_from("va"),
)
def test_any_chain_of_filters_is_refused_or_comes_out_in_one_writing(text: str, medium: str) -> None:
    chain = read_chain(text, medium)
    if not isinstance(chain, Fault):
        assert read_chain(chain, medium) == chain


@FUZZED
@given(st.text(max_size=200))
def test_any_url_is_refused_or_the_one_input(url: str) -> None:
    for candidate in (url, f"http://{url}", f"rtsp://host/{url}"):
        try:
            words = render(profile(), candidate)
        except ProfileRefused:
            continue
        assert words[words.index("-i") + 1] == candidate and candidate.isascii() and " " not in candidate
