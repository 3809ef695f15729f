"""From FFmpeg's transport stream to blocks of a prepared clip: the gate that every clip passes once.

Rule: what comes out keeps every promise the splicer builds on (fixed PIDs, one set of parameter sets, closed GOPs of one
length, no hole in display order, audio on a grid of 1920 ticks); a stream that breaks one is refused here, not on air.
Sans-I/O; not thread-safe; used by one prepare job.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channeld.base.errors import StreamError
from channeld.base.units import AAC_FRAME_TICKS, TICKS_PER_SECOND, FrameRate
from channeld.ts import packet as tsp
from channeld.ts.index import AUDIO_AU, HAS_DTS, HAS_PCR, IS_RANDOM_ACCESS, MAX_BLOCK_BYTES, MAY_CUT_AFTER, VIDEO_AU, Block, Units
from channeld.ts.nal import ParameterSets, VideoCodec, parameter_sets
from channeld.ts.packet import AUDIO_PID, PACKET_BYTES, VIDEO_PID, Ints, Packets
from channeld.ts.psi import tables
from channeld.ts.timeline import WRAP_TICKS, read_timestamps

AUDIO_SURPLUS_S = 0.2
"""Audio is kept this much longer than the picture, so that a join may take one more audio frame."""
MAX_PCR_STEP_TICKS = 40 * TICKS_PER_SECOND // 1000
"""ISO/IEC 13818-1 allows 100 ms between PCRs, DVB (TS 101 154) 40 ms."""
MAX_AUDIO_LEAD_TICKS = 8 * AAC_FRAME_TICKS
MAX_PENDING_PACKETS = MAX_BLOCK_BYTES // PACKET_BYTES
"""What waits to be a block cannot be more than a block."""
MAX_UNIT_PACKETS = (1 << 16) - 1
"""As an index counts them."""


class NotReordered(StreamError):
    """Without B-frames FFmpeg writes one timestamp where the splicer needs room for two, a frame apart: `setts` makes it."""


@dataclass(frozen=True, slots=True)
class StreamRules:
    """What a conformed stream must be. `parameter_sets` None: the first ones seen are the reference.

    `silent_frame` holds the packets of one silent audio unit, appended where a clip's audio is too short.
    """

    fps: FrameRate
    gop_frames: int
    composition_delay: int
    parameter_sets: ParameterSets | None = None
    silent_frame: bytes | None = None
    block_seconds: float = 4.0
    codec: VideoCodec = VideoCodec.H264

    @property
    def block_frames(self) -> int:
        """Frames of a block: the whole GOPs nearest to `block_seconds`."""
        return max(1, round(self.fps.frames_in(self.block_seconds) / self.gop_frames)) * self.gop_frames


@dataclass(frozen=True, slots=True)
class FoundUnits:
    """Access units found in a run of packets: first row, number of rows, PTS column and PTS (33 bits)."""

    rows: Ints
    counts: Ints
    pts_at: Ints
    pts: Ints


class Conformer:
    """Takes FFmpeg's mpegts bytes, gives Blocks. Raises StreamError when a rule is broken."""

    def __init__(self, rules: StreamRules) -> None:
        self._rules = rules
        self._partial = b""
        self._pending: list[Packets] = []
        self._pending_frames = self._pending_sounds = 0
        self._blocks = 0
        # The next key frame's neighbours must have come before a block is cut: interleaving is within a second.
        self._settle_frames = rules.fps.frames_in(1)
        self._first_pts: int | None = None
        self._audio_offset: int | None = None
        self.parameter_sets = rules.parameter_sets
        self.video_frames = 0
        self.audio_frames = 0
        self.audio_slack = 0
        """How far audio units may be from their grid, in ticks."""
        self.max_pending_packets = MAX_PENDING_PACKETS

    def feed(self, payload: bytes) -> list[Block]:
        """Take bytes of any length; give the blocks that are complete."""
        self._take(payload)
        blocks = []
        while self._pending_frames > self._rules.block_frames + self._settle_frames and (self._has_sound() or self._is_half_full()):
            blocks.append(self._cut_block(self._rules.block_frames))
        return blocks

    def _has_sound(self) -> bool:
        """What waits has the sound of the next block, too."""
        due = self._rules.fps.tick(self.video_frames + self._rules.block_frames) // AAC_FRAME_TICKS
        return self.audio_frames + self._pending_sounds >= due

    def _is_half_full(self) -> bool:
        """The sound is too far behind to be waited for."""
        return sum(map(len, self._pending)) > self.max_pending_packets // 2

    def _take(self, payload: bytes) -> None:
        payload = self._partial + payload
        whole = len(payload) // PACKET_BYTES * PACKET_BYTES
        self._partial = payload[whole:]
        packets = tsp.as_packets(payload[:whole])
        pids = tsp.pids(packets)
        packets = self._received(packets[(pids == VIDEO_PID) | (pids == AUDIO_PID)])
        if len(packets):
            self._pending.append(packets)
            begins = tsp.pids(packets)[tsp.starts_unit(packets)]
            self._pending_frames += int(np.count_nonzero(begins == VIDEO_PID))
            self._pending_sounds += int(np.count_nonzero(begins == AUDIO_PID))
        if sum(map(len, self._pending)) > self.max_pending_packets:
            raise StreamError("pictures and sound do not come together, or there is no key frame")

    def _received(self, packets: Packets) -> Packets:
        """What counts of the packets that came."""
        return packets

    def finish(self) -> list[Block]:
        """The last, shorter block. Audio that ends early is continued with silence."""
        if self._partial:
            raise StreamError("the stream ends within a packet")
        blocks = []
        while self._pending_frames > self._rules.block_frames:
            blocks.append(self._cut_block(self._rules.block_frames))
        if self._pending_frames:
            blocks.append(self._close(np.concatenate(self._pending), last=True))
        return blocks

    def _cut_block(self, frames: int) -> Block:
        """One block off the pending packets, with all the audio its pictures need: some of it comes behind the next key frame."""
        packets = np.concatenate(self._pending)
        rows = np.flatnonzero(tsp.starts_unit(packets))
        is_video = tsp.pids(packets[rows]) == VIDEO_PID
        belongs = np.where(is_video, np.cumsum(is_video) <= frames, False)
        video, audio = find_units(packets)
        if self._first_pts is None:
            self._first_pts = int(video.pts[0])
        belongs[~is_video] = self._behind_sound_of(audio.pts, frames) < 0
        mask = np.repeat(belongs, np.diff(np.append(rows, len(packets))))
        self._pending = [packets[~mask]]
        self._pending_frames -= frames
        self._pending_sounds -= int(np.count_nonzero(belongs & ~is_video))
        return self._close(packets[mask], last=False)

    def _behind_sound_of(self, pts: Ints, frames: int) -> Ints:
        """How far audio units lie behind all that a block of the next `frames` pictures takes, in ticks."""
        assert self._first_pts is not None
        end = self._rules.fps.tick(self.video_frames + frames + self._rules.composition_delay) + 2 * AAC_FRAME_TICKS
        half = WRAP_TICKS // 2
        behind: Ints = (pts - self._first_pts - end + half) % WRAP_TICKS - half
        return behind

    def _close(self, packets: Packets, *, last: bool) -> Block:
        video, audio = find_units(packets)
        if self._first_pts is None:
            self._first_pts = int(video.pts[0])
        video_table = self._video_table(packets, video)
        audio_table = self._audio_table(audio)
        self.video_frames += len(video_table)
        self.audio_frames += len(audio_table)
        if self._audio_offset is None:
            raise StreamError("no audio in the first block", pid=AUDIO_PID)
        if last:
            packets, audio_table = self._complete_audio(packets, audio_table)
        psi = tables(self._rules.codec)
        psi[:, 3] |= self._blocks & 0x0F
        block = Block(self._blocks, psi.tobytes() + packets.tobytes(), video_table, audio_table, self._audio_offset)
        self._blocks += 1
        return block

    def _video_table(self, packets: Packets, units: FoundUnits) -> Units:
        rules = self._rules
        count = len(units.rows)
        decode = np.arange(count)
        rank = self._display_ranks(units.pts) - self.video_frames
        if not np.array_equal(np.sort(rank), decode):
            raise StreamError("pictures are missing, doubled or cross a GOP", pid=VIDEO_PID)
        composition = rank - decode
        if composition.min() < -rules.composition_delay:
            raise StreamError("pictures are reordered further than the profile allows", pid=VIDEO_PID)
        first = packets[units.rows]
        key = tsp.is_random_access(first)
        self._check_key_frames(key)
        has_dts = (packets[units.rows, units.pts_at] & 0xF0) == 0x30
        if not np.array_equal(has_dts, composition + rules.composition_delay != 0):
            if not (has_dts.any() or composition.any()):
                raise NotReordered("DTS is not decode order: without B-frames there is one timestamp for both", pid=VIDEO_PID)
            raise StreamError("DTS is not decode order", pid=VIDEO_PID)
        self._check_pcr_slots(tsp.carries_pcr(first))
        for row, rows in zip(units.rows[key], units.counts[key], strict=True):
            self._check_parameter_sets(packets[row : row + rows])
        table = np.zeros(count, dtype=VIDEO_AU)
        table["packet"], table["packets"], table["pts_at"] = units.rows + 2, units.counts, units.pts_at
        table["composition"] = composition
        may_cut = np.maximum.accumulate(rank) == decode
        table["flags"] = key * IS_RANDOM_ACCESS | may_cut * MAY_CUT_AFTER | tsp.carries_pcr(first) * HAS_PCR | has_dts * HAS_DTS
        return table

    def _check_key_frames(self, key: npt.NDArray[np.bool_]) -> None:
        numbers = np.arange(len(key)) + self.video_frames
        if not np.array_equal(key, numbers % self._rules.gop_frames == 0):
            raise StreamError("key frames are not on the GOP grid", pid=VIDEO_PID)

    def _check_pcr_slots(self, has_pcr: npt.NDArray[np.bool_]) -> None:
        """The splicer writes PCRs where FFmpeg left room: often enough for steps of 40 ms, or in every picture that is longer."""
        slots = np.flatnonzero(has_pcr)
        frame_ticks = self._rules.fps.tick(1)
        longest = max(1, MAX_PCR_STEP_TICKS // frame_ticks)
        if not slots.size or slots[0] != 0 or np.diff(slots, append=len(has_pcr)).max() > longest:
            raise StreamError("PCRs are too far apart", pid=VIDEO_PID)

    def _display_ranks(self, pts: Ints) -> Ints:
        """Position of each picture in display order, counted over the whole clip."""
        assert self._first_pts is not None
        fps = self._rules.fps
        expected = self.video_frames * TICKS_PER_SECOND * fps.den // fps.num
        half = WRAP_TICKS // 2
        elapsed = (pts - self._first_pts - expected + half) % WRAP_TICKS - half + expected
        frame_ticks = TICKS_PER_SECOND * fps.den
        ranks: Ints = (elapsed * fps.num + frame_ticks // 2) // frame_ticks
        return ranks

    def _audio_table(self, units: FoundUnits) -> Units:
        assert self._first_pts is not None
        if self._audio_offset is None and len(units.rows):
            half = WRAP_TICKS // 2
            self._audio_offset = int((units.pts[0] - self._first_pts + half) % WRAP_TICKS - half)
            if not -MAX_AUDIO_LEAD_TICKS <= self._audio_offset <= 0:
                raise StreamError(f"audio begins {self._audio_offset} ticks from the picture", pid=AUDIO_PID)
        if len(units.rows):
            grid = np.arange(len(units.rows)) + self.audio_frames
            expected = (self._first_pts + (self._audio_offset or 0) + grid * AAC_FRAME_TICKS) % WRAP_TICKS
            off = np.abs((units.pts - expected + WRAP_TICKS // 2) % WRAP_TICKS - WRAP_TICKS // 2)
            wrong = np.flatnonzero(off > self.audio_slack)
            if wrong.size:
                raise StreamError(f"audio unit {int(grid[wrong[0]])} is off the 1920-tick grid", pid=AUDIO_PID)
        table = np.zeros(len(units.rows), dtype=AUDIO_AU)
        table["packet"], table["packets"], table["pts_at"] = units.rows + 2, units.counts, units.pts_at
        return table

    def _complete_audio(self, packets: Packets, audio: Units) -> tuple[Packets, Units]:
        fps = self._rules.fps
        needed_ticks = fps.tick(self.video_frames) - (self._audio_offset or 0) + round(AUDIO_SURPLUS_S * TICKS_PER_SECOND)
        missing = -(-needed_ticks // AAC_FRAME_TICKS) - self.audio_frames
        if missing <= 0:
            return packets, audio
        if self._rules.silent_frame is None:
            raise StreamError("audio ends before the picture", pid=AUDIO_PID)
        silent = tsp.as_packets(self._rules.silent_frame)
        unit = find_units(silent)[1]
        more = np.zeros(missing, dtype=AUDIO_AU)
        more["packet"] = len(packets) + 2 + np.arange(missing) * len(silent)
        more["packets"], more["pts_at"] = len(silent), unit.pts_at[0]
        self.audio_frames += missing
        return np.concatenate([packets, np.tile(silent, (missing, 1))]), np.concatenate([audio, more])

    def _check_parameter_sets(self, packets: Packets) -> None:
        found = parameter_sets(packets, self._rules.codec)
        if self.parameter_sets is None:
            self.parameter_sets = found
        elif found != self.parameter_sets:
            raise StreamError("parameter sets differ from the profile's", pid=VIDEO_PID)


def audio_unit_packets(block: Block, number: int) -> bytes:
    """Packets of one audio unit of a block, such as the silent frame of a filler."""
    unit = block.audio[number]
    first = int(unit["packet"])
    return block.packets[first : first + int(unit["packets"])].tobytes()


def find_units(packets: Packets) -> tuple[FoundUnits, FoundUnits]:
    """Video and audio access units: each a run of packets from a unit start to the next, of one PID."""
    pids = tsp.pids(packets)
    rows = np.flatnonzero(tsp.starts_unit(packets))
    if not rows.size or rows[0] != 0:
        raise StreamError("the stream does not begin with an access unit")
    counts = np.diff(np.append(rows, len(packets)))
    if not np.array_equal(np.repeat(pids[rows], counts), pids):
        raise StreamError("access units are interleaved")
    if counts.max() > MAX_UNIT_PACKETS:
        raise StreamError(f"an access unit of more than {MAX_UNIT_PACKETS} packets")
    if not np.all(packets[:, 3] & 0x10):
        raise StreamError("a packet without payload")
    pes = tsp.payload_offsets(packets[rows])
    if pes.max() > PACKET_BYTES - 19:
        raise StreamError("a PES header crosses packets")
    head = packets[rows[:, None], pes[:, None] + np.arange(8)]
    if not (np.all(head[:, :3] == (0, 0, 1)) and np.all(head[:, 7] & 0x80)):
        raise StreamError("a PES packet without start code or PTS")
    pts_at = pes + 9
    pts = read_timestamps(packets, rows, pts_at)
    is_video = pids[rows] == VIDEO_PID
    video, audio = (FoundUnits(rows[mask], counts[mask], pts_at[mask], pts[mask]) for mask in (is_video, ~is_video))
    return video, audio
