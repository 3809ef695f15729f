"""What is wrong just now, as facts for the rules of alerts.

Rule: this only looks; each trouble is what another part has found already (the state of a push, a verdict, an alarm, a full disk).
One thread that is not the control loop's; what belongs to that is read on it, in one call.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil

from channeld.base.clock import NS_PER_SECOND
from channeld.channel.alarms import Alarms
from channeld.channel.disk import Room
from channeld.channel.loop import ControlLoop
from channeld.channel.registry import Registry
from channeld.channel.state import State
from channeld.channel.supervisor import Supervisor
from channeld.notices.alert_book import Fact
from channeld.notices.settings import Trouble
from channeld.outputs.push_health import PushCondition
from channeld.readback.judge import Condition

BEHIND_S = 60.0
"""A clip that is due so soon and not prepared is behind the air."""
PREPARE_LOOK_S = 10.0
_ON_AIR = (State.ON_AIR, State.FILLER)


class Troubles:
    """Looks at a daemon. `rooms`: the newest look at each folder's disk; `config_error`: why the newest configuration was refused."""

    def __init__(
        self,
        loop: ControlLoop,
        registry: Registry,
        alarms: Alarms,
        *,
        rooms: Mapping[str, Room],
        config_error: Callable[[], dict[str, Any] | None],
    ) -> None:
        self._loop, self._registry, self._alarms = loop, registry, alarms
        self._rooms, self._config_error = rooms, config_error
        self._behind: list[Fact] = []
        self._behind_ns: int | None = None
        psutil.cpu_percent()  # the first look has nothing to compare with

    def look(self, wanted: frozenset[Trouble]) -> list[Fact]:
        """All that is so of these. Raises TimeoutError when the control loop does not answer."""
        facts = self._loop.call(lambda: list(self._of_channels(wanted)))
        for trouble, look in (
            (Trouble.DISK_FULL, self._disks),
            (Trouble.CPU, _cpu),
            (Trouble.MEMORY, _memory),
            (Trouble.CONFIG_REFUSED, self._config),
            (Trouble.ALARM, self._standing),
        ):
            if trouble in wanted:
                facts += look()
        return facts

    # -- channels, on the control loop --------------------------------------------------------------------------

    def _of_channels(self, wanted: frozenset[Trouble]) -> Iterator[Fact]:
        for supervisor in self._registry.channels.values():
            channel, state = supervisor.settings.id, supervisor.state
            if Trouble.CHANNEL_DOWN in wanted and state in (State.FAILED, State.STARTING):
                yield Fact(Trouble.CHANNEL_DOWN, channel, supervisor.last_error or f"it is {state.value}", channel)
            if Trouble.CHANNEL_FILLER in wanted and state is State.FILLER:
                yield Fact(Trouble.CHANNEL_FILLER, channel, "the filler airs", channel)
            if state in _ON_AIR:
                yield from _outputs(supervisor, wanted)
                if Trouble.SOURCE_LOST in wanted:
                    yield from _sources(supervisor)
        if Trouble.PREPARE_BEHIND in wanted:
            yield from self._clips_behind()

    def _clips_behind(self) -> list[Fact]:
        """Looked at less often: it goes through every channel's coming clips."""
        now_ns = time.monotonic_ns()
        if self._behind_ns is None or now_ns - self._behind_ns >= PREPARE_LOOK_S * NS_PER_SECOND:
            self._behind_ns = now_ns
            found = (_behind(supervisor, now_ns) for supervisor in self._registry.channels.values() if supervisor.state in _ON_AIR)
            self._behind = [fact for fact in found if fact is not None]
        return self._behind

    # -- the daemon ---------------------------------------------------------------------------------------------

    def _disks(self) -> list[Fact]:
        """Folders of one file system were looked at together, and are one subject."""
        shared: dict[int, tuple[Room, list[str]]] = {}
        for name, room in dict(self._rooms).items():
            shared.setdefault(id(room), (room, []))[1].append(name)
        facts = []
        for room, names in shared.values():
            used = 100.0 * (1 - room.free_bytes / room.total_bytes) if room.total_bytes else 100.0
            text = f"{used:.1f} % in use, {room.free_bytes >> 20} MiB are free"
            facts.append(Fact(Trouble.DISK_FULL, ", ".join(names), text, percent=used))
        return facts

    def _config(self) -> list[Fact]:
        error = self._config_error()
        if error is None:
            return []
        place = ":".join(str(error[part]) for part in ("file", "line") if error.get(part) is not None)
        return [Fact(Trouble.CONFIG_REFUSED, "configuration", f"{place}: {error['message']}")]

    def _standing(self) -> list[Fact]:
        return [Fact(Trouble.ALARM, f"{each['alarm']} {each['subject']}", str(each["message"])) for each in self._alarms.standing()]


def _sources(supervisor: Supervisor) -> Iterator[Fact]:
    """Live sources that are lost, those of relays among them: each is tried again for ever."""
    channel = supervisor.settings.id
    for source in supervisor.director.describe()["sources"]:
        if source["state"] == "lost":
            text = ": ".join(str(source[key]) for key in ("reason", "detail") if source[key])
            yield Fact(Trouble.SOURCE_LOST, f"{channel}/{source['name']}", text, channel)


def _outputs(supervisor: Supervisor, wanted: frozenset[Trouble]) -> Iterator[Fact]:
    channel = supervisor.settings.id
    if Trouble.OUTPUT_DOWN in wanted:
        for state in supervisor.outputs.pushes():
            if state.condition is not PushCondition.UP:
                text = state.last_error or state.reason or f"it is {state.condition.value}"
                yield Fact(Trouble.OUTPUT_DOWN, f"{channel}/{state.name}", text, channel)
    for output, reading in supervisor.outputs.readings.items():
        verdict = reading.verdict
        if verdict is None or verdict.condition is Condition.OK:
            continue
        text = f"viewers find it {verdict.condition.value}: {verdict.reason}"
        if Trouble.OUTPUT_FAULTY in wanted:
            yield Fact(Trouble.OUTPUT_FAULTY, f"{channel}/{output}", text, channel)
        if Trouble.MANIFEST_STALE in wanted and not verdict.condition.can_be_watched:
            yield Fact(Trouble.MANIFEST_STALE, f"{channel}/{output}", text, channel)


def _behind(supervisor: Supervisor, now_ns: int) -> Fact | None:
    dry_in_s = supervisor.rundown.dry_in_s(now_ns)
    if dry_in_s is None or dry_in_s > BEHIND_S:
        return None
    channel = supervisor.settings.id
    return Fact(Trouble.PREPARE_BEHIND, channel, f"a clip that is not prepared is due in {max(0.0, dry_in_s):.0f} s", channel)


def _cpu() -> list[Fact]:
    used = psutil.cpu_percent()
    return [Fact(Trouble.CPU, "machine", f"the processors are {used:.0f} % busy", percent=used)]


def _memory() -> list[Fact]:
    memory = psutil.virtual_memory()
    text = f"{memory.percent:.0f} % in use, {memory.available >> 20} MiB are available"
    return [Fact(Trouble.MEMORY, "machine", text, percent=memory.percent)]
