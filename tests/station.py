"""A whole control side in this process for tests: loop, holder, library, a real playout host, channels. No web servers.

Rule: nothing stands in for anything; only the media workers are left out (a listener with none) where a test has no viewer.
"""

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from channeld.base.clock import SystemClock
from channeld.base.units import FrameRate
from channeld.channel.budget import BudgetRules
from channeld.channel.clips import Clips
from channeld.channel.events import EventLog
from channeld.channel.host_hub import HostHub
from channeld.channel.hub import MediaHub, MediaListener
from channeld.channel.loop import ControlLoop
from channeld.channel.means import Means
from channeld.channel.override import OverrideBook
from channeld.channel.registry import Registry
from channeld.channel.settings import ChannelSettings, LiveSettings, Target
from channeld.channel.source_hub import SourceHub
from channeld.channel.supervisor import Supervisor
from channeld.channel.switchboard import Switchboard
from channeld.media.cache import ClipCache
from channeld.media.pinned import FetchRules
from channeld.media.profile import Profile
from channeld.media.tools import find_tools
from channeld.media.verdict import Tolerance
from channeld.outputs.push_plan import PushTiming
from channeld.playlist.locate import PathRules
from channeld.process.holder import Holder
from channeld.store.store import Store

SMALL = Profile("small", 320, 180, FrameRate(25, 1), 400_000, 64_000, gop_seconds=1.0)
TIMEOUT_S = 40.0


def until(condition: Callable[[], object], what: str, *, timeout_s: float = TIMEOUT_S) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def settings(playlist: Path, name: str = "one", *, targets: tuple[Target, ...] = (), filler: Path | None = None) -> ChannelSettings:
    """A channel of the small profile whose media lie beside its list."""
    rules = PathRules((playlist.parent,), ("http",), True)
    return ChannelSettings(name, name, playlist, SMALL, rules, targets=targets, filler=filler)


def relay(folder: Path, live: LiveSettings, *, playlist: Path | None = None, targets: tuple[Target, ...] = ()) -> ChannelSettings:
    """A channel of live sources, with a list behind them or without."""
    rules = PathRules((folder,), ("http",), True)
    path = playlist or folder / "no-list.m3u"
    return ChannelSettings("one", "one", path, SMALL, rules, targets=targets, live=live, has_list=playlist is not None)


class Station:
    """Everything between playlists and the host's wire."""

    def __init__(
        self,
        folder: Path,
        channels: Iterable[ChannelSettings],
        *,
        cache: Path | None = None,
        workers: int = 0,
        push_timing: PushTiming | None = None,
        budget: BudgetRules | None = None,
        egress: str | None = None,
    ) -> None:
        """`egress`: the FFmpeg of pushes, where it is not the one that prepares."""
        tools = find_tools()
        self._parts = contextlib.ExitStack()
        self.holder = Holder()
        self.store = Store(folder)
        self.store.open()
        self.loop = ControlLoop()
        self.events = EventLog()
        self.cache = ClipCache(cache or folder / "cache", 1 << 30)
        self.losses: list[str] = []
        self._switchboard = Switchboard()
        tolerance = Tolerance(0.9, 0.05)
        on_change = lambda channel: self.registry.clips_changed(channel)  # noqa: E731
        self.clips = Clips(
            self.cache,
            self.loop,
            tools=tools,
            jobs=1,
            tolerance=tolerance,
            urls=FetchRules(("http",), True),
            on_change=on_change,
            keep=self.store.save_clip,
        )
        self.hosts = HostHub(
            1,
            loop=self.loop,
            holder=self.holder,
            arguments=("--log-level", "error"),
            events=self,
        )
        listener = MediaListener("127.0.0.1:0", workers, str(folder / "hls"), None, "open", None, None)
        self.media = MediaHub(listener, loop=self.loop, holder=self.holder, hosts=self.hosts, level="error")
        arguments = ("--log-level", "error")
        self.sources = SourceHub(
            loop=self.loop, holder=self.holder, arguments=arguments, version="", limit=10, folder=folder / "run" / "live"
        )
        self.means = Means(
            loop=self.loop,
            host=self.hosts,
            media=self.media,
            holder=self.holder,
            preparer=self.clips,
            positions=self.store,
            runtime_dir=folder / "run",
            lists_dir=folder / "lists",
            ffmpeg=egress or tools.ffmpeg,
            clock=SystemClock(),
            publish=self.events.publish,
            push_timing=push_timing or PushTiming(),
            budget=budget or BudgetRules(),
            sources=self.sources,
            overrides=OverrideBook(folder / "overrides.json"),
        )
        self.registry = Registry(channels, self.means)
        self.sources.told, self.media.watched = self.registry.source_told, self.registry.watched
        self._switchboard.connect(self.hosts, self.media, self.registry)

    def told(self, host: int, message: Any) -> None:
        self._switchboard.told(host, message)

    def lost(self, host: int, reason: str, lived_s: float | None, was_killed: bool) -> None:
        self.losses.append(reason)
        self._switchboard.lost(host, reason, lived_s, was_killed)

    def started(self, host: int) -> None:
        self._switchboard.started(host)

    def __enter__(self) -> "Station":
        parts = self._parts
        self.store.start(lambda *_, **__: None)
        parts.callback(self.store.close)
        parts.callback(self.holder.close)
        self.loop.start()
        parts.callback(self.loop.close)
        self.clips.start()
        parts.callback(self.clips.close)
        self.loop.call(self.hosts.start)
        parts.callback(self.hosts.close)
        self.loop.call(self.media.start)
        parts.callback(self.media.close)
        self.loop.call(self.sources.start)
        parts.callback(self.sources.close)
        self.registry.start()
        parts.callback(self._off_air)
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def _off_air(self) -> None:
        self.registry.close()
        self.loop.call(self.registry.stop)
        until(lambda: self.loop.call(lambda: self.registry.is_stopped), "all channels off the air")

    def channel(self, name: str = "one") -> Supervisor:
        return self.registry.channels[name]

    def order(self, order: Callable[[], Any]) -> Any:
        """Have something done on the control loop."""
        return self.loop.call(order)

    def shown(self, name: str = "one") -> dict[str, Any]:
        """The channel object."""
        return dict(self.loop.call(self.channel(name).describe))

    def until_state(self, state: str, name: str = "one") -> None:
        until(lambda: self.shown(name)["state"] == state, f"{name} {state}")

    def aired(self, name: str = "one") -> list[str]:
        """File names of what began to air, oldest first; the filler is ''."""
        return [Path(each["path"]).name if each["path"] else "" for each in reversed(self.events.as_run(name, 1000))]

    def until_aired(self, count: int, name: str = "one") -> list[str]:
        """Wait until so many clips, not fillers, have begun; gives their names."""
        until(lambda: len([each for each in self.aired(name) if each]) >= count, f"{count} airings, not {self.aired(name)}")
        return [each for each in self.aired(name) if each]
