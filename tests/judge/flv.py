"""The judge of FLV files as recorded from RTMP: tags, timestamps, sequence headers.

Rule: Adobe's FLV specification 10.1, annex E; timestamps are whole milliseconds, so a grid is accepted in its rounding to them.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .steps import Ints, grid_faults, listing, unwrap

_AUDIO, _VIDEO, _SCRIPT = 8, 9, 18
_AVC, _AAC = 7, 10
_HEADER, _MEDIA = 0, 1
_AAC_FRAME_MS = Fraction(1024, 48)


@dataclass(frozen=True, slots=True)
class FlvTrack:
    """One track: its media tags' times in ms, unwrapped, and its sequence headers as sent."""

    dts_ms: Ints
    pts_ms: Ints
    key_frames: tuple[int, ...]
    """Numbers of the tags that are key frames."""
    headers: tuple[bytes, ...]
    """Every sequence header tag, repetitions included."""

    @property
    def distinct_headers(self) -> int:
        """How many different sequence headers there are."""
        return len(set(self.headers))


@dataclass(frozen=True, slots=True)
class FlvReport:
    """Everything read from an FLV file."""

    video: FlvTrack
    audio: FlvTrack
    syntax: tuple[str, ...]

    def faults(self, fps: Fraction, *, slack_ms: int = 0) -> list[str]:
        """Everything wrong with the file, a sentence each; empty when it is clean.

        Rounding to whole milliseconds is always accepted (33, 33, 34); `slack_ms` is what may come on top of it.
        """
        found = list(self.syntax)
        for name, track in (("video", self.video), ("audio", self.audio)):
            if not len(track.dts_ms):
                found.append(f"there is no {name}")
            if track.distinct_headers != 1:
                found.append(f"{name} has {track.distinct_headers} different sequence headers")
        if self.video.key_frames[:1] != (0,):
            found.append("video does not begin with a key frame")
        step = 1000 / fps
        found += grid_faults(self.video.dts_ms, step, what="video DTS in ms", slack=slack_ms)
        shown = np.sort(self.video.pts_ms)
        shown = shown[shown <= self.video.dts_ms[-1]] if len(shown) else shown  # a recording ends anywhere
        found += grid_faults(shown, step, what="video PTS in ms", slack=slack_ms)
        return found + grid_faults(self.audio.dts_ms, _AAC_FRAME_MS, what="audio in ms", slack=slack_ms)


@dataclass(frozen=True, slots=True)
class _Tag:
    kind: int
    time_ms: int
    body: bytes


def read_flv(path: Path) -> FlvReport:
    """Read a file; one cut off within its last tag is accepted, as recordings are."""
    raw = path.read_bytes()
    syntax: list[str] = []
    if len(raw) < 13 or raw[:4] != b"FLV\x01" or raw[5:13] != b"\0\0\0\x09\0\0\0\0":
        syntax.append("does not begin with an FLV header")
        return FlvReport(_video([], syntax), _audio([], syntax), tuple(syntax))
    tags = _tags(raw, syntax)
    video, audio = (_track_tags(tags, kind) for kind in (_VIDEO, _AUDIO))
    strangers = [f"{tag.kind} at {tag.time_ms} ms" for tag in tags if tag.kind not in (_VIDEO, _AUDIO, _SCRIPT)]
    if strangers:
        syntax.append(f"unknown tags: {listing(strangers)}")
    return FlvReport(_video(video, syntax), _audio(audio, syntax), tuple(syntax))


def _track_tags(tags: list[_Tag], kind: int) -> list[_Tag]:
    return [tag for tag in tags if tag.kind == kind and len(tag.body) >= 2]


def _tags(raw: bytes, syntax: list[str]) -> list[_Tag]:
    found: list[_Tag] = []
    at = 13
    while at + 15 <= len(raw):
        kind = raw[at] & 0x1F
        size = int.from_bytes(raw[at + 1 : at + 4], "big")
        end = at + 11 + size
        if end + 4 > len(raw):
            break
        if int.from_bytes(raw[end : end + 4], "big") != 11 + size:
            syntax.append(f"tag {len(found)} has a wrong size after it")
            break
        time_ms = raw[at + 7] << 24 | int.from_bytes(raw[at + 4 : at + 7], "big")
        found.append(_Tag(kind, time_ms, raw[at + 11 : end]))
        at = end + 4
    return found


def _video(tags: list[_Tag], syntax: list[str]) -> FlvTrack:
    others = {tag.body[0] & 15 for tag in tags} - {_AVC}
    if others:
        syntax.append(f"video codec ids other than AVC: {sorted(others)}")
    tags = [tag for tag in tags if tag.body[0] & 15 == _AVC and len(tag.body) >= 5]
    media = [tag for tag in tags if tag.body[1] == _MEDIA]
    first = next((i for i, tag in enumerate(tags) if tag.body[1] == _HEADER), len(tags))
    early = [tag.time_ms for tag in tags[:first] if tag.body[1] == _MEDIA]
    if early:
        syntax.append(f"video before its sequence header at {listing(early)} ms")
    dts = _times(media)
    ahead = np.array([struct.unpack(">i", tag.body[2:5] + b"\0")[0] >> 8 for tag in media], dtype=np.int64)
    keys = tuple(i for i, tag in enumerate(media) if tag.body[0] >> 4 == 1)
    return FlvTrack(dts, dts + ahead, keys, tuple(tag.body for tag in tags if tag.body[1] == _HEADER))


def _audio(tags: list[_Tag], syntax: list[str]) -> FlvTrack:
    others = {tag.body[0] >> 4 for tag in tags} - {_AAC}
    if others:
        syntax.append(f"audio codec ids other than AAC: {sorted(others)}")
    tags = [tag for tag in tags if tag.body[0] >> 4 == _AAC]
    dts = _times([tag for tag in tags if tag.body[1] == _MEDIA])
    return FlvTrack(dts, dts, tuple(range(len(dts))), tuple(tag.body for tag in tags if tag.body[1] == _HEADER))


def _times(tags: list[_Tag]) -> Ints:
    return unwrap(np.array([tag.time_ms for tag in tags], dtype=np.int64), 32)
