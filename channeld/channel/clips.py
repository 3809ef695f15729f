"""The preparer of all channels, on top of the media library.

Rule: the control loop never waits for a disk: fillers are made and files are looked at in threads of this module,
which post what they find. A file that changed since it was looked up is looked up again before it airs.
"""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from channeld.base.errors import ChannelError
from channeld.base.worker import Worker
from channeld.channel.loop import ControlLoop
from channeld.channel.preparation import Prepared, Stock, Want
from channeld.media.cache import ClipCache
from channeld.media.clip import PreparedClip
from channeld.media.clip_state import ClipState, Stage
from channeld.media.library import ClipLibrary
from channeld.media.prepare import PrepareRequest
from channeld.media.profile import Profile
from channeld.media.slate import ensure_filler
from channeld.media.tools import Tools
from channeld.media.verdict import Tolerance
from channeld.playlist.model import Entry, Readiness

CHECKED_WANTS = 16
"""Entries of a channel whose files are looked at again before they air."""

Identity = tuple[int, int, int] | None
FillerJob = Callable[[], None]

log = structlog.get_logger()


class _FileWatcher(Worker):
    """Stats the files that air soon, and runs the filler jobs; both may wait for a disk."""

    def __init__(self) -> None:
        super().__init__("clips:files")
        self.jobs: queue.SimpleQueue[FillerJob | None] = queue.SimpleQueue()

    def wake(self) -> None:
        self.jobs.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            job = self.jobs.get()
            if job is not None:
                job()


class Clips:
    """Implements `preparation.Preparer`. Its public methods belong to the control loop's thread."""

    def __init__(
        self, cache: ClipCache, loop: ControlLoop, *, tools: Tools, jobs: int | None, tolerance: Tolerance, on_change: Callable[[str], None]
    ) -> None:
        self._cache = cache
        self._loop = loop
        self._tools = tools
        self._on_change = on_change
        self._library = ClipLibrary(cache, self._changed, jobs=jobs, tolerance=tolerance, tools=tools)
        self._files = _FileWatcher()
        self._wanted: dict[str, dict[str, PrepareRequest]] = {}
        self._identities: dict[str, Identity] = {}
        self._held: dict[str, dict[str, int]] = {}
        self._refused: set[str] = set()
        self._lock = threading.Lock()  # guards _refused, which the library's threads touch too

    def start(self) -> None:
        """Start the threads."""
        self._library.start()
        self._files.start()

    def close(self) -> None:
        """End all preparing."""
        self._files.close()
        self._library.close()

    # -- Preparer -----------------------------------------------------------------------------------------------

    def ensure_filler(self, profile: Profile, file: Path | None, done: Callable[[PreparedClip | str], None]) -> None:
        def make() -> None:
            result: PreparedClip | str
            try:
                result = ensure_filler(self._cache, profile, file, tools=self._tools)
            except (ChannelError, OSError) as error:
                result = str(error)
            self._loop.post(lambda: done(result))

        self._files.jobs.put(make)

    def look_up(self, profile: Profile, entry: Entry) -> Prepared:
        state = self._library.state(_name(profile, entry))
        if state is None:
            return Prepared(Readiness.REFUSED if entry.fault else Readiness.PENDING, reason=entry.fault)
        length_s = state.total_s or None
        if state.stage is Stage.REFUSED:
            return Prepared(Readiness.REFUSED, reason=state.reason)
        if state.is_usable:
            return Prepared(Readiness.READY, state.clip, length_s=length_s)
        return Prepared(Readiness.PENDING, reason=state.reason or None, length_s=length_s)

    def want(self, channel: str, profile: Profile, wants: Sequence[Want]) -> None:
        known = self._wanted.get(channel, {})
        order: dict[str, float] = {}
        wanted: dict[str, PrepareRequest] = {}
        for want in wants:
            name = _name(profile, want.entry)
            if name in order or want.entry.fault is not None:
                continue
            order[name] = want.due_s
            request = known.get(name) or _request(profile, want.entry)
            if request is None:
                continue
            wanted[name] = request
            if name not in known and not self._is_wanted_elsewhere(channel, name):
                self._library.request(name, request, needed_in_s=want.due_s)
        self._wanted[channel] = wanted
        self._library.forget([name for name in known if name not in wanted and not self._is_wanted_elsewhere(channel, name)])
        self._library.set_order(order.items())
        soon = {name: wanted[name] for name in list(wanted)[:CHECKED_WANTS]}
        self._files.jobs.put(lambda: self._check_files(soon))

    def _is_wanted_elsewhere(self, channel: str, name: str) -> bool:
        return any(name in names for other, names in self._wanted.items() if other != channel)

    def hold(self, channel: str, clips: Sequence[PreparedClip]) -> None:
        held = {clip.key: 1 for clip in clips}
        before = self._held.get(channel, {})
        for key in held.keys() - before.keys():
            self._cache.pin(key)
        for key in before.keys() - held.keys():
            self._cache.unpin(key)
        self._held[channel] = held

    def discard(self, profile: Profile, entry: Entry) -> None:
        state = self._library.state(_name(profile, entry))
        if state is not None and state.clip is not None:
            self._library.invalidate(state.clip.key)

    def stock(self, channel: str) -> Stock:
        totals = self._library.totals(self._wanted.get(channel, {}))
        return Stock(totals.ready_s, totals.needed_s, totals.eta_s)

    # -- threads of the library and of this module --------------------------------------------------------------

    def _changed(self, name: str, state: ClipState) -> None:
        with self._lock:
            is_new = state.stage is Stage.REFUSED and name not in self._refused
            (self._refused.add if state.stage is Stage.REFUSED else self._refused.discard)(name)
        if is_new:
            log.warning("clip_refused", clip=name.partition("|")[2], reason=state.reason)
        self._loop.post(lambda: self._on_change(name))

    def _check_files(self, requests: dict[str, PrepareRequest]) -> None:
        for name, request in requests.items():
            if not isinstance(request.source, Path):
                continue
            identity = _identity(request.source)
            if name in self._identities and self._identities[name] != identity:
                log.info("clip_source_changed", path=str(request.source))
                self._library.request(name, request, needed_in_s=0.0)
            self._identities[name] = identity


def _identity(path: Path) -> Identity:
    try:
        status = os.stat(path)  # noqa: PTH116  # one stat, no Path overhead
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _name(profile: Profile, entry: Entry) -> str:
    """One name for all entries that show the same thing in the same profile."""
    where, in_s, out_s, duration_s = entry.content
    return f"{profile.name}|{where}|{in_s or ''}|{out_s or ''}|{duration_s or ''}"


def _request(profile: Profile, entry: Entry) -> PrepareRequest | None:
    source = entry.path or entry.url
    if source is None:
        return None
    return PrepareRequest(
        source,
        profile,
        in_s=float(entry.in_s or 0),
        out_s=None if entry.out_s is None else float(entry.out_s),
        duration_s=None if entry.duration_s is None else float(entry.duration_s),
    )
