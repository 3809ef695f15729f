"""Live sources that stand in a channel's list: connected to before their turn, ready when they are live, let go of after it.

Rule: an entry whose source is not live at its turn is passed over like a clip that is not ready, and keeps its turn; one that is lost
while it airs gives way to the next. Control loop's thread only.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.base.redact import redact_url
from channeld.channel.connections import Connections
from channeld.channel.failover import STORE_SPARE_S, Standing, standing_of
from channeld.channel.insert import live_clip
from channeld.channel.means import Means
from channeld.channel.preparation import Prepared, Want
from channeld.channel.settings import ChannelSettings
from channeld.media.reference import Reference
from channeld.playlist.model import Entry, Readiness
from channeld.sources.spec import SourceSpec, SourceState

LEAD_S = 20.0
"""A source is connected to so long before its turn."""
BUFFER_S = 1.0
MAX_AT_ONCE = 4
NAME = "list."
"""Begins the names of these sources; those of a configuration have no dot."""
REFERENCE_RETRY_S = 10.0

log = structlog.get_logger()


class LiveEntries:
    """One channel's. `on_change()`: what is ready may be another; `on_due()`: what is wanted is to be told again."""

    def __init__(
        self, settings: ChannelSettings, means: Means, connections: Connections, on_change: Callable[[], None], on_due: Callable[[], None]
    ) -> None:
        self._settings, self._means, self._connections = settings, means, connections
        self._on_change, self._on_due = on_change, on_due
        self._reference: Reference | None = None
        self._is_asked = False
        self._near: dict[str, Entry] = {}
        self._on_air: Entry | None = None
        self._standings: dict[str, Standing] = {}
        self._due_looks = 0

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings; another house format comes with a restart."""
        self._settings = settings

    def end(self) -> None:
        """Nothing is wanted any more."""
        self._near, self._on_air, self._reference, self._is_asked = {}, None, None, False
        self._connect()

    def expect(self, wants: Sequence[Want]) -> None:
        """What airs next and when, soonest first: those that are due soon are connected to."""
        live = [want for want in wants if want.entry.is_live and want.entry.fault is None]
        near = [want for want in live if want.due_s <= LEAD_S][:MAX_AT_ONCE]
        self._near = {_name(want.entry): want.entry for want in near}
        self._connect()
        later = [want.due_s - LEAD_S for want in live if want.due_s > LEAD_S]
        if later:
            self._due_looks += 1
            look = self._due_looks

            def due() -> None:
                if look == self._due_looks:
                    self._on_due()

            self._means.loop.later(min(later) + 0.05, due)

    def started(self, entry: Entry | None) -> None:
        """This airs now."""
        self._on_air = entry if entry is not None and entry.is_live else None
        self._connect()

    def _connect(self) -> None:
        wanted = dict(self._near)
        if self._on_air is not None:
            wanted[_name(self._on_air)] = self._on_air
        self._standings = {name: standing for name, standing in self._standings.items() if name in wanted}
        if not wanted:
            self._connections.want("list", [])
        elif self._reference is None:
            self._ask_reference()
        else:
            reference = self._reference
            self._connections.want("list", [self._spec(name, entry).message(reference) for name, entry in wanted.items()])

    def _ask_reference(self) -> None:
        if self._is_asked:
            return
        self._is_asked = True

        def done(result: Reference | str) -> None:
            if not self._is_asked:
                return
            if isinstance(result, str):
                self._is_asked = False
                log.error("reference_not_made", channel=self._settings.id, error=result)
                self._means.loop.later(REFERENCE_RETRY_S, self._connect)
                return
            self._reference = result
            self._connect()

        self._means.preparer.ensure_reference(self._settings.profile, done)

    def _spec(self, name: str, entry: Entry) -> SourceSpec:
        folder = self._means.sources.folder_of(self._settings.id, name)
        allows_private = self._settings.rules.private_hosts
        return SourceSpec(name, entry.url or "", str(folder), self._settings.profile, allows_private=allows_private)

    def told(self, name: str, kind: str, values: dict[str, Any]) -> None:
        """Something of one of its sources."""
        entry = self._near.get(name) or (self._on_air if self._on_air is not None and _name(self._on_air) == name else None)
        if entry is None or kind == "progress":
            return
        before, standing = self._standings.get(name), standing_of(values)
        self._standings[name] = standing
        reason = standing.reason.value if standing.reason else None
        facts = {"source": redact_url(entry.url or ""), "state": standing.state.value, "reason": reason, "detail": standing.detail}
        self._means.publish("source_state", channel=self._settings.id, **facts)
        if standing.state is SourceState.LIVE and (before is None or before.clip != standing.clip):
            self._means.loop.later(BUFFER_S + STORE_SPARE_S + 0.01, self._on_change)
        self._on_change()

    def look_up(self, entry: Entry) -> Prepared:
        """How far such an entry is."""
        if entry.fault is not None:
            return Prepared(Readiness.REFUSED, reason=entry.fault)
        length_s = float(entry.duration_s or 0)
        standing = self._standings.get(_name(entry))
        if standing is None:
            return Prepared(Readiness.PENDING, None, "it is connected to shortly before its turn", length_s, behind_s=BUFFER_S)
        age_s = self._means.clock.monotonic_ns() / NS_PER_SECOND - standing.since_s
        if standing.state is not SourceState.LIVE or standing.clip is None or age_s < BUFFER_S + STORE_SPARE_S:
            words = standing.detail or standing.state.value
            return Prepared(Readiness.PENDING, None, words, length_s, behind_s=BUFFER_S)
        clip = live_clip(standing.folder, standing.clip)
        return Prepared(Readiness.READY, clip, length_s=length_s, behind_s=BUFFER_S)


def _name(entry: Entry) -> str:
    """The same source twice in a list is one connection."""
    return NAME + blake2b((entry.url or "").encode(), digest_size=8).hexdigest()
