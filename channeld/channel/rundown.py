"""A channel's rundown: what airs, what was planned for the coming boundaries, and when it will air.

Rule: the queue decides what is next; the rundown only remembers which airing of which entry was promised to the host,
so that what the host tells can be understood. Moments are nanoseconds of the monotonic clock; the wall clock only labels.
Control loop's thread only.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from types import MappingProxyType
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.base.redact import redact_source, redact_text
from channeld.channel.inquest import Scene
from channeld.channel.insert import LIVE_CLIP, Insert, is_insert
from channeld.channel.preparation import Prepared, Want
from channeld.channel.tag import Tag
from channeld.media.clip import PreparedClip
from channeld.playlist.forecast import UNKNOWN_LENGTH_S, Airing, forecast
from channeld.playlist.model import Content, Entry, Playlist, Readiness
from channeld.playlist.order import Diff
from channeld.playlist.queue import Queue

PLANNED_AIRINGS = 8
MAX_PROMISES = 10_000
MAX_BEGUN = 1_000
WANTED_ENTRIES = 2_000
SHOWN_SKIPPED = 50
FORESEEN = 4_000
FORESEEN_S = 30 * 86_400.0
ROUNDS_TO_ALL = 4
"""Whatever is still to air has aired after what is left of a run, what was passed over, the rest of this round, and the next one."""
"""An outlook goes so many airings and seconds ahead; no more entries than WANTED_ENTRIES have a known length."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Planned:
    """An airing promised to the host while its airing number `after` was on air. `length_s` is that of the whole clip.

    `tag` is what the host gives back, to this control or a later one. `behind_s`: of a live clip, which has no length.
    """

    airing: str
    entry: Entry
    clip: PreparedClip
    length_s: float
    after: int
    tag: str
    behind_s: float | None = None

    @property
    def is_live(self) -> bool:
        """Nothing of it is in the cache."""
        return self.behind_s is not None

    @property
    def is_endless(self) -> bool:
        """It airs until something else does."""
        return self.is_live and not self.length_s


@dataclass(frozen=True, slots=True)
class Now:
    """What airs: the host's serial, the planned airing (None: the filler), and when it began."""

    serial: int
    planned: Planned | None
    started_ns: int
    started_wall_s: float


NOTHING = Now(0, None, 0, 0.0)


class Rundown:
    """Queue, plan and the present of one channel."""

    def __init__(self, queue: Queue, look_up: Callable[[Entry], Prepared]) -> None:
        self.queue = queue
        self._look_up = look_up
        self._promised: dict[str, Planned] = {}
        self._wanted_ids: set[str] = set()
        self._begun: deque[tuple[str, set[str]]] = deque(maxlen=MAX_BEGUN)
        """Entries that began while there was no list yet, oldest first, each with those that were late for it."""
        self.now = NOTHING
        self.playlist: Playlist | None = None
        self.digest: bytes | None = None
        """Of the bytes that the revision was made of; later ones may differ in what is no entry, such as comments."""

    def apply(self, playlist: Playlist) -> Diff:
        """Take a valid list."""
        before = self.queue.revision if self.playlist is not None else None
        self.playlist = playlist
        diff = self.queue.apply(playlist)
        if self.queue.revision != before:
            self.digest = playlist.digest
        return diff

    def listed(self) -> list[Entry]:
        """The newest list, under the ids that now and next have."""
        return [self.queue.listed(position) for position in range(len(self.playlist.entries) if self.playlist else 0)]

    # -- what was promised, and what came of it -----------------------------------------------------------------

    def plan(self) -> list[Planned]:
        """What should air at the coming boundaries, ready entries only."""
        planned = []
        turns: Counter[tuple[str, str]] = Counter()
        for entry in self.queue.plan(PLANNED_AIRINGS, self._readiness):
            prepared = self._look_up(entry)
            if prepared.clip is not None:
                turn = entry.id, prepared.clip.key
                turns[turn] += 1
                planned.append(self._promise(entry, prepared.clip, prepared.length_s, turns[turn], behind_s=prepared.behind_s))
        return planned

    def promise(self, inserts: Sequence[Insert]) -> list[Planned]:
        """Have these air at the coming boundaries, in the list's place."""
        return [
            self._promise(each.entry, each.clip, None, turn, behind_s=each.behind_s, is_insert=True) for turn, each in enumerate(inserts)
        ]

    def _readiness(self, entry: Entry) -> Readiness:
        # Of what is far away nothing is known; a list of 100,000 entries is not asked for one by one.
        return self._look_up(entry).readiness if entry.id in self._wanted_ids else Readiness.PENDING

    def _promise(
        self, entry: Entry, clip: PreparedClip, length_s: float | None, turn: int, *, behind_s: float | None = None, is_insert: bool = False
    ) -> Planned:
        # Named for what it is: plans made again in a storm of edits promise the same airings, and the host may air one of any of them.
        name = f"{self.now.serial}.{entry.id}.{turn}.{clip.key if is_insert else clip.key[:8]}"
        length_s = length_s or clip.duration_s
        tag = Tag.of(entry, clip, length_s).text()
        planned = Planned(name, entry, clip, length_s, self.now.serial, tag, behind_s)
        self._promised.pop(name, None)
        self._promised[name] = planned
        while len(self._promised) > MAX_PROMISES:
            del self._promised[next(iter(self._promised))]
        return planned

    def find(self, airing: str | None) -> Planned | None:
        """What was promised under an airing's name."""
        return self._promised.get(airing) if airing is not None else None

    def learn(self, airing: str, tag: Tag, serial: int) -> Planned:
        """An airing that an earlier control promised, under our entry where the list still has it."""
        entry = self.queue.find(tag.entry) or tag.as_entry()
        behind_s = 0.0 if tag.profile_key == LIVE_CLIP else None  # how far behind is the host's to know
        planned = self._promised[airing] = Planned(airing, entry, tag.as_clip(), tag.length_s, serial - 1, tag.text(), behind_s)
        return planned

    def take_up(self, serial: int, planned: Planned | None, *, started_ns: int, started_wall_s: float, is_known: bool = True) -> None:
        """What airs began before our time; `is_known`: and the queue knows it, or will be told."""
        self.now = Now(serial, planned, started_ns, started_wall_s)
        if planned is not None and not is_known:
            self._begun.append((planned.entry.id, set()))

    def started(
        self, serial: int, airing: str | None, *, started_ns: int, started_wall_s: float, late: Collection[str] = ()
    ) -> list[Entry]:
        """The host began an airing; gives the entries passed over by it. `late`: planned airings that it did not have in memory."""
        overtaken = {each.entry.id for name in late if (each := self.find(name)) is not None}
        planned = self.find(airing)
        self.now = Now(serial, planned, started_ns, started_wall_s)
        # One plan carries the host over that many boundaries at most.
        outlived = [name for name, each in self._promised.items() if each.after < serial - PLANNED_AIRINGS]
        for name in outlived:
            del self._promised[name]
        if planned is None:
            return []
        overtaken.discard(planned.entry.id)
        if self.playlist is None and not self.queue.has_inserted(planned.entry.id):
            self._begun.append((planned.entry.id, overtaken))
            return []
        return self.place(planned.entry.id, overtaken)

    @property
    def is_behind(self) -> bool:
        """Something began that the queue cannot know of before there is a list."""
        return bool(self._begun)

    def catch_up(self) -> str | None:
        """The first list is there: have the queue know what began before it was, each in turn; gives the last."""
        entry_id = None
        while self._begun:
            entry_id, overtaken = self._begun.popleft()
            self.place(entry_id, overtaken)
        return entry_id

    def place(self, entry_id: str, late: Collection[str] = ()) -> list[Entry]:
        """Have the queue know that an entry began; gives those passed over."""
        if is_insert(entry_id):
            return []
        try:
            return self.queue.started(entry_id, late)
        except ValueError as error:
            # Two edits took it out while the host was faster than control: it airs, and the list goes on from where it was.
            log.warning("airing_unknown", entry=entry_id, error=str(error))
            return []

    def stopped(self) -> None:
        """Nothing airs any more; the next airing counts from 1 again."""
        self.now = NOTHING
        self._promised.clear()
        self._begun.clear()

    # -- when ---------------------------------------------------------------------------------------------------

    def ends_in_s(self, now_ns: int) -> float | None:
        """How soon the playing clip ends, 0 when it should have; None while the filler or a live source airs."""
        planned = self.now.planned
        return None if planned is None or planned.is_endless else max(0.0, self._airing_length_s(planned) - self._elapsed_s(now_ns))

    def scene(self, channel: str, now_ns: int) -> Scene:
        """What airs, for an inquest."""
        age_s, ends_in_s = self._elapsed_s(now_ns), self.ends_in_s(now_ns)
        planned = self.now.planned
        return Scene(channel, planned.entry.content if planned else None, age_s if ends_in_s is None else min(age_s, ends_in_s))

    def due_wall_s(self) -> float | None:
        """When the playing clip ends, by the wall clock as it began; None while the filler or a live source airs."""
        planned = self.now.planned
        return None if planned is None or planned.is_endless else self.now.started_wall_s + self._airing_length_s(planned)

    def why_pending(self, entry: Entry) -> str | None:
        """What keeps an entry from being ready, where that is known."""
        return self._look_up(entry).reason

    def _elapsed_s(self, now_ns: int) -> float:
        return max(0.0, (now_ns - self.now.started_ns) / NS_PER_SECOND)

    def _airing_length_s(self, planned: Planned) -> float:
        return self._length_s(self._look_up(planned.entry)) or planned.length_s

    def _length_s(self, prepared: Prepared) -> float | None:
        return prepared.clip.duration_s if prepared.clip and not prepared.clip.growing else prepared.length_s

    def wants(self, now_ns: int) -> list[Want]:
        """What will air and when, soonest first: what the preparer should work on, and what a plan is made of."""
        wants = []
        coming = self._coming()
        self._wanted_ids = {entry.id for entry, _ in coming}
        now = self.now.planned
        if now is not None and self._is_growing(now.entry):
            wants.append(Want(now.entry, 0.0))  # it airs while it is being prepared: nothing is needed sooner
        due_s = self.ends_in_s(now_ns) or 0.0
        for entry, times in coming:
            wants.append(Want(entry, due_s))
            prepared = self._look_up(entry)
            if prepared.readiness is not Readiness.REFUSED:
                due_s += times * (self._length_s(prepared) or UNKNOWN_LENGTH_S)
        return wants

    def _is_growing(self, entry: Entry) -> bool:
        clip = self._look_up(entry).clip
        return clip is not None and clip.growing

    def _coming(self) -> list[tuple[Entry, int]]:
        """The coming entries, each once, with how often it airs in a row: the list once round, or about WANTED_ENTRIES that may air.

        Refused ones stand between them and stay known.
        """
        lap = (len(self.playlist.entries) if self.playlist else 0) + self.queue.insertions_waiting
        count = min(WANTED_ENTRIES, 2 * lap)
        while True:
            turns = self.queue.turns(count)
            if len(turns) < count or count >= 2 * lap or sum(not self.is_refused(entry) for entry, _ in turns) >= WANTED_ENTRIES // 2:
                first: dict[str, tuple[Entry, int]] = {}
                for entry, times in turns:
                    first.setdefault(entry.id, (entry, times))
                return list(first.values())
            count = min(2 * count, 2 * lap)

    def is_looked_up(self) -> bool:
        """There is a list, and it is known of the coming clips whether they are prepared."""
        return self.playlist is not None and all(self._look_up(entry).is_looked_up for entry in self.queue.upcoming(PLANNED_AIRINGS))

    def is_refused(self, entry: Entry) -> bool:
        """The entry will not air as it is."""
        return self._look_up(entry).readiness is Readiness.REFUSED

    def dry_in_s(self, now_ns: int) -> float | None:
        """How soon a clip is due that is not prepared now, were none prepared any more; None when the whole list is."""
        at_s = self.ends_in_s(now_ns) or 0.0
        for entry, times in self._coming():
            prepared = self._look_up(entry)
            if prepared.readiness is Readiness.PENDING and not entry.is_live:
                return at_s
            airs = prepared.readiness is Readiness.READY or entry.is_live
            at_s += times * (self._length_s(prepared) or 0.0) if airs else 0.0
        return None

    def forecast(self, *, now_ns: int, wall_s: float, until_s: float, limit: int) -> list[Airing]:
        """The airings after the playing one that begin before `until_s`, at most `limit`; all by the wall clock."""
        starts_s = wall_s + (self.ends_in_s(now_ns) or 0.0)
        refused = self.is_refused
        return forecast(self.queue, self.expected_length_s, starts_s=starts_s, until_s=until_s, limit=limit, is_refused=refused)

    def expected_length_s(self, entry: Entry) -> float | None:
        """How long an airing of it lasts: as its clip does, else as the list says; None where neither is known."""
        known_s = self._length_s(self._look_up(entry))
        if known_s is not None:
            return known_s
        if entry.duration_s is not None:
            return float(entry.duration_s)
        return float(entry.out_s - (entry.in_s or 0)) if entry.out_s is not None else None

    # -- what people see ----------------------------------------------------------------------------------------

    def describe_now(self, now_ns: int) -> dict[str, Any] | None:
        """CONTRACT's `now`; None while the filler airs."""
        planned = self.now.planned
        if planned is None:
            return None
        length_s, elapsed_s = None if planned.is_endless else self._airing_length_s(planned), self._elapsed_s(now_ns)
        return {
            **_named(planned.entry),
            "position_s": round(elapsed_s if length_s is None else min(elapsed_s, length_s), 3),
            "duration_s": None if length_s is None else round(length_s, 3),
            "started_at": iso_utc(self.now.started_wall_s),
        }

    def describe_next(self, count: int, *, now_ns: int, wall_s: float) -> list[dict[str, Any]]:
        """CONTRACT's `next`: what would air if everything were ready in time; `starts_at` null behind an unknown length."""
        in_s = self.ends_in_s(now_ns)
        known: dict[str, Prepared] = {}

        def is_refused(entry: Entry) -> bool:
            known[entry.id] = self._look_up(entry)
            return known[entry.id].readiness is Readiness.REFUSED

        described = []
        names: dict[str, dict[str, Any]] = {}  # a short list comes round several times
        for entry in self.queue.upcoming(count, is_refused):
            prepared, named = known[entry.id], names.get(entry.id) or names.setdefault(entry.id, _named(entry))
            starts_at = iso_utc(wall_s + in_s) if in_s is not None else None
            described.append({**named, "starts_at": starts_at, "ready": prepared.readiness is Readiness.READY})
            length_s = self._length_s(prepared)
            in_s = in_s + length_s if in_s is not None and length_s is not None else None
        return described

    def outlook(
        self, *, now_ns: int, wall_s: float, queue: Queue | None = None, lengths: Mapping[Content, float] = MappingProxyType({})
    ) -> dict[str, float]:
        """When each entry airs next, by the wall clock, as far as lengths are known; of a copy of the queue where one is given.

        `lengths`: seconds of what nobody has looked up here yet.
        """
        starts_in_s = self.ends_in_s(now_ns)
        queue = queue or self.queue
        if starts_in_s is None:
            first = next(iter(queue.turns(1, self.is_refused)), None)
            if (
                self.now is NOTHING
                or self.now.planned is not None
                or first is None
                or self._look_up(first[0]).readiness is not Readiness.READY
            ):
                return {}
            starts_in_s = 0.0  # the filler airs, and gives way to the first that is ready
        bounds = {"starts_s": wall_s + starts_in_s, "until_s": wall_s + FORESEEN_S}
        length_s = lambda entry: self.expected_length_s(entry) or lengths.get(entry.content)  # noqa: E731
        limit = min(FORESEEN, ROUNDS_TO_ALL * queue.airings_a_round)
        airings = forecast(queue, length_s, **bounds, limit=limit, is_refused=self.is_refused)
        first_at: dict[str, float] = {}
        for airing in takewhile(lambda airing: not airing.is_estimated, airings):
            first_at.setdefault(airing.entry.id, airing.starts_s)
        return first_at

    def standing(self, entry: Entry) -> Prepared:
        """How far an entry is."""
        return self._look_up(entry)

    def describe_skipped(self, refusals: Mapping[Content, str]) -> list[dict[str, Any]]:
        """The first SHOWN_SKIPPED listed entries that will not air, and why."""
        skipped: list[dict[str, Any]] = []
        for position, entry in enumerate(self.playlist.entries if self.playlist else ()):
            reason = entry.fault or (refusals.get(entry.content) if refusals else None)
            if reason is not None:
                listed = self.queue.listed(position)
                skipped.append({"entry": listed.id, "path": redact_source(entry.locator), "reason": redact_text(reason)})
            if len(skipped) == SHOWN_SKIPPED:
                break
        return skipped


def _named(entry: Entry) -> dict[str, Any]:
    return {"entry": entry.id, "title": redact_text(entry.title), "path": redact_source(entry.locator)}
