"""Keeps a channel's host and the preparer told: what airs at the coming boundaries, what is to be prepared, what must stay.

Rule: many changes within a moment become one plan, and a plan that says nothing new is not sent. Control loop's thread only.
"""

import time
from collections.abc import Callable
from typing import Any

from channeld.base.units import FrameRate
from channeld.channel.director import Director
from channeld.channel.insert import is_insert
from channeld.channel.means import Means
from channeld.channel.preparation import Prepared
from channeld.channel.rundown import Planned, Rundown
from channeld.channel.settings import ChannelSettings
from channeld.media.clip import PreparedClip
from channeld.playlist.model import Entry
from channeld.playlist.queue import Queue

PLAN_SOON_S = 0.05
AGAIN_S = 1.0
WANTS_SOON_S = 1.0
PATIENCE_S = 30.0
PATIENT_AIRINGS = 4
"""A host that goes on keeps the plan it has while nobody has looked which clips are prepared: so long, and for so many airings.

Its plan has PLANNED_AIRINGS, less those that began while no control was there. A plan of what is known so far would take their
turn from clips that are in its memory already.
"""

Judge = Callable[[Entry, Prepared], Prepared]
"""How far an entry is, as far as it may air."""


class Planner:
    """The rundown of one channel, and who is told of it."""

    def __init__(self, settings: ChannelSettings, means: Means, judge: Judge) -> None:
        self._settings = settings
        self._means = means
        self.director = Director(settings, means, on_change=self.plan_soon, on_order=self._ordered, at_once=self.plan)
        self.rundown = Rundown(
            Queue(settings.order, settings.shuffle_seed),
            lambda entry: judge(entry, self._look_up(entry)),
        )
        self.filler: PreparedClip | None = None
        self._is_wanting = False
        self._has_air = False
        self._place: tuple[str, int] | None = None
        self._patient_until = 0.0, 0
        self._sent: tuple[int, list[dict[str, Any]], bool] | None = None
        self._due: set[Callable[[], None]] = set()

    def _look_up(self, entry: Entry) -> Prepared:
        if entry.is_live:
            return self.director.entries.look_up(entry)
        return self._means.preparer.look_up(self._settings.id, self._settings.profile, entry)

    def change(self, settings: ChannelSettings) -> None:
        """The channel has other settings; a new order counts from the next boundary on."""
        before, self._settings = self._settings, settings
        self.director.change(settings)
        if (before.order, before.shuffle_seed) != (settings.order, settings.shuffle_seed):
            self.rundown.queue.reorder(settings.order, settings.shuffle_seed)
            self.tell_all()

    def begin(self) -> None:
        """The channel is on its way: its clips and sources are wanted."""
        self._is_wanting = True
        self.director.begin()
        self.tell_wants()

    def open(self, place: tuple[str, int] | None) -> list[dict[str, Any]]:
        """The host gets an air; gives the plan to begin with. `place`: an entry that begins at a frame of its own, when its turn comes."""
        self._has_air, self._place = True, place
        sources, _ = self._sources()
        self._sent = self.rundown.now.serial, sources, False
        return sources

    def began(self, entry_id: str | None) -> None:
        """An airing began: what was to begin in the middle did, or lost its turn."""
        if entry_id is not None:
            self._place = None
        self.took_up()

    def took_up(self) -> None:
        """The rundown knows what airs now."""
        planned = self.rundown.now.planned
        self.director.started(planned.entry if planned else None, planned.clip if planned else None)

    def pause(self) -> None:
        """The host is away: nothing is told until it goes on."""
        self._has_air = False

    def again(self) -> tuple[int, list[dict[str, Any]]]:
        """The plan for a host that goes on for another: behind which airing, and what."""
        return self.rundown.now.serial, self._sources()[0] if self.rundown.playlist is not None else []

    def resume(self) -> None:
        """The host goes on with what aired, and has no plan; or it has one that we do not know."""
        self._has_air, self._sent = True, None
        self._patient_until = time.monotonic() + PATIENCE_S, self.rundown.now.serial + PATIENT_AIRINGS
        self.tell_wants_soon()
        self.plan()

    def close(self) -> None:
        """There is no air any more; the clips stay wanted."""
        self._has_air, self._sent = False, None
        self.rundown.stopped()

    def end(self) -> None:
        """Nothing is wanted any more."""
        self.close()
        self._is_wanting = False
        self.director.end()
        self._means.preparer.want(self._settings.id, self._settings.profile, [])
        self._means.preparer.hold(self._settings.id, [])

    def tell_all(self) -> None:
        """Tell the preparer and the host at once; a plan is made of what is wanted."""
        self.tell_wants()
        self.plan()

    def _ordered(self) -> None:
        self.tell_wants()
        self.plan_soon()

    def clips_changed(self) -> None:
        """The channel's clips stand otherwise."""
        self.director.clips_changed()
        self.plan_soon()

    def plan_soon(self) -> None:
        """Tell the host, once for many changes."""
        self._once(PLAN_SOON_S, self.plan)

    def plan_again(self) -> None:
        """A planned clip failed, and the host has it no more: also the same plan is worth another try, in a while."""
        self.plan_soon()
        self._once(AGAIN_S, self._plan_anew)

    def _plan_anew(self) -> None:
        self._sent = None
        self.plan()

    def tell_wants_soon(self) -> None:
        """Tell the preparer, once for many clips that begin within a second."""
        self._once(WANTS_SOON_S, self.tell_wants)

    def _once(self, delay_s: float, tell: Callable[[], None]) -> None:
        if tell in self._due:
            return
        self._due.add(tell)

        def run() -> None:
            self._due.discard(tell)
            tell()

        self._means.loop.later(delay_s, run)

    def skip(self) -> bool:
        """Have the host leave what airs, for what is next by all that was said so far; False when it is not there."""
        self.plan()
        return self._means.host.send("skip", channel=self._settings.id)

    def plan(self) -> None:
        """Tell the host what airs at the coming boundaries."""
        if not self._has_air:
            return
        until_s, until_serial = self._patient_until
        is_patient = time.monotonic() < until_s and self.rundown.now.serial < until_serial
        if is_patient and not self.rundown.is_looked_up():
            self.plan_soon()  # after a restart: what is prepared is not known yet, and the host may have a good plan
            return
        plan = self.rundown.now.serial, *self._sources()
        if plan == self._sent:
            return
        self._sent = plan
        after, sources, switches = plan
        self._means.host.send("plan", channel=self._settings.id, after=after, sources=sources, switches=switches)

    def _sources(self) -> tuple[list[dict[str, Any]], bool]:
        """What airs next, and whether it does at once: what the director says, else the list."""
        now = self.rundown.now.planned
        coming = self.director.coming(now.entry if now else None)
        if coming is None:
            planned = self.rundown.plan()
            # What aired in the list's place gives way to it.
            switches = now is not None and is_insert(now.entry.id) and bool(planned) and not self.director.lets_finish(now.entry)
        else:
            planned, switches = self.rundown.promise(coming.inserts), coming.switches
            if coming.falls_back:
                planned += self.rundown.plan()
        kept = [item.clip for item in ([now] if now else []) + planned if not item.is_live]
        clips = [*([self.filler] if self.filler else []), *kept]
        self._means.preparer.hold(self._settings.id, clips)
        sources: list[dict[str, Any]] = [_source(item, self._settings.profile.fps) for item in planned]
        if self._place is not None and sources and sources[0]["entry"] == self._place[0]:
            sources[0]["from_frame"] = self._place[1]
        return sources, switches

    def tell_wants(self) -> None:
        """Tell the preparer what will air, and when."""
        if self._is_wanting:
            wants = self.rundown.wants(self._means.clock.monotonic_ns())
            self.director.entries.expect(wants)
            self._means.preparer.want(self._settings.id, self._settings.profile, [*self.director.wants(), *wants])

    def look_again(self) -> None:
        """Have the files that air soon looked at again."""
        if self._is_wanting:
            self._means.preparer.look_again(self._settings.id)


def _source(item: Planned, fps: FrameRate) -> dict[str, Any]:
    # A growing clip is named as it will be when it is whole: the look-ahead tries both names.
    ts, idx = (str(path).removesuffix(".part") for path in (item.clip.ts_path, item.clip.idx_path))
    source = {"airing": item.airing, "entry": item.entry.id, "ts": ts, "idx": idx, "tag": item.tag}
    if item.behind_s is None:
        return source
    airs = {} if item.is_endless else {"airs_frames": fps.frames_in(item.length_s)}
    return source | {"behind_s": item.behind_s} | airs
