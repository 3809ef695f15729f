"""What keeps a daemon in order while it runs: its configuration, its disks, its clocks, its programme guide.

Rule: each is a thread of its own, started here after what it looks after and closed before it; none is needed for the air.
"""

from dataclasses import dataclass

from channeld.channel.alarms import Alarms
from channeld.channel.clips import Clips
from channeld.channel.clock_watch import ClockWatch
from channeld.channel.disk import DiskWatch, Level, Room
from channeld.channel.events import EventLog
from channeld.channel.guide_desk import GuideDesk
from channeld.channel.host_hub import HostHub
from channeld.channel.hub import MediaHub
from channeld.channel.loop import ControlLoop
from channeld.channel.override import OverrideBook
from channeld.channel.pipe_desk import PipeDesk
from channeld.channel.registry import Registry
from channeld.channel.source_hub import SourceHub
from channeld.channel.watching import Watching
from channeld.config_values import Config
from channeld.daemon_attach import LocalReaders
from channeld.daemon_notices import Notices
from channeld.daemon_relays import RelayChannels
from channeld.daemon_reload import Reloader
from channeld.daemon_settings import disk_folders, disk_marks
from channeld.daemon_take import Taker, tell_cache
from channeld.daemon_watch import ConfigWatch
from channeld.store.store import Store


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a daemon that stand once its channels are on their way."""

    loop: ControlLoop
    hosts: HostHub
    media: MediaHub
    clips: Clips
    registry: Registry
    watching: Watching
    alarms: Alarms
    events: EventLog
    sources: SourceHub
    overrides: OverrideBook
    relays: RelayChannels
    store: Store
    pipes: PipeDesk | None = None


class House:
    """Owns the threads `disk:watch`, `clock:watch`, `guide` and `reload:watch`, and those of `notices`."""

    def __init__(self, config: Config, running: Running, token: str, local: LocalReaders) -> None:
        def mind(name: str, level: Level, room: Room | None) -> None:
            if name == "cache":
                tell_cache(running.clips, disks.marks, level, room)
            if room is not None:
                rooms[name] = room

        rooms: dict[str, Room] = {}
        disks = DiskWatch(disk_folders(config), disk_marks(config), running.alarms, mind)
        of_channels = running.loop, running.registry, running.alarms
        self.notices = Notices(config, running.events, *of_channels, rooms=rooms, config_error=lambda: self.reloader.error)
        parts = running.loop, running.hosts, running.media, running.clips, running.watching, running.sources
        taker = Taker(*parts, relays=running.relays, disks=disks, notices=self.notices, local=local, pipes=running.pipes, token=token)
        publish = running.events.publish
        self.reloader = Reloader(config, channels=running.relays, taker=taker, publish=publish)
        self.watch = ConfigWatch(self.reloader)
        guide = GuideDesk(config.folders.hls, running.loop, running.registry, running.events)
        self._threads = (disks, ClockWatch(publish), guide, self.notices, self.watch)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End them, in reverse."""
        for thread in reversed(self._threads):
            thread.close()
