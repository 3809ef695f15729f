"""Judging a stream of many joins in bounded memory: windows that overlap at joins, each judged as a stream of its own.

Rule: what was sent is known from the prepared clips as the independent judge reads them; access units are told apart by their bytes.
Nothing here shares code with the splicer but the clips' frame counts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from clips import read_numbers
from judge.decode import audio_samples, clicks, decode_faults
from judge.ts import FFMPEG_FILE, Track, TsReport, read_ts
from prepared import air, blocks_of, feed_of

from channeld.media.clip import PreparedClip
from channeld.ts.index import Block
from channeld.ts.splicer import Splicer

PACKET = 188
AAC_TICKS = 1920
_MOST_SKIPPED = 16


def unit_bytes(track: Track) -> list[bytes]:
    """The elementary stream bytes of each access unit."""
    units = track.units
    return [units.content[begin:end].tobytes() for begin, end in zip(units.begins, units.ends, strict=True)]


@dataclass(frozen=True, slots=True)
class Member:
    """A prepared clip as the judge reads it. `base` is the number in its first picture, None for real film."""

    name: str
    blocks: list[Block]
    pictures: list[bytes]
    sounds: list[bytes]
    audio_pts: list[int]
    """PTS of each audio unit after the first picture's, in ticks."""
    base: int | None

    def place_of(self, sound: bytes) -> int | None:
        """Which of the first audio units these bytes are; None where silence makes several the same."""
        first = self.sounds[:_MOST_SKIPPED]
        return first.index(sound) if first.count(sound) == 1 else None


def member(clip: PreparedClip, name: str, base: int | None = None) -> Member:
    """Read a prepared clip."""
    report = read_ts(clip.ts_path, allowances=FFMPEG_FILE)
    video, audio = report.video, report.audio
    assert video is not None and audio is not None
    after = (audio.units.pts - video.units.pts[0]).tolist()
    return Member(name, blocks_of(clip), unit_bytes(video), unit_bytes(audio), after, base)


@dataclass(slots=True)
class Window:
    """Some clips in a row as they went on air. `frames_before`: frames of the channel before the first of them."""

    frames_before: int
    members: list[Member] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    @property
    def stream(self) -> bytes:
        return b"".join(self.parts)

    @property
    def begins(self) -> list[int]:
        """Packet with which each clip begins."""
        sizes = [len(part) // PACKET for part in self.parts]
        return [int(begin) for begin in np.cumsum([0, *sizes[:-1]])]

    @property
    def frames(self) -> int:
        return sum(len(entry.pictures) for entry in self.members)


def windows(order: Iterable[Member], splicer: Splicer, *, joins: int) -> Iterator[Window]:
    """Send the clips in order, as fast as can be. Each window begins with the clip that ended the one before."""
    window = Window(0)
    for entry in order:
        window.members.append(entry)
        window.parts.append(air(splicer, feed_of(entry.blocks)))
        if len(window.members) == joins + 1:
            yield window
            before = window.frames_before + window.frames - len(entry.pictures)
            window = Window(before, [entry], window.parts[-1:])
    if len(window.members) > 1:
        yield window


@dataclass(slots=True)
class Verdict:
    """What is wrong with a window, and the A/V skew of its joins in ticks (sound late is positive)."""

    faults: list[str] = field(default_factory=list)
    skews: list[int] = field(default_factory=list)


def judge_window(window: Window, report: TsReport, *, first_dts: int) -> Verdict:
    """To the tick, every access unit of every clip, once and in order; the skew of each join that sound can tell."""
    verdict = Verdict(report.faults())
    video, audio = report.video, report.audio
    assert video is not None and audio is not None
    if (int(video.units.dts[0]) - first_dts) % (1 << 33):
        verdict.faults.append(f"the window begins at {video.units.dts[0]} instead of {first_dts}")
    if unit_bytes(video) != [picture for entry in window.members for picture in entry.pictures]:
        verdict.faults.append("the pictures are not those of the clips, each once and in order")
    sounds = unit_bytes(audio)
    bounds = np.searchsorted(audio.units.first_packet, window.begins).tolist()
    for number, entry in enumerate(window.members):
        first, end = bounds[number], [*bounds, len(sounds)][number + 1]
        frame = int(np.searchsorted(video.units.first_packet, window.begins[number]))
        _judge_sound(verdict, entry, sounds[first:end], int(audio.units.pts[first] - video.units.pts[frame]))
    return verdict


def _judge_sound(verdict: Verdict, entry: Member, aired: list[bytes], after_picture: int) -> None:
    """One clip's audio units are a run of the clip's own; `after_picture` is the first one's PTS minus the first picture's."""
    if aired[0] not in entry.sounds:
        verdict.faults.append(f"{entry.name}: its sound begins with a unit of something else")
        return
    place = entry.place_of(aired[0])
    if place is not None:
        verdict.skews.append(after_picture - entry.audio_pts[place])
        if entry.sounds[place : place + len(aired)] != aired:
            verdict.faults.append(f"{entry.name}: its sound has a hole or a repetition")


def decoded_faults(window: Window, path: Path) -> list[str]:
    """Decode a window as a player would: complaints, lost numbers, clicks. Leaves no file."""
    report = read_ts(window.stream)
    path.write_bytes(window.stream)
    found = decode_faults(path, frames=window.frames)
    expected: list[int | None] = []
    for entry in window.members:
        expected += [None if entry.base is None else entry.base + at for at in range(len(entry.pictures))]
    seen = read_numbers(path)
    told = [number if wanted is not None else None for number, wanted in zip(seen, expected, strict=False)]
    if told != expected:
        found.append(f"numbers read {told} instead of {expected}")
    assert report.audio is not None
    units = report.audio.units
    starts = units.pts[np.searchsorted(units.first_packet, window.begins[1:])]
    joins_s = [float(start - units.pts[0]) / 90_000 for start in starts]
    found += [f"click at {click.at_s:.3f} s: {click}" for click in clicks(audio_samples(path), joins_s)]
    path.unlink()
    return found
