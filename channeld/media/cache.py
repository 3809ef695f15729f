"""The prepared clips of this machine: a folder that survives restarts and may be carried to another machine.

Rule: what stands under its final name is whole; what does not verify is taken for missing and removed. The total of bytes stays below
the cap by evicting the clip whose next airing is furthest away, never a pinned one. Safe from any thread.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from channeld.base.errors import StreamError
from channeld.media.clip import PreparedClip
from channeld.media.fingerprint import FingerprintBook, write_atomically
from channeld.media.parts import PartWriter, remove_leftover
from channeld.media.plan import Trim
from channeld.media.reference import Reference
from channeld.media.url_book import UrlBook
from channeld.telemetry import log
from channeld.ts.index import ClipHeader, IndexParser, Totals

NextAiring = Callable[[str], float | None]
RULES = 2
"""Raised when clips may be prepared that were refused: what is remembered under another number is forgotten."""
MAX_REFUSALS = 50_000
MAX_RECORD_BYTES = 64 * 1024
HEADER_JSON_AT = 12
TRAILER_MAGIC = b"END1"

_log = log.get("cache")


def clip_key(content: str, profile_key: str, trim: Trim, audio_choice: str = "") -> str:
    """Name of a clip: over content, profile, trims and the audio track that was asked for. 32 hex digits."""
    text = json.dumps([content, profile_key, asdict(trim), audio_choice], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class ClipCache:
    """Finds, takes in and evicts prepared clips below `root`, at most `max_bytes` of them."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._max_bytes = max_bytes
        self._room_bytes: int | None = None
        self._lock = threading.RLock()  # guards the tables; held over renames and unlinks of small files, never over media
        self._clips: dict[str, PreparedClip] = {}
        self._pins: dict[str, int] = {}
        self._refusals: dict[str, str] = load_refusals(root / "refusals.json")
        self.fingerprints = FingerprintBook(root / "fingerprints.json")
        self.urls = UrlBook(root / "urls.json")
        self.notes: list[str] = []
        self.scan()

    def scan(self) -> None:
        """Read every index below the root; what does not verify is removed and noted."""
        with self._lock:
            self._clips.clear()
            for idx in sorted(self._root.glob("*/*.idx")):
                self._take_in(idx)

    def find(self, key: str) -> PreparedClip | None:
        """The clip of a key, if it is whole. One whose files are gone or were changed is forgotten."""
        with self._lock:
            clip = self._clips.get(key)
            if clip is None:
                found = next(iter(self._root.glob(f"*/{key}.idx")), None)
                return self._take_in(found) if found is not None else None
            if not (clip.ts_path.is_file() and clip.idx_path.is_file()):
                del self._clips[key]
                return None
            return clip

    def knows(self, key: str) -> bool:
        """The clip was whole when it was last seen; asks no disk."""
        with self._lock:
            return key in self._clips

    def part(self, key: str, header: ClipHeader) -> PartWriter:
        """Begin a clip. Raises OSError."""
        return PartWriter(self._root / header.profile_key, key, header)

    def commit(self, part: PartWriter, totals: Totals) -> PreparedClip:
        """End a clip and take it in. Raises OSError."""
        with self._lock:
            clip = part.commit(totals)
            self._clips[clip.key] = clip
            self._refusals.pop(clip.key, None)
            return clip

    def forget(self, key: str) -> None:
        """Remove a clip and its files."""
        with self._lock:
            clip = self._clips.pop(key, None)
            if clip is not None:
                _remove(clip.idx_path)

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    @property
    def bytes_total(self) -> int:
        """Bytes of all clips."""
        with self._lock:
            return sum(clip.bytes for clip in self._clips.values())

    @property
    def max_bytes(self) -> int:
        """The cap; another one counts from the next clip on."""
        return self._max_bytes

    @max_bytes.setter
    def max_bytes(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def leave_room(self, spare_bytes: int | None) -> None:
        """The disk has this much more than shall stay free (less than 0: it lacks that much); None: as much as the cap allows."""
        with self._lock:
            self._room_bytes = None if spare_bytes is None else max(0, self.bytes_total + spare_bytes)

    def give_up(self, wanted_bytes: int, next_airing: NextAiring) -> list[str]:
        """Remove clips until so many bytes are free, as far as there are any that are not pinned; gives their keys."""
        with self._lock:
            order = sorted(((_rank(next_airing(key)), key) for key in self._clips if key not in self._pins), reverse=True)
            given_up: list[str] = []
            for _, key in order:
                if wanted_bytes <= 0:
                    break
                wanted_bytes -= self._clips[key].bytes
                self.forget(key)
                given_up.append(key)
            return given_up

    def pin(self, key: str) -> None:
        """Keep a clip while it airs or is about to; pins count."""
        with self._lock:
            self._pins[key] = self._pins.get(key, 0) + 1

    def unpin(self, key: str) -> None:
        """Take one pin back."""
        with self._lock:
            left = self._pins.get(key, 0) - 1
            if left > 0:
                self._pins[key] = left
            else:
                self._pins.pop(key, None)

    def evict(self, needed_bytes: int, next_airing: NextAiring, *, airs_in_s: float | None = None) -> list[str] | None:
        """Make room; the keys given up, or None when there is no room to be had (then none is).

        Nothing that airs sooner than `airs_in_s` is given up, so that a loop that does not fit keeps a stable part.

        `next_airing` gives seconds until a clip airs, None for one that no queue holds: such go first.
        """
        with self._lock:
            cap = self._max_bytes if self._room_bytes is None else min(self._max_bytes, self._room_bytes)
            excess = self.bytes_total + needed_bytes - cap
            order = sorted(((_rank(next_airing(key)), key) for key in self._clips if key not in self._pins), reverse=True)
            chosen = []
            for rank, key in order:
                if excess <= 0 or (airs_in_s is not None and rank <= airs_in_s):
                    break
                chosen.append(key)
                excess -= self._clips[key].bytes
            if excess > 0:
                return None
            for key in chosen:
                self.forget(key)
            return chosen

    def clean(self) -> None:
        """Remove what dead runs left: parts, and packets without an index. What another process writes is left alone."""
        with self._lock:
            for part in self._root.glob("*/*.idx.part"):
                remove_leftover(part)
            for packets in (*self._root.glob("*/*.ts"), *self._root.glob("*/*.ts.part")):
                idx = packets.parent / f"{packets.name.split('.')[0]}.idx"
                if not idx.exists() and not idx.with_name(f"{idx.name}.part").exists():
                    packets.unlink(missing_ok=True)

    def refuse(self, key: str, reason: str) -> None:
        """Remember that a clip cannot be prepared. The key is over content: a changed file is tried again."""
        with self._lock:
            self._refusals[key] = reason
            while len(self._refusals) > MAX_REFUSALS:
                self._refusals.pop(next(iter(self._refusals)))
            try:
                write_atomically(self._root / "refusals.json", json.dumps({"rules": RULES, "refused": self._refusals}).encode())
            except OSError as error:  # known as long as this process lives, and written with the next one
                _log.warning("refusals_not_written", error=error.strerror)

    def refusal(self, key: str) -> str | None:
        """Why a clip cannot be prepared, if that is known."""
        with self._lock:
            return self._refusals.get(key)

    def reference(self, profile_key: str) -> Reference | None:
        """The profile's reference, if its filler was prepared here or came with the folder."""
        return Reference.load(self._root / profile_key / "reference.json")

    def keep_reference(self, profile_key: str, reference: Reference) -> None:
        """Store a profile's reference. Raises OSError."""
        write_atomically(self._root / profile_key / "reference.json", reference.to_json())

    def _take_in(self, idx: Path) -> PreparedClip | None:
        try:
            clip = read_clip(idx)
        except (StreamError, OSError) as error:
            self.notes.append(f"{idx.parent.name}/{idx.name}: {error}; it will be prepared again")
            _log.warning("clip_not_whole", path=str(idx), error=str(error))
            _remove(idx)
            return None
        self._clips[clip.key] = clip
        return clip


def read_clip(idx: Path) -> PreparedClip:
    """A committed clip from its index's first and last record; records between and packets are verified when they are read for air.

    Raises StreamError for an index that is damaged or does not fit its packets; OSError.
    """
    parser = IndexParser()
    with idx.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(0)
        head = file.read(MAX_RECORD_BYTES)
        file.seek(max(0, length - MAX_RECORD_BYTES))
        tail = file.read(MAX_RECORD_BYTES)
    trailer_at = tail.rfind(TRAILER_MAGIC)
    if len(head) < HEADER_JSON_AT or trailer_at < 0:
        raise StreamError("the index is incomplete")
    header_bytes = HEADER_JSON_AT + int.from_bytes(head[HEADER_JSON_AT - 4 : HEADER_JSON_AT], "little") + 4
    parser.feed(head[:header_bytes] + tail[trailer_at:])
    header, totals = parser.header, parser.totals
    if header is None or totals is None:
        raise StreamError("the index is incomplete")
    ts = idx.with_suffix(".ts")
    size = ts.stat().st_size
    if size != totals.facts.get("ts_bytes"):
        raise StreamError("the index does not fit its packets")
    facts = {**header.facts, **totals.facts}
    seconds = header.fps.seconds(totals.video_frames)
    return PreparedClip(idx.stem, header.profile_key, ts, idx, totals.video_frames, seconds, size + length, facts)


def _rank(airs_in_s: float | None) -> float:
    return float("inf") if airs_in_s is None else airs_in_s


def _remove(idx: Path) -> None:
    try:
        # The index first: without it the packets are leftovers, never the other way round.
        idx.unlink(missing_ok=True)
        idx.with_suffix(".ts").unlink(missing_ok=True)
    except OSError as error:  # a file system that became read-only: the clip is found again, and judged again
        _log.warning("clip_not_removed", path=str(idx), error=error.strerror)


def load_refusals(path: Path) -> dict[str, str]:
    """Why clips cannot be prepared, by key; empty where there is no such file, or it was written by other rules."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and found.get("rules") == RULES and isinstance(found.get("refused"), dict):
            return {str(key): str(reason) for key, reason in found["refused"].items()}
    return {}
