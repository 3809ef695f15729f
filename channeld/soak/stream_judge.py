"""Judges a channel's transport stream, packet by packet, with a parser of its own.

Rule: shares no code with what makes the stream. Sources: ISO/IEC 13818-1, 2.4.3 (packets, PES), 2.7.2 (PCR at least every 100 ms;
the house promises 40). Slices are gathered and judged together, as numpy costs by the call.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Complain = Callable[[str, str], None]
"""Called as complain(kind, text)."""

PACKET = 188
WRAP = 1 << 33
VIDEO, AUDIO, PAT, PMT = 0x100, 0x101, 0x0000, 0x1000
AUDIO_STEP = 1920
"""One AAC frame at 48 kHz, in ticks of 90 kHz."""
MAX_PCR_STEP = 40 * 27_000
MAX_AV_TICKS = 2 * AUDIO_STEP
GATHERED = 64
REORDERED = 4
"""So many pictures at most wait for one that is shown before them."""

Rows = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What is promised of a timeline: rate, the DTS of its first picture, frames from decoding to display."""

    fps_num: int
    fps_den: int
    origin: int
    delay: int

    def ticks(self, frames: Ints) -> Ints:
        """DTS of pictures counted from 0, unwrapped."""
        return self.origin + frames * (90_000 * self.fps_den) // self.fps_num


@dataclass(frozen=True, slots=True)
class Piece:
    """A slice as the bus told of it."""

    data: bytes
    dts: int
    duration: int
    is_random_access: bool
    monotonic_ns: int = 0


class StreamJudge:
    """One timeline's judge. `frames` counts those of the timeline up to what was judged.

    `take_pictures` gives a fingerprint of each picture that was judged, in order of decoding.
    """

    def __init__(self, facts: StreamFacts, complain: Complain) -> None:
        self.frames = 0
        self._facts = facts
        self._complain = complain
        self._gathered: list[Piece] = []
        self._counters: dict[int, int] = {}
        self._tables: dict[int, bytes] = {}
        self._last_pcr: int | None = None
        self._next_audio: int | None = None
        self._shown = np.empty(0, dtype=np.int64)  # frame numbers in display order that wait for one before them
        self._shown_until = facts.delay
        self._pictures: list[int] = []

    def feed(self, piece: Piece) -> None:
        """Take the next slice."""
        self._gathered.append(piece)
        if len(self._gathered) >= GATHERED:
            self.settle()

    def take_pictures(self) -> list[int]:
        """Fingerprints since the last call."""
        taken, self._pictures = self._pictures, []
        return taken

    def leave_out(self, frames: int) -> None:
        """What comes next begins so many frames later, in pictures, sound and PCR, and with no picture waiting: that is known."""
        self.settle()
        self.frames += frames
        self._last_pcr = self._next_audio = None
        self._shown_until, self._shown = self.frames + self._facts.delay, self._shown[:0]

    def settle(self) -> None:
        """Judge what was gathered."""
        pieces, self._gathered = self._gathered, []
        if not pieces:
            return
        data = b"".join(piece.data for piece in pieces)
        if len(data) % PACKET:
            self._complain("packets", f"a slice of {len(data)} bytes is not whole packets")
            return
        rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, PACKET)
        pids = ((rows[:, 1] & 0x1F).astype(np.int64) << 8) | rows[:, 2]
        if not ((rows[:, 0] == 0x47).all() and (rows[:, 1] & 0x80 == 0).all() and (rows[:, 3] & 0xC0 == 0).all()):
            self._complain("packets", "a sync byte, an error bit or a scrambling bit is wrong")
        self._judge_counters(rows, pids)
        self._judge_tables(rows, pids)
        self._judge_pcrs(rows, pids)
        starts = np.flatnonzero((pids == VIDEO) & (rows[:, 1] & 0x40 != 0))
        self._judge_pictures(rows, starts, data)
        self._judge_slices(pieces, rows, pids, starts)
        self._judge_sound(rows, pids)

    def _judge_counters(self, rows: Rows, pids: Ints) -> None:
        for pid in np.unique(pids).tolist():
            if pid not in (VIDEO, AUDIO, PAT, PMT):
                self._complain("packets", f"PID {pid:#x} has no business here")
                continue
            mine = rows[pids == pid, 3]
            counters, steps = (mine & 0x0F).astype(np.int64), (mine & 0x10 != 0).astype(np.int64)
            before = self._counters.get(pid, int(counters[0] - steps[0]))
            wrong = np.flatnonzero((before + np.cumsum(steps) - counters) & 0x0F)
            if wrong.size:
                self._complain("continuity", f"PID {pid:#x}: {wrong.size} counters are wrong behind picture {self.frames}")
            self._counters[pid] = int(counters[-1])

    def _judge_tables(self, rows: Rows, pids: Ints) -> None:
        for pid in (PAT, PMT):
            mine = rows[pids == pid].copy()
            mine[:, 3] &= 0xF0
            first = self._tables.setdefault(pid, mine[0].tobytes() if len(mine) else b"")
            if first and not (mine == np.frombuffer(first, dtype=np.uint8)).all():
                self._complain("tables", f"PID {pid:#x} changed behind picture {self.frames}")

    def _judge_pcrs(self, rows: Rows, pids: Ints) -> None:
        has_field = (rows[:, 3] & 0x20 != 0) & (rows[:, 4] > 0)
        if (has_field & (rows[:, 5] & 0x80 != 0)).any():
            self._complain("packets", "a discontinuity_indicator is set")
        carriers = np.flatnonzero(has_field & (rows[:, 4] >= 7) & (rows[:, 5] & 0x10 != 0))
        if not carriers.size or (pids[carriers] != VIDEO).any():
            self._complain("pcr", f"no PCR, or on a PID that is not the video's, behind picture {self.frames}")
            return
        at = rows[carriers, 6:12].astype(np.int64)
        base = at[:, 0] << 25 | at[:, 1] << 17 | at[:, 2] << 9 | at[:, 3] << 1 | at[:, 4] >> 7
        pcrs = base * 300 + ((at[:, 4] & 1) << 8 | at[:, 5])
        first = pcrs[:1] if self._last_pcr is None else np.array([self._last_pcr])
        steps = np.diff(np.concatenate([first, pcrs])) % (WRAP * 300)
        if self._last_pcr is None:
            steps = steps[1:]
        if ((steps <= 0) | (steps > MAX_PCR_STEP)).any():
            self._complain("pcr", f"a PCR step of {steps.max() / 27_000:.1f} ms behind picture {self.frames}")
        self._last_pcr = int(pcrs[-1])

    def _judge_pictures(self, rows: Rows, starts: Ints, data: bytes) -> None:
        headers = _PesHeaders(rows, starts)
        if not headers.are_sound(0xE0):
            self._complain("pes", f"a picture's PES header is wrong behind picture {self.frames}")
            return
        numbers = self.frames + np.arange(len(starts))
        if (headers.dts != self._facts.ticks(numbers) % WRAP).any():
            self._complain("dts", f"a DTS is off the frame grid behind picture {self.frames}")
        # Display order: whole frames from the origin, none twice, none left out for long.
        elapsed = (headers.pts - headers.dts + WRAP // 2) % WRAP - WRAP // 2 + self._facts.ticks(numbers) - self._facts.origin
        shown = (elapsed * self._facts.fps_num + 45_000 * self._facts.fps_den) // (90_000 * self._facts.fps_den)
        if (self._facts.ticks(shown) - self._facts.origin != elapsed).any():
            self._complain("pts", f"a PTS is off the frame grid behind picture {self.frames}")
        waiting = np.sort(np.concatenate([self._shown, shown]))
        holes = np.flatnonzero(waiting != self._shown_until + np.arange(len(waiting)))
        gone = int(holes[0]) if holes.size else len(waiting)
        self._shown_until, self._shown = self._shown_until + gone, waiting[gone:]
        if len(self._shown) > REORDERED:
            self._judge_hole()
        view = memoryview(data)
        begins = (starts * PACKET + headers.payload).tolist()
        ends = (starts * PACKET + PACKET).tolist()
        self._pictures += [zlib.crc32(view[begin:end]) for begin, end in zip(begins, ends, strict=True)]
        self.frames += len(starts)

    def _judge_hole(self) -> None:
        self._complain("pts", f"a hole or a double in display order behind picture {self.frames}")
        waiting = np.unique(self._shown[self._shown >= self._shown_until])
        if waiting.size:
            gone = int(np.argmin(np.append(np.diff(waiting) == 1, False))) + 1
            self._shown_until, self._shown = int(waiting[gone - 1]) + 1, waiting[gone:]

    def _judge_slices(self, pieces: list[Piece], rows: Rows, pids: Ints, starts: Ints) -> None:
        lengths = np.array([len(piece.data) // PACKET for piece in pieces])
        begins = np.cumsum(lengths) - lengths
        if not ((pids[begins] == PAT).all() and (pids[begins + 1] == PMT).all()):
            self._complain("tables", "a slice does not begin with PAT and PMT")
        bounds = np.append(np.searchsorted(starts, begins), len(starts)) + self.frames - len(starts)
        ticks = self._facts.ticks(bounds)
        told = np.array([(piece.dts, piece.duration) for piece in pieces])
        if (told[:, 0] != ticks[:-1]).any() or (told[:, 1] != np.diff(ticks)).any():
            self._complain("slices", f"the bus told a wrong DTS or duration before picture {self.frames}")
        entries = starts[np.searchsorted(starts, begins[[piece.is_random_access for piece in pieces]])]
        if not ((rows[entries, 3] & 0x20 != 0) & (rows[entries, 5] & 0x40 != 0)).all():
            self._complain("slices", f"no random access point where the bus told of one before picture {self.frames}")

    def _judge_sound(self, rows: Rows, pids: Ints) -> None:
        starts = np.flatnonzero((pids == AUDIO) & (rows[:, 1] & 0x40 != 0))
        if not starts.size:
            self._complain("audio", f"no sound before picture {self.frames}")
            return
        headers = _PesHeaders(rows, starts)
        first = int(headers.pts[0]) if self._next_audio is None else self._next_audio
        expected = (first + AUDIO_STEP * np.arange(len(starts))) % WRAP
        if not headers.are_sound(0xC0) or (headers.pts != expected).any():
            self._complain("audio", f"a sound's PTS is off its grid before picture {self.frames}")
        self._next_audio = int(headers.pts[-1] + AUDIO_STEP) % WRAP
        end = int(self._facts.ticks(np.array([self.frames + self._facts.delay]))[0])
        apart = (self._next_audio - end + WRAP // 2) % WRAP - WRAP // 2
        if abs(apart) > MAX_AV_TICKS:
            self._complain("audio", f"sound and pictures end {apart / 90:.0f} ms apart at picture {self.frames}")


class _PesHeaders:
    """The headers of PES packets that begin in these rows."""

    def __init__(self, rows: Rows, starts: Ints) -> None:
        mine = rows[starts]
        at = 4 + np.where(mine[:, 3] & 0x20, mine[:, 4].astype(np.int64) + 1, 0)
        self._head = np.take_along_axis(mine, np.minimum(at[:, None] + np.arange(19), PACKET - 1), axis=1).astype(np.int64)
        has_dts = self._head[:, 7] & 0x40 != 0
        self.pts = _timestamp(self._head[:, 9:14])
        self.dts = np.where(has_dts, _timestamp(self._head[:, 14:19]), self.pts)
        self.payload = at + 9 + self._head[:, 8]

    def are_sound(self, stream_id: int) -> bool:
        """Start code, stream and PTS are there."""
        head = self._head
        is_start = (head[:, 0] == 0) & (head[:, 1] == 0) & (head[:, 2] == 1) & (head[:, 3] == stream_id)
        return bool((is_start & (head[:, 7] & 0x80 != 0) & (self.payload <= PACKET)).all())


def _timestamp(octets: Ints) -> Ints:
    first, second, third, fourth, fifth = (octets[:, column] for column in range(5))
    found: Ints = (first >> 1 & 7) << 30 | second << 22 | (third >> 1) << 15 | fourth << 7 | fifth >> 1
    return found


def first_dts(data: bytes) -> int | None:
    """DTS of the first picture in whole packets; None where there is none."""
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, PACKET)
    is_start = ((rows[:, 1] & 0x1F).astype(np.int64) << 8 | rows[:, 2] == VIDEO) & (rows[:, 1] & 0x40 != 0)
    starts = np.flatnonzero(is_start)[:1]
    return int(_PesHeaders(rows, starts).dts[0]) if starts.size else None


def fingerprints(data: bytes) -> list[int]:
    """A fingerprint of each picture of a clip in whole packets."""
    rows: Any = np.frombuffer(data, dtype=np.uint8).reshape(-1, PACKET)
    starts = np.flatnonzero(((rows[:, 1] & 0x1F).astype(np.int64) << 8 | rows[:, 2] == VIDEO) & (rows[:, 1] & 0x40 != 0))
    payload = _PesHeaders(rows, starts).payload
    return [zlib.crc32(rows[row, begin:].tobytes()) for row, begin in zip(starts.tolist(), payload.tolist(), strict=True)]
