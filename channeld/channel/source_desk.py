"""The live sources of one channel: which are connected to, how they stand, which is to air, and the slate where none is live.

Rule: decides by `failover`; connects to what that wants. Control loop's thread only.
"""

from collections.abc import Callable
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.channel.connections import Connections
from channeld.channel.failover import Failover, FailoverRules, OnAir, Standing, standing_of
from channeld.channel.insert import LIVE, Coming, Insert, is_insert, is_slate, live_clip, live_entry, slate_entry
from channeld.channel.interest import Interest
from channeld.channel.means import Means
from channeld.channel.settings import ChannelSettings, LiveSettings, ServedTarget, SourceSettings
from channeld.channel.slates import SIGNAL_LOST, Slates
from channeld.channel.source_figures import SourceFigures, segment_wait_s
from channeld.media.clip import PreparedClip
from channeld.media.reference import Reference
from channeld.playlist.model import Entry
from channeld.sources.spec import SourceSpec

PLANNED_SLATES = 7
"""Slates planned behind what airs: so long goes on by itself what control does not look after."""
REFERENCE_RETRY_S = 10.0
TAKE_UP_S = 5.0
"""How long what an earlier control left on air may take to be told, by its source and by who watches it."""

IDLE_SEGMENTS = 3

log = structlog.get_logger()


class SourceDesk:
    """One channel's. `on_change()`: what is coming may be another; `at_once()`: so it is, and soon is too late."""

    def __init__(
        self,
        settings: ChannelSettings,
        means: Means,
        connections: Connections,
        *,
        on_change: Callable[[], None],
        at_once: Callable[[], None],
    ) -> None:
        self._settings, self._means, self._connections = settings, means, connections
        self._on_change, self._at_once = on_change, at_once
        self._reference: Reference | None = None
        self._is_running = False
        self._on_air: OnAir | None = None
        self._shown: str | None = None
        self._began_s = 0.0
        self._interest = Interest(settings.id, means, _idle_s(settings), self._changed)
        self.figures = SourceFigures()
        self._look_at_s: float | None = None
        self._preferred: tuple[str | None, str | None, bool] = None, None, False
        self._make()

    def _make(self) -> None:
        settings, live = self._settings, self._settings.live
        rules = FailoverRules() if live is None else FailoverRules(live.loss_grace_s, live.recovery_grace_s, live.buffer_s, live.standby)
        self._failover = Failover([source.name for source in live.sources] if live else [], rules)
        self._failover.prefer(self._preferred[0])
        self._slates = Slates(settings.name, settings.profile, self._means.preparer, self._changed)

    @property
    def has_sources(self) -> bool:
        """There are live sources."""
        return self._settings.live is not None

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings; sources that stay as they are go on."""
        before, self._settings = self._settings, settings
        if (before.live, before.profile, before.name) == (settings.live, settings.profile, settings.name):
            return
        known = self._failover.standings
        self._interest.idle_s = _idle_s(settings)
        self._make()
        if self._is_running and settings.live is None:
            self._connections.want("sources", [])
        elif self._is_running and self._reference is None:
            self._ask_reference()
        for name in self._failover.names:
            if name in known and _source(before.live, name) == _source(settings.live, name):
                self._failover.standings[name] = known[name]
        if self._is_running:
            self._slates.prepare()
            self._changed()

    # -- life ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The channel is on its way: its sources are connected to."""
        if self._is_running:
            return
        self._is_running, self._began_s = True, self._now_s()
        self._interest.begin()
        if self.has_sources:
            self._slates.prepare()
            self._ask_reference()

    def _ask_reference(self) -> None:
        def done(result: Reference | str) -> None:
            if not self._is_running:
                return
            if isinstance(result, str):
                log.error("reference_not_made", channel=self._settings.id, error=result)
                self._means.loop.later(REFERENCE_RETRY_S, self._ask_reference)
                return
            self._reference = result
            self._connect()

        self._means.preparer.ensure_reference(self._settings.profile, done)

    def end(self) -> None:
        """Nothing is wanted any more."""
        if self._is_running:
            self._is_running, self._look_at_s = False, None
            self._interest.end()
            self._on_air = self._reference = None  # the next profile has another reference
            self._connections.want("sources", [])
            self._make()

    def _connect(self) -> None:
        """Have just those sources connected to that are wanted now."""
        live, reference = self._settings.live, self._reference
        if not self._is_running or live is None or reference is None:
            return
        if not self._interest.is_there and self._now_s() - self._began_s < TAKE_UP_S:
            return
        wanted: set[str | None] = set()
        if self._interest.is_there:
            wanted = {*self._failover.wanted(self._now_s(), self._on_air), self._preferred[1]}
        specs = [self._spec(source, live) for source in live.sources if source.name in wanted]
        for name in self._failover.names:
            if name not in wanted:
                self._failover.standings[name] = Standing()
        self._connections.want("sources", [spec.message(reference) for spec in specs], yields=live.idle_s is not None)

    def _spec(self, source: SourceSettings, live: LiveSettings) -> SourceSpec:
        folder = self._means.sources.folder_of(self._settings.id, source.name)
        return SourceSpec(
            source.name,
            source.url,
            str(folder),
            self._settings.profile,
            transport=source.transport,
            mode=source.mode,
            timeout_s=source.timeout_s,
            loss_grace_s=live.loss_grace_s,
            treatment=source.treatment,
            picture=live.picture,
            allows_private=source.allows_private,
        )

    def _now_s(self) -> float:
        return self._means.clock.monotonic_ns() / NS_PER_SECOND

    def watched(self) -> None:
        """Somebody watches just now."""
        self._interest.watched()

    def prefer(self, name: str | None, *, expected: str | None, is_list: bool) -> None:
        """For a while one source goes before the others, or the list before all; `expected` soon will, and is connected to."""
        wanted = name, expected, is_list
        if wanted != self._preferred:
            self._preferred = wanted
            self._failover.prefer(name)
            self._changed()

    # -- what is told -------------------------------------------------------------------------------------------

    def told(self, name: str, kind: str, values: dict[str, Any]) -> None:
        """Something of one of its sources."""
        if not self._is_running or name not in self._failover.standings:
            return
        if kind == "progress":
            self.figures.told(name, values)
            if self._failover.heard(name, self._now_s(), float(values.get("idle_s") or 0.0)):
                self._look_later()
            return
        standing = standing_of(values)
        reason = standing.reason.value if standing.reason else None
        self._failover.told(name, standing)
        facts = {"channel": self._settings.id, "source": name, "state": standing.state.value, "reason": reason, "detail": standing.detail}
        self._means.publish("source_state", **facts)
        self._stands_otherwise()

    def started(self, entry: Entry | None, clip: PreparedClip | None) -> None:
        """This airs now; None is the filler."""
        is_live = entry is not None and entry.id.startswith(LIVE)
        self._shown = clip.key if clip is not None else None
        self._on_air = OnAir(entry.id.removeprefix(LIVE), clip.key) if entry is not None and clip is not None and is_live else None
        self._connect()

    def ended(self, values: dict[str, Any]) -> None:
        """An airing ended: a live one that ran dry has to prove itself again."""
        name = (values["entry"] or "").removeprefix(LIVE)
        if values["reason"] == "underrun" and (values["entry"] or "").startswith(LIVE) and name in self._failover.standings:
            self._failover.underran(name, self._now_s())
            log.warning("source_ran_dry", channel=self._settings.id, source=name)
            self._look_later()

    def _changed(self) -> None:
        self._connect()
        self._on_change()
        self._look_later()

    def _stands_otherwise(self) -> None:
        """A source does, or its time has come."""
        self._connect()
        self._at_once()
        self._look_later()

    def _look_later(self) -> None:
        wait_s = self._failover.look_again_in_s(self._now_s()) if self.has_sources else None
        if wait_s is not None:
            self._later(wait_s)

    def _later(self, wait_s: float) -> None:
        """Look again then; whoever looks knows what is to be waited for next, so that the nearest of all waits is enough."""
        at_s = self._now_s() + wait_s + 0.005
        if self._look_at_s is not None and self._look_at_s <= at_s:
            return
        self._look_at_s = at_s

        def again() -> None:
            if self._look_at_s == at_s and self._is_running:
                self._look_at_s = None
                self._stands_otherwise()

        self._means.loop.later(wait_s + 0.005, again)

    # -- what is coming -----------------------------------------------------------------------------------------

    def coming(self, now: Entry | None) -> Coming | None:
        """What is to air in the list's place; None: the list."""
        live = self._settings.live
        if live is None or not self._is_running or (self._preferred[2] and self._settings.has_list):
            return None
        on_air = self._on_air
        best = self._failover.best(self._now_s(), on_air)
        if best is None:
            return self._without_source(now)
        standing = self._failover.standings[best]
        if on_air == OnAir(best, standing.clip or ""):
            return self._before_a_loss(switches=False)
        source = next(each for each in live.sources if each.name == best)
        clip = live_clip(standing.folder, standing.clip or "")
        insert = Insert(live_entry(best, source.shown_url, source.title), clip, self._failover.store_s(best))
        return self._before_a_loss(insert, switches=True)

    def _before_a_loss(self, *inserts: Insert, switches: bool) -> Coming:
        """What airs when it comes, before anybody could say so: the list, where there is one, else slates."""
        slates = self._slates_of(SIGNAL_LOST, self._slates.find(SIGNAL_LOST))
        return Coming((*inserts, *slates), switches, falls_back=self._settings.has_list)

    def _without_source(self, now: Entry | None) -> Coming | None:
        on_air = self._on_air
        leaves = True
        if on_air is not None and self._is_untold(on_air.name):
            self._later(TAKE_UP_S)
            return self._before_a_loss(switches=False)
        if on_air is not None and on_air.name in self._failover.standings:
            wait_s = self._failover.must_leave_in_s(on_air.name, self._now_s())
            leaves = wait_s <= 0
            if not leaves:
                self._later(wait_s)
        if self._settings.has_list:
            return None if leaves or not is_insert(now.id if now else None) else Coming((), switches=False)
        words, clip = self._slates.of(self._failover.fault())
        slates = self._slates_of(words, clip)
        # By its clip: the card with the time follows the one without as soon as it is made.
        is_shown = now is not None and bool(slates) and is_slate(now.id) and self._shown == slates[0].clip.key
        return Coming(slates, switches=leaves and bool(slates) and not is_shown)

    def _is_untold(self, name: str) -> bool:
        """An earlier control left it on air, and its source has not said yet how it stands."""
        standing = self._failover.standings.get(name)
        return standing is not None and not standing.since_s and self._now_s() - self._began_s < TAKE_UP_S

    def _slates_of(self, words: str, clip: PreparedClip | None) -> tuple[Insert, ...]:
        if clip is None or self._settings.has_list:
            return ()
        return (Insert(slate_entry(words), clip),) * PLANNED_SLATES

    # -- what people see ----------------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, Any]]:
        """Each source: how it stands, since when and why."""
        live = self._settings.live
        return [self._described(source) for source in live.sources] if live is not None else []

    def _described(self, source: SourceSettings) -> dict[str, Any]:
        standing, figures = self._failover.standings[source.name], self.figures.of(source.name)
        return {
            "name": source.name,
            "url": source.shown_url,
            "state": standing.state.value if standing.since_wall_s else "standby",
            "since": iso_utc(standing.since_wall_s) if standing.since_wall_s else None,
            "reason": standing.reason.value if standing.reason else None,
            "detail": standing.detail or None,
            "on_air": self._on_air is not None and self._on_air.name == source.name,
            "mode": figures.get("mode") or standing.mode or None,
            "why": figures.get("why") or standing.why or None,
            "attempts": figures.get("attempts", 0),
            "bytes": figures.get("bytes", 0),
            "figures": self.figures.described(source.name, self._settings.profile.fps, segment_wait_s(self._settings, self._means)),
        }


def _idle_s(settings: ChannelSettings) -> float | None:
    """How long nobody may ask for anything before nobody watches: players of HLS and DASH do once in a segment."""
    if settings.live is None or settings.live.idle_s is None:
        return None
    packaged = [each for each in settings.targets if isinstance(each, ServedTarget) and each.type != "ts"]
    return max([settings.live.idle_s, *(IDLE_SEGMENTS * each.segment_s for each in packaged)])


def _source(live: LiveSettings | None, name: str) -> SourceSettings | None:
    return next((each for each in live.sources if each.name == name), None) if live is not None else None
