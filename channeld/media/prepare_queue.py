"""Which clip is prepared next: entries, the clips they share, and when each is needed.

Rule: soonest needed first; a clip that several entries want is prepared once; one behind a URL only when its file was brought here.
Pure: no threads, no clock; the library guards it.
Moments are seconds on the caller's monotonic clock.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from channeld.media.clip_state import ClipState, PreparedTotals, Stage, pending
from channeld.media.prepare import PrepareRequest

NEVER = float("inf")


@dataclass(slots=True)
class _Entry:
    request: PrepareRequest
    needed_at: float
    disk: str
    key: str | None = None
    trouble: ClipState | None = None


@dataclass(slots=True)
class _Clip:
    request: PrepareRequest
    state: ClipState
    disk: str = ""
    entries: set[str] = field(default_factory=set)
    not_before: float = 0.0
    waits_for_room: bool = False
    download: Path | None = None

    @property
    def is_here(self) -> bool:
        return self.download is not None or isinstance(self.request.source, Path)


@dataclass(frozen=True, slots=True)
class Lookup:
    """What to find out next, on which disk: of an entry (`is_clip` false) which clip it is, or of a clip, named by its key, its facts."""

    name: str
    request: PrepareRequest
    disk: str
    is_clip: bool


class PrepareQueue:
    """Entries by id, clips by key."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._clips: dict[str, _Clip] = {}
        self._unresolved: dict[str, dict[str, None]] = {}
        """By disk, as the next one: names in the order in which they came."""
        self._unprobed: dict[str, dict[str, None]] = {}
        self._remote_entries: dict[str, str] = {}
        self._remote_clips: dict[str, str] = {}

    def add(self, entry: str, request: PrepareRequest, needed_at: float, *, disk: str = "") -> None:
        """Want a clip, whose file stands on this disk; an entry asked for again is looked up again."""
        self.remove(entry)
        self._entries[entry] = _Entry(request, needed_at, disk)
        self._unresolved.setdefault(disk, {})[entry] = None
        if isinstance(request.source, str):
            self._remote_entries[entry] = request.source

    def remove(self, entry: str) -> None:
        """No longer want a clip; one that no entry wants is forgotten unless it is being prepared."""
        known = self._entries.pop(entry, None)
        self._remote_entries.pop(entry, None)
        if known is not None:
            _take_out(self._unresolved, known.disk, entry)
        if known is None or known.key is None:
            return
        clip = self._clips[known.key]
        clip.entries.discard(entry)
        if not clip.entries and clip.state.stage is not Stage.PREPARING:
            self._drop(known.key)

    def _drop(self, key: str) -> None:
        _take_out(self._unprobed, self._clips.pop(key).disk, key)
        self._remote_clips.pop(key, None)

    def set_needed(self, entry: str, needed_at: float) -> None:
        """Move an entry in time."""
        if entry in self._entries:
            self._entries[entry].needed_at = needed_at

    def next_lookup(self, busy: Collection[str] = ()) -> Lookup | None:
        """What to find out next, on none of the busy disks: which clips the entries are, then what those are like."""
        found = self._next_unresolved(busy)
        return found if found is not None else self._next_unprobed(busy)

    def _next_unresolved(self, busy: Collection[str]) -> Lookup | None:
        # Of a long list each is looked for in its turn: to find the soonest of 100,000 each time would take hours.
        firsts = [
            min(names, key=self._needed_at) if len(names) < 256 else next(iter(names))
            for disk, names in self._unresolved.items()
            if disk not in busy
        ]
        if not firsts:
            return None
        entry = min(firsts, key=self._needed_at)
        known = self._entries[entry]
        _take_out(self._unresolved, known.disk, entry)
        return Lookup(entry, known.request, known.disk, is_clip=False)

    def _needed_at(self, entry: str) -> float:
        return self._entries[entry].needed_at

    def resolve(self, entry: str, request: PrepareRequest, key: str, state: ClipState) -> None:
        """An entry's clip is known by key now. Nothing happens when the entry changed meanwhile."""
        known = self._entries.get(entry)
        if known is None or known.request is not request:
            return
        known.key = key
        clip = self._clips.get(key)
        if clip is None or clip.state.stage is Stage.PENDING:
            clip = self._clips.setdefault(key, _Clip(request, state, known.disk))
            clip.state = state
            if isinstance(request.source, str):
                self._remote_clips[key] = request.source
            elif state.stage is Stage.PENDING and request.facts is None:
                self._unprobed.setdefault(clip.disk, {})[key] = None
        clip.entries.add(entry)

    def fail(self, entry: str, request: PrepareRequest, state: ClipState) -> None:
        """An entry could not even be looked up."""
        known = self._entries.get(entry)
        if known is not None and known.request is request:
            known.trouble = state

    def _next_unprobed(self, busy: Collection[str]) -> Lookup | None:
        for disk in [disk for disk in self._unprobed if disk not in busy]:
            for key in list(self._unprobed[disk]):
                _take_out(self._unprobed, disk, key)
                clip = self._clips.get(key)
                if clip is not None and clip.state.stage is Stage.PENDING and clip.request.facts is None:
                    return Lookup(key, clip.request, disk, is_clip=True)
        return None

    def learn(self, key: str, request: PrepareRequest, total_s: float) -> None:
        """Facts of a clip came in; a clip that is under way keeps its state."""
        clip = self._clips.get(key)
        if clip is not None:
            # What was learned of a download holds for this download only.
            if key not in self._remote_clips:
                clip.request = request
            if not clip.state.total_s:
                clip.state = replace(clip.state, total_s=total_s)

    def take(self, now: float) -> tuple[str, PrepareRequest, float] | None:
        """The clip to prepare now: key, request, moment needed. It counts as being prepared from here on."""
        best = self._soonest(now)
        if best is None:
            return None
        clip = self._clips[best]
        clip.state = ClipState(Stage.PREPARING, total_s=clip.state.total_s)
        _take_out(self._unprobed, clip.disk, best)
        request = clip.request if clip.download is None else replace(clip.request, source=clip.download)
        return best, request, self.needed_at(best)

    def _soonest(self, now: float) -> str | None:
        waiting = (
            key
            for key, clip in self._clips.items()
            if clip.state.stage is Stage.PENDING and clip.entries and clip.not_before <= now and clip.is_here
        )
        return min(waiting, key=self.needed_at, default=None)

    def soonest_needed(self, now: float) -> float:
        """When the clip that would be taken now is needed."""
        best = self._soonest(now)
        return NEVER if best is None else self.needed_at(best)

    def needed_at(self, key: str) -> float:
        """When the first entry that wants a clip airs."""
        clip = self._clips.get(key)
        return NEVER if clip is None else min((self._entries[entry].needed_at for entry in clip.entries), default=NEVER)

    def put(self, key: str, state: ClipState, *, not_before: float = 0.0, is_for_room: bool = False) -> tuple[str, ...]:
        """A clip's new state; gives the entries that it concerns."""
        clip = self._clips.get(key)
        if clip is None:
            return ()
        if state.stage is Stage.PENDING and not state.total_s:
            state = replace(state, total_s=clip.state.total_s)
        clip.state, clip.not_before, clip.waits_for_room = state, not_before, is_for_room
        if state.stage in (Stage.READY, Stage.REFUSED):
            clip.download = None
        # One that is still being written stays known, so that nobody begins it a second time.
        if not clip.entries and state.stage is not Stage.PREPARING:
            self._drop(key)
        return tuple(clip.entries)

    # -- what stands behind URLs --------------------------------------------------------------------------------

    def urls(self) -> dict[str, float]:
        """Every URL that an entry wants, and when it is needed first."""
        wanted: dict[str, float] = {}
        for entry, url in self._remote_entries.items():
            wanted[url] = min(wanted.get(url, NEVER), self._entries[entry].needed_at)
        return wanted

    def requests_of(self, url: str) -> list[tuple[str, PrepareRequest]]:
        """The entries that want a URL."""
        return [(entry, self._entries[entry].request) for entry, wanted in self._remote_entries.items() if wanted == url]

    def look_again(self, url: str) -> None:
        """A URL has other content than before: look its entries up anew."""
        for entry, request in self.requests_of(url):
            self.add(entry, request, self._entries[entry].needed_at, disk=self._entries[entry].disk)

    def needs_download(self, key: str) -> bool:
        """A clip is wanted, and the file behind its URL is not here."""
        clip = self._clips.get(key)
        return clip is not None and bool(clip.entries) and clip.state.stage is Stage.PENDING and not clip.is_here

    def next_download(self, now: float, without: Collection[str] = ()) -> tuple[str, str] | None:
        """The clip whose file is to be brought here next: key and URL."""
        waiting = (
            key for key in self._remote_clips if key not in without and self.needs_download(key) and self._clips[key].not_before <= now
        )
        best = min(waiting, key=self.needed_at, default=None)
        return None if best is None else (best, self._remote_clips[best])

    def hold(self, key: str, path: Path) -> None:
        """A clip's file is here; it may be prepared."""
        if self.needs_download(key):
            self._clips[key].download = path

    def held(self) -> set[str]:
        """Clips whose downloads are still needed."""
        return {key for key in self._remote_clips if self._clips[key].download is not None}

    def displace(self, needed_at: float) -> bool:
        """Give up the download that is needed last, if that is later than this and nobody reads it."""
        idle = [key for key in self.held() if self._clips[key].state.stage is Stage.PENDING and self.needed_at(key) > needed_at]
        if idle:
            self._clips[max(idle, key=self.needed_at)].download = None
        return bool(idle)

    def release_waiting(self) -> None:
        """Let what waited for room in the cache be taken at once; what failed waits its time."""
        for clip in self._clips.values():
            if clip.waits_for_room:
                clip.not_before = 0.0

    def state(self, entry: str) -> ClipState | None:
        """An entry's state; None for an entry that nobody asked for."""
        known = self._entries.get(entry)
        if known is None:
            return None
        if known.trouble is not None:
            return known.trouble
        return pending() if known.key is None else self._clips[known.key].state

    def length_s(self, key: str) -> float:
        """Seconds of a clip; 0 while unknown."""
        clip = self._clips.get(key)
        return 0.0 if clip is None else clip.state.total_s

    def stages(self) -> Counter[Stage]:
        """How many clips stand where; one that is not looked up yet counts as pending."""
        found = Counter(clip.state.stage for clip in self._clips.values())
        found[Stage.PENDING] += len(self._unresolved)
        return found

    def totals(self, entries: Iterable[str] | None, speed: float | None) -> PreparedTotals:
        """Sums over entries (None: all); lengths not known yet count as the mean of the known. `speed`: seconds prepared per second."""
        names = self._entries if entries is None else entries
        states = [state for state in map(self.state, names) if state is not None and state.stage is not Stage.REFUSED]
        known = [state.total_s for state in states if state.total_s > 0]
        mean_s = sum(known) / len(known) if known else 0.0
        ready_s = sum(state.prepared_s for state in states)
        needed_s = sum(state.total_s or mean_s for state in states)
        left_s = max(0.0, needed_s - ready_s)
        if left_s == 0:
            return PreparedTotals(ready_s, needed_s, 0.0 if known or not states else None)
        return PreparedTotals(ready_s, needed_s, left_s / speed if speed else None)


def _take_out(names_of: dict[str, dict[str, None]], disk: str, name: str) -> None:
    """Remove a name, and its disk with the last one."""
    names = names_of.get(disk)
    if names is not None:
        names.pop(name, None)
        if not names:
            del names_of[disk]
