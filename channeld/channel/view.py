"""A channel as people see it: CONTRACT's channel object.

Rule: what costs a look at every coming clip is made at most once per SHOWN_FOR_S. Control loop's thread only.
"""

from collections.abc import Mapping
from typing import Any

from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.channel.means import Means
from channeld.channel.restraint import Restraint
from channeld.channel.rundown import Rundown
from channeld.channel.settings import ChannelSettings
from channeld.channel.state import State
from channeld.playlist.model import Content, Playlist

SHOWN_NEXT = 8
SHOWN_FOR_S = 1.0


class View:
    """Describes one channel's programme."""

    def __init__(self, settings: ChannelSettings, means: Means, rundown: Rundown, restraint: Restraint) -> None:
        self._settings, self._means, self._rundown, self._restraint = settings, means, rundown, restraint
        self._prepared: tuple[int, dict[str, Any]] | None = None
        self._skipped: tuple[Playlist | None, dict[Content, str], list[dict[str, Any]]] = (None, {}, [])

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings."""
        self._settings = settings

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
            **self._programme(is_on_air=state is State.ON_AIR),
            "timeline": {"ticks": ticks, "wraps": ticks >> 33},
        }

    def _programme(self, *, is_on_air: bool) -> dict[str, Any]:
        """What airs, what comes, what is skipped and how much is prepared."""
        clock = self._means.clock
        now_ns, wall_s = clock.monotonic_ns(), clock.wall_s()
        refusals = {**self._means.preparer.refusals(self._settings.id), **self._restraint.refusals()}
        return {
            "now": self._rundown.describe_now(now_ns) if is_on_air else None,
            "next": self._rundown.describe_next(SHOWN_NEXT, now_ns=now_ns, wall_s=wall_s),
            "skipped": self._describe_skipped(refusals),
            "prepared": self._describe_prepared(now_ns, wall_s),
        }

    def _describe_skipped(self, refusals: Mapping[Content, str]) -> list[dict[str, Any]]:
        playlist, known, skipped = self._skipped
        if playlist is not self._rundown.playlist or known != refusals:
            skipped = self._rundown.describe_skipped(refusals)
            self._skipped = self._rundown.playlist, dict(refusals), skipped
        return skipped

    def _describe_prepared(self, now_ns: int, wall_s: float) -> dict[str, Any]:
        if self._prepared is None or now_ns - self._prepared[0] > SHOWN_FOR_S * NS_PER_SECOND:
            stock = self._means.preparer.stock(self._settings.id)
            dry_in_s = self._rundown.dry_in_s(now_ns)
            prepared = {
                "ready_s": round(stock.ready_s, 1),
                "needed_s": round(stock.needed_s, 1),
                "eta_s": round(stock.eta_s, 1) if stock.eta_s is not None else None,
                "dry_at": iso_utc(wall_s + dry_in_s) if dry_in_s is not None else None,
                "fits_cache": stock.fits_cache,
            }
            self._prepared = now_ns, prepared
        return self._prepared[1]
