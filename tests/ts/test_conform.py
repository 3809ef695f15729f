"""The gate of prepared clips: what real FFmpeg writes with the house's options passes, each broken rule is refused by its name."""

import itertools
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import numbered_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.ts import read_ts
from judge_tests.streams import PACKET, join, packets, pid_of, restamp, shift, stamp, units
from prepared import TINY, air, feed_of, stream_format

from channeld.base.errors import StreamError
from channeld.media.ffmpeg_args import Sound, Voice, prepare_args
from channeld.media.plan import Plan
from channeld.media.probe import probe
from channeld.media.profile import COMPOSITION_DELAY, Profile
from channeld.media.tools import find_tools
from channeld.ts.conform import Conformer, StreamRules, audio_unit_packets
from channeld.ts.index import Block
from channeld.ts.nal import ParameterSets
from channeld.ts.splicer import Splicer

FRAMES, GOP = 60, 25
VIDEO, AUDIO = 0x100, 0x101
RULES = StreamRules(TINY.fps, GOP, COMPOSITION_DELAY)
Parts = list[bytearray]


def encode(source: Path, profile: Profile, *options: str) -> bytes:
    """A source through FFmpeg as prepare runs it, before anything of ours reads it; `options` come last and win."""
    tools, facts = find_tools(), probe(source)
    assert facts.video is not None
    plan = Plan(0.0, 0.0, FRAMES, FRAMES)
    argv = prepare_args(source, facts.video, Voice(source, facts.audio[0].index, plan), plan, profile, Sound(), tools)
    return subprocess.run([*argv[:-1], *options, argv[-1]], capture_output=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("conform") / "source.mkv", frames=FRAMES, size=(320, 180))


@pytest.fixture(scope="module")
def raw(source: Path) -> bytes:
    return encode(source, TINY)


def conform(stream: bytes, rules: StreamRules = RULES) -> list[Block]:
    conformer = Conformer(rules)
    return [*conformer.feed(stream), *conformer.finish()]


def is_same(left: list[Block], right: list[Block]) -> bool:
    return len(left) == len(right) and all(
        (one.number, one.ts, one.audio_offset) == (two.number, two.ts, two.audio_offset)
        and np.array_equal(one.video, two.video)
        and np.array_equal(one.audio, two.audio)
        for one, two in zip(left, right, strict=True)
    )


def test_what_prepare_has_ffmpeg_write_passes_and_splices(raw: bytes) -> None:
    blocks = conform(raw)
    assert sum(len(block.video) for block in blocks) == FRAMES
    splicer = Splicer(stream_format())
    assert read_ts(air(splicer, feed_of(blocks)) + air(splicer, feed_of(blocks))).faults() == []


def test_pictures_wait_for_their_sound_until_too_much_of_them_waits(raw: bytes) -> None:
    """As where a file's sound ends: what comes late is waited for, but not in endless memory."""
    parts = packets(raw)
    sounds = [number for number, part in enumerate(parts) if pid_of(part) == AUDIO]
    stream = join([part for number, part in enumerate(parts) if number not in sounds[10:]])
    waiting, full = (Conformer(replace(RULES, block_seconds=1.0)) for _ in range(2))
    full.max_pending_packets = len(stream) // PACKET * 3 // 2
    assert waiting.feed(stream) == []
    (block,) = full.feed(stream)
    assert len(block.video) == GOP and 0 < len(block.audio) < 40


def test_blocks_are_whole_gops_with_all_the_audio_that_their_pictures_need(raw: bytes) -> None:
    blocks = conform(raw, replace(RULES, block_seconds=1.0))
    assert [len(block.video) for block in blocks] == [25, 25, 10]
    assert [block.number for block in blocks] == [0, 1, 2]
    splicer = Splicer(stream_format())
    feed = feed_of(blocks)
    assert read_ts(air(splicer, feed)).faults() == []
    sounds = sum(len(block.audio) for block in blocks)
    assert sounds == sum(len(block.audio) for block in conform(raw))


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.floats(0, 1), max_size=40))
def test_bytes_may_come_in_pieces_of_any_length(raw: bytes, cuts: list[float]) -> None:
    rules = replace(RULES, block_seconds=1.0)
    conformer, blocks = Conformer(rules), []
    for begin, end in itertools.pairwise([0, *sorted(int(cut * len(raw)) for cut in cuts), len(raw)]):
        blocks += conformer.feed(raw[begin:end])
    assert is_same([*blocks, *conformer.finish()], conform(raw, rules))


@pytest.mark.parametrize("place_s", [0.0, 0.01, 1.0, 2.39])
def test_a_source_whose_clock_wraps_within_gives_the_same_tables(raw: bytes, place_s: float) -> None:
    parts = packets(raw)
    first = stamp(parts[units(parts, VIDEO)[0][0]], "pts")
    wrapped = shift(parts, (1 << 33) - first - round(place_s * 90_000))
    for one, two in zip(conform(raw), conform(join(wrapped)), strict=True):
        assert one.audio_offset == two.audio_offset
        assert np.array_equal(one.video, two.video)
        assert np.array_equal(one.audio, two.audio)


def without(parts: Parts, pid: int, number: int) -> Parts:
    gone = set(units(parts, pid)[number])
    return [packet for at, packet in enumerate(parts) if at not in gone]


def picture_missing(parts: Parts) -> Parts:
    return without(parts, VIDEO, 7)


def picture_doubled(parts: Parts) -> Parts:
    unit = units(parts, VIDEO)[7]
    return [*parts[: unit[-1] + 1], *(bytearray(parts[at]) for at in unit), *parts[unit[-1] + 1 :]]


def picture_restamped(parts: Parts) -> Parts:
    packet = parts[units(parts, VIDEO)[7][0]]
    restamp(packet, "pts", stamp(packet, "pts") + 3600)
    return parts


def sound_missing(parts: Parts) -> Parts:
    return without(parts, AUDIO, 20)


def sound_restamped(parts: Parts) -> Parts:
    packet = parts[units(parts, AUDIO)[20][0]]
    restamp(packet, "pts", stamp(packet, "pts") + 1)
    return parts


def sound_late(parts: Parts) -> Parts:
    for _ in range(4):
        parts = without(parts, AUDIO, 0)
    return parts


def sound_all_gone(parts: Parts) -> Parts:
    return [packet for packet in parts if pid_of(packet) != AUDIO]


def sound_ends_early(parts: Parts) -> Parts:
    for _ in range(30):
        parts = without(parts, AUDIO, -1)
    return parts


def units_interleaved(parts: Parts) -> Parts:
    unit = next(unit for unit in units(parts, VIDEO) if len(unit) > 2)
    sound = units(parts, AUDIO)[0][0]
    parts.insert(unit[1], bytearray(parts[sound]))
    return parts


def payload_missing(parts: Parts) -> Parts:
    at = next(unit for unit in units(parts, VIDEO) if len(unit) > 2)[1]
    empty = bytearray(parts[at][:4].ljust(PACKET, b"\xff"))
    empty[1], empty[3], empty[4], empty[5] = empty[1] & 0x1F, 0x20, PACKET - 5, 0
    parts.insert(at, empty)
    return parts


def begins_within_a_unit(parts: Parts) -> Parts:
    return parts[next(at for at, packet in enumerate(parts) if pid_of(packet) == VIDEO) + 1 :]


def pes_start_gone(parts: Parts) -> Parts:
    packet = parts[units(parts, AUDIO)[5][0]]
    packet[(4 + packet[4] + 1 if packet[3] & 0x20 else 4) + 2] = 0
    return parts


def sync_lost(parts: Parts) -> Parts:
    parts[30][0] = 0
    return parts


def parameter_sets_changed(parts: Parts) -> Parts:
    return _in_second_key_frame(parts, b"\x00\x00\x01\x67", 6)


def parameter_sets_missing(parts: Parts) -> Parts:
    return _in_second_key_frame(parts, b"\x00\x00\x01\x68", 3)


def _in_second_key_frame(parts: Parts, code: bytes, offset: int) -> Parts:
    """Change one byte behind a start code of the second key frame."""
    for at in units(parts, VIDEO)[GOP]:
        place = parts[at].find(code)
        if place >= 0:
            parts[at][place + offset] ^= 0x01
            return parts
    raise AssertionError("no such NAL unit")


BROKEN: list[tuple[Callable[[Parts], Parts], str]] = [
    (picture_missing, "missing, doubled"),
    (picture_doubled, "missing, doubled"),
    (picture_restamped, "missing, doubled"),
    (sound_missing, "audio unit 20 is off"),
    (sound_restamped, "audio unit 20 is off"),
    (sound_late, "audio begins"),
    (sound_all_gone, "no audio"),
    (sound_ends_early, "audio ends before"),
    (units_interleaved, "interleaved"),
    (payload_missing, "without payload"),
    (begins_within_a_unit, "does not begin with an access unit"),
    (pes_start_gone, "without start code"),
    (sync_lost, "sync byte"),
    (parameter_sets_changed, "parameter sets differ"),
    (parameter_sets_missing, "exactly one SPS and one PPS"),
]


@pytest.mark.parametrize(("breaks", "told"), BROKEN, ids=[breaks.__name__ for breaks, _ in BROKEN])
def test_a_broken_stream_is_refused_by_the_rule_that_it_breaks(raw: bytes, breaks: Callable[[Parts], Parts], told: str) -> None:
    with pytest.raises(StreamError, match=told):
        conform(join(breaks(packets(raw))))


def test_a_stream_cut_within_a_packet_is_refused(raw: bytes) -> None:
    with pytest.raises(StreamError, match="within a packet"):
        conform(raw[:-1])


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (replace(RULES, composition_delay=0), "reordered further"),
        (replace(RULES, composition_delay=2), "DTS is not decode order"),
        (replace(RULES, gop_frames=20), "GOP grid"),
        (replace(RULES, parameter_sets=ParameterSets(b"\x67\x64", b"\x68\xee")), "parameter sets differ"),
    ],
)
def test_a_stream_of_another_house_is_refused(raw: bytes, rules: StreamRules, told: str) -> None:
    with pytest.raises(StreamError, match=told):
        conform(raw, rules)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-pcr_period", "200"), "PCRs are too far"),
        (("-pes_payload_size", "3000", "-muxdelay", "0.7"), "off the 1920-tick grid|audio begins"),
        (("-bf", "0"), "DTS is not decode order"),
    ],
)
def test_ffmpeg_with_other_options_is_refused(source: Path, options: tuple[str, ...], told: str) -> None:
    profile = TINY
    if options[0] == "-bf":
        options = ("-x264-params", f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=0")
    with pytest.raises(StreamError, match=told):
        conform(encode(source, profile, *options))


def test_sound_that_ends_early_goes_on_in_silence(raw: bytes) -> None:
    silent = audio_unit_packets(conform(raw)[0], 4)
    blocks = conform(join(sound_ends_early(packets(raw))), replace(RULES, silent_frame=silent))
    seconds = sum(len(block.audio) for block in blocks) * 1024 / 48_000
    assert seconds >= FRAMES / 25 + 0.2
    splicer = Splicer(stream_format())
    assert read_ts(air(splicer, feed_of(blocks)) + air(splicer, feed_of(blocks))).faults() == []


def test_the_first_pair_of_parameter_sets_becomes_the_reference(raw: bytes) -> None:
    first = Conformer(RULES)
    first.feed(raw)
    first.finish()
    assert first.parameter_sets is not None
    assert conform(raw, replace(RULES, parameter_sets=first.parameter_sets))


def test_a_stream_without_pictures_gives_nothing(raw: bytes) -> None:
    assert conform(join([packet for packet in packets(raw) if pid_of(packet) != VIDEO])) == []
