"""Look-ahead: prepared clips are read from disk into memory before the air needs them.

Rule: only the threads of this module touch a disk; the heap thread takes whole, verified blocks from memory.
One reader thread per folder of prepared clips, so that a disk that stalls holds back only the channels that live on it
(DESIGN says per disk; to ask which disk a folder is on would itself wait for a disk, on the heap thread). A Lookahead's file
descriptors belong to the reader thread that fills it and are closed by it.
"""

import json
import os
import queue
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from channeld.base.errors import StreamError
from channeld.base.worker import Worker
from channeld.playout.beginning import Beginning, at_random_access
from channeld.ts.index import Base, Block, BlockRecord, ClipHeader, IndexParser
from channeld.ts.splicer import ClipFeed

LOOKAHEAD_S = 8.0
MAX_TAG_BYTES = 2048
MAX_SOURCE_BYTES = 7 * 1024
"""A source as JSON: it stands in the state that is published with each slice, which may have 8 KiB."""
_INDEX_CHUNK_BYTES = 64 * 1024
_PAGE_BYTES = 4096
LIVE_BLOCKS_A_VISIT = 16
"""A block of a live clip may be no longer than a slice."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ClipSource:
    """A prepared clip as control names it. `airing` tells one planned airing from another of the same entry.

    `tag` is control's own, given back with all that is told of this airing. It begins at the random access point at or before `from_frame`;
    where `behind_s` is given, the clip is a live one, which never ends, and begins so many seconds behind its newest picture; it is left
    after `airs_frames`, if that is given.
    """

    airing: str
    entry: str
    ts_path: str
    idx_path: str
    tag: str = ""
    from_frame: int = 0
    behind_s: float | None = None
    airs_frames: int | None = None

    @property
    def is_live(self) -> bool:
        """It never ends by itself, and of its beginning nothing is there any more."""
        return self.behind_s is not None

    @classmethod
    def from_message(cls, values: dict[str, Any]) -> "ClipSource":
        """From the plain values of a message. Raises ValueError when they would not fit beside the stream."""
        names = (str(values["airing"]), str(values["entry"]), str(values["ts"]), str(values["idx"]), str(values.get("tag", "")))
        if len(names[-1].encode()) > MAX_TAG_BYTES or len(json.dumps(names)) > MAX_SOURCE_BYTES:
            raise ValueError(f"source {names[0][:80]} is too long: its tag may have {MAX_TAG_BYTES} bytes, all of it {MAX_SOURCE_BYTES}")
        behind_s, airs_frames = values.get("behind_s"), values.get("airs_frames")
        return cls(
            *names,
            from_frame=max(0, int(values.get("from_frame", 0))),
            behind_s=None if behind_s is None else float(behind_s),
            airs_frames=None if airs_frames is None else max(1, int(airs_frames)),
        )


class _Files(NamedTuple):
    """Descriptors of a clip's packets and index. `is_whole`: under the name that only a finished index has."""

    ts_fd: int
    idx_fd: int
    is_whole: bool


class Lookahead:
    """One clip being read. The reader thread calls `read_block`; the heap thread reads `feed` after `drain`."""

    def __init__(self, source: ClipSource, beginning: Beginning | None = None) -> None:
        self.source = source
        begins_at_once = beginning is None and not source.from_frame and not source.is_live
        self._beginning = Beginning() if begins_at_once else beginning
        self.feed = ClipFeed()
        if self._beginning is not None:
            self._beginning.tell(self.feed)
        self.header: ClipHeader | None = None
        self.failure: str | None = None
        self.complete = False
        self.requested = False
        self._arrived: deque[Block] = deque()
        self._files: _Files | None = None
        self._parser = IndexParser()
        self._records: deque[BlockRecord] = deque()
        self._base = Base()
        self._closed = False
        self.ready_since: int | None = None
        """Of a live one that waits in a plan: since when, in ticks of the timeline."""
        self.successor: Lookahead | None = None
        """The same, read anew; it takes the place when it is ready."""

    def drain(self) -> None:
        """Hand the blocks that arrived to the feed. Heap thread."""
        while self._arrived:
            if self._beginning is not None and self.feed.is_fresh:
                self._beginning.tell(self.feed)
            self.feed.append(self._arrived.popleft())

    def take_arrived(self) -> list[Block]:
        """The blocks that arrived, for a caller that keeps them itself."""
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    @property
    def is_ready(self) -> bool:
        """There is something to air."""
        return self.failure is None and self.feed.frames_ready > 0

    @property
    def is_spent(self) -> bool:
        """Everything the clip has was aired."""
        return self.complete and not self._arrived and self.feed.frames_ready == 0

    def serves(self, source: ClipSource) -> bool:
        """What was read so far is what another plan asks for, too."""
        mine = self.source
        same_begin = mine.from_frame == source.from_frame and mine.behind_s == source.behind_s
        return mine.ts_path == source.ts_path and same_begin and not self.failure

    def wants_more(self, frames: int) -> bool:
        """Fewer than `frames` are in memory and the file may have more."""
        return not (self.complete or self.failure or self._closed) and self.feed.frames_ready < frames

    def read_block(self) -> None:
        """Read one block; none when a growing file has no more yet. Reader thread only."""
        try:
            for _ in range(LIVE_BLOCKS_A_VISIT if self.source.is_live else 1):
                before = len(self._arrived)
                if not self._closed:
                    self._read_block()
                if len(self._arrived) == before or self.complete:
                    break
        except (OSError, StreamError) as error:
            self.failure = f"{type(error).__name__}: {error}"
        if self._closed or self.complete or self.failure:
            self._close_files()

    def _read_block(self) -> None:
        if self._files is None:
            self._files = self._open()
            if self.source.is_live:
                self._go_to_base(self._files)
        files = self._files
        beginning = self._beginning or self._seek(files)
        if beginning is None:
            return
        while self._records or self._read_index(files):
            record = self._records.popleft()
            if not beginning.leaves_out(record):
                block = beginning.trim(record.with_packets(os.pread(files.ts_fd, record.ts_length, record.ts_offset)))
                self._arrived.append(block)
                if len(block.video):  # else it has only audio for the pictures of the next one
                    break
        self.complete = self._parser.totals is not None and not self._records

    def _read_index(self, files: _Files) -> bool:
        """Read on in the index until it names more blocks; False when it has no more yet, or is at its end."""
        while not self._records and self._read_records(files):
            continue
        return bool(self._records)

    def _read_records(self, files: _Files) -> bool:
        payload = b"" if self._parser.totals is not None else os.read(files.idx_fd, _INDEX_CHUNK_BYTES)
        if not payload and self._parser.totals is None and files.is_whole:
            # Of a growing clip more will come; this one would be waited for until the end of time.
            raise StreamError("the index ends before the clip does")
        self._records.extend(self._parser.feed(payload))
        self.header = self._parser.header
        return bool(payload)

    def _go_to_base(self, files: _Files) -> None:
        """Read on where the index of a live clip begins by now, behind its header."""
        try:
            self._base = Base.parse(Path(f"{self.source.ts_path.removesuffix('.ts')}.base").read_bytes())
        except FileNotFoundError:
            return  # it is younger than what is kept
        # No more than its first page: what follows may be a hole by now.
        self._parser.read_header(os.read(files.idx_fd, _PAGE_BYTES))
        self.header = self._parser.header
        os.lseek(files.idx_fd, self._base.index_at, os.SEEK_SET)
        if self._beginning is not None:
            self._beginning.begin_behind(self._base)

    def _seek_live(self, files: _Files, behind_s: float) -> Beginning | None:
        """The newest random access point that is so far behind; the oldest one where there is none."""
        while self._read_records(files):
            continue
        if self.header is None or not self._records:
            return None
        newest = sum(len(record.video) for record in self._records)
        wanted = max(0, newest - self.header.fps.frames_in(behind_s))
        self._beginning = at_random_access(self._records, wanted, self.header.fps, base=self._base)
        return self._beginning

    def _seek(self, files: _Files) -> Beginning | None:
        """Find the random access point that the source asks for; None while a growing clip does not reach that far."""
        if self.source.behind_s is not None:
            return self._seek_live(files, self.source.behind_s)
        frame = self.source.from_frame
        while sum(len(record.video) for record in self._records) <= frame:
            if not self._read_records(files):
                break
        is_there = self._parser.totals is not None or sum(len(record.video) for record in self._records) > frame
        if self.header is None or not self._records or not is_there:
            return None
        self._beginning = at_random_access(self._records, frame, self.header.fps)
        return self._beginning

    def _open(self) -> _Files:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        ts, idx = self.source.ts_path, self.source.idx_path
        # A growing clip is renamed when it is complete, packets first, perhaps while we look: each step of that, and the last again.
        for ts_path, idx_path in ((ts, idx), (f"{ts}.part", f"{idx}.part"), (ts, f"{idx}.part"), (ts, idx)):
            try:
                ts_fd = os.open(ts_path, flags)
            except FileNotFoundError:
                continue
            try:
                return _Files(ts_fd, os.open(idx_path, flags), idx_path == idx)
            except FileNotFoundError:
                os.close(ts_fd)
        raise FileNotFoundError(f"prepared clip is gone: {self.source.ts_path}")

    def close(self) -> None:
        """No more is wanted; the reader thread closes the files at its next visit."""
        self._closed = True

    def _close_files(self) -> None:
        files, self._files = self._files, None
        if files is not None:
            os.close(files.ts_fd)
            os.close(files.idx_fd)


class DiskReader(Worker):
    """The reader thread of one folder; visits look-aheads in the order of their requests."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"lookahead:{folder}")
        self._requests: queue.SimpleQueue[Lookahead | None] = queue.SimpleQueue()

    def request(self, lookahead: Lookahead) -> None:
        """Have one more block read (or the files of a closed one given back)."""
        lookahead.requested = True
        self._requests.put(lookahead)

    def wake(self) -> None:
        self._requests.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            lookahead = self._requests.get()
            if lookahead is not None:
                try:
                    lookahead.read_block()
                except Exception as error:  # of this clip, such as no memory for its block; others of its folder are read
                    log.exception("lookahead_failed")
                    lookahead.failure = f"{type(error).__name__}: {error}"
                lookahead.requested = False


class DiskReaders:
    """A reader thread for each folder in use. Any thread; none of the calls touches a disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the table; held over the start of a thread
        self._readers: dict[str, DiskReader] = {}

    def request(self, lookahead: Lookahead) -> None:
        """Ask the right thread for one more block, unless it is asked already."""
        if not lookahead.requested:
            self._reader(lookahead.source).request(lookahead)

    def retire(self, lookahead: Lookahead) -> None:
        """Have the files of a look-ahead that nobody needs any more closed."""
        lookahead.close()
        self._reader(lookahead.source).request(lookahead)
        self.retire_successor(lookahead)

    def retire_successor(self, lookahead: Lookahead) -> None:
        """The same of what was to take its place, if anything was."""
        successor, lookahead.successor = lookahead.successor, None
        if successor is not None:
            self.retire(successor)

    def _reader(self, source: ClipSource) -> DiskReader:
        folder = os.path.dirname(source.ts_path)  # noqa: PTH120  # a string in the hot path
        if source.is_live:
            # Each source has a folder of its own, which comes and goes: they share a thread, as they share a disk.
            folder = os.path.dirname(os.path.dirname(folder))  # noqa: PTH120
        with self._lock:
            reader = self._readers.get(folder)
            if reader is None:
                reader = DiskReader(folder)
                reader.start()  # first: one that could not start is not there
                self._readers[folder] = reader
            return reader

    def close(self) -> None:
        """End all reader threads."""
        for reader in self._readers.values():
            reader.close()


def load_whole(source: ClipSource) -> list[Block]:
    """Read a whole clip at once, as a filler is. Raises StreamError when it is damaged or incomplete."""
    lookahead = Lookahead(source)
    blocks: list[Block] = []
    while not lookahead.complete:
        lookahead.read_block()
        arrived = lookahead.take_arrived()
        blocks += arrived
        if lookahead.failure or not (arrived or lookahead.complete):
            lookahead.close()
            lookahead.read_block()
            raise StreamError(f"filler cannot be read: {lookahead.failure or 'it is not complete'}")
    return blocks
