"""Prepared clips for the tests of what airs them: real clips through the real prepare, and the splicer run without waiting.

Rule: one cache for a whole test session, found by every folder of tests through `shelf_of`; clips are never changed.
"""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from clips import numbered_clip

from channeld.base.units import FrameRate
from channeld.media.cache import ClipCache
from channeld.media.card import ensure_card
from channeld.media.clip import PreparedClip
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.profile import COMPOSITION_DELAY, Profile
from channeld.media.tools import find_tools
from channeld.ts.index import Block, IndexParser
from channeld.ts.splicer import ClipFeed, Splicer, StreamFormat

TINY = Profile("tiny", 160, 90, FrameRate(25, 1), 150_000, 48_000, gop_seconds=1.0, preset="ultrafast")
"""160×90 at 25 fps, key frames every second: as small as numbers in the picture can still be read."""


class PreparedShelf:
    """Prepared clips made on demand in one folder."""

    def __init__(self, folder: Path) -> None:
        self._sources = folder / "sources"
        self._cache = ClipCache(folder / "cache", 1 << 30)
        self._tools = find_tools()

    def file(self, source: Path, *, profile: Profile = TINY, in_s: float = 0.0, out_s: float | None = None) -> PreparedClip:
        """A real file's clip."""
        return prepare(PrepareRequest(source, profile, in_s=in_s, out_s=out_s), self._cache, tools=self._tools)

    def numbered(self, frames: int, *, base: int = 0, tone_hz: int = 400, profile: Profile = TINY) -> PreparedClip:
        """A clip of this many frames at the profile's rate, with the numbers base, base + 1 … in the picture."""
        rate = profile.fps
        source = self._sources / f"{frames}-{base}-{tone_hz}-{rate.num}-{rate.den}.mkv"
        if not source.exists():
            size = (profile.width * 2, profile.height * 2)
            numbered_clip(source, frames=frames, fps=Fraction(rate.num, rate.den), size=size, base=base, tone_hz=tone_hz, acodec="pcm")
        return self.file(source, profile=profile)

    def filler(self, profile: Profile = TINY) -> PreparedClip:
        """The built-in card."""
        return ensure_card(self._cache, profile, "", self._tools)


def at_rate(fps: FrameRate) -> Profile:
    """The tiny profile at another frame rate."""
    return replace(TINY, name=f"tiny{fps}", fps=fps)


def shelf_of(session_folder: Path) -> PreparedShelf:
    """The session's shelf; each package's conftest asks for it by the session's own folder."""
    if session_folder not in _shelves:
        _shelves[session_folder] = PreparedShelf(session_folder / "prepared")
    return _shelves[session_folder]


_shelves: dict[Path, PreparedShelf] = {}


def blocks_of(clip: PreparedClip) -> list[Block]:
    """A whole clip in memory."""
    ts = clip.ts_path.read_bytes()
    records = IndexParser().feed(clip.idx_path.read_bytes())
    return [record.with_packets(ts[record.ts_offset : record.ts_offset + record.ts_length]) for record in records]


def feed_of(blocks: Iterable[Block]) -> ClipFeed:
    """A clip ready to be spliced from its first frame."""
    feed = ClipFeed()
    for block in blocks:
        feed.append(block)
    return feed


def stream_format(profile: Profile = TINY) -> StreamFormat:
    """What a splicer of the profile's channel is told."""
    return StreamFormat(profile.fps, COMPOSITION_DELAY)


def air(splicer: Splicer, feed: ClipFeed, *, limit: int = 5) -> bytes:
    """Join a clip and send all of it, in slices of up to `limit` frames."""
    splicer.join(feed)
    return send(splicer, feed, feed.frames_ready, limit=limit)


def send(splicer: Splicer, feed: ClipFeed, frames: int, *, limit: int = 5) -> bytes:
    """Send exactly this many frames of a clip that was joined."""
    sent = bytearray()
    while frames:
        piece = splicer.next_slice(feed, min(limit, frames))
        assert piece is not None
        frames -= piece.frames
        sent += piece.packets.tobytes()
    return bytes(sent)
