"""The channel's splicer: many prepared clips in, one endless transport stream out.

Rule: everything that writes a PTS, DTS, PCR or continuity counter on air is in this module.
Sans-I/O: no files, threads or clocks. Not thread-safe; used by the playout thread only.

Video takes the next frame's tick. Audio keeps its own grid of 1920 ticks for ever: at a join the clip's audio
unit nearest to the grid is the first one, so that the A/V error stays within half an AAC frame and never adds up.
"""

from collections import deque
from dataclasses import asdict, dataclass

import numpy as np

from channeld.base.units import AAC_FRAME_TICKS, TICKS_PER_SECOND, FrameRate, Ticks90k
from channeld.ts import packet as tsp
from channeld.ts.conform import MAX_PCR_STEP_TICKS
from channeld.ts.index import HAS_DTS, HAS_PCR, IS_RANDOM_ACCESS, MAY_CUT_AFTER, Block, Units
from channeld.ts.packet import AUDIO_PID, PACKET_BYTES, VIDEO_PID, Ints, Packets
from channeld.ts.psi import tables
from channeld.ts.timeline import write_pcrs, write_timestamps

DEFAULT_PCR_LEAD = Ticks90k(500 * TICKS_PER_SECOND // 1000)


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """What every clip of a channel is, as far as splicing needs it. `pcr_lead` is DTS minus PCR, in ticks (500 ms)."""

    fps: FrameRate
    composition_delay: int
    pcr_lead: Ticks90k = DEFAULT_PCR_LEAD

    @property
    def extra_pcrs(self) -> int:
        """PCR-only packets after each frame, so that PCRs are at most 40 ms apart."""
        longest = -(-TICKS_PER_SECOND * self.fps.den // self.fps.num)
        return -(-longest // MAX_PCR_STEP_TICKS) - 1


@dataclass(slots=True)
class SplicerState:
    """Where the timeline stands: enough to go on with the next frame, in another process if need be.

    Frames and audio units sent since `origin`, the tick of frame 0; next continuity counters.
    """

    origin: int = TICKS_PER_SECOND
    frames: int = 0
    audio_units: int = 0
    video_counter: int = 0
    audio_counter: int = 0
    table_counter: int = 0

    def as_dict(self) -> dict[str, int]:
        """Plain values for the bus header."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of whole access units of one clip, PAT and PMT first. `dts` of its first picture; `duration` in ticks."""

    packets: Packets
    dts: Ticks90k
    duration: Ticks90k
    frames: int
    is_random_access: bool


class ClipFeed:
    """A clip on its way to air: its blocks in memory and how far it was sent. Blocks come in order from a look-ahead."""

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()
        self._audio_blocks: deque[Block] = deque()
        self._video_at = 0
        self._audio_at = 0
        self._skip_audio: int | None = None
        self.frames_sent = 0
        self.frames_ready = 0
        self.may_cut = True
        self.joined = False

    def append(self, block: Block) -> None:
        """Take the next block."""
        self._blocks.append(block)
        self._audio_blocks.append(block)
        self.frames_ready += len(block.video)

    @property
    def audio_offset(self) -> int:
        """First audio unit's PTS minus the first picture's, in ticks."""
        return self._audio_blocks[0].audio_offset

    def frames_to(self, limit: int, *, up_to_cut: bool) -> int:
        """How many frames the next slice may hold: at most `limit`, within one block and one GOP."""
        if not self._blocks:
            return 0
        flags = self._blocks[0].video["flags"][self._video_at : self._video_at + limit]
        random_access = np.flatnonzero(flags[1:] & IS_RANDOM_ACCESS)
        if random_access.size:
            flags = flags[: int(random_access[0]) + 1]
        if up_to_cut:
            cuts = np.flatnonzero(flags & MAY_CUT_AFTER)
            if cuts.size:
                return int(cuts[0]) + 1
        return len(flags)

    def take_video(self, count: int) -> tuple[Block, Units]:
        """The next `count` pictures, all of one block."""
        block = self._blocks[0]
        units = block.video[self._video_at : self._video_at + count]
        self._video_at += count
        self.frames_sent += count
        self.frames_ready -= count
        self.may_cut = bool(units["flags"][-1] & MAY_CUT_AFTER)
        if self._video_at == len(block.video):
            self._blocks.popleft()
            self._video_at = 0
        return block, units

    def skip_audio(self, count: int) -> None:
        """Begin the clip's audio with its unit number `count`."""
        self._skip_audio = count

    def take_audio(self, count: int) -> list[tuple[Block, Units]]:
        """The next `count` audio units, across blocks; fewer where the clip has no more."""
        if self._skip_audio:
            skipped, self._skip_audio = self._skip_audio, None
            self.take_audio(skipped)
        runs = []
        while count and self._audio_blocks:
            block = self._audio_blocks[0]
            units = block.audio[self._audio_at : self._audio_at + count]
            self._audio_at += len(units)
            count -= len(units)
            if len(units):
                runs.append((block, units))
            if self._audio_at == len(block.audio):
                self._audio_blocks.popleft()
                self._audio_at = 0
        return runs


class Splicer:
    """One channel's timeline. Call `join` at each clip's start, then `next_slice` until the clip ends or is cut."""

    def __init__(self, stream: StreamFormat, state: SplicerState | None = None) -> None:
        self.stream = stream
        self.state = state or SplicerState()
        self._tables = tables()

    @property
    def next_dts(self) -> Ticks90k:
        """DTS of the next picture."""
        return self._dts(self.state.frames)

    def _dts(self, frame: int) -> Ticks90k:
        return Ticks90k(self.state.origin + self.stream.fps.tick(frame))

    def _ticks(self, frames: Ints) -> Ints:
        fps = self.stream.fps
        ticks: Ints = self.state.origin + frames * (TICKS_PER_SECOND * fps.den) // fps.num
        return ticks

    def _audio_units_until(self, frame: int) -> int:
        """Audio units whose start is nearest to, or before, the presentation of a frame; counted from the origin."""
        elapsed = self._dts(frame + self.stream.composition_delay) - self.state.origin
        return (elapsed + AAC_FRAME_TICKS // 2) // AAC_FRAME_TICKS

    def join(self, clip: ClipFeed) -> Ticks90k:
        """Put a clip's first picture behind the last one sent; gives the A/V error of the join, in ticks (audio late is positive)."""
        state = self.state
        if state.frames == 0:
            state.audio_units = self._audio_units_until(0)
        presented = self._dts(state.frames + self.stream.composition_delay)
        grid = state.origin + state.audio_units * AAC_FRAME_TICKS
        wanted = grid - presented - clip.audio_offset
        first = max(0, (wanted + AAC_FRAME_TICKS // 2) // AAC_FRAME_TICKS)
        clip.skip_audio(first)
        clip.joined = True
        return Ticks90k(wanted - first * AAC_FRAME_TICKS)

    def next_slice(self, clip: ClipFeed, limit: int, *, up_to_cut: bool = False) -> Slice | None:
        """Up to `limit` pictures with their audio; None when no block of the clip is there. `up_to_cut` ends at the first legal cut."""
        count = clip.frames_to(limit, up_to_cut=up_to_cut)
        if not count:
            return None
        state = self.state
        frames = state.frames + np.arange(count, dtype=np.int64)
        video_block, video = clip.take_video(count)
        wanted = self._audio_units_until(state.frames + count) - state.audio_units
        runs = [(video_block, video), *clip.take_audio(wanted)]
        audio = np.concatenate([units for _, units in runs[1:]]) if len(runs) > 1 else None
        audio_pts = state.origin + (state.audio_units + np.arange(0 if audio is None else len(audio))) * AAC_FRAME_TICKS
        packets, video_rows, audio_rows = self._interleave(runs, self._ticks(frames), audio_pts)
        self._stamp_video(packets, video, video_rows, frames)
        if audio is not None:
            at = audio["pts_at"].astype(np.int64)
            write_timestamps(packets, audio_rows, at, audio_pts, prefix=np.full(len(at), 2))
        self._count(packets)
        result = Slice(packets, self._dts(state.frames), self._span(count), count, bool(video["flags"][0] & IS_RANDOM_ACCESS))
        state.frames += count
        state.audio_units += len(audio_pts)
        return result

    def _span(self, count: int) -> Ticks90k:
        return Ticks90k(self._dts(self.state.frames + count) - self._dts(self.state.frames))

    def _interleave(self, runs: list[tuple[Block, Units]], dts: Ints, audio_pts: Ints) -> tuple[Packets, Ints, Ints]:
        """Gather packets in order of time; PAT and PMT first. Gives them and the first row of each picture and audio unit."""
        gathered = [block.packets.take(tsp.spread(units["packet"], units["packets"]), axis=0) for block, units in runs]
        counts = [units["packets"].astype(np.int64) for _, units in runs]
        delay = self._ticks(np.array([self.stream.composition_delay])) - self.state.origin
        times = [dts, audio_pts - delay]
        if self.stream.extra_pcrs:
            gathered.append(np.tile(tsp.pcr_packet(VIDEO_PID), (len(dts) * self.stream.extra_pcrs, 1)))
            counts.append(np.ones(len(gathered[-1]), dtype=np.int64))
            times.append(self._extra_pcr_ticks(dts))
        count = np.concatenate(counts)
        order = np.argsort(np.concatenate(times), kind="stable")
        source = np.cumsum(count) - count
        packets = np.empty((2 + int(count.sum()), PACKET_BYTES), dtype=np.uint8)
        packets[:2] = self._tables
        np.take(np.concatenate(gathered), tsp.spread(source[order], count[order]), axis=0, out=packets[2:])
        row = np.empty(len(order), dtype=np.int64)
        row[order] = 2 + np.cumsum(count[order]) - count[order]
        pictures, units = len(dts), len(audio_pts)
        if self.stream.extra_pcrs:
            write_pcrs(packets, row[pictures + units :], times[2] - self.stream.pcr_lead)
        return packets, row[:pictures], row[pictures : pictures + units]

    def _extra_pcr_ticks(self, dts: Ints) -> Ints:
        parts = self.stream.extra_pcrs + 1
        frame_ticks = TICKS_PER_SECOND * self.stream.fps.den // self.stream.fps.num
        ticks: Ints = (dts[:, None] + frame_ticks * np.arange(1, parts) // parts).ravel()
        return ticks

    def _stamp_video(self, packets: Packets, video: Units, rows: Ints, frames: Ints) -> None:
        dts = self._ticks(frames)
        pts = self._ticks(frames + video["composition"] + self.stream.composition_delay)
        at = video["pts_at"].astype(np.int64)
        has_dts = (video["flags"] & HAS_DTS) != 0
        write_timestamps(packets, rows, at, pts, prefix=np.where(has_dts, 3, 2))
        write_timestamps(packets, rows[has_dts], at[has_dts] + 5, dts[has_dts], prefix=np.ones(int(has_dts.sum()), dtype=np.int64))
        has_pcr = (video["flags"] & HAS_PCR) != 0
        write_pcrs(packets, rows[has_pcr], dts[has_pcr] - self.stream.pcr_lead)

    def _count(self, packets: Packets) -> None:
        """Continuity counters (2.4.3.3): one up with each packet that has payload, per PID."""
        state = self.state
        packets[:2, 3] = (packets[:2, 3] & 0xF0) | state.table_counter
        state.table_counter = (state.table_counter + 1) & 0x0F
        pids = tsp.pids(packets)
        for pid, name in ((VIDEO_PID, "video_counter"), (AUDIO_PID, "audio_counter")):
            rows = np.flatnonzero(pids == pid)
            has_payload = (packets[rows, 3] & 0x10) != 0
            first = getattr(state, name)
            counters = (first + np.cumsum(has_payload) - 1) & 0x0F
            packets[rows, 3] = (packets[rows, 3] & 0xF0) | counters.astype(np.uint8)
            setattr(state, name, (first + int(np.count_nonzero(has_payload))) & 0x0F)
