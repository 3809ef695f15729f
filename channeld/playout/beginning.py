"""Where in a clip its look-ahead begins: at its first picture, where a dead host left it, or at a random access point.

Rule: the video and the audio of a clip are left out by count, each for itself, for the audio is cut elsewhere than the pictures.
Sans-I/O. Used by the reader threads, and once by whoever resumes a filler that is in memory.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from channeld.base.units import AAC_FRAME_TICKS, FrameRate
from channeld.ts.index import IS_RANDOM_ACCESS, Base, Block, BlockRecord
from channeld.ts.splicer import ClipFeed

CLIP_START = Base()


class Beginning:
    """Leaves out so many pictures and audio units; records and blocks are shown to it in order.

    `audio_offset`, where it is given, is that of the first unit kept to the first picture kept, in ticks.
    """

    def __init__(self, frames: int = 0, audio_units: int = 0, *, may_cut: bool = True, audio_offset: int | None = None) -> None:
        self.frames = frames
        self.audio_units = audio_units
        self.may_cut = may_cut
        self._audio_offset = audio_offset
        self._left = (frames, audio_units)

    def begin_behind(self, base: Base) -> None:
        """What is shown begins behind so many pictures and audio units, which are left out already."""
        self._left = max(0, self.frames - base.frames), max(0, self.audio_units - base.audio_units)

    def leaves_out(self, record: BlockRecord | Block) -> bool:
        """Nothing of this record is wanted; it is counted then."""
        video, audio = self._left
        if video < len(record.video) or audio < len(record.audio):
            return False
        self._left = video - len(record.video), audio - len(record.audio)
        return True

    def trim(self, block: Block) -> Block:
        """What is wanted of a block."""
        video, audio = self._left
        if not video and not audio:
            return block
        self._left = max(0, video - len(block.video)), max(0, audio - len(block.audio))
        offset = block.audio_offset if self._audio_offset is None else self._audio_offset
        return replace(block, video=block.video[video:], audio=block.audio[audio:], audio_offset=offset)

    def tell(self, feed: ClipFeed) -> None:
        """Have a feed count from here; before its first block."""
        feed.begin_at(self.frames, self.audio_units, may_cut=self.may_cut)


def at_random_access(records: Sequence[BlockRecord], frame: int, fps: FrameRate, *, base: Base = CLIP_START) -> Beginning:
    """The random access point at or before a frame (the clip's last one where it has not so many), with the audio that belongs to it.

    Where the records do not begin with the clip, `base` says behind what, the frame counts from them, and the first of their random access
    points is taken for a frame that has none before it.
    """
    found = [np.flatnonzero(record.video["flags"] & IS_RANDOM_ACCESS) for record in records]
    begins = np.cumsum([0, *(len(record.video) for record in records)])
    points = np.concatenate([at + begin for at, begin in zip(found, begins[:-1], strict=True)])
    before = points[points <= frame]
    chosen = int(before[-1]) if before.size else int(points[0]) if points.size else 0
    elapsed = fps.tick(base.frames + chosen) - records[0].audio_offset
    units = max(0, elapsed // AAC_FRAME_TICKS - 1)  # one more than is needed: the join takes the nearest
    beginning = Beginning(base.frames + chosen, units, audio_offset=units * AAC_FRAME_TICKS - elapsed)
    beginning.begin_behind(base)
    return beginning


def feed_from(blocks: Iterable[Block], beginning: Beginning) -> ClipFeed:
    """A clip in memory, from its beginning on."""
    feed = ClipFeed()
    beginning.tell(feed)
    for block in blocks:
        if not beginning.leaves_out(block):
            feed.append(beginning.trim(block))
    return feed
