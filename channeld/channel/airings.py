"""What the host tells of one channel's airings, made into facts for people: planned and actual start, frames, how each ended.

Rule: an airing is told by its timeline and serial, which outlive this process; what did not get its turn is told with the
reason. Control loop's thread only.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import structlog

from channeld.base.clock import NS_PER_SECOND, iso_utc
from channeld.base.redact import redact_source, redact_text
from channeld.base.units import TICKS_PER_SECOND
from channeld.channel.joins import Joins
from channeld.channel.means import Means
from channeld.channel.rundown import Planned, Rundown
from channeld.channel.settings import ChannelSettings
from channeld.playlist.model import Entry

TOLD_SKIPPED = 50
"""Entries at one boundary, at most."""
NOT_READY = "it was not prepared in time"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _OnAir:
    """The airing whose end was not told yet."""

    serial: int
    entry: str | None
    path: str | None
    started_wall_s: float
    ticks: int | None = None


class Airings:
    """`counts`: how often clips broke off, and how often entries were passed over."""

    def __init__(self, settings: ChannelSettings, means: Means, rundown: Rundown) -> None:
        self._channel, self._fps = settings.id, settings.profile.fps
        self._means = means
        self._rundown = rundown
        self.counts = {"underruns": 0, "passed_over": 0}
        self.joins = Joins()
        self._timeline: str | None = None
        self._on_air: _OnAir | None = None
        self._cut_by: str | None = None

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings, perhaps another rate."""
        self._fps = settings.profile.fps

    def opened(self, timeline: str) -> None:
        """The channel is on air on this timeline; serials of another one mean nothing any more."""
        if timeline != self._timeline:
            self._timeline, self._on_air = timeline, None

    def cut_by(self, order: str) -> None:
        """Somebody ordered what will cut the clip on air."""
        self._cut_by = order

    def started(self, values: dict[str, Any]) -> None:
        """An airing began."""
        self.joins.take(values)
        planned_at_s = self._rundown.due_wall_s()
        started_ns = values["due_ns"]
        clock = self._means.clock
        started_wall_s = clock.wall_s() - (clock.monotonic_ns() - started_ns) / NS_PER_SECOND
        due = self._due()
        late = values["passed_over"]
        passed = self._rundown.started(values["serial"], values["airing"], started_ns=started_ns, started_wall_s=started_wall_s, late=late)
        facts = {"channel": self._channel, "entry": values["entry"], "serial": values["serial"], "at": iso_utc(started_wall_s)}
        named = _named(self._rundown.now.planned)
        log.info("entry_started", title=named["title"], skew_ticks=values["skew"], **facts)
        self._cut_by = None
        self._on_air = _OnAir(values["serial"], values["entry"], named["path"], started_wall_s, values["dts"])
        frames_planned = self._frames_planned(values.get("from_frame", 0))
        planned = {"planned_at": None if planned_at_s is None else iso_utc(planned_at_s), "frames_planned": frames_planned}
        reason = self._why_filler(due) if values["airing"] is None else None
        self._publish("entry_started", **facts, **named, **planned, timeline=self._timeline, ticks=values["dts"], reason=reason)
        if values["airing"] is None and due is not None:
            self._tell_no_turn("entry_substituted", due, self._why_not(due))
        for each in passed:
            self.counts["passed_over"] += 1
            self._tell_no_turn("entry_passed_over", each, self._why_not(each))
        for each in self._rundown.queue.stepped_over(TOLD_SKIPPED):
            if each.fault is not None or self._rundown.is_refused(each):
                self._tell_no_turn("entry_skipped", each, redact_text(each.fault or self._why_not(each)))

    def continued(self, values: dict[str, Any]) -> None:
        """An airing that another control saw begin is still on air."""
        named = _named(self._rundown.now.planned)
        self._on_air = _OnAir(values["serial"], values["entry"], named["path"], self._rundown.now.started_wall_s)
        facts = {"channel": self._channel, "entry": values["entry"], "serial": values["serial"]}
        self._publish("entry_continued", **facts, **named, at=iso_utc(self._on_air.started_wall_s), timeline=self._timeline)

    def ended(self, values: dict[str, Any]) -> Planned | None:
        """An airing ended; gives what it was, where that is known."""
        planned = self._rundown.find(values["airing"])
        facts = {name: values[name] for name in ("entry", "reason", "error")}
        facts["frames"] = self._frames_between(values["dts"], values["end_dts"])
        if values["reason"] in ("damaged", "underrun"):
            self.counts["underruns"] += 1
            log.warning("entry_broken_off", channel=self._channel, **facts)
        cause = None
        if values["reason"] == "cut":
            cause = self._cut_by or ("an entry was ready" if values["airing"] is None else None)
        now = self._on_air
        path = now.path if now is not None and now.serial == values["serial"] else _named(planned)["path"]
        self._end(values["serial"], path=path, cause=cause, **facts)
        return planned

    def closed(self, cause: str, progress: dict[str, Any]) -> None:
        """The channel went off the air in the middle of an airing. `progress`: the host's newest, for the frames that were sent."""
        now = self._on_air
        if now is not None:
            is_known = progress.get("serial") == now.serial and now.ticks is not None
            frames = self._frames_between(now.ticks or 0, progress["dts"]) if is_known else None
            self._end(now.serial, entry=now.entry, path=now.path, frames=frames, reason="cut", error=None, cause=cause)

    def _end(self, serial: int, *, frames: int | None, **facts: Any) -> None:
        now, ended_wall_s = self._on_air, self._means.clock.wall_s()
        if now is not None and now.serial == serial:
            self._on_air = None
            ended_wall_s = ended_wall_s if frames is None else now.started_wall_s + self._fps.seconds(frames)
        facts |= {"serial": serial, "frames": frames, "ended_at": iso_utc(ended_wall_s)}
        self._publish("entry_ended", channel=self._channel, timeline=self._timeline, **facts)

    def _frames_planned(self, from_frame: int) -> int | None:
        planned = self._rundown.now.planned
        if planned is None:
            return None
        return (self._fps.frames_in(planned.length_s) if planned.clip.growing else planned.clip.frames) - from_frame

    def _frames_between(self, begin: int, end: int) -> int:
        """By the timeline: the filler goes round, and a clip may begin in its middle."""
        return self._fps.frames_in(Fraction(end - begin, TICKS_PER_SECOND))

    def _due(self) -> Entry | None:
        """Whose turn it was."""
        return next(iter(self._rundown.queue.upcoming(1, self._rundown.is_refused)), None)

    def _why_filler(self, due: Entry | None) -> str:
        if due is not None:
            return f"{redact_source(due.locator)}: {self._why_not(due)}"
        if self._rundown.playlist is None:
            return "there is no valid list yet"
        return "no entry of the list can air" if self._rundown.playlist.entries else "the list is empty"

    def _why_not(self, entry: Entry) -> str:
        return redact_text(self._rundown.why_pending(entry) or NOT_READY)

    def _tell_no_turn(self, kind: str, entry: Entry, reason: str) -> None:
        facts = {"channel": self._channel, "entry": entry.id, "path": redact_source(entry.locator)}
        if kind != "entry_skipped":  # that is known of the list, and comes round with it
            log.warning(kind, reason=reason, **facts)
        self._publish(kind, title=redact_text(entry.title), reason=reason, **facts)

    def _publish(self, kind: str, **facts: Any) -> None:
        self._means.publish(kind, **facts)


def _named(planned: Planned | None) -> dict[str, str | None]:
    if planned is None:
        return {"title": None, "path": None}
    return {"title": redact_text(planned.entry.title), "path": redact_source(planned.entry.locator)}
