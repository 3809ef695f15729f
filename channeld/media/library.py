"""All clips that the channels want: looked up, prepared in the order they are needed, and told about.

Rule: soonest needed first; one clip's failure is that clip's state, never an exception in a caller. Callers only read states and give
orders; all work is done in threads of the library, and `on_change` is called from them.

| owner | makes, waits for, ends |
|---|---|
| ClipLibrary | LOOKUPS threads `lookup:n`, `lookup:urls`, `download:urls`, and `jobs` threads `prepare:n` |
| Downloader | files in `<cache>/downloads` |
| each prepare thread | its FFmpeg, one at a time |
"""

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from channeld.base.worker import Worker
from channeld.media.board import Board, OnChange
from channeld.media.cache import ClipCache
from channeld.media.clip_state import ClipState, PreparedTotals, Stage, pending
from channeld.media.fetch import Fetcher
from channeld.media.mounts import Mounts
from channeld.media.pinned import FetchRules
from channeld.media.prepare import PrepareRequest
from channeld.media.prepare_workers import Kit, LookupWorker, PrepareWorker
from channeld.media.tally import PrepareTally
from channeld.media.tools import Tools, find_tools
from channeld.media.url_workers import Downloader, UrlLooker
from channeld.media.verdict import Tolerance

LOOKUPS = 4
"""One less disks may not answer before clips on others are held up."""
_NO_DISK = ""


def default_jobs() -> int:
    """Half of the cores, at least one."""
    return max(1, (os.cpu_count() or 1) // 2)


def downloads_of(cache: ClipCache) -> Path:
    """Where a cache's downloads lie while they are prepared."""
    return cache.root.resolve() / "downloads"


class ClipLibrary:
    """The prepare queue and its threads. All methods are safe from any thread and return at once, but `close`."""

    def __init__(
        self,
        cache: ClipCache,
        on_change: OnChange,
        *,
        jobs: int | None = None,
        tolerance: Tolerance | None = None,
        tools: Tools | None = None,
        fetcher: Fetcher | None = None,
    ) -> None:
        self._cache = cache
        self._fetcher = fetcher or Fetcher(FetchRules(), downloads_of(cache))
        self._kit = Kit(cache, tools or find_tools(), tolerance or Tolerance())
        self._board = Board(on_change, jobs or default_jobs())
        prepare_workers = [PrepareWorker(self._board, self._kit, number) for number in range(self._board.jobs)]
        urls = (self._board, cache, self._fetcher)
        # Closed in this order: the downloads are removed when nobody reads them any more.
        lookups = [LookupWorker(self._board, self._kit, number) for number in range(LOOKUPS)]
        self._workers: list[Worker] = [*lookups, UrlLooker(*urls), *prepare_workers, Downloader(*urls)]
        self._mounts = Mounts()

    def start(self) -> None:
        """Start the threads. What dead runs left in the cache is removed first."""
        self._cache.clean()
        self._fetcher.clear()
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        """Stop all work; returns when threads and children are gone. Raises OSError when what was learned cannot be stored."""
        for worker in self._workers:
            worker.stopping.set()
        for worker in self._workers:
            worker.close()
        self._cache.fingerprints.save()
        self._cache.urls.save()

    def change(self, *, jobs: int | None, tolerance: Tolerance, rules: FetchRules) -> None:
        """Prepare with another number of jobs or other rules from the next clip on; surplus jobs leave their clips to others."""
        count = jobs or default_jobs()
        self._kit = replace(self._kit, tolerance=tolerance)
        self._fetcher.rules = rules
        working = [worker for worker in self._workers if isinstance(worker, PrepareWorker)]
        for worker in working:
            worker.kit = self._kit
        surplus = working[count:]
        for worker in surplus:
            worker.stopping.set()
        fresh = [PrepareWorker(self._board, self._kit, number) for number in range(len(working), count)]
        self._workers = [*self._workers[: LOOKUPS + 1], *working[:count], *fresh, self._workers[-1]]
        self._board.jobs = count
        for worker in fresh:
            worker.start()
        for worker in surplus:
            worker.close()

    def mind_room(self, *, spare_bytes: int | None, lacking_bytes: int, pauses: bool) -> None:
        """The disk of the cache: what may still be written to it (None: no limit but the cap), and what it lacks to go on at all.

        Clips that air last are given up for what it lacks. While `pauses`, nothing new is begun.
        """
        self._cache.leave_room(spare_bytes)
        board = self._board
        with board.changed:
            board.is_paused = pauses
            board.changed.notify_all()
        for key in self._cache.give_up(lacking_bytes, board.next_airing):
            board.tell(key, pending("given up: the disk is full"))

    def request(self, entry: str, request: PrepareRequest, *, needed_in_s: float) -> None:
        """Want an entry's clip in so many seconds. Asking again looks the file up again."""
        disk = self._mounts.of(request.source) if isinstance(request.source, Path) else _NO_DISK
        with self._board.changed:
            self._board.queue.add(entry, request, time.monotonic() + needed_in_s, disk=disk)
            self._board.changed.notify_all()

    def set_order(self, order: Iterable[tuple[str, float]]) -> None:
        """When each entry airs, in seconds from now."""
        now = time.monotonic()
        with self._board.changed:
            for entry, needed_in_s in order:
                self._board.queue.set_needed(entry, now + needed_in_s)
            self._board.queue.release_waiting()
            self._board.preempt(now)
            self._board.changed.notify_all()

    def forget(self, entries: Iterable[str]) -> None:
        """No longer want these entries."""
        with self._board.changed:
            for entry in entries:
                self._board.queue.remove(entry)

    def state(self, entry: str) -> ClipState | None:
        """An entry's state; None for one that was not asked for."""
        with self._board.changed:
            return self._board.queue.state(entry)

    def totals(self, entries: Iterable[str] | None = None) -> PreparedTotals:
        """How much of what is wanted is ready; of some entries, or of all."""
        board = self._board
        with board.changed:
            return board.queue.totals(entries, board.speed * board.jobs if board.speed else None)

    def stages(self) -> dict[str, int]:
        """How many wanted clips stand at each stage."""
        with self._board.changed:
            found = self._board.queue.stages()
        return {stage.value: found[stage] for stage in Stage}

    @property
    def tally(self) -> PrepareTally:
        """What preparing came to."""
        return self._kit.tally

    def invalidate(self, key: str) -> None:
        """A clip was found damaged: remove it and prepare it again."""
        self._cache.forget(key)
        self._board.tell(key, pending("damaged in the cache, to be prepared again"))
        self._board.wake()
