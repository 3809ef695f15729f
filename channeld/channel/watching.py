"""What viewers get, as the control loop knows it: which outputs are looked at, each one's verdict, and what is done about it.

Rule: the read-back only tells; everything is decided here, on the control loop's thread, but for `on_reading`, which posts.

| what                     | made by  | ended by |
|--------------------------|----------|----------|
| ReadBack (thread, child) | `start`  | `close`  |
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import structlog

from channeld.base.clock import NS_PER_SECOND
from channeld.base.units import TICKS_PER_SECOND
from channeld.base.wire import Message
from channeld.channel.alarms import Alarms
from channeld.channel.hub import MediaHub
from channeld.channel.means import Means
from channeld.channel.registry import Registry
from channeld.channel.settings import PushedTarget, ServedTarget, Target
from channeld.channel.state import State
from channeld.channel.supervisor import Supervisor
from channeld.readback.judge import Condition, Verdict
from channeld.readback.programme import Airing, Programme, read_stillness
from channeld.readback.recovery import COURSES, Recovery, Remedy
from channeld.readback.subject import Reading, Subject, WatchSettings
from channeld.readback.watch import ReadBack

TURN_S = 1.0
WORKER_RESTART_S = 30.0
"""A media worker serves many outputs, which all call for its restart: once in this time at most."""
_HOST_STALLED_S = 3.0
_ALARM = "output"

log = structlog.get_logger()


class _Feeding:
    """Since when what feeds an output has gone on: its push is up, or the host moves on."""

    def __init__(self) -> None:
        self.since_ns: int | None = None
        self._dts = -1
        self._moved_ns = 0

    def note(self, *, is_up: bool, now_ns: int) -> None:
        """A push is up or is not."""
        self.since_ns = (self.since_ns or now_ns) if is_up else None

    def note_progress(self, dts: int, now_ns: int) -> None:
        """The host published up to this tick."""
        if dts != self._dts:
            self._dts, self._moved_ns = dts, now_ns
        self.note(is_up=now_ns - self._moved_ns < _HOST_STALLED_S * NS_PER_SECOND, now_ns=now_ns)


class Watching:
    """Owns the read-back. Control loop's thread, unless a method says otherwise."""

    def __init__(self, registry: Registry, media: MediaHub, means: Means, alarms: Alarms, settings: WatchSettings) -> None:
        self._registry, self._media, self._alarms = registry, media, alarms
        self._loop, self._publish = means.loop, means.publish
        self._settings = settings
        self._programmes: dict[str, Programme] = {}
        self._treated: dict[Subject, tuple[Recovery, _Feeding]] = {}
        self._worker_restarted_ns: int | None = None
        self.readback = ReadBack(settings, self._programmes, ffmpeg=means.ffmpeg, on_reading=self.on_reading)

    def start(self) -> None:
        """Begin to look. Any thread."""
        self.readback.start()
        self._loop.post(self._turn)

    def close(self) -> None:
        """End the thread and its child. Any thread but the loop's."""
        self.readback.close()

    def change(self, settings: WatchSettings) -> None:
        """Take other settings: every output is followed anew."""
        if settings == self._settings:
            return
        self._settings = settings
        self.readback.configure(settings)
        self._treated = {subject: self._begin(subject) for subject in self._treated}
        self._adjust()

    def on_reading(self, reading: Reading) -> None:
        """The read-back looked at an output. Any thread."""
        self._loop.post(lambda: self._take(reading))

    # -- what is looked at --------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._loop.later(TURN_S, self._turn)
        self._adjust()
        now_ns = time.monotonic_ns()
        for subject, (recovery, feeding) in self._treated.items():
            supervisor = self._registry.channels[subject.channel]
            self._note_feeding(subject, supervisor, feeding, now_ns)
            verdict = supervisor.outputs.verdict(subject.output)
            remedy = recovery.consider(verdict, delivers_since_ns=feeding.since_ns, now_ns=now_ns)
            if remedy is not None and verdict is not None:
                self._treat(remedy, subject, supervisor, verdict, now_ns)

    def _adjust(self) -> None:
        """Look at the outputs of channels that are on air, and at no others."""
        wanted = set(self._subjects())
        if wanted == self._treated.keys():
            return
        kept = {subject.name for subject in wanted}
        for channel in self._programmes.keys() - self._registry.channels.keys():
            del self._programmes[channel]
        for gone in self._treated.keys() - wanted:
            if gone.name not in kept and (supervisor := self._registry.channels.get(gone.channel)) is not None:
                supervisor.outputs.readings.pop(gone.output, None)
                self._alarms.clear(_ALARM, gone.name)
        self._treated = {subject: self._treated.get(subject) or self._begin(subject) for subject in wanted}
        self.readback.watch(wanted)

    def _begin(self, subject: Subject) -> tuple[Recovery, _Feeding]:
        return Recovery(COURSES[subject.kind], self._settings.patience_s), _Feeding()

    def _subjects(self) -> list[Subject]:
        if not self._settings.is_enabled:
            return []
        on_air = (each for each in self._registry.channels.values() if each.state in (State.ON_AIR, State.FILLER))
        found = (self._subject(each.settings.id, target) for each in on_air for target in each.settings.targets if target.enabled)
        return [subject for subject in found if subject is not None]

    def _subject(self, channel: str, target: Target) -> Subject | None:
        """How an output is looked at; None where nobody told where its manifest is."""
        if isinstance(target, PushedTarget):
            return Subject(channel, target.name, "rtmp", target.manifest) if target.manifest is not None else None
        origin = self._media.origin()
        if not isinstance(target, ServedTarget) or target.type != "hls" or origin is None:
            return None
        token = f"?token={quote(origin.token, safe='')}" if origin.token is not None else ""
        url = f"{origin.url}/hls/{channel}/index.m3u8{token}"
        return Subject(channel, target.name, "hls", url, float(math.ceil(target.segment_s)), origin.certificate)

    # -- what airs, for silence and stills ----------------------------------------------------------------------

    def host_told(self, message: Message) -> None:
        """One message of a playout host, behind the registry."""
        if message.kind not in ("started", "present"):
            return
        values = message.values
        supervisor = self._registry.channels.get(values["channel"])
        if supervisor is not None:
            programme = self._programmes.get(supervisor.settings.id, Programme())
            self._programmes[supervisor.settings.id] = programme.started(_airing(supervisor, values))

    # -- verdicts -----------------------------------------------------------------------------------------------

    def _take(self, reading: Reading) -> None:
        subject = reading.subject
        supervisor = self._registry.channels.get(subject.channel)
        if subject not in self._treated or supervisor is None:
            return  # withdrawn meanwhile
        outputs = supervisor.outputs
        before = outputs.verdict(subject.output)
        outputs.readings[subject.output] = reading
        now = reading.verdict
        if now is not None and (before is None or before.condition is not now.condition):
            self._tell(subject, now, before)

    def _tell(self, subject: Subject, now: Verdict, before: Verdict | None) -> None:
        was = before.condition.value if before is not None else None
        facts: dict[str, Any] = {"channel": subject.channel, "output": subject.output, "verdict": now.condition.value, "reason": now.reason}
        (log.info if now.condition is Condition.OK else log.warning)("output_judged", before=was, **facts)
        self._publish("output_verdict", before=was, **facts)
        if now.condition is Condition.OK:
            self._alarms.clear(_ALARM, subject.name)
            return
        level = "warning" if now.condition.can_be_watched else "critical"
        message = f"viewers of {subject.name} find it {now.condition.value}: {now.reason}"
        self._alarms.raise_alarm(_ALARM, subject.name, level=level, message=message)

    # -- what is done -------------------------------------------------------------------------------------------

    def _note_feeding(self, subject: Subject, supervisor: Supervisor, feeding: _Feeding, now_ns: int) -> None:
        if subject.kind == "rtmp":
            feeding.note(is_up=supervisor.outputs.is_up(subject.output), now_ns=now_ns)
        else:
            feeding.note_progress(int(supervisor.progress.get("dts", 0)), now_ns)

    def _treat(self, remedy: Remedy, subject: Subject, supervisor: Supervisor, verdict: Verdict, now_ns: int) -> None:
        if remedy is Remedy.RESTART_WORKER:
            if self._worker_restarted_ns is not None and now_ns - self._worker_restarted_ns < WORKER_RESTART_S * NS_PER_SECOND:
                return
            self._worker_restarted_ns = now_ns
        facts: dict[str, Any] = {"channel": subject.channel, "output": subject.output, "remedy": remedy.value, "reason": verdict.reason}
        log.warning("output_treated", verdict=verdict.condition.value, **facts)
        self._publish("output_treated", verdict=verdict.condition.value, **facts)
        remedies: Mapping[Remedy, Callable[[], None]] = {
            Remedy.RESTART_PUSH: lambda: supervisor.outputs.restart(subject.output),
            Remedy.ORDER_AGAIN: lambda: self._media.order_again(subject.channel),
            Remedy.RESTART_WORKER: lambda: self._media.restart_hanging(subject.channel),
        }
        remedies[remedy]()


def _airing(supervisor: Supervisor, values: dict[str, Any]) -> Airing:
    """The filler's and an unknown clip's silences are not known."""
    planned = supervisor.rundown.find(values.get("airing"))
    fps = supervisor.settings.profile.fps
    offset_ticks = int(values.get("from_frame", 0)) * TICKS_PER_SECOND * fps.den // fps.num
    stillness = read_stillness(planned.clip.facts) if planned is not None else None
    return Airing(int(values["dts"]), int(values["due_ns"]), stillness, offset_ticks / TICKS_PER_SECOND)
