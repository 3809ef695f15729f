"""One HLS segment judged by parsing alone: would a player that begins here show and sound?

Rule: nothing is decoded, and nothing loops over packets: a segment of 4 s at 3 Mb/s costs less than 5 ms. Sans-I/O.
Source: ISO/IEC 13818-1, 2.4.3 and 2.4.4; what HLS asks beyond it: RFC 8216, 3.2.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channeld.base.units import TICKS_PER_SECOND
from channeld.ts.packet import PACKET_BYTES, PAT_PID, SYNC_BYTE, Ints, Packets, payload_offsets, pids, starts_unit
from channeld.ts.psi import STREAM_TYPE_H264, STREAM_TYPE_H265, crc32_mpeg

VIDEO_TYPES = frozenset((0x01, 0x02, 0x10, STREAM_TYPE_H264, STREAM_TYPE_H265))
AUDIO_TYPES = frozenset((0x03, 0x04, 0x0F, 0x11, 0x81, 0x87))
MAX_FAULTS = 8
LONGEST_STEP_S = 1.0
"""From one access unit of a track to the next; more is a hole."""
_DURATION_SLACK_S = 0.15
_DURATION_SLACK_SHARE = 0.05
_TRACKS_APART_S = 1.0
_NULL_PID = 0x1FFF
_WRAP = 1 << 33
_LEAST_SECTION = 12
_FIRST_UNIT_PACKETS = 16
_H264_PICTURES, _H264_IDR = range(1, 6), (5,)
_H265_PICTURES, _H265_IDR = range(32), (19, 20, 21)
"""With CRA pictures, which a decoder that begins there shows."""


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What parsing found. `faults` are sentences, none when all is well; `first_pts` is the earliest picture's, in 33 bits."""

    faults: tuple[str, ...]
    video_s: float = 0.0
    audio_s: float = 0.0
    first_pts: int | None = None
    video_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Track:
    """Access units of one PID: rows that begin them, and both stamps in ticks from the first PTS on."""

    starts: Ints
    pts: Ints
    dts: Ints
    first_pts: int

    @property
    def seconds(self) -> float:
        """From the first unit's presentation to the end of the last one's, which lasts as long as most do."""
        ordered = np.sort(self.pts)
        step = float(np.median(np.diff(ordered))) if ordered.size > 1 else 0.0
        return (float(ordered[-1] - ordered[0]) + step) / TICKS_PER_SECOND


def inspect_segment(segment: bytes, declared_s: float | None = None) -> SegmentFacts:
    """Judge a segment; `declared_s` is its EXTINF."""
    whole = len(segment) // PACKET_BYTES
    faults: list[str] = []
    if whole * PACKET_BYTES != len(segment):
        faults.append(f"its end is torn: {len(segment)} bytes are not whole packets")
    rows = np.frombuffer(segment, dtype=np.uint8, count=whole * PACKET_BYTES).reshape(-1, PACKET_BYTES)
    if not whole:
        return SegmentFacts(("it is empty",))
    unsynced = np.flatnonzero(rows[:, 0] != SYNC_BYTE)
    if unsynced.size:
        return SegmentFacts((*faults, f"packet {int(unsynced[0])} of {whole} has no sync byte"))
    return _Inspection(rows, faults).facts(declared_s)


class _Inspection:
    """The state of one look at a segment's packets."""

    def __init__(self, rows: Packets, faults: list[str]) -> None:
        self._rows, self._faults = rows, faults
        self._head = np.ascontiguousarray(rows[:, :6])  # the columns of all checks, out of 188 bytes apart
        self._pids = pids(rows)
        self._begins = starts_unit(self._head)

    def facts(self, declared_s: float | None) -> SegmentFacts:
        if np.any(self._head[:, 1] & 0x80):
            self._faults.append("packets are marked as damaged (transport_error_indicator)")
        self._check_counters()
        streams = self._streams()
        video = self._track("video", VIDEO_TYPES, streams)
        audio = self._track("audio", AUDIO_TYPES, streams)
        if video is not None:
            self._check_steps("video", video.dts)
            self._check_first_picture(video, streams)
        if audio is not None:
            self._check_steps("audio", audio.pts)
        self._check_lengths(video, audio, declared_s)
        video_pid = next((pid for pid, kind in streams.items() if kind in VIDEO_TYPES), None)
        return SegmentFacts(
            tuple(self._faults[:MAX_FAULTS]),
            video.seconds if video is not None else 0.0,
            audio.seconds if audio is not None else 0.0,
            (video.first_pts + int(video.pts.min())) % _WRAP if video is not None else None,
            int(np.count_nonzero(self._pids == video_pid)) * PACKET_BYTES if video_pid is not None else 0,
        )

    def _check_counters(self) -> None:
        """Each PID's counter goes up by one with every payload; once a packet may stand twice (2.4.3.3)."""
        order = np.argsort(self._pids, kind="stable")
        head, pid = self._head[order], self._pids[order]
        counter = head[:, 3] & 0x0F
        has_payload = (head[:, 3] & 0x10) != 0
        is_marked = ((head[:, 3] & 0x20) != 0) & (head[:, 4] > 0) & ((head[:, 5] & 0x80) != 0)
        expected = (counter[:-1] + has_payload[1:]) & 0x0F
        wrong = (pid[1:] == pid[:-1]) & (pid[1:] != _NULL_PID) & (counter[1:] != expected) & ~is_marked[1:]
        breaks = [at for at in np.flatnonzero(wrong) if not self._is_repeat(int(order[at]), int(order[at + 1]))]
        if breaks:
            where = int(order[breaks[0] + 1])
            self._faults.append(f"{len(breaks)} continuity counters break, the first at packet {where} of PID {int(self._pids[where])}")

    def _is_repeat(self, before: int, after: int) -> bool:
        return bool(np.array_equal(self._rows[before, 12:], self._rows[after, 12:]) and self._head[before, 3] == self._head[after, 3])

    def _streams(self) -> dict[int, int]:
        """Stream types by PID, by PAT and PMT; both must stand before all media."""
        pat = self._section(PAT_PID, "PAT")
        if pat is None:
            return {}
        programs = [(pat[at] << 8 | pat[at + 1], (pat[at + 2] & 0x1F) << 8 | pat[at + 3]) for at in range(8, len(pat) - 7, 4)]
        pmt_pid = next((pid for number, pid in programs if number), None)
        pmt = self._section(pmt_pid, "PMT") if pmt_pid is not None else None
        if pmt is None:
            return {}
        streams: dict[int, int] = {}
        at = 12 + ((pmt[10] & 0x0F) << 8 | pmt[11])
        while at + 5 <= len(pmt) - 4:
            streams[(pmt[at + 1] & 0x1F) << 8 | pmt[at + 2]] = pmt[at]
            at += 5 + ((pmt[at + 3] & 0x0F) << 8 | pmt[at + 4])
        return streams

    def _section(self, pid: int, name: str) -> bytes | None:
        """The first table of a PID, with its CRC; it must fit one packet, as those of a single program do."""
        found = np.flatnonzero((self._pids == pid) & self._begins)
        if not found.size:
            self._faults.append(f"it has no {name}")
            return None
        row = bytes(self._rows[found[0]])
        begin = 4 + (row[4] + 1 if row[3] & 0x20 else 0)
        begin += 1 + row[min(begin, PACKET_BYTES - 1)]  # pointer_field
        end = begin + 3 + ((row[begin + 1] & 0x0F) << 8 | row[begin + 2]) if begin + 3 <= PACKET_BYTES else PACKET_BYTES + 1
        if not begin + _LEAST_SECTION <= end <= PACKET_BYTES or crc32_mpeg(row[begin:end]):
            self._faults.append(f"its {name} is damaged")
            return None
        media = np.flatnonzero(self._begins & (self._pids != PAT_PID) & (self._pids != pid) & (self._pids >= 0x20))
        if media.size and media[0] < found[0]:
            self._faults.append(f"media stand before its {name}")
        return row[begin:end]

    def _track(self, name: str, types: frozenset[int], streams: dict[int, int]) -> _Track | None:
        pid = next((pid for pid, kind in streams.items() if kind in types), None)
        if pid is None:
            self._faults.append(f"its PMT names no {name}" if streams else f"no {name} can be found")
            return None
        starts = np.flatnonzero((self._pids == pid) & self._begins)
        repeated = np.flatnonzero(np.diff(starts) == 1) + 1
        starts = np.delete(starts, [number for number in repeated if self._is_repeat(int(starts[number - 1]), int(starts[number]))])
        if not starts.size:
            self._faults.append(f"no {name} comes, though its PMT names PID {pid}")
            return None
        stamps = self._stamps(starts)
        if stamps is None:
            self._faults.append(f"its {name} has packets without a timestamp")
            return None
        pts, dts = stamps
        # Ticks from the first stamp on: a wrap within the segment is no step back.
        from_first = [((stamp - pts[0] + _WRAP // 2) % _WRAP) - _WRAP // 2 for stamp in (pts, dts)]
        return _Track(starts, from_first[0], from_first[1], int(pts[0]))

    def _stamps(self, starts: Ints) -> tuple[Ints, Ints] | None:
        """PTS and DTS (the PTS where there is none) of the PES packets that begin in these rows."""
        units = self._rows[starts]
        offsets = payload_offsets(units)
        if int(offsets.max()) > PACKET_BYTES - 19:
            units = np.pad(units, ((0, 0), (0, PACKET_BYTES)))
            offsets = np.minimum(offsets, PACKET_BYTES)
        heads = np.take_along_axis(units, offsets[:, None] + np.arange(19), axis=1).astype(np.int64)
        is_pes = (heads[:, 0] == 0) & (heads[:, 1] == 0) & (heads[:, 2] == 1) & ((heads[:, 7] & 0x80) != 0)
        if not is_pes.all():
            return None
        pts = _stamp(heads[:, 9:14])
        return pts, np.where(heads[:, 7] & 0x40, _stamp(heads[:, 14:19]), pts)

    def _check_steps(self, name: str, stamps: Ints) -> None:
        steps = np.diff(stamps)
        if not steps.size:
            return
        if int(steps.min()) <= 0:
            self._faults.append(f"timestamps of its {name} step back by {-int(steps.min()) / TICKS_PER_SECOND:.3f} s")
        if int(steps.max()) > LONGEST_STEP_S * TICKS_PER_SECOND:
            self._faults.append(f"its {name} has a hole of {int(steps.max()) / TICKS_PER_SECOND:.1f} s")

    def _check_first_picture(self, video: _Track, streams: dict[int, int]) -> None:
        first = int(video.starts[0])
        pid = int(self._pids[first])
        if streams.get(pid) not in (STREAM_TYPE_H264, STREAM_TYPE_H265):
            return
        is_h264 = streams[pid] == STREAM_TYPE_H264
        end = int(video.starts[1]) if video.starts.size > 1 else len(self._rows)
        unit = np.flatnonzero(self._pids[first:end] == pid)[:_FIRST_UNIT_PACKETS] + first
        offsets = payload_offsets(self._rows[unit])
        stream = b"".join(bytes(self._rows[row, offset:]) for row, offset in zip(unit, offsets, strict=True))
        coded = stream[9 + stream[8] :] if len(stream) > 8 else b""  # behind the PES header
        heads = [coded[at + 3] for at in _start_codes(coded)]
        kinds = [head & 0x1F if is_h264 else head >> 1 & 0x3F for head in heads]
        pictures = [kind for kind in kinds if kind in (_H264_PICTURES if is_h264 else _H265_PICTURES)]
        if not pictures or pictures[0] not in (_H264_IDR if is_h264 else _H265_IDR):
            self._faults.append("its first picture is not an IDR: a player that begins here shows nothing yet")

    def _check_lengths(self, video: _Track | None, audio: _Track | None, declared_s: float | None) -> None:
        if video is None or audio is None:
            return
        if abs(video.seconds - audio.seconds) > _TRACKS_APART_S:
            self._faults.append(f"{video.seconds:.1f} s of video stand beside {audio.seconds:.1f} s of audio")
        if declared_s is not None and abs(video.seconds - declared_s) > max(_DURATION_SLACK_S, _DURATION_SLACK_SHARE * declared_s):
            self._faults.append(f"it lasts {video.seconds:.2f} s, the manifest says {declared_s:.2f} s")


def _stamp(field: npt.NDArray[np.int64]) -> Ints:
    """A 33-bit timestamp from its five bytes (2.4.3.7)."""
    result: Ints = (field[:, 0] >> 1 & 0x07) << 30 | field[:, 1] << 22 | (field[:, 2] >> 1) << 15 | field[:, 3] << 7 | field[:, 4] >> 1
    return result


def _start_codes(stream: bytes) -> list[int]:
    """Where NAL units begin whose first byte is there (annex B of H.264 and H.265)."""
    found = []
    at = stream.find(b"\0\0\1")
    while 0 <= at < len(stream) - 3:
        found.append(at)
        at = stream.find(b"\0\0\1", at + 3)
    return found
