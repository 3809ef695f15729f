"""The gate of live sources: what comes is cut into blocks as it comes, and whatever is cut off leaves only whole pictures behind."""

import itertools
import random
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import numbered_clip, read_numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.decode import decode_faults
from judge.ts import SPLICED, read_ts
from prepared import TINY, PreparedShelf, blocks_of, stream_format
from test_conform import FRAMES, GOP, encode

from channeld.base.errors import StreamError
from channeld.media.profile import COMPOSITION_DELAY
from channeld.ts import packet as tsp
from channeld.ts.conform import Conformer, StreamRules, audio_unit_packets
from channeld.ts.index import IS_RANDOM_ACCESS, Block
from channeld.ts.live_conform import LiveConformer
from channeld.ts.splicer import ClipFeed, Splicer
from channeld.ts.timeline import read_timestamps, write_timestamps

FPS = Fraction(TINY.fps.num, TINY.fps.den)
RULES = StreamRules(TINY.fps, GOP, COMPOSITION_DELAY)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(numbered_clip(tmp_path_factory.mktemp("live") / "source.mkv", frames=FRAMES, size=(320, 180)), TINY)


@pytest.fixture(scope="module")
def rules(raw: bytes) -> StreamRules:
    """As of a profile whose silent frame and parameter sets are known."""
    conformer = Conformer(RULES)
    blocks = [*conformer.feed(raw), *conformer.finish()]
    return StreamRules(TINY.fps, GOP, COMPOSITION_DELAY, conformer.parameter_sets, audio_unit_packets(blocks[0], 10))


def fed(stream: bytes, rules: StreamRules, *, seed: int = 1, has_free_gops: bool = False, has_sound: bool = True) -> list[Block]:
    """The blocks of a stream that comes in pieces of any length."""
    conformer, dice, blocks, at = LiveConformer(rules, has_free_gops=has_free_gops, has_sound=has_sound), random.Random(seed), [], 0
    while at < len(stream):
        step = dice.randint(1, 9000)
        blocks += conformer.feed(stream[at : at + step])
        at += step
    return blocks + conformer.finish()


def aired(blocks: list[Block]) -> bytes:
    """All of it through a splicer."""
    splicer, feed = Splicer(stream_format()), ClipFeed()
    for block in blocks:
        feed.append(block)
    splicer.join(feed)
    sent = b""
    while (piece := splicer.next_slice(feed, 5)) is not None:
        sent += piece.packets.tobytes()
    return sent


def test_a_live_stream_comes_out_whole_in_short_blocks(raw: bytes, rules: StreamRules, tmp_path: Path) -> None:
    blocks = fed(raw, rules)
    assert sum(len(block.video) for block in blocks) >= FRAMES - 4  # the last pictures cannot be told from cut off ones
    assert len(blocks) > 4 and [block.number for block in blocks] == list(range(len(blocks)))
    sent = aired(blocks)
    assert read_ts(sent, fps=FPS, allowances=SPLICED).faults() == []
    came, went = tmp_path / "came.ts", tmp_path / "went.ts"
    came.write_bytes(raw)
    went.write_bytes(sent)
    numbers = read_numbers(went)
    assert numbers == read_numbers(came)[: len(numbers)] and len(numbers) >= FRAMES - 4


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 1000))
def test_a_stream_that_breaks_off_anywhere_leaves_whole_pictures(raw: bytes, rules: StreamRules, share: float, seed: int) -> None:
    blocks = fed(raw[: int(len(raw) * share)], rules, seed=seed)
    if blocks:
        sent = aired(blocks)
        faults = read_ts(sent, fps=FPS, allowances=SPLICED).faults()
        assert faults == []


def without_sound(stream: bytes, later_ticks: int = 0) -> bytes:
    """The pictures alone, shown so much later."""
    packets = tsp.as_packets(stream[: len(stream) // 188 * 188])
    packets = packets[tsp.pids(packets) != tsp.AUDIO_PID].copy()
    rows = np.flatnonzero(tsp.starts_unit(packets) & (tsp.pids(packets) == tsp.VIDEO_PID))
    at = tsp.payload_offsets(packets[rows]) + 9
    prefix = packets[rows, at].astype(np.int64) >> 4
    write_timestamps(packets, rows, at, read_timestamps(packets, rows, at) + later_ticks, prefix=prefix)
    both = prefix == 3
    write_timestamps(packets, rows[both], at[both] + 5, read_timestamps(packets, rows[both], at[both] + 5) + later_ticks, prefix=1)
    return packets.tobytes()


@pytest.mark.parametrize("later_ticks", [0, (1 << 33) - 150_000])
def test_pictures_without_sound_get_silence_that_lasts_as_long(
    raw: bytes, rules: StreamRules, prepared: PreparedShelf, tmp_path: Path, later_ticks: int
) -> None:
    rules = replace(rules, silent_frame=audio_unit_packets(blocks_of(prepared.filler(TINY))[0], 3))
    blocks = fed(without_sound(raw, later_ticks), rules, has_sound=False)
    assert sum(len(block.video) for block in blocks) >= FRAMES - 4
    with_sound = fed(raw, rules)
    assert len(blocks) >= len(with_sound), "nothing waits for the silence"
    assert abs(sum(len(block.audio) for block in blocks) - sum(len(block.audio) for block in with_sound)) <= 4
    sent = aired(blocks)
    assert read_ts(sent, fps=FPS, allowances=SPLICED).faults() == []
    went = tmp_path / "went.ts"
    went.write_bytes(sent)
    assert decode_faults(went) == []
    heard = subprocess.run(
        ["ffmpeg", "-v", "info", "-i", str(went), "-af", "volumedetect", "-vn", "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "max_volume: -91.0 dB" in heard.stderr


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 1000))
def test_pictures_without_sound_may_break_off_anywhere(raw: bytes, rules: StreamRules, share: float, seed: int) -> None:
    blocks = fed(without_sound(raw[: int(len(raw) * share)]), rules, seed=seed, has_sound=False)
    if blocks:
        assert read_ts(aired(blocks), fps=FPS, allowances=SPLICED).faults() == []


def test_pictures_that_jump_are_refused_and_no_silence_is_made_for_the_hole(raw: bytes, rules: StreamRules) -> None:
    alone, half = without_sound(raw), without_sound(raw, 90_000 * 3600)
    with pytest.raises(StreamError, match="behind those before it"):
        fed(alone + half, rules, has_sound=False)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), has_sound=st.booleans())
def test_garbage_is_refused_by_its_error_and_nothing_else(raw: bytes, rules: StreamRules, data: st.DataObject, has_sound: bool) -> None:
    damaged = bytearray(raw if has_sound else without_sound(raw))
    for _ in range(data.draw(st.integers(1, 20))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        fed(bytes(damaged), rules, has_sound=has_sound)
    except StreamError:
        return


def test_a_source_that_is_copied_may_have_its_key_frames_anywhere(tmp_path: Path, rules: StreamRules) -> None:
    source = numbered_clip(tmp_path / "source.mkv", frames=FRAMES, size=(320, 180))
    stream = encode(source, TINY, "-force_key_frames", "0,0.52,1.4")
    with pytest.raises(StreamError, match="GOP grid"):
        fed(stream, rules)
    blocks = fed(stream, rules, has_free_gops=True)
    keys = np.concatenate([block.video["flags"] & IS_RANDOM_ACCESS for block in blocks])
    assert np.flatnonzero(keys).tolist() == [0, 13, 35]
    assert read_ts(aired(blocks), fps=FPS, allowances=SPLICED).faults() == []


def test_pictures_before_the_first_sound_are_left_out(raw: bytes, rules: StreamRules) -> None:
    packets = [raw[at : at + 188] for at in range(0, len(raw), 188)]
    # Half a second of sound is missing: what begins is the key frame behind it.
    sounds = [number for number, packet in enumerate(packets) if (packet[1] & 0x1F, packet[2]) == (1, 1)]
    without = set(sounds[: len(sounds) // 4])
    blocks = fed(b"".join(packet for number, packet in enumerate(packets) if number not in without), rules, has_free_gops=True)
    assert 0 < sum(len(block.video) for block in blocks) < FRAMES - GOP + 2
    assert read_ts(aired(blocks), fps=FPS, allowances=SPLICED).faults() == []


def test_pictures_without_sound_are_refused_in_the_end(raw: bytes, rules: StreamRules) -> None:
    packets = [raw[at : at + 188] for at in range(0, len(raw), 188)]
    silent = b"".join(packet for packet in packets if (packet[1] & 0x1F, packet[2]) != (1, 1))
    conformer = LiveConformer(rules)
    with pytest.raises(StreamError, match="alone"):
        for _ in range(200):
            conformer.feed(silent)


def test_each_picture_is_told_once_as_it_comes_with_its_time(raw: bytes, rules: StreamRules) -> None:
    conformer, came = LiveConformer(rules), list[int]()
    for at in range(0, len(raw), 5000):
        conformer.feed(raw[at : at + 5000])
        came += conformer.arrived()
    assert len(came) == FRAMES
    assert {(after - before) % 2**33 for before, after in itertools.pairwise(came)} == {round(90_000 / FPS)}
