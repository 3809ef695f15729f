"""What a playout host publishes beside each slice, so that another one can go on with the next frame.

Rule: everything that decides the bytes of the next slice is here, and nothing that a dead host took with it is needed.
Written by the heap thread, read by the host that adopts the ring.
"""

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from channeld.base.units import Ticks90k
from channeld.bus.ring import RingWriter
from channeld.playout.lookahead import ClipSource
from channeld.ts import packet as tsp
from channeld.ts.splicer import ClipFeed, SplicerState
from channeld.ts.timeline import read_timestamps, unwrap

VERSION = 1
PTS_AT = 9
"""Where a PES header has its PTS (2.4.3.6)."""
_AS_JSON = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: `json.dumps` with other than its default separators makes an encoder for each call."""
_NAMES = tuple(each.name for each in fields(SplicerState))
_BODY = (
    '{"version":%d,"splicer":{'
    + ",".join(f'"{name}":%d' for name in _NAMES)
    + "},"
    + ('"serial":%d,"reported":%d,"frames":%d,"audio":%d,"may_cut":%d,"cut":%d,"started_dts":%d,"anchor_ns":%d,"source":%s}')
)


@dataclass(frozen=True, slots=True)
class AirState:
    """Where a channel stood. `source` of the filler has no airing (an empty one) and its path.

    `frames` and `audio_units` of the clip are spent; `started_dts` is the first picture's. `reported` is the newest
    airing that control was told of.
    """

    splicer: SplicerState
    serial: int
    reported: int
    frames: int
    audio_units: int
    may_cut: bool
    cut_requested: bool
    started_dts: int
    anchor_ns: int
    source: ClipSource

    @property
    def is_filler(self) -> bool:
        """The filler was on air."""
        return not self.source.airing


def encode_source(source: ClipSource | None, filler_path: str) -> str:
    """The part of the state that stays the same while a clip airs."""
    if source is None:
        return _AS_JSON({"airing": "", "entry": "", "ts": filler_path, "idx": ""})
    values = {"airing": source.airing, "entry": source.entry, "ts": source.ts_path, "idx": source.idx_path, "tag": source.tag}
    live = {"behind_s": source.behind_s, "airs_frames": source.airs_frames}
    return _AS_JSON(values | {name: value for name, value in live.items() if value is not None})


def encode_state(
    splicer: SplicerState, feed: ClipFeed, source: str, *, serial: int, reported: int, cut: bool, started_dts: int, anchor_ns: int
) -> bytes:
    """The state as it is published; by one formatting, for it is made for every slice of every channel."""
    at = tuple(getattr(splicer, name) for name in _NAMES)
    clip = (feed.frames_sent, feed.audio_sent, feed.may_cut)
    return (_BODY % (VERSION, *at, serial, reported, *clip, cut, started_dts, anchor_ns, source)).encode()


def decode_state(text: bytes) -> AirState:
    """Read a state. Raises ValueError when it is none, or another version's."""
    try:
        values: dict[str, Any] = json.loads(text)
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']}, not {VERSION}")
        return AirState(
            splicer=SplicerState(**{name: int(values["splicer"][name]) for name in _NAMES}),
            serial=int(values["serial"]),
            reported=int(values["reported"]),
            frames=int(values["frames"]),
            audio_units=int(values["audio"]),
            may_cut=bool(values["may_cut"]),
            cut_requested=bool(values["cut"]),
            started_dts=int(values["started_dts"]),
            anchor_ns=int(values["anchor_ns"]),
            source=ClipSource.from_message(values["source"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the state beside the stream cannot be read: {error}") from error


def last_presented(ring: RingWriter) -> Ticks90k | None:
    """The latest PTS of a picture in the newest GOP of the ring; None where it holds no whole GOP's beginning."""
    latest = None
    for seq in range(ring.head_seq, ring.tail_seq - 1, -1):
        record = ring.slice(seq)
        packets = tsp.as_packets(b"".join(ring.views(seq)))
        rows = np.flatnonzero((tsp.pids(packets) == tsp.VIDEO_PID) & tsp.starts_unit(packets))
        stamps = read_timestamps(packets, rows, tsp.payload_offsets(packets[rows]) + PTS_AT)
        found = [unwrap(int(stamp), near=Ticks90k(record.dts)) for stamp in stamps]
        latest = max([*found, latest] if latest is not None else found, default=None)
        if record.is_random_access:
            return latest
    return None
