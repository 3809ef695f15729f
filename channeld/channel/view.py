"""A channel as people see it: CONTRACT's channel object.

Rule: what costs a look at every coming clip is made at most once per SHOWN_FOR_S; what airs and comes is kept for NEXT_FOR_S while the
channel stays as it is, and made anew at once when it does not. Where the playing entry is goes on meanwhile. Control loop's thread only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.channel.means import Means
from channeld.channel.restraint import Restraint
from channeld.channel.rundown import Now, Rundown
from channeld.channel.settings import ChannelSettings
from channeld.channel.state import State
from channeld.playlist.model import Content, Playlist

SHOWN_NEXT = 8
SHOWN_FOR_S = 1.0
NEXT_FOR_S = 5.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a description was made of: while all of it is the same, so is the channel."""

    is_on_air: bool
    now: Now
    playlist: Playlist | None
    revision: int
    insertions: int
    refusals: Mapping[Content, str]
    step: int

    def is_same(self, other: "_Seen") -> bool:
        """What airs and the list by identity: they are replaced, never changed, and to compare long lists would cost what is saved."""
        is_same_air = self.now is other.now and self.playlist is other.playlist
        return is_same_air and self._counts() == other._counts() and self.refusals == other.refusals

    def _counts(self) -> tuple[bool, int, int, int]:
        return self.is_on_air, self.revision, self.insertions, self.step


@dataclass(frozen=True, slots=True)
class _Programme:
    """A description, when it was made and of what."""

    seen: _Seen
    made_ns: int
    told: dict[str, Any]

    def at(self, now_ns: int) -> dict[str, Any]:
        """The same with what airs as far on as it is now."""
        now = self.told["now"]
        if now is None or now_ns == self.made_ns:
            return self.told
        position_s, duration_s = now["position_s"] + (now_ns - self.made_ns) / NS_PER_SECOND, now["duration_s"]
        position_s = round(position_s if duration_s is None else min(position_s, duration_s), 3)
        return {**self.told, "now": {**now, "position_s": position_s}}


class View:
    """Describes one channel's programme."""

    def __init__(self, settings: ChannelSettings, means: Means, rundown: Rundown, restraint: Restraint) -> None:
        self._settings, self._means, self._rundown, self._restraint = settings, means, rundown, restraint
        self._programme: _Programme | None = None
        self._prepared: tuple[int, dict[str, Any]] | None = None
        self._skipped: tuple[Playlist | None, Mapping[Content, str], list[dict[str, Any]]] = (None, {}, [])

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings."""
        self._settings = settings
        self.renew()

    def renew(self) -> None:
        """Something that cannot be seen here has changed, such as how far its clips are."""
        self._programme = None

    def describe(self, state: State, *, fault: dict[str, Any] | None, last_error: str | None, ticks: int) -> dict[str, Any]:
        """The channel object but for its outputs. `fault` of the newest list; `ticks` of the timeline."""
        settings = self._settings
        return {
            "id": settings.id,
            "name": settings.name,
            "state": state.value,
            "profile": settings.profile.name,
            "revision": self._rundown.queue.revision,
            "edit_error": fault,
            "last_error": last_error,
            "degraded": self._restraint.describe(),
            **self._describe_programme(is_on_air=state is State.ON_AIR),
            "timeline": {"ticks": ticks, "wraps": ticks >> 33},
        }

    def _describe_programme(self, *, is_on_air: bool) -> dict[str, Any]:
        """What airs, what comes, what is skipped and how much is prepared."""
        now_ns = self._means.clock.monotonic_ns()
        rundown, queue, kept = self._rundown, self._rundown.queue, self._programme
        refusals = {**self._means.preparer.refusals(self._settings.id), **self._restraint.refusals()}
        step = self._restraint.step.value
        seen = _Seen(is_on_air, rundown.now, rundown.playlist, queue.revision, queue.insertions_waiting, refusals, step)
        if kept is None or not kept.seen.is_same(seen) or now_ns - kept.made_ns > NEXT_FOR_S * NS_PER_SECOND:
            kept = self._programme = _Programme(seen, now_ns, self._look(seen, now_ns))
        return {**kept.at(now_ns), "prepared": self._describe_prepared(now_ns)}

    def _look(self, seen: _Seen, now_ns: int) -> dict[str, Any]:
        wall_s = self._means.clock.wall_s()
        return {
            "now": self._rundown.describe_now(now_ns) if seen.is_on_air else None,
            "next": self._rundown.describe_next(SHOWN_NEXT, now_ns=now_ns, wall_s=wall_s),
            "skipped": self._describe_skipped(seen),
        }

    def _describe_skipped(self, seen: _Seen) -> list[dict[str, Any]]:
        playlist, refusals, skipped = self._skipped
        if playlist is not seen.playlist or refusals != seen.refusals:
            skipped = self._rundown.describe_skipped(seen.refusals)
            self._skipped = seen.playlist, seen.refusals, skipped
        return skipped

    def _describe_prepared(self, now_ns: int) -> dict[str, Any]:
        if self._prepared is None or now_ns - self._prepared[0] > SHOWN_FOR_S * NS_PER_SECOND:
            stock = self._means.preparer.stock(self._settings.id)
            dry_in_s = self._rundown.dry_in_s(now_ns)
            prepared = {
                "ready_s": round(stock.ready_s, 1),
                "needed_s": round(stock.needed_s, 1),
                "eta_s": round(stock.eta_s, 1) if stock.eta_s is not None else None,
                "dry_at": iso_utc(self._means.clock.wall_s() + dry_in_s) if dry_in_s is not None else None,
                "fits_cache": stock.fits_cache,
            }
            self._prepared = now_ns, prepared
        return self._prepared[1]
