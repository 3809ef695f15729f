"""From a live encoder's transport stream to blocks that air a moment later: the gate of a source that never ends.

Rule: as in `conform`, what breaks a promise of the splicer is refused here; but a block is cut as soon as it may be, at any place
without a hole in display order, once all sound of its pictures is there. What is cut off at the end is left out.
Sans-I/O; not thread-safe; used by one attempt at a source.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channeld.base.errors import StreamError
from channeld.base.units import AAC_FRAME_TICKS
from channeld.ts import packet as tsp
from channeld.ts.conform import Conformer, StreamRules, find_units
from channeld.ts.index import Block
from channeld.ts.packet import AUDIO_PID, VIDEO_PID, Ints, Packets
from channeld.ts.silence import SilentTrack
from channeld.ts.sound_grid import SoundGrid
from channeld.ts.timeline import WRAP_TICKS, read_timestamps

MIN_BLOCK_S = 0.2
"""A block has at least so much: the air's own slices are as long."""
COPIED_AUDIO_SLACK_TICKS = 900
"""Sound that came over RTMP has whole milliseconds; the splicer puts it on its grid."""
MAX_PENDING_PACKETS = 100_000
"""19 MB: what waits for its picture, its sound or a key frame."""
MAX_UNEVEN_S = 4.0
"""Pictures may come so long without their sound, and then the stream is refused."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What was not cut yet: its packets, the display rank of each whole picture, the PTS of each whole audio unit."""

    packets: Packets
    ranks: Ints
    sound: Ints


class LiveConformer(Conformer):
    """Takes FFmpeg's mpegts bytes as they come, gives Blocks. Raises StreamError when a rule is broken.

    `has_free_gops`: key frames may come anywhere, at most two GOPs of the profile apart, as those of a copied source do. `has_sound`
    False: the stream has pictures alone, and gets silence of the rules' silent frame. `is_encoded`: its sound is FFmpeg's own, whose
    units are put in their places.
    """

    def __init__(self, rules: StreamRules, *, has_free_gops: bool = False, has_sound: bool = True, is_encoded: bool = False) -> None:
        super().__init__(rules)
        self._silence = None if has_sound else SilentTrack(rules.silent_frame or b"")
        self._grid = SoundGrid(rules.silent_frame or b"") if has_sound and is_encoded else None
        self._has_free_gops = has_free_gops
        self.max_pending_packets = MAX_PENDING_PACKETS
        self._is_aligned = False
        if has_free_gops:
            self.audio_slack = COPIED_AUDIO_SLACK_TICKS
        self._since_key = 0
        self._min_frames = max(1, rules.fps.frames_in(MIN_BLOCK_S))
        self._max_frames = rules.fps.frames_in(MAX_UNEVEN_S)
        self._max_units = 10 * self._max_frames
        self._arrived: Ints = np.empty(0, dtype=np.int64)

    def feed(self, payload: bytes) -> list[Block]:
        self._take(payload)
        if not self._is_aligned and not self._align():
            return []
        blocks = []
        while self._pending_frames > self._min_frames and (frames := self._frames_to_cut(self._look())):
            blocks.append(self._cut_block(frames))
        if self._pending_frames > self._max_frames:
            raise StreamError(f"{MAX_UNEVEN_S:g} s of pictures without their sound", pid=AUDIO_PID)
        return blocks

    def arrived(self) -> list[int]:
        """When the pictures that began with the newest bytes are to be decoded, in ticks of 33 bits."""
        return [int(dts) for dts in self._arrived]

    def _take(self, payload: bytes) -> None:
        before = len(self._pending)
        super()._take(payload)
        self._arrived = _decoding_times(self._pending[-1]) if len(self._pending) > before else self._arrived[:0]

    def _received(self, packets: Packets) -> Packets:
        if not len(packets):
            return packets
        if self._silence is not None:
            return self._silence.beside(packets)
        return packets if self._grid is None else self._grid.place(packets)

    def finish(self) -> list[Block]:
        """What may still air of what came: whole pictures up to the last legal cut, with silence where their sound is not there."""
        self._partial = b""
        if self._pending_frames < 2 or not self._is_aligned:
            return []
        waiting = self._look()
        cuts = np.flatnonzero(np.maximum.accumulate(waiting.ranks) == np.arange(len(waiting.ranks)))
        if not cuts.size or (self._audio_offset is None and not len(waiting.sound)):
            return []
        whole = _first_pictures(waiting.packets, int(cuts[-1]) + 1, len(waiting.sound))
        return [self._close(whole, last=True)]

    def _align(self) -> bool:
        """Begin with the first key frame that has sound, and with the sound that belongs to it: tracks seldom begin together."""
        packets = np.concatenate(self._pending) if self._pending else np.empty((0, tsp.PACKET_BYTES), dtype=np.uint8)
        rows = np.flatnonzero(tsp.starts_unit(packets))
        if not rows.size:
            return False
        packets, rows = packets[rows[0] :], rows - rows[0]
        self._pending = [packets]
        video, audio = find_units(packets)
        if not len(video.rows) or not len(audio.rows):
            if len(rows) > self._max_units:
                raise StreamError("the source has pictures or sound alone", pid=AUDIO_PID)
            return False
        keys = tsp.is_random_access(packets[video.rows])
        fits = np.flatnonzero(keys & (_ticks_behind(video.pts, int(audio.pts[0])) >= 0))
        if not fits.size:
            return False
        first = int(fits[0])
        lead = _ticks_behind(audio.pts, int(video.pts[first]))
        keeps = np.zeros(len(rows), dtype=bool)
        keeps[np.isin(rows, video.rows[first:])] = True
        keeps[np.isin(rows, audio.rows[lead > -2 * AAC_FRAME_TICKS])] = True
        self._pending = [packets[np.repeat(keeps, np.diff(np.append(rows, len(packets))))]]
        self._pending_frames -= first
        self._is_aligned = True
        return True

    def _look(self) -> _Waiting:
        """The last unit of each kind may still grow, so it is not counted."""
        packets = np.concatenate(self._pending)
        self._pending = [packets]
        video, audio = find_units(packets)
        if self._first_pts is None:
            self._first_pts = int(video.pts[0])
        return _Waiting(packets, self._display_ranks(video.pts[:-1]) - self.video_frames, audio.pts[:-1])

    def _frames_to_cut(self, waiting: _Waiting) -> int:
        """As many pictures as may be cut now, 0 for none."""
        if not len(waiting.sound):
            return 0
        numbers = np.arange(len(waiting.ranks))
        cuts = np.flatnonzero(np.maximum.accumulate(waiting.ranks) == numbers) + 1
        for frames in cuts[cuts >= self._min_frames][::-1].tolist():
            if self._behind_sound_of(waiting.sound[-1:], frames)[0] >= 0:
                return int(frames)
        return 0

    def _check_key_frames(self, key: npt.NDArray[np.bool_]) -> None:
        if not self._has_free_gops:
            super()._check_key_frames(key)
            return
        for is_key in key.tolist():
            self._since_key = 1 if is_key else self._since_key + 1
            if self._since_key > 2 * self._rules.gop_frames:
                raise StreamError(f"key frames are more than {2 * self._rules.gop_frames} pictures apart", pid=VIDEO_PID)


def _ticks_behind(pts: Ints, other: int) -> Ints:
    """How far timestamps of 33 bits lie behind another one, in ticks; negative for before it."""
    half = WRAP_TICKS // 2
    behind: Ints = (pts - other + half) % WRAP_TICKS - half
    return behind


def _decoding_times(packets: Packets) -> Ints:
    """DTS of each picture that begins here. What is no PES header is left out: it is refused later, with its reason."""
    rows = np.flatnonzero(tsp.starts_unit(packets) & (tsp.pids(packets) == VIDEO_PID))
    at = tsp.payload_offsets(packets[rows]) + 9
    fits = at <= tsp.PACKET_BYTES - 10
    rows, at = rows[fits], at[fits]
    has_dts = (packets[rows, at] & 0xF0) == 0x30
    return read_timestamps(packets, rows, at + 5 * has_dts)


def _first_pictures(packets: Packets, pictures: int, sounds: int) -> Packets:
    """The packets of so many whole pictures and audio units."""
    rows = np.flatnonzero(tsp.starts_unit(packets))
    is_video = tsp.pids(packets[rows]) == VIDEO_PID
    belongs = np.where(is_video, np.cumsum(is_video) <= pictures, np.cumsum(~is_video) <= sounds)
    chosen: Packets = packets[np.repeat(belongs, np.diff(np.append(rows, len(packets))))]
    return chosen
