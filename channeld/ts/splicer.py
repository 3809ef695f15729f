"""The channel's splicer: many prepared clips in, one endless transport stream out.

Rule: everything that writes a PTS, DTS, PCR or continuity counter on air is in this module.
Sans-I/O: no files, threads or clocks. Not thread-safe; used by the playout thread only.

Video takes the next frame's tick. Audio keeps its own grid of 1920 ticks for ever: at a join the clip's audio
unit nearest to the grid is the first one, so that the A/V error stays within half an AAC frame and never adds up.

Up to RUN_SLICES slices are stamped at once, as numpy costs by the call more than by the byte; each is then a view. What was
stamped and never sent, as the clip was cut, is forgotten: only what is sent moves the clip and the state.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from channeld.base.units import AAC_FRAME_TICKS, TICKS_PER_SECOND, FrameRate, Ticks90k
from channeld.ts import packet as tsp
from channeld.ts.conform import MAX_PCR_STEP_TICKS
from channeld.ts.index import AUDIO_AU, HAS_DTS, HAS_PCR, IS_RANDOM_ACCESS, MAY_CUT_AFTER, TABLE_PACKETS, Block, Units
from channeld.ts.packet import PACKET_BYTES, VIDEO_PID, Ints, Packets
from channeld.ts.timeline import write_pcrs, write_timestamps

DEFAULT_PCR_LEAD = Ticks90k(500 * TICKS_PER_SECOND // 1000)
_PTS_ALONE, _PTS_BEFORE_DTS, _DTS = 2, 3, 1
"""The leading four bits of a timestamp (2.4.3.7)."""

_NO_PACKETS, _NO_AUDIO = np.empty((0, PACKET_BYTES), dtype=np.uint8), np.empty(0, dtype=AUDIO_AU)
RUN_SLICES = 10
"""Slices stamped at once at most: a GOP of 2 s in slices of 0.2 s, less than a megabyte."""


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


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of whole access units of one clip, PAT and PMT first. `dts` of its first picture; `duration` in ticks."""

    packets: Packets
    dts: Ticks90k
    duration: Ticks90k
    frames: int
    is_random_access: bool


class ClipFeed:
    """A clip on its way to air: its blocks in memory and how far it was sent. Blocks come in order from a look-ahead.

    `frames_sent` and `audio_sent` count from the clip's first, sent or left out.
    """

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()
        self._audio_blocks: deque[Block] = deque()
        self._video_at = 0
        self._audio_at = 0
        self.frames_sent = 0
        self.audio_sent = 0
        self.frames_ready = 0
        self.may_cut = True

    @property
    def is_fresh(self) -> bool:
        """No block came yet, and nothing was left out."""
        return not (self.frames_sent or self.frames_ready or self.audio_sent)

    def begin_at(self, frames: int, audio_units: int, *, may_cut: bool = True) -> None:
        """Say, before the first block, that blocks come without so many pictures and audio units of the clip's beginning."""
        self.frames_sent, self.audio_sent, self.may_cut = frames, audio_units, may_cut

    def append(self, block: Block) -> None:
        """Take the next block; the first of a clip that goes on may hold audio alone."""
        if len(block.video):
            self._blocks.append(block)
        self._audio_blocks.append(block)
        self.frames_ready += len(block.video)

    @property
    def audio_offset(self) -> int:
        """First audio unit's PTS minus the first picture's, in ticks."""
        return self._audio_blocks[0].audio_offset

    def peek_video(self, limit: int) -> tuple[Block, Units] | None:
        """The next pictures, all of one block and one GOP, at most `limit`; None when no block is there."""
        if not self._blocks:
            return None
        block = self._blocks[0]
        units = block.video[self._video_at : self._video_at + limit]
        random_access = np.flatnonzero(units["flags"][1:] & IS_RANDOM_ACCESS)
        return block, units[: int(random_access[0]) + 1] if random_access.size else units

    def peek_audio(self, count: int) -> tuple[Packets, Units]:
        """The next `count` audio units with their packets, across blocks; fewer where the clip has no more."""
        packets, found, at = [_NO_PACKETS], [_NO_AUDIO], self._audio_at
        for block in self._audio_blocks:
            units = block.audio[at : at + max(0, count)]
            packets.append(block.packets.take(tsp.spread(units["packet"], units["packets"]), axis=0))
            found.append(units)
            count, at = count - len(units), 0
            if count <= 0:
                break
        return np.concatenate(packets), np.concatenate(found)

    def advance(self, frames: int, audio_units: int) -> None:
        """Pictures, all of one block, and audio units were sent."""
        block = self._blocks[0]
        self._video_at += frames
        self.frames_sent += frames
        self.frames_ready -= frames
        self.may_cut = bool(block.video["flags"][self._video_at - 1] & MAY_CUT_AFTER)
        if self._video_at == len(block.video):
            self._blocks.popleft()
            self._video_at = 0
        self.skip_audio(audio_units)

    def skip_audio(self, count: int) -> None:
        """Leave the next `count` audio units behind, as far as there are so many."""
        while count and self._audio_blocks:
            step = min(count, len(self._audio_blocks[0].audio) - self._audio_at)
            self._audio_at += step
            self.audio_sent += step
            count -= step
            if self._audio_at == len(self._audio_blocks[0].audio):
                self._audio_blocks.popleft()
                self._audio_at = 0


@dataclass(frozen=True, slots=True)
class _Source:
    """Units on their way into the stream: each some rows of `packets`, in the slice of a picture, in order of `times` (ticks)."""

    packets: Packets
    starts: Ints
    counts: Ints
    pictures: Ints
    times: Ints


class _Place(NamedTuple):
    """A place between two pictures of a run: its row, and the splicer's state when all before it is sent."""

    row: int
    audio_units: int
    video_counter: int
    audio_counter: int


@dataclass(slots=True)
class _Run:
    """Pictures of one GOP stamped at once, tables in front of every `limit` of them; `at` of them are sent.

    There is a place in front of every picture, and one at the end.
    """

    clip: ClipFeed
    limit: int
    packets: Packets
    flags: npt.NDArray[np.uint8]
    places: list[_Place]
    at: int = 0

    def serves(self, clip: ClipFeed, limit: int) -> bool:
        """The next slice of `clip` is here, behind its tables."""
        return self.clip is clip and self.at < len(self.flags) and self.at % self.limit == 0 and limit <= self.limit

    def frames_to(self, limit: int, *, up_to_cut: bool) -> int:
        """How many pictures the next slice holds."""
        flags = self.flags[self.at : self.at + limit]
        if up_to_cut:
            cuts = np.flatnonzero(flags & MAY_CUT_AFTER)
            if cuts.size:
                return int(cuts[0]) + 1
        return len(flags)


class Splicer:
    """One channel's timeline. Call `join` at each clip's start, then `next_slice` until the clip ends or is cut."""

    def __init__(self, stream: StreamFormat, state: SplicerState | None = None) -> None:
        self.stream = stream
        self.state = state or SplicerState()
        self._pcr = tsp.pcr_packet(VIDEO_PID).reshape(1, -1)
        self._delay_ticks = stream.fps.tick(stream.composition_delay)
        self._run: _Run | None = None

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

    def _audio_units_until(self, frames: Ints) -> Ints:
        """Audio units whose start is nearest to, or before, the presentation of each frame; counted from the origin."""
        elapsed = self._ticks(frames + self.stream.composition_delay) - self.state.origin
        units: Ints = (elapsed + AAC_FRAME_TICKS // 2) // AAC_FRAME_TICKS
        return units

    def leave_out_until(self, presented: Ticks90k | None) -> int:
        """Leave frames of the timeline empty, picture and sound, until the next picture is presented behind a tick; gives how many.

        For a clip that breaks off where it may not be cut; the timeline itself goes on.
        """
        state, left = self.state, 0
        while presented is not None and self._dts(state.frames + left + self.stream.composition_delay) <= presented:
            left += 1
        if left:
            state.frames += left
            state.audio_units = max(state.audio_units, int(self._audio_units_until(np.array([state.frames]))[0]))
        return left

    def join(self, clip: ClipFeed) -> Ticks90k:
        """Put a clip's first picture behind the last one sent; gives the A/V error of the join, in ticks (audio late is positive)."""
        state = self.state
        self._run = None
        if state.frames == 0:
            state.audio_units = int(self._audio_units_until(np.zeros(1, dtype=np.int64))[0])
        presented = self._dts(state.frames + self.stream.composition_delay)
        grid = state.origin + state.audio_units * AAC_FRAME_TICKS
        wanted = grid - presented - clip.audio_offset
        first = max(0, (wanted + AAC_FRAME_TICKS // 2) // AAC_FRAME_TICKS)
        clip.skip_audio(first)
        return Ticks90k(wanted - first * AAC_FRAME_TICKS)

    def next_slice(self, clip: ClipFeed, limit: int, *, up_to_cut: bool = False) -> Slice | None:
        """Up to `limit` pictures with their audio; None when no block of the clip is there. `up_to_cut` ends at the first legal cut."""
        run = self._run
        if run is None or not run.serves(clip, limit):
            run = self._run = self._stamp(clip, limit, RUN_SLICES)
        if run is None:
            return None
        state, begin = self.state, run.at
        count = run.frames_to(limit, up_to_cut=up_to_cut)
        run.at += count
        dts, end = self._dts(state.frames), run.places[run.at]
        clip.advance(count, end.audio_units - state.audio_units)
        state.frames += count
        state.audio_units = end.audio_units
        state.video_counter, state.audio_counter = end.video_counter, end.audio_counter
        state.table_counter = (state.table_counter + 1) & 0x0F
        packets = run.packets[run.places[begin].row : end.row]
        return Slice(packets, dts, Ticks90k(self._dts(state.frames) - dts), count, bool(run.flags[begin] & IS_RANDOM_ACCESS))

    def _stamp(self, clip: ClipFeed, limit: int, slices: int) -> _Run | None:
        """Stamp what comes next of a clip, as many slices as its GOP has; only one while audio is still to come."""
        peeked = clip.peek_video(limit * slices)
        if peeked is None:
            return None
        block, video = peeked
        state, count = self.state, len(video)
        bounds = self._audio_units_until(state.frames + np.arange(count + 1))
        sound, audio = clip.peek_audio(int(bounds[-1]) - state.audio_units)
        until = state.audio_units + len(audio)
        if until < bounds[-1] and slices > 1:
            return self._stamp(clip, limit, 1)
        sources = (
            self._pictures(block, video),
            self._sounds(sound, audio, bounds[1:]),
            _table_pairs(block, np.arange(0, count, limit)),
            self._extra_pcrs(count),
        )
        packets, rows = _merge(sources)
        self._stamp_video(packets, video, rows[0], sources[0].times)
        write_timestamps(packets, rows[1], audio["pts_at"].astype(np.int64), sources[1].times + self._delay_ticks, prefix=_PTS_ALONE)
        write_pcrs(packets, rows[3], sources[3].times - self.stream.pcr_lead)
        video_counters, audio_counters = self._count(packets, tsp.spread(rows[1], sources[1].counts), rows[2])
        places = _places(sources, count)
        units = np.clip(bounds, state.audio_units, until)
        units[0] = state.audio_units
        columns = (places, units, video_counters[places], audio_counters[places])
        return _Run(clip, limit, packets, video["flags"], list(map(_Place, *(column.tolist() for column in columns))))

    def _pictures(self, block: Block, video: Units) -> _Source:
        pictures = np.arange(len(video))
        times = self._ticks(self.state.frames + pictures)
        return _Source(block.packets, video["packet"].astype(np.int64), video["packets"].astype(np.int64), pictures, times)

    def _sounds(self, sound: Packets, audio: Units, bounds: Ints) -> _Source:
        """Audio goes with the picture before whose end it is due; so a slice has the same audio, wherever it is cut."""
        numbers = self.state.audio_units + np.arange(len(audio))
        counts = audio["packets"].astype(np.int64)
        times = self.state.origin + numbers * AAC_FRAME_TICKS - self._delay_ticks
        return _Source(sound, np.cumsum(counts) - counts, counts, np.searchsorted(bounds, numbers, side="right"), times)

    def _extra_pcrs(self, count: int) -> _Source:
        """PCR-only packets between pictures that are more than 40 ms apart."""
        parts = self.stream.extra_pcrs + 1
        frame_ticks = TICKS_PER_SECOND * self.stream.fps.den // self.stream.fps.num
        pictures = np.repeat(np.arange(count), parts - 1)
        offsets = np.tile(frame_ticks * np.arange(1, parts) // parts, count)
        nought = np.zeros(len(pictures), dtype=np.int64)
        return _Source(self._pcr, nought, nought + 1, pictures, self._ticks(self.state.frames + pictures) + offsets)

    def _stamp_video(self, packets: Packets, video: Units, rows: Ints, dts: Ints) -> None:
        pictures = np.arange(len(video))
        pts = self._ticks(self.state.frames + pictures + video["composition"] + self.stream.composition_delay)
        at = video["pts_at"].astype(np.int64)
        has_dts = (video["flags"] & HAS_DTS) != 0
        write_timestamps(packets, rows, at, pts, prefix=np.where(has_dts, _PTS_BEFORE_DTS, _PTS_ALONE))
        write_timestamps(packets, rows[has_dts], at[has_dts] + 5, dts[has_dts], prefix=_DTS)
        has_pcr = (video["flags"] & HAS_PCR) != 0
        write_pcrs(packets, rows[has_pcr], dts[has_pcr] - self.stream.pcr_lead)

    def _count(self, packets: Packets, audio_rows: Ints, table_rows: Ints) -> tuple[Ints, Ints]:
        """Continuity counters (2.4.3.3): one up with each packet that has payload, per PID.

        Gives those of video and audio in front of each row, and behind the last.
        """
        state, count = self.state, len(packets)
        is_audio, is_video = np.zeros(count, dtype=np.bool_), np.ones(count, dtype=np.bool_)
        is_audio[audio_rows], is_video[audio_rows] = True, False
        is_video[table_rows] = is_video[table_rows + 1] = False
        has_payload = (packets[:, 3] & 0x10) != 0
        video, audio = np.empty(count + 1, dtype=np.int64), np.empty(count + 1, dtype=np.int64)
        video[0], audio[0] = state.video_counter, state.audio_counter
        video[1:] = video[0] + np.cumsum(has_payload & is_video)
        audio[1:] = audio[0] + np.cumsum(has_payload & is_audio)
        counters = np.where(is_audio, audio[1:], video[1:]) - 1
        counters[table_rows] = counters[table_rows + 1] = state.table_counter + np.arange(len(table_rows))
        packets[:, 3] = (packets[:, 3] & 0xF0) | (counters & 0x0F).astype(np.uint8)
        return video & 0x0F, audio & 0x0F


def _table_pairs(block: Block, pictures: Ints) -> _Source:
    """PAT and PMT of a clip, which are those of its channel, in front of everything else that goes with these pictures."""
    nought = np.zeros(len(pictures), dtype=np.int64)
    return _Source(block.packets[:TABLE_PACKETS], nought, nought + TABLE_PACKETS, pictures, nought + np.iinfo(np.int64).min)


def _merge(sources: tuple[_Source, ...]) -> tuple[Packets, list[Ints]]:
    """Put the packets of all units in order. Gives them, and for each source the first row of each of its units."""
    counts = np.concatenate([source.counts for source in sources])
    order = np.lexsort((np.concatenate([source.times for source in sources]), np.concatenate([source.pictures for source in sources])))
    in_order = counts[order]
    row = np.empty(len(order), dtype=np.int64)
    row[order] = np.cumsum(in_order) - in_order
    lengths = [len(source.counts) for source in sources]
    rows = np.split(row, np.cumsum(lengths)[:-1])
    # Most packets are the first source's: one pass takes them all to their places, anything where others will be.
    starts = np.concatenate([sources[0].starts, np.zeros(sum(lengths[1:]), dtype=np.int64)])
    packets = sources[0].packets.take(tsp.spread(starts[order], in_order), axis=0, mode="clip")
    for source, at in zip(sources[1:], rows[1:], strict=True):
        packets[tsp.spread(at, source.counts)] = source.packets.take(tsp.spread(source.starts, source.counts), axis=0)
    return packets, rows


def _places(sources: tuple[_Source, ...], count: int) -> Ints:
    """The row at which each picture's share begins, and the end."""
    places = np.zeros(count + 1, dtype=np.int64)
    for source in sources:
        np.add.at(places, source.pictures + 1, source.counts)
    result: Ints = np.cumsum(places)
    return result
