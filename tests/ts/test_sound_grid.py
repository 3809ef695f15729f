"""Sound of a live encoder in its places: holes, repeats, late beginnings, and a real source that changes its channels."""

import random
import subprocess
from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.decode import decode_faults
from judge.ts import SPLICED, read_ts
from prepared import TINY
from test_conform import FRAMES, GOP, RULES, encode
from test_live_conform import FPS, aired

from channeld.base.errors import StreamError
from channeld.base.units import AAC_FRAME_TICKS
from channeld.media.ffmpeg_args import live_args
from channeld.media.live_input import LiveInput
from channeld.media.profile import COMPOSITION_DELAY
from channeld.media.tools import find_tools
from channeld.ts import packet as tsp
from channeld.ts.conform import Conformer, StreamRules, audio_unit_packets, find_units
from channeld.ts.index import Block
from channeld.ts.live_conform import LiveConformer
from channeld.ts.packet import AUDIO_PID, VIDEO_PID
from channeld.ts.sound_grid import MAX_UNITS, SoundGrid
from channeld.ts.timeline import WRAP_TICKS, write_timestamps

Unit = list[int]
"""Rows of packets."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(clips.numbered_clip(tmp_path_factory.mktemp("grid") / "source.mkv", frames=FRAMES, size=(320, 180)), TINY)


@pytest.fixture(scope="module")
def rules(raw: bytes) -> StreamRules:
    conformer = Conformer(RULES)
    blocks = [*conformer.feed(raw), *conformer.finish()]
    return StreamRules(TINY.fps, GOP, COMPOSITION_DELAY, conformer.parameter_sets, audio_unit_packets(blocks[0], 10))


def packets_of(stream: bytes) -> tsp.Packets:
    packets = tsp.as_packets(stream)
    pids = tsp.pids(packets)
    return packets[(pids == VIDEO_PID) | (pids == AUDIO_PID)].copy()


def moved(stream: bytes, change: dict[int, int]) -> tsp.Packets:
    """The packets, with the PTS of some audio units (by number) changed by so many ticks."""
    packets = packets_of(stream)
    sound = find_units(packets)[1]
    for number, ticks in change.items():
        at = np.array([number])
        write_timestamps(packets, sound.rows[at], sound.pts_at[at], sound.pts[at] + ticks, prefix=2)
    return packets


def placed(packets: tsp.Packets, silent_unit: bytes, seed: int = 1) -> tsp.Packets:
    """What comes out of a grid that takes the packets in pieces of any length."""
    grid, dice, parts, at = SoundGrid(silent_unit), random.Random(seed), [], 0
    while at < len(packets):
        step = dice.randint(1, 60)
        parts.append(grid.place(packets[at : at + step]))
        at += step
    return np.concatenate(parts)


def places(packets: tsp.Packets) -> list[int]:
    """Steps from one audio unit to the next."""
    return (np.diff(find_units(packets)[1].pts) % WRAP_TICKS).tolist()


def silent_places(packets: tsp.Packets, silent_unit: bytes) -> list[int]:
    """Numbers of the audio units that are the silent one."""
    body = silent_unit[-100:]
    sound = find_units(packets)[1]
    last = sound.rows + sound.counts - 1
    return [number for number, row in enumerate(last) if packets[row].tobytes()[-100:] == body]


def test_sound_in_its_places_is_left_as_it_is(raw: bytes, rules: StreamRules) -> None:
    packets = packets_of(raw)
    assert placed(packets, rules.silent_frame or b"").tobytes() == packets.tobytes()


@settings(max_examples=30, deadline=None)
@given(jitter=st.lists(st.integers(-1300, 1300), min_size=40, max_size=40), seed=st.integers(0, 100))
def test_what_is_nearly_in_its_place_is_put_there(raw: bytes, rules: StreamRules, jitter: list[int], seed: int) -> None:
    change = dict(enumerate([0, *jitter]))
    went = placed(moved(raw, change), rules.silent_frame or b"", seed)
    assert went.tobytes() == packets_of(raw).tobytes()


@pytest.mark.parametrize("units", [1, 3, 40])
@pytest.mark.parametrize("off", [0, 400, -400])
def test_a_hole_is_filled_with_silence(raw: bytes, rules: StreamRules, units: int, off: int) -> None:
    """As behind a change of the source's channels, in no whole number of units."""
    count = len(find_units(packets_of(raw))[1].rows)
    went = placed(moved(raw, dict.fromkeys(range(20, count), units * AAC_FRAME_TICKS + off)), rules.silent_frame or b"")
    assert set(places(went)) == {AAC_FRAME_TICKS}
    assert len(find_units(went)[1].rows) == count + units
    assert set(range(20, 20 + units)) <= set(silent_places(went, rules.silent_frame or b""))


@pytest.mark.parametrize("units", [1, 5])
def test_what_comes_twice_is_left_out_whole(raw: bytes, rules: StreamRules, units: int) -> None:
    count = len(find_units(packets_of(raw))[1].rows)
    went = placed(moved(raw, dict.fromkeys(range(20, count), -units * AAC_FRAME_TICKS)), rules.silent_frame or b"")
    assert set(places(went)) == {AAC_FRAME_TICKS}
    assert len(find_units(went)[1].rows) == count - units
    assert len(find_units(went)[0].rows) == len(find_units(packets_of(raw))[0].rows), "pictures stay"


def test_sound_that_begins_later_than_the_pictures_has_silence_before_it(raw: bytes, rules: StreamRules) -> None:
    packets = packets_of(raw)
    rows = np.flatnonzero(tsp.starts_unit(packets))
    is_sound = tsp.pids(packets[rows]) == AUDIO_PID
    early = is_sound & (np.cumsum(is_sound) <= 30)
    packets = packets[np.repeat(~early, np.diff(np.append(rows, len(packets))))]
    video, sound = find_units(placed(packets, rules.silent_frame or b""))
    assert -AAC_FRAME_TICKS < int(sound.pts[0]) - int(video.pts[0]) <= 0
    assert set(np.diff(sound.pts).tolist()) == {AAC_FRAME_TICKS}


def test_over_the_wrap_of_the_clock_nothing_changes(raw: bytes, rules: StreamRules) -> None:
    packets = packets_of(raw)
    for units in find_units(packets):
        prefix = packets[units.rows, units.pts_at].astype(np.int64) >> 4
        write_timestamps(packets, units.rows, units.pts_at, units.pts + WRAP_TICKS - 200_000, prefix=prefix)
    assert placed(packets, rules.silent_frame or b"").tobytes() == packets.tobytes()


def test_a_hole_that_is_too_long_is_refused(raw: bytes, rules: StreamRules) -> None:
    with pytest.raises(StreamError, match="s of sound are missing"):
        placed(moved(raw, {30: (MAX_UNITS + 2) * AAC_FRAME_TICKS}), rules.silent_frame or b"")


@settings(max_examples=40, deadline=None)
@given(
    written=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 187), st.integers(0, 255)), min_size=1, max_size=8),
    seed=st.integers(0, 100),
)
def test_a_damaged_stream_is_refused_or_has_its_sound_in_places(
    raw: bytes, rules: StreamRules, written: list[tuple[int, int, int]], seed: int
) -> None:
    rows = bytearray(raw)
    for row, column, value in written:
        rows[row % (len(raw) // 188) * 188 + column] = value
    conformer, dice, blocks, at = LiveConformer(rules, is_encoded=True), random.Random(seed), [], 0
    try:
        while at < len(rows):
            step = dice.randint(1, 9000)
            blocks += conformer.feed(bytes(rows[at : at + step]))
            at += step
        blocks += conformer.finish()
    except StreamError:
        pass
    sound = [len(block.audio) for block in blocks]
    assert sum(sound) <= 2 * MAX_UNITS


def test_a_source_that_changes_its_channels_again_and_again_is_heard_in_time(tmp_path: Path, rules: StreamRules) -> None:
    """By the very command of a live source, but that it reads a file; its samples begin at no multiple of a unit behind each change."""
    parts = []
    for number, channels in enumerate((2, 6, 2, 1, 6)):
        louder = "0dB" if channels < 6 else "-7.6dB"
        part = clips.numbered_clip(
            tmp_path / f"{number}.ts",
            frames=75,
            base=100 * number,
            size=(320, 180),
            acodec="ac3",
            channels=channels,
            options=("-filter:a", f"volume={louder}", "-output_ts_offset", str(3 * number)),
        )
        parts.append(part.read_bytes())
    (source := tmp_path / "changes.ts").write_bytes(b"".join(parts))
    argv = live_args(LiveInput(f"file:{source}", {}), TINY, find_tools(), has_sound=True)
    stream = subprocess.run(argv, capture_output=True, check=True, timeout=120).stdout
    conformer = LiveConformer(replace(rules, parameter_sets=None), is_encoded=True)
    blocks: list[Block] = []
    for at in range(0, len(stream), 5000):
        blocks += conformer.feed(stream[at : at + 5000])
    (went := tmp_path / "went.ts").write_bytes(aired([*blocks, *conformer.finish()]))
    assert read_ts(went.read_bytes(), fps=FPS, allowances=SPLICED).faults() == []
    assert decode_faults(went) == []
    numbers = clips.read_numbers(went)
    assert len(numbers) >= 5 * 75 - 8
    offsets = clips.av_sync(went)
    assert len(offsets) >= 14 and max(map(abs, offsets)) < 30.0
