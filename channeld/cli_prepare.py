"""`channeld prepare`: conform every clip of some channels now, so that a folder can be carried to the machine that airs it.

Rule: one writer per cache (a lock file says so), each clip once, one refused clip stops nothing. Owners: the pool's
threads own their FFmpegs and end with the verb; Ctrl-C, which only the main thread sees, stops both and leaves no part behind.
"""

import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from channeld.base.errors import ChannelError, MediaError
from channeld.cli_render import console, plain
from channeld.config_values import ChannelSpec, Config
from channeld.media import job
from channeld.media.cache import ClipCache
from channeld.media.child import ChildStopped
from channeld.media.clip import PreparedClip
from channeld.media.prepare import PrepareRequest, prepare, request_key
from channeld.media.slate import ensure_filler
from channeld.media.verdict import Tolerance
from channeld.playlist.locate import PathRules
from channeld.playlist.model import Entry
from channeld.playlist.parse import load as load_playlist

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """A clip to prepare, and the first line that asks for it."""

    title: str
    source: Path
    playlist: Path
    line: int | None
    request: PrepareRequest


@dataclass(frozen=True, slots=True)
class Failure:
    """A clip that was not prepared, and why."""

    file: str
    playlist: str
    line: int | None
    reason: str


@dataclass(slots=True)
class Outcome:
    """What came of it; `ready` counts clips that are in the cache now, `left` those that did not fit."""

    ready: int = 0
    left: int = 0
    failures: list[Failure] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `prepare --json`."""
        return asdict(self)


def wanted_clips(config: Config, channels: Iterable[ChannelSpec]) -> list[Wanted]:
    """Every file that the channels' lists would air, each once per profile and trim. Raises PlaylistError."""
    found: dict[tuple[Any, ...], Wanted] = {}
    for channel in (each for each in channels if each.has_list):
        rules = PathRules(channel.media_roots, config.url_rules.schemes, config.url_rules.private)
        playlist = load_playlist(channel.playlist, rules)
        profile = config.profile(channel.profile)
        for entry in playlist.entries:
            if entry.fault is None and entry.path is not None:
                request = PrepareRequest(
                    entry.path, profile, None, float(entry.in_s or 0), _seconds(entry.out_s), _seconds(entry.duration_s)
                )
                found.setdefault((channel.profile, *entry.content), _wanted(entry, entry.path, playlist.source, request))
    return list(found.values())


def _wanted(entry: Entry, source: Path, playlist: Path, request: PrepareRequest) -> Wanted:
    return Wanted(entry.title, source, playlist, entry.line, request)


def _seconds(exact: Fraction | None) -> float | None:
    return None if exact is None else float(exact)


@contextmanager
def writing(cache_root: Path) -> Iterator[None]:
    """Be the cache's one writer. Raises ChannelError while another process is."""
    try:
        cache_root.mkdir(parents=True, exist_ok=True)
        fd = os.open(cache_root / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ChannelError(f"{cache_root} is not writable ({os.strerror(error.errno or 0)}). Become the daemon's user") from None
    try:
        # flock(2) ends with the process, however that ends; the file itself stays.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ChannelError(f"another channeld prepares into {cache_root}. Stop it first; a running daemon prepares by itself") from None
    finally:
        os.close(fd)


class Preparation:
    """One run of the verb: a pool of jobs, their bars, and what came of them. Used by the main thread."""

    def __init__(self, config: Config, *, quiet: bool) -> None:
        root = config.folders.state / "cache"
        self._cache = ClipCache(root, config.prepare.cache_limit.on(root))
        self._tolerance = Tolerance(config.prepare.min_duration_ratio, config.prepare.max_error_ratio)
        self._jobs = config.prepare.jobs or 1
        self._stopping = threading.Event()
        self._progress = _bars(quiet=quiet)
        self._out = None if quiet else self._progress.console
        self.outcome = Outcome()

    def make_fillers(self, config: Config, channels: Iterable[ChannelSpec]) -> None:
        """Each channel's filler, and with it each profile's reference; returns when none is being made. Raises ChannelError, OSError.

        In a thread, as all that writes: an interrupt between two instructions of a job could leave its part behind.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="prepare:fillers") as pool:
            try:
                pool.submit(self._make_fillers, config, channels).result()
            finally:
                self._stopping.set()
        self._stopping.clear()

    def _make_fillers(self, config: Config, channels: Iterable[ChannelSpec]) -> None:
        for channel in channels:
            ensure_filler(
                self._cache, config.profile(channel.profile), channel.filler, title=channel.name, should_stop=self._stopping.is_set
            )

    def run(self, clips: list[Wanted]) -> Outcome:
        """Prepare all; returns when the last job has ended, also when interrupted."""
        waiting = iter(clips)
        running: dict[Future[PreparedClip | None], Wanted] = {}
        with self._progress, ThreadPoolExecutor(self._jobs, thread_name_prefix="prepare") as pool:
            total = self._progress.add_task("all clips", total=len(clips))
            try:
                while True:
                    while len(running) < self._jobs and (clip := next(waiting, None)) is not None:
                        running[pool.submit(self._one, clip)] = clip
                    if not running:
                        return self.outcome
                    done, _ = wait(running, POLL_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._note(running.pop(future), future)
                        self._progress.advance(total)
            finally:
                self._stopping.set()

    def _one(self, clip: Wanted) -> PreparedClip | None:
        """In a pool thread: the clip, or None when the cache is full. Raises MediaError, ProcessError, OSError."""
        key = request_key(clip.request, self._cache)
        if (found := self._cache.find(key)) is not None:
            return found
        if (reason := self._cache.refusal(key)) is not None:
            raise MediaError(reason)
        if self._cache.bytes_total >= self._cache.max_bytes:
            return None
        bar = self._progress.add_task(plain(clip.title)[:40], total=None)
        try:
            return prepare(
                clip.request, self._cache, on_block=self._grow(bar), should_stop=self._stopping.is_set, tolerance=self._tolerance
            )
        except MediaError as error:
            self._cache.refuse(key, str(error))
            raise
        finally:
            self._progress.remove_task(bar)

    def _grow(self, bar: TaskID) -> job.OnBlock:
        return lambda grown: self._progress.update(bar, completed=grown.clip.duration_s, total=grown.total_s)

    def _note(self, clip: Wanted, future: Future[PreparedClip | None]) -> None:
        try:
            prepared = future.result()
        except ChildStopped:
            return
        except (ChannelError, OSError) as error:
            self.outcome.failures.append(Failure(str(clip.source), str(clip.playlist), clip.line, str(error)))
            place = f"{clip.playlist}:{clip.line}" if clip.line else str(clip.playlist)
            self._tell(f"failed: {place}: {clip.source.name}: {error}")
            return
        if prepared is None:
            self.outcome.left += 1
        else:
            self.outcome.ready += 1
            self._tell(f"ready: {clip.source.name} ({prepared.duration_s:.1f} s)")

    def _tell(self, line: str) -> None:
        if self._out is not None:
            self._out.print(plain(line))


def _bars(*, quiet: bool) -> Progress:
    """Bars on a terminal; elsewhere only the lines above them."""
    out = console()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    return Progress(*columns, console=out, disable=quiet or not out.is_terminal, transient=True)
