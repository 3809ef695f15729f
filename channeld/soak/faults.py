"""What goes wrong in a soak, how often, and for how long.

Rule: a table; each fault comes to one channel at exponentially distributed times, and is over by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from channeld.soak.channel import SoakChannel
from channeld.soak.stage import Stage
from channeld.soak.stock import SPOILINGS


@dataclass(frozen=True, slots=True)
class Scene:
    """One fault's stage: who is hit, who else is there, and chance."""

    stage: Stage
    channel: SoakChannel
    channels: tuple[SoakChannel, ...]
    random: Random

    def later(self, low_s: float, high_s: float, deed: Callable[[], None]) -> None:
        """Have something done after a random time."""
        self.stage.agenda.after(self.random.uniform(low_s, high_s), deed)


@dataclass(frozen=True, slots=True)
class Fault:
    """`every_s` of a channel's stream on average. A fault of the machine hits all channels, however it is told."""

    name: str
    every_s: float
    strike: Callable[[Scene], None]


def _spoil_clip(scene: Scene) -> None:
    name = scene.random.choice(list(scene.stage.stock.clips))
    scene.stage.stock.spoil(name, scene.random.choice(SPOILINGS), scene.random)


def _stall_disk(scene: Scene) -> None:
    scene.stage.readers.stall()
    scene.later(0.5, 25.0, scene.stage.readers.recover)


def _freeze_host(scene: Scene) -> None:
    # Nothing is released meanwhile, nobody reads: time passes all the same.
    scene.stage.clock.advance_ns(scene.random.randrange(200_000_000, 8_000_000_000))


def _kill_host(scene: Scene) -> None:
    if any(channel.is_without_host for channel in scene.channels):
        return
    for channel in scene.channels:
        channel.lose_host()
    scene.stage.new_host()

    def adopt() -> None:
        for channel in scene.channels:
            channel.adopt()

    scene.later(0.05, 6.0, adopt)


def _kill_control(scene: Scene) -> None:
    if scene.channel.desk.is_down:
        return
    scene.channel.desk.die()
    scene.later(0.5, 20.0, scene.channel.desk.rise)


def _stop_channel(scene: Scene) -> None:
    scene.channel.stop()
    scene.later(0.0, 60.0, scene.channel.start)


def _refuse_disk(scene: Scene) -> None:
    scene.channel.packaging.refuse(True)
    scene.later(1.0, 60.0, lambda: scene.channel.packaging.refuse(False))


def _freeze_packager(scene: Scene) -> None:
    scene.channel.packaging.freeze(True)
    scene.later(1.0, 90.0, lambda: scene.channel.packaging.freeze(False))


def _hide_folder(scene: Scene) -> None:
    scene.channel.packaging.hide_folder()
    scene.later(1.0, 40.0, scene.channel.packaging.bring_back)


def _jump_wall_clock(scene: Scene) -> None:
    scene.stage.clock.jump_wall(scene.random.choice((-86_400.0, 3600.0, -3600.0, 400 * 86_400.0, -400 * 86_400.0)))


EDITS = "list edited"
RUBBISH = "list replaced by rubbish"
FAULTS = (
    Fault(EDITS, 90.0, lambda scene: scene.channel.desk.edit()),
    Fault(RUBBISH, 600.0, lambda scene: scene.channel.desk.edit(is_rubbish=True)),
    Fault("entry inserted", 400.0, lambda scene: scene.channel.desk.play_next()),
    Fault("clip skipped", 300.0, lambda scene: scene.channel.skip()),
    Fault("clip spoiled on disk", 400.0, _spoil_clip),
    Fault("disk stalled", 1500.0, _stall_disk),
    Fault("host frozen", 3000.0, _freeze_host),
    Fault("host killed, ring adopted", 1200.0, _kill_host),
    Fault("control killed, queue restored", 900.0, _kill_control),
    Fault("channel stopped and started", 5400.0, _stop_channel),
    Fault("reader lapped", 300.0, lambda scene: scene.channel.wake_sleeper()),
    Fault("packager killed", 1200.0, lambda scene: scene.channel.restart_packager()),
    Fault("packager frozen", 2400.0, _freeze_packager),
    Fault("disk full under HLS", 1200.0, _refuse_disk),
    Fault("HLS folder deleted", 3600.0, lambda scene: scene.channel.packaging.delete_folder()),
    Fault("HLS folder replaced by a file", 3600.0, _hide_folder),
    Fault("wall clock jumped", 7200.0, _jump_wall_clock),
)


def haunt(scene: Scene, fault: Fault) -> None:
    """Have a fault strike a channel again and again."""

    def strike() -> None:
        scene.stage.tally.faults[fault.name] += 1
        fault.strike(scene)
        haunt(scene, fault)

    scene.stage.agenda.after(scene.random.expovariate(1 / fault.every_s), strike)
