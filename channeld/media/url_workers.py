"""The threads behind the library that reach for the network: one looks at URLs, the other downloads them.

Rule: no server, slow or dead, holds up what is on disk: the clip of a URL is given to the prepare threads once its file is there.
A URL that cannot be reached keeps its prepared clip. Run as `lookup:urls` and `download:urls`.

A download is kept while its clip is pending or being prepared, at most HELD of them; the Downloader alone makes and removes them.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from channeld.base.errors import MediaError
from channeld.base.worker import Worker
from channeld.media.board import PREEMPT_S, PREEMPTED_S, Board
from channeld.media.cache import ClipCache
from channeld.media.clip_state import pending, refused
from channeld.media.fetch import Fetcher, FetchStopped
from channeld.media.pinned import FetchError

REVISIT_S = 300.0
HORIZON_S = 3600.0
"""Only what airs within this time is looked at again."""
HELD = 2
IDLE_S = 1.0
FIRST_RETRY_S = 30.0
LAST_RETRY_S = 1800.0

log = structlog.get_logger()


class UrlLooker(Worker):
    """Asks servers whether the content of wanted URLs is new."""

    def __init__(self, board: Board, cache: ClipCache, fetcher: Fetcher) -> None:
        super().__init__("lookup:urls")
        self._board, self._book, self._fetcher = board, cache.urls, fetcher
        self._looked_at: dict[str, float] = {}

    def wake(self) -> None:
        self._board.wake()

    def run(self) -> None:
        while not self.stopping.is_set():
            with self._board.changed:
                wanted = self._board.queue.urls()
            url = self._due(wanted)
            if url is not None:
                self._look(url)
                continue
            with self._board.changed:
                self._board.changed.wait(IDLE_S)

    def _due(self, wanted: Mapping[str, float]) -> str | None:
        """The URL to look at now: unknown, or not looked at for a while and on air soon; soonest needed first."""
        now = time.monotonic()
        self._looked_at = {url: moment for url, moment in self._looked_at.items() if url in wanted}

        def is_due(url: str) -> bool:
            looked_at = self._looked_at.get(url)
            if looked_at is None and self._book.known(url) is None:
                return True
            return (looked_at is None or now - looked_at >= REVISIT_S) and wanted[url] - now < HORIZON_S

        return min(filter(is_due, wanted), key=wanted.__getitem__, default=None)

    def _look(self, url: str) -> None:
        try:
            identity = self._fetcher.look(url, self.stopping.is_set)
        except FetchStopped:
            return
        except (OSError, RuntimeError) as error:  # no descriptor or thread is free: nothing of the URL's
            log.warning("url_not_looked_at", error=str(error))
            self._looked_at[url] = time.monotonic()
            return
        except FetchError as error:
            self._looked_at[url] = time.monotonic()
            if self._book.known(url) is None:
                self._board.fail_url(url, refused(str(error)))
            return
        self._looked_at[url] = time.monotonic()
        if self._book.learn(url, identity):
            with self._board.changed:
                self._board.queue.look_again(url)
                self._board.changed.notify_all()


class Downloader(Worker):
    """Brings the files of URL clips to disk, soonest needed first, and removes them when they are done with."""

    def __init__(self, board: Board, cache: ClipCache, fetcher: Fetcher) -> None:
        super().__init__("download:urls")
        self._board, self._cache, self._fetcher = board, cache, fetcher
        self._files: dict[str, Path] = {}
        self._failed: dict[str, tuple[float, float]] = {}

    def wake(self) -> None:
        self._board.wake()

    def run(self) -> None:
        while not self.stopping.is_set():
            found = self._next()
            self._sweep()
            if found is not None:
                self._download(*found)
                continue
            with self._board.changed:
                self._board.changed.wait(IDLE_S)

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop, and remove all downloads: nobody may read them any more."""
        super().close(timeout_s)
        self._fetcher.clear()

    def _next(self) -> tuple[str, str] | None:
        now = time.monotonic()
        with self._board.changed:
            queue = self._board.queue
            self._failed = {key: failed for key, failed in self._failed.items() if queue.needs_download(key)}
            waiting = {key for key, (moment, _) in self._failed.items() if moment > now}
            found = queue.next_download(now, waiting)
            if found is None or (len(queue.held()) >= HELD and not queue.displace(queue.needed_at(found[0]))):
                return None
            return found

    def _sweep(self) -> None:
        with self._board.changed:
            held = self._board.queue.held()
        for key in self._files.keys() - held:
            self._fetcher.remove(self._files.pop(key))

    def _download(self, key: str, url: str) -> None:
        self._board.tell(key, pending("being downloaded"))
        try:
            path = self._fetcher.fetch(url, lambda: self._should_stop(key))
        except MediaError as error:
            self._board.tell(key, refused(str(error)))
            self._cache.refuse(key, str(error))
        except FetchStopped:
            self._board.tell(key, pending())
        except (FetchError, OSError, RuntimeError) as error:
            self._back_off(key)
            self._board.tell(key, pending(str(error)))
        else:
            self._files[key] = path
            with self._board.changed:
                self._board.queue.hold(key, path)
                self._board.preempt(time.monotonic())
                self._board.changed.notify_all()

    def _back_off(self, key: str) -> None:
        delay_s = min(LAST_RETRY_S, self._failed[key][1] * 2) if key in self._failed else FIRST_RETRY_S
        self._failed[key] = (time.monotonic() + delay_s, delay_s)

    def _should_stop(self, key: str) -> bool:
        """Nobody wants the file any more, or another is wanted within seconds and this one is not."""
        if self.stopping.is_set():
            return True
        now = time.monotonic()
        with self._board.changed:
            queue = self._board.queue
            if not queue.needs_download(key):
                return True
            if queue.needed_at(key) <= now + PREEMPTED_S:
                return False
            sooner = queue.next_download(now, self._failed)
            return sooner is not None and queue.needed_at(sooner[0]) <= now + PREEMPT_S
