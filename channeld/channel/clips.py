"""The preparer of all channels, on top of the media library.

Rule: the control loop never waits for a disk: fillers are made and files are looked at in threads of this module,
which post what they find. A file that changed since it was looked up is looked up again before it airs.
"""

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from channeld.base.errors import ChannelError
from channeld.base.worker import Worker
from channeld.channel.catalogue import Keep, keep_nothing, record
from channeld.channel.clip_news import ClipNews, tell_nobody
from channeld.channel.loop import ControlLoop
from channeld.channel.means import Publish
from channeld.channel.preparation import Prepared, Stock, Want
from channeld.media.cache import ClipCache
from channeld.media.card import ensure_card, ensure_reference
from channeld.media.clip import PreparedClip
from channeld.media.clip_state import ClipState, Stage
from channeld.media.fetch import Fetcher
from channeld.media.library import ClipLibrary, downloads_of
from channeld.media.pinned import FetchRules
from channeld.media.prepare import PrepareRequest
from channeld.media.profile import Profile
from channeld.media.reference import Reference
from channeld.media.slate import ensure_filler
from channeld.media.tally import PrepareFigures
from channeld.media.tools import Tools
from channeld.media.verdict import Tolerance
from channeld.playlist.model import Content, Entry, Readiness

CHECKED_WANTS = 64
"""Entries of a channel whose files are looked at again before they air."""

Identity = tuple[int, int, int] | None
Job = Callable[[], None]

log = structlog.get_logger()


class _Errands(Worker):
    """Runs what may wait for a disk or a child, one after the other."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def wake(self) -> None:
        self.jobs.put(None)

    def run(self) -> None:
        while not self.stopping.is_set():
            job = self.jobs.get()
            if job is None:
                continue
            try:
                job()
            except Exception:  # a mistake in one errand must not leave every channel without a filler; it is logged with its traceback
                log.exception("errand_failed", thread=self._thread.name)


@dataclass(frozen=True, slots=True)
class StockFigures:
    """For metrics: what preparing came to, how many wanted clips stand at each stage, bytes of the cache and its cap."""

    prepare: PrepareFigures
    stages: dict[str, int]
    cache_bytes: int
    cache_max_bytes: int


@dataclass(slots=True)
class _Wanted:
    """What one channel wants, soonest first, and what is known of it: refusals by content, bytes by clip."""

    requests: dict[str, PrepareRequest] = field(default_factory=dict)
    contents: dict[str, Content] = field(default_factory=dict)
    refusals: dict[Content, str] = field(default_factory=dict)
    loop_bytes: dict[str, int] = field(default_factory=dict)


class Clips:
    """Implements `preparation.Preparer`. Its public methods belong to the control loop's thread.

    `on_change` gets the channel whose clips changed so that its plan may be another one, `keep` what became of each clip, `publish`
    is told of what is begun and how it ended.
    """

    def __init__(
        self,
        cache: ClipCache,
        loop: ControlLoop,
        *,
        tools: Tools,
        jobs: int | None,
        tolerance: Tolerance,
        urls: FetchRules,
        on_change: Callable[[str], None],
        keep: Keep = keep_nothing,
        publish: Publish = tell_nobody,
    ) -> None:
        self._cache = cache
        self._news = ClipNews(publish)
        self._keep = keep
        self._loop = loop
        self._tools = tools
        self._on_change = on_change
        fetcher = Fetcher(urls, downloads_of(cache))
        self._library = ClipLibrary(cache, self._changed, jobs=jobs, tolerance=tolerance, tools=tools, fetcher=fetcher)
        self._files = _Errands("clips:files")
        self._fillers = _Errands("clips:fillers")  # a disk that hangs must not keep other channels from starting
        self._slates = _Errands("clips:slates")
        self._wanted: dict[str, _Wanted] = {}
        self._identities: dict[str, Identity] = {}
        self._held: dict[str, set[str]] = {}
        self._standings = _Standings()

    @property
    def cache(self) -> ClipCache:
        """Where the clips are."""
        return self._cache

    def start(self) -> None:
        """Start the threads."""
        self._library.start()
        self._files.start()
        self._fillers.start()
        self._slates.start()

    def change(self, *, jobs: int | None, tolerance: Tolerance, urls: FetchRules, max_bytes: int) -> None:
        """Prepare by other rules from the next clip on. Any thread but the loop's: surplus jobs are waited for."""
        self._cache.max_bytes = max_bytes
        self._library.change(jobs=jobs, tolerance=tolerance, rules=urls)

    def mind_room(self, *, spare_bytes: int | None, lacking_bytes: int, pauses: bool) -> None:
        """What the cache's disk still takes, and what it lacks; see ClipLibrary. Any thread."""
        self._library.mind_room(spare_bytes=spare_bytes, lacking_bytes=lacking_bytes, pauses=pauses)

    def figures(self) -> StockFigures:
        """How preparing goes, and what the cache holds. Any thread."""
        return StockFigures(self._library.tally.figures(), self._library.stages(), self._cache.bytes_total, self._cache.max_bytes)

    def close(self) -> None:
        """End all preparing."""
        self._fillers.stopping.set()
        self._files.close()
        try:
            self._library.close()
        except OSError as error:
            log.warning("books_not_written", error=error.strerror)  # what was learned of files is learned again
        self._slates.close()
        self._fillers.close()

    # -- Preparer -----------------------------------------------------------------------------------------------

    def ensure_filler(self, profile: Profile, file: Path | None, done: Callable[[PreparedClip | str], None]) -> None:
        def make() -> None:
            result: PreparedClip | str
            try:
                result = ensure_filler(self._cache, profile, file, tools=self._tools, should_stop=self._fillers.stopping.is_set)
            except (ChannelError, OSError) as error:
                result = str(error)
            self._loop.post(lambda: done(result))

        self._fillers.jobs.put(make)

    def ensure_slate(self, profile: Profile, title: str, done: Callable[[PreparedClip | str], None]) -> None:
        def make() -> None:
            result: PreparedClip | str
            try:
                result = ensure_card(self._cache, profile, title, self._tools)
            except (ChannelError, OSError) as error:
                result = str(error)
            self._loop.post(lambda: done(result))

        self._slates.jobs.put(make)

    def ensure_reference(self, profile: Profile, done: Callable[[Reference | str], None]) -> None:
        def make() -> None:
            result: Reference | str
            try:
                result = ensure_reference(self._cache, profile, self._tools)
            except (ChannelError, OSError) as error:
                result = str(error)
            self._loop.post(lambda: done(result))

        self._fillers.jobs.put(make)

    def look_up(self, channel: str, profile: Profile, entry: Entry) -> Prepared:
        name = _name(channel, profile, entry)
        state = self._library.state(name)
        if state is None:
            return Prepared(Readiness.REFUSED if entry.fault else Readiness.PENDING, reason=entry.fault, is_looked_up=False)
        length_s = state.total_s or None
        if state.stage is Stage.REFUSED:
            return Prepared(Readiness.REFUSED, reason=state.reason)
        if state.is_usable:
            return Prepared(Readiness.READY, state.clip, length_s=length_s, share=state.progress)
        is_known, is_preparing = self._standings.knows(name), state.stage is Stage.PREPARING
        reason, share = state.reason or None, state.progress if is_preparing else None
        return Prepared(Readiness.PENDING, None, reason, length_s, is_looked_up=is_known, is_preparing=is_preparing, share=share)

    def want(self, channel: str, profile: Profile, wants: Sequence[Want]) -> None:
        known = self._wanted.get(channel, _Wanted())
        order: dict[str, float] = {}
        wanted = _Wanted()
        for want in wants:
            name = _name(channel, profile, want.entry)
            if name in order or want.entry.fault is not None:
                continue
            request = known.requests.get(name) or request_of(profile, want.entry)
            if request is None:
                continue
            order[name] = want.due_s
            wanted.requests[name], wanted.contents[name] = request, want.entry.content
            if name not in known.requests:
                self._library.request(name, request, needed_in_s=want.due_s)
        self._wanted[channel] = wanted
        gone = [name for name in known.requests if name not in wanted.requests]
        self._library.forget(gone)
        self._standings.forget(gone)
        if gone:
            self._files.jobs.put(lambda: self._forget_files(gone))
        self._library.set_order(order.items())
        self._take_stock(wanted)
        self.look_again(channel)

    def look_again(self, channel: str) -> None:
        requests = self._wanted.get(channel, _Wanted()).requests
        soon = {name: requests[name] for name in itertools.islice(requests, CHECKED_WANTS)}
        if soon:
            self._files.jobs.put(lambda: self._check_files(soon))

    def hold(self, channel: str, clips: Sequence[PreparedClip]) -> None:
        held = {clip.key for clip in clips}
        before = self._held.get(channel, set())
        for key in held - before:
            self._cache.pin(key)
        for key in before - held:
            self._cache.unpin(key)
        self._held[channel] = held

    def discard(self, channel: str, profile: Profile, entry: Entry) -> None:
        state = self._library.state(_name(channel, profile, entry))
        if state is not None and state.clip is not None:
            self._library.invalidate(state.clip.key)

    def stock(self, channel: str) -> Stock:
        wanted = self._wanted.get(channel, _Wanted())
        self._take_stock(wanted)
        everything: dict[str, int] = {}
        for each in self._wanted.values():
            everything.update(each.loop_bytes)
        totals = self._library.totals(wanted.requests)
        return Stock(totals.ready_s, totals.needed_s, totals.eta_s, sum(everything.values()) <= self._cache.max_bytes)

    def refusals(self, channel: str) -> Mapping[Content, str]:
        wanted = self._wanted.get(channel, _Wanted())
        found = {name: self._library.state(name) for name in self._standings.refused(channel)}
        return {
            wanted.contents[name]: state.reason
            for name, state in found.items()
            if state is not None and state.stage is Stage.REFUSED and name in wanted.contents
        }

    def _take_stock(self, wanted: _Wanted) -> None:
        """Count the bytes of a loop: of clips that are ready as they are, of others by their length."""
        wanted.loop_bytes.clear()
        for name, request in wanted.requests.items():
            state = self._library.state(name)
            if state is None or state.stage is Stage.REFUSED:
                continue
            if state.stage is Stage.READY and state.clip is not None:
                wanted.loop_bytes[state.clip.key] = state.clip.bytes  # once, also where several channels air it
            else:
                wanted.loop_bytes[name] = round(state.total_s * request.profile.bytes_per_second)

    # -- threads of the library and of this module --------------------------------------------------------------

    def _changed(self, name: str, state: ClipState) -> None:
        """Any thread of the library. A clip that grows tells of every block; a plan changes only with how the clip stands."""
        before = self._standings.stage(name)
        if not self._standings.note(name, state):
            return
        channel, _, clip = name.partition("|")
        if state.stage is Stage.REFUSED:
            self._library.tally.refuse(state.reason)
            log.warning("clip_refused", channel=channel, clip=clip, reason=state.reason)
        known = record(clip, state)
        if known is not None:
            self._keep(known)
        self._loop.post(lambda: self._on_change(channel))  # first: who is told and asks finds it known
        self._news.tell(channel, clip, before, state)

    def _forget_files(self, names: Sequence[str]) -> None:
        for name in names:
            self._identities.pop(name, None)

    def _check_files(self, requests: dict[str, PrepareRequest]) -> None:
        for name, request in requests.items():
            if not isinstance(request.source, Path):
                continue
            identity = _identity(request.source)
            state = self._library.state(name)
            if name in self._identities and self._identities[name] != identity:
                log.info("clip_source_changed", path=str(request.source))
                self._library.request(name, request, needed_in_s=0.0)
            elif state is not None and state.may_pass:
                self._library.request(name, request, needed_in_s=0.0)
            self._identities[name] = identity


class _Standings:
    """How each clip stood when it was last told of. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards both
        self._standings: dict[str, tuple[Stage, bool, str | None]] = {}
        self._refused: dict[str, set[str]] = {}

    def note(self, name: str, state: ClipState) -> bool:
        """Whether that is news."""
        standing = state.stage, state.is_usable, state.clip.key if state.clip else None
        refused_of = name.partition("|")[0]
        with self._lock:
            is_news = self._standings.get(name) != standing
            self._standings[name] = standing
            names = self._refused.setdefault(refused_of, set())
            (names.add if state.stage is Stage.REFUSED else names.discard)(name)
        return is_news

    def stage(self, name: str) -> Stage | None:
        """Where it stood; None when it was not told of."""
        known = self._standings.get(name)
        return known[0] if known is not None else None

    def knows(self, name: str) -> bool:
        """It was told of."""
        return name in self._standings

    def forget(self, names: Iterable[str]) -> None:
        """These are wanted no more."""
        with self._lock:
            for name in names:
                self._standings.pop(name, None)
                self._refused.get(name.partition("|")[0], set()).discard(name)

    def refused(self, channel: str) -> list[str]:
        """The channel's refused ones."""
        with self._lock:
            return list(self._refused.get(channel, ()))


def _identity(path: Path) -> Identity:
    try:
        status = os.stat(path)  # noqa: PTH116  # one stat, no Path overhead
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _name(channel: str, profile: Profile, entry: Entry) -> str:
    """One name for all entries of a channel that show the same thing; the library finds out which channels share a clip."""
    where, in_s, out_s, duration_s = entry.content
    return f"{channel}|{profile.name}|{where}|{in_s or ''}|{out_s or ''}|{duration_s or ''}"


def request_of(profile: Profile, entry: Entry) -> PrepareRequest | None:
    """What is to be prepared for an entry; None where it has no source."""
    source = entry.path or entry.url
    if source is None or entry.is_live:
        return None
    return PrepareRequest(
        source,
        profile,
        in_s=float(entry.in_s or 0),
        out_s=None if entry.out_s is None else float(entry.out_s),
        duration_s=None if entry.duration_s is None else float(entry.duration_s),
    )
