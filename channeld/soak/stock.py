"""The clips of a soak: really made and really prepared, few and tiny, and broken on disk as disks and people break them.

Rule: a broken clip is noticed only as on air, by who reads it; then it is pending until it was made again. Owners: the
folder is the soak's; FFmpegs are ended by `make_stock`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from channeld.base.units import FrameRate
from channeld.channel.preparation import Prepared
from channeld.media import child
from channeld.media.cache import ClipCache
from channeld.media.clip import PreparedClip
from channeld.media.prepare import PrepareRequest, prepare
from channeld.media.profile import Profile
from channeld.media.slate import ensure_filler
from channeld.media.tools import find_tools
from channeld.playlist.model import Entry, Readiness
from channeld.soak.stream_judge import fingerprints

PROFILE = Profile("soak", 64, 36, FrameRate(10, 1), 25_000, 32_000, gop_seconds=2.0, preset="ultrafast")
"""As few bytes as a picture can have: what is tried is joins and time, not pixels."""
LENGTHS_S = (0.1, 0.7, 2.3, 5.0, 9.9, 14.3, 21.7, 33.1)
MISSING = "nowhere.mkv"
_DEADLINE_S = 120.0
_MAX_SOURCE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class StockClip:
    """A prepared clip, its files' bytes as they should be, and a fingerprint of each picture."""

    clip: PreparedClip
    ts: bytes
    idx: bytes
    pictures: Sequence[int]


def make_stock(folder: Path) -> "Stock":
    """Make and prepare the clips below a folder. Raises ChannelError, OSError."""
    tools, cache = find_tools(), ClipCache(folder / "cache", 1 << 30)
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)

    def make(number: int) -> PreparedClip:
        source = media / f"{number}.mkv"
        picture = f"testsrc2=s=128x72:r=10,hue=h={40 * number}"
        inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine={300 + 50 * number}:r=48000")
        output = ("-t", str(LENGTHS_S[number]), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "pcm_s16le", "-f", "matroska", "pipe:1")
        made = child.run([tools.ffmpeg, "-nostdin", "-v", "error", *inputs, *output], max_bytes=_MAX_SOURCE_BYTES, deadline_s=_DEADLINE_S)
        source.write_bytes(made)
        return prepare(PrepareRequest(source, PROFILE), cache, tools=tools)

    filler = ensure_filler(cache, PROFILE, None, title="soak")
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        clips = list(pool.map(make, range(len(LENGTHS_S))))
    return Stock({f"{number}.mkv": _taken(clip) for number, clip in enumerate(clips)}, _taken(filler), media)


def _taken(clip: PreparedClip) -> StockClip:
    ts = clip.ts_path.read_bytes()
    return StockClip(clip, ts, clip.idx_path.read_bytes(), fingerprints(ts))


class Stock:
    """What there is, and in which state. `media` holds the sources that playlists name."""

    def __init__(self, clips: dict[str, StockClip], filler: StockClip, media: Path) -> None:
        self.clips = clips
        self.filler = filler
        self.media = media
        self.on_mended: Callable[[], None] = lambda: None
        self._pending: set[str] = set()
        self._names = {found.clip.key[:8]: name for name, found in clips.items()}

    def look_up(self, entry: Entry) -> Prepared:
        """What the preparer would say of an entry."""
        name = entry.path.name if entry.path is not None else ""
        found = self.clips.get(name)
        if found is None:
            return Prepared(Readiness.REFUSED, reason="no such clip")
        if name in self._pending:
            return Prepared(Readiness.PENDING, length_s=found.clip.duration_s)
        return Prepared(Readiness.READY, found.clip, length_s=found.clip.duration_s)

    def pictures_of(self, airing: str | None) -> Sequence[int]:
        """The fingerprints of a planned airing's clip, whose key its name ends with; the filler's for None."""
        return self.filler.pictures if airing is None else self.clips[self._names[airing.rpartition(".")[2]]].pictures

    def name_of(self, airing: str) -> str:
        """The clip that an airing shows."""
        return self._names[airing.rpartition(".")[2]]

    def spoil(self, name: str, how: str, random: Random) -> None:
        """Break a clip's files in place, under whoever has them open."""
        found = self.clips[name]
        path, size = {"ts": (found.clip.ts_path, len(found.ts)), "idx": (found.clip.idx_path, len(found.idx))}[how.split()[0]]
        verb = how.split()[1]
        if verb == "deleted":
            path.unlink(missing_ok=True)
        elif path.exists():
            with path.open("r+b") as file:
                if verb == "truncated":
                    file.truncate(random.randrange(size))
                else:
                    file.seek(random.randrange(size))
                    file.write(random.randbytes(1 + random.randrange(400)))

    def mend_all(self) -> None:
        """As it was made: what one soak broke is not the next one's."""
        for name in self.clips:
            self.mend(name)

    def discard(self, name: str) -> bool:
        """Somebody noticed that a clip is damaged; False when that was known."""
        is_news = name not in self._pending
        self._pending.add(name)
        return is_news

    def mend(self, name: str) -> None:
        """The clip was made again."""
        found = self.clips[name]
        for path, content in ((found.clip.ts_path, found.ts), (found.clip.idx_path, found.idx)):
            fresh = path.with_name(f"{path.name}.new")
            fresh.write_bytes(content)
            fresh.rename(path)
        self._pending.discard(name)
        self.on_mended()


SPOILINGS = tuple(f"{what} {how}" for what in ("ts", "idx") for how in ("deleted", "truncated", "garbled"))
