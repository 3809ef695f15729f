"""The daemon: the only place where parts are wired. Starts in order, stops in reverse.

Rule: signal handlers only set flags; every part is closed by the ExitStack it was entered into.

order | part | why there
--- | --- | ---
1 | locks, admin address | a second daemon of this configuration must touch nothing; an address in use is told before anything runs
2 | store | history goes on where it ended; a newer channeld's is not touched
3 | holder | parent of all children; last to go, or left
4 | control loop, clips | what supervisors stand on
5 | playout hosts, media workers | what channels send to
6 | registry | channels go on air
7 | attach sockets, admin listener | programs may read; people may ask and order
"""

import contextlib
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from channeld import __version__
from channeld.access.accounts import Accounts
from channeld.api.admin_app import build_app
from channeld.api.server import AdminServer, take_address
from channeld.api.token import ensure_token
from channeld.base.clock import SystemClock
from channeld.base.descriptors import widen_descriptors
from channeld.base.edition import edition
from channeld.base.errors import ChannelError
from channeld.channel.air_desk import RING_PREFIX
from channeld.channel.alarms import Alarms, store_news
from channeld.channel.catalogue import Keep
from channeld.channel.clips import Clips
from channeld.channel.events import EventLog
from channeld.channel.host_hub import HostHub
from channeld.channel.hub import MediaHub
from channeld.channel.loop import ControlLoop, LoopBusy
from channeld.channel.means import Means, Publish
from channeld.channel.media_alarms import tell_certificate
from channeld.channel.override import OverrideBook
from channeld.channel.recent import Recent
from channeld.channel.registry import Registry
from channeld.channel.source_hub import SourceHub
from channeld.channel.standstill import SERVING_SILENT_S, StandstillWatch
from channeld.channel.switchboard import Switchboard
from channeld.channel.watching import Watching
from channeld.config import load
from channeld.config_values import Config
from channeld.control import DaemonControl
from channeld.daemon_attach import LocalReaders
from channeld.daemon_desks import open_desks
from channeld.daemon_figures import Figures
from channeld.daemon_house import House, Running
from channeld.daemon_leftovers import orphaned_files, remove_leftovers
from channeld.daemon_locks import only_one
from channeld.daemon_losses import HolderLosses, closed_anyway
from channeld.daemon_notify import ServiceManager
from channeld.daemon_pipes import make_pipes, start_pipes
from channeld.daemon_relays import RelayChannels, relay_rules
from channeld.daemon_settings import (
    channel_settings,
    fetch_rules,
    host_arguments,
    media_listener,
    media_url,
    media_url_for_browsers,
    pushes_of,
    source_limit,
    tolerance,
    watch_settings,
)
from channeld.daemon_watch import ConfigWatch
from channeld.media.cache import ClipCache
from channeld.media.tools import Tools, find_tools
from channeld.outputs.push_orphans import end_orphans
from channeld.playout.host import PARTS as HOST_PARTS
from channeld.process.hold_client import HolderClient, start_holder
from channeld.relay.machine import Machine
from channeld.store.store import Retention, Store
from channeld.telemetry.log import configure

OFF_AIR_S = 3.5
START_S = 15.0
LEAVE_S = 15.0
SOURCE_PARTS = ("base", "media", "process", "sources", "telemetry", "ts")
"""The code that takes a live source in."""
MEDIA_PARTS = ("access", "api", "base", "bus", "outputs", "telemetry", "ts")
"""The code that a media worker runs."""
LINGER_S = 60.0
"""How long the holder of a `channeld run` that was killed keeps everything on air for its successor."""
WATCH_S = 1.0
ORPHAN_S = 60.0
"""How long viewers may still ask for HLS of a channel that left the configuration while the daemon was down."""

log = structlog.get_logger()


def run(config_path: Path) -> int:
    """Run the daemon until SIGTERM or SIGINT, or until another takes its place. Raises ChannelError when it cannot start."""
    config = load(config_path)
    configure(config.log.level.value, config.log.format.value, file=config.log.file)
    widen_descriptors()  # each reader of the events holds one
    faulthandler.enable()  # the watchdog's SIGABRT has every thread tell where it stands
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what is being started reads the configuration anyway
    will, losses = Will(), HolderLosses()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: will.stop())
    with closed_anyway(lambda: will.restarts), contextlib.ExitStack() as parts:
        daemon = _start(config, will, parts)
        signal.signal(signal.SIGHUP, lambda number, frame: daemon.watch.ask())
        parts.callback(signal.signal, signal.SIGHUP, signal.SIG_IGN)
        manager = ServiceManager()
        manager.ready()
        gc.freeze()  # 130,000 objects that stay: each full collection would hold every thread up for 100 ms to look at them
        log.info("daemon_started", version=__version__, channels=len(config.channels), admin=daemon.admin_url, media=daemon.media_url)
        while not will.stopping.wait(WATCH_S):
            if daemon.control.is_turning():
                manager.alive()
        will.leaves = will.leaves or not daemon.holder.lingers
        if will.restarts:
            manager.handing_over()
        else:
            manager.stopping()
        log.info("daemon_stopping", channels="left on air" if will.leaves else "taken off the air")
    log.info("daemon_stopped")
    if will.restarts and not will.off.wait(_patience_s(losses) if will.has_lost_holder else 0.0):
        os.execv(sys.executable, [sys.executable, "-m", "channeld", *sys.argv[1:]])
    return 0


def _patience_s(losses: HolderLosses) -> float:
    """How long to wait before all is begun anew; told, as nothing is on air meanwhile."""
    in_a_row, wait_s = losses.count()
    log.error("holder_lost", in_a_row=in_a_row, wait_s=wait_s, consequence="all that it held is dead: this control begins anew")
    return wait_s


class Will:
    """How the daemon is to end: whether what the holder holds is left, and whether another takes our place. Any thread.

    `off`: somebody ordered the end, perhaps when a successor was to come already.
    """

    def __init__(self) -> None:
        self.stopping, self.off = threading.Event(), threading.Event()
        self.leaves = self.restarts = self.has_lost_holder = False

    def stop(self) -> None:
        """End: everything, or, where a service holds the children, only ourselves."""
        self.off.set()
        self.stopping.set()

    def lose_holder(self) -> None:
        """Begin anew: what it held is dead."""
        self.has_lost_holder = True
        self.restart()

    def restart(self) -> None:
        """Go over to a new control, of the code that is on disk now; the air goes on. Too late once we end."""
        if self.stopping.is_set():
            return
        self.leaves = self.restarts = True
        self.stopping.set()


class _Daemon:
    """What `run` needs of the running parts."""

    def __init__(self, control: DaemonControl, holder: HolderClient, watch: ConfigWatch, admin_url: str, media_url: str) -> None:
        self.control = control
        self.holder = holder
        self.watch = watch
        self.admin_url = admin_url
        self.media_url = media_url


def _start(config: Config, will: Will, parts: contextlib.ExitStack) -> _Daemon:
    _own_folders(config, parts)
    listener = parts.enter_context(contextlib.closing(take_address(config.admin.listen)))
    token = ensure_token(config.folders.state)
    tools = find_tools()
    store, events, alarms = _remember(config, parts)
    relays = RelayChannels(store.relays, relay_rules(config), Machine(tools.ffmpeg))
    channels = relays.start(channel_settings(config, spec) for spec in config.channels.values())
    holder = _hold(config, relays.ids, will, parts)
    loop = ControlLoop()
    loop.start()
    parts.callback(loop.close)
    registry: Registry  # the hubs' callbacks run on the loop, after it is there
    clips = _clips(config, loop, tools, lambda channel: registry.clips_changed(channel), store.save_clip, events.publish)
    switchboard = Switchboard()
    hosts = HostHub(
        config.hosts, loop=loop, holder=holder, arguments=host_arguments(config), events=switchboard, version=edition(HOST_PARTS)
    )
    level, version = config.log.level.value, edition(MEDIA_PARTS)
    listeners = media_listener(config, token)
    media = MediaHub(listeners, loop=loop, holder=holder, hosts=hosts, level=level, version=version, alarms=alarms, numbers=store)
    sources = _sources(config, loop, holder)
    overrides = OverrideBook(config.folders.state / "overrides.json")
    pipes = make_pipes(config, loop, holder, hosts, alarms, events.publish)
    means = Means(
        loop=loop,
        host=hosts,
        media=media,
        holder=holder,
        preparer=clips,
        positions=store,
        runtime_dir=config.folders.runtime,
        lists_dir=config.folders.state / "playlists",
        ffmpeg=tools.ffmpeg,
        clock=SystemClock(),
        publish=events.publish,
        sources=sources,
        overrides=overrides,
        pipes=pipes,
    )
    registry = Registry(channels, means)
    relays.connect(registry)
    watching = Watching(registry, media, means, alarms, watch_settings(config))
    pipes.follow(registry.present)
    switchboard.connect(hosts, media, registry, watching.host_told, media.audience.host_told, pipes.host_told)
    sources.told, media.watched = registry.source_told, registry.watched
    clips.start()
    parts.callback(clips.close)
    _start_children(loop, (hosts, media, sources), will, parts)
    loop.call(lambda: _clean_orphans(config, relays.ids, media))
    start_pipes(pipes, parts, leaves=lambda: will.leaves)
    registry.start()
    parts.callback(lambda: _leave_channels(loop, registry) if will.leaves else _end_channels(loop, registry))
    watching.start()
    parts.callback(watching.close)
    running = Running(loop, hosts, media, clips, registry, watching, alarms, events, sources, overrides, relays, store, pipes)
    return _open_to_people(config, parts, running, token, holder, will, listener)


def _start_children(loop: ControlLoop, hubs: tuple[HostHub, MediaHub, SourceHub], will: Will, parts: contextlib.ExitStack) -> None:
    """Hosts, media workers, source processes: adopted or started, and left or ended with us."""
    workers = StandstillWatch(loop, lambda: () if will.stopping.is_set() else tuple(hubs[1].links.values()), SERVING_SILENT_S)
    loop.call(workers.start)
    for hub in hubs:
        loop.call(hub.start, START_S)
        parts.callback(lambda hub=hub: hub.leave() if will.leaves else hub.close())  # type: ignore[misc]


def _remember(config: Config, parts: contextlib.ExitStack) -> tuple[Store, EventLog, Alarms]:
    """What was and what happens."""
    retention = Retention(config.history.event_days, config.history.as_run_days, config.history.audience_days)
    store = Store(config.folders.state, url=config.database, retention=retention)
    parts.callback(store.close)
    store.open()
    events = EventLog(store)
    alarms = Alarms(events.publish)
    store.start(store_news(events.publish, alarms), events.remembered)
    return store, events, alarms


def _hold(config: Config, relays: frozenset[str], will: Will, parts: contextlib.ExitStack) -> HolderClient:
    """Find or start the holder, and end what it holds of outputs that are no more."""
    holder = start_holder(config.folders.runtime, linger_s=LINGER_S, on_lost=will.lose_holder, arguments=host_arguments(config))
    parts.callback(lambda: holder.close() if will.leaves else holder.end())
    _end_orphans(holder, config, relays)
    return holder


def _open_to_people(
    config: Config, parts: contextlib.ExitStack, running: Running, token: str, holder: HolderClient, will: Will, listener: socket.socket
) -> _Daemon:
    """Let local readers in, keep the house, then answer the admin interface."""
    local = LocalReaders(config, running.registry.present, running.hosts, running.alarms)
    parts.callback(local.close)
    local.open()
    house = House(config, running, token, local)
    house.start()
    parts.callback(house.close)
    recent = Recent(running.loop, running.registry)
    recent.start()
    notices = house.notices.describe
    figures = Figures(running, house.reloader, holder=holder.pid, notices=notices)
    seen = running.hosts, running.media, house.reloader, running.alarms
    control = DaemonControl(
        running.loop, running.registry, running.events, *seen, metrics=figures.render, recent=recent, restart=will.restart, notices=notices
    )
    listen, viewers = config.admin.listen, media_url(config)
    accounts = Accounts(config.folders.state, token, publish=running.events.publish)
    parts.callback(accounts.save)
    app = build_app(
        control,
        accounts=accounts,
        allowed_hosts=[listen.host, *config.admin.allowed_hosts],
        media_base_url=media_url_for_browsers(config),
        max_event_readers=config.admin.event_readers,
        answered=figures.answered,
        desks=open_desks(lambda: house.reloader.config, running, parts),
    )
    accounts.follow(lambda keys: running.loop.post(lambda: running.media.admit([(key.digest, key.ends_at_s) for key in keys])))
    told = partial(tell_certificate, running.alarms, "admin")
    admin = AdminServer(app, str(listen), config.admin.tls, told, listener)
    admin.start()
    parts.callback(admin.close)
    scheme = "https" if config.admin.tls is not None else "http"
    return _Daemon(control, holder, house.watch, f"{scheme}://{listen.host}:{admin.port}", viewers)


def _own_folders(config: Config, parts: contextlib.ExitStack) -> None:
    _make_folders(config)
    parts.enter_context(only_one(config))
    remove_leftovers(config)


def _end_orphans(holder: HolderClient, config: Config, relays: frozenset[str]) -> None:
    """Pushes and rings of what left the configuration while no daemon ran; hosts are told when they say what they air."""
    end_orphans(holder, pushes_of(config), config.folders.runtime)
    for name in holder.held().fds:
        if name.startswith(RING_PREFIX) and name.removeprefix(RING_PREFIX) not in config.channels.keys() | relays:
            holder.release(name)


def _clean_orphans(config: Config, relays: frozenset[str], media: MediaHub) -> None:
    for channel, packaging in orphaned_files(config):
        if channel not in relays:
            media.clean(channel, packaging, keep_s=ORPHAN_S)


def _sources(config: Config, loop: ControlLoop, holder: HolderClient) -> SourceHub:
    folder = (config.relay.temp_directory or config.folders.runtime) / "channeld-live"  # of ours alone: what is not known there is removed
    version, limit = edition(SOURCE_PARTS), source_limit(config)
    cleanup_s = config.relay.cleanup_interval_s
    return SourceHub(
        loop=loop,
        holder=holder,
        arguments=host_arguments(config),
        version=version,
        limit=limit,
        folder=folder,
        cleanup_s=cleanup_s,
    )


def _clips(config: Config, loop: ControlLoop, tools: Tools, on_change: Callable[[str], None], keep: Keep, publish: Publish) -> Clips:
    cache_root = config.folders.state / "cache"
    return Clips(
        ClipCache(cache_root, config.prepare.cache_limit.on(cache_root)),
        loop,
        tools=tools,
        jobs=config.prepare.jobs,
        tolerance=tolerance(config),
        urls=fetch_rules(config),
        on_change=on_change,
        keep=keep,
        publish=publish,
    )


def _leave_channels(loop: ControlLoop, registry: Registry) -> None:
    with contextlib.suppress(RuntimeError):  # a disk that does not answer holds its loader
        registry.close()
    try:
        loop.call(registry.leave, LEAVE_S)
    except LoopBusy as error:
        log.warning("channels_not_left", reason=str(error), consequence="they stay on air, and whoever comes next takes them up")


def _end_channels(loop: ControlLoop, registry: Registry) -> None:
    """Take all channels off the air, and wait for it a while: children end with the holder in any case."""
    registry.close()
    try:
        loop.call(registry.stop)
        deadline = time.monotonic() + OFF_AIR_S
        while time.monotonic() < deadline and not loop.call(lambda: registry.is_stopped):
            time.sleep(0.05)
    except LoopBusy as error:
        log.warning("channels_not_ended", reason=str(error), consequence="the holder ends what is left of them")


def _make_folders(config: Config) -> None:
    folders = config.folders
    for folder, mode in ((folders.state, 0o750), (folders.runtime, 0o750), (folders.hls, 0o755), (folders.state / "cache", 0o750)):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=mode)
        except OSError as error:
            raise ChannelError(f"cannot make {folder}: {error.strerror}. Make it, owned by the daemon's user") from error
