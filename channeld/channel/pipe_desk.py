"""The named pipes of all channels: each is there while its output is configured, and serves while its channel is on air.

Rule: one thread does all of it and waits for no reader; orders come by queue, what there is to know goes out as immutable snapshots. What
is configured is looked up, as at the desk of attached readers: pipes come, change and go with it, and those that stay notice nothing.
"""

import os
import queue
import select
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from channeld.base.errors import SpawnError
from channeld.base.wire import Message
from channeld.base.worker import Worker
from channeld.channel.pipe_state import PipeState
from channeld.channel.settings import ChannelSettings, PipeTarget
from channeld.outputs.named_pipe import PREFIX, NamedPipe, PipeName, PipePorts, PipeRules, Send, end_player
from channeld.outputs.pipe_file import PipeOwner, remove_leftovers
from channeld.outputs.pipe_player import KILL_S
from channeld.outputs.push_health import PushCondition
from channeld.process.holding import Holding

FOLDER = "pipes"
"""Below the runtime folder; where pipes are that have no path of their own."""
LOOK_S = 0.08
"""How long who opens a pipe waits at most before it is noticed."""

log = structlog.get_logger()

Channels = Callable[[], Mapping[str, ChannelSettings]]


@dataclass(frozen=True, slots=True)
class PipePlace:
    """Where pipes are that have no path of their own, and who may read."""

    runtime_dir: Path
    owner: PipeOwner

    @property
    def folder(self) -> Path:
        """Of the default paths."""
        return self.runtime_dir / FOLDER


class PipeDesk(Worker):
    """`on_change` gets the new state of an output whose condition or error is another one; this thread."""

    def __init__(self, place: PipePlace, holder: Holding, send: Send, on_change: Callable[[PipeState], None]) -> None:
        super().__init__("pipes")
        self._place, self._on_change = place, on_change
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ports = PipePorts(holder, send, place.owner, self.wake)
        self._channels: Channels = dict
        self._seen: Mapping[str, ChannelSettings] = {}
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pipes: dict[PipeName, NamedPipe] = {}
        self._on_air: dict[str, bool] = {}  # by channel that was told of: whether it is
        self._ending: list[NamedPipe] = []  # whose players may take a moment
        self._leaves = False
        self.states: dict[tuple[str, str], PipeState] = {}
        """By channel and output; replaced, never changed."""

    # -- what others order; any thread ------------------------------------------------------------------------------

    def follow(self, channels: Channels) -> None:
        """Have the pipes of these channels; before the start."""
        self._channels = channels

    def open(self, channel: str, *, adopts: bool) -> None:
        """A channel is on air; with `adopts` it goes on in the ring that its readers know."""
        self._order(lambda: self._go_on_air(channel, adopts=adopts))

    def close_channel(self, channel: str) -> None:
        """A channel is off the air: its readers' files end."""
        self._order(lambda: self._go_off_air(channel))

    def feed(self, channel: str) -> None:
        """Another host airs a channel: have it go on with every reader."""
        self._order(lambda: self._each(channel, NamedPipe.feed))

    def give_to(self, owner: PipeOwner) -> None:
        """Have others read all pipes; who reads already goes on."""
        self._order(lambda: self._give_to(owner))

    def host_told(self, message: Message) -> None:
        """One message of a playout host."""
        if message.kind not in ("feed_lost", "feed_jumped"):
            return
        kind, values = message.kind, message.values
        self._order(lambda: self._told(kind, values))

    def state(self, channel: str, output: str) -> PipeState | None:
        """What is known of an output; None before it was looked at."""
        return self.states.get((channel, output))

    def _order(self, task: Callable[[], None]) -> None:
        self._orders.put(task)
        self.wake()

    def wake(self) -> None:
        if self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    def leave(self) -> None:
        """End the thread; files, readers and players stay for another control to take up."""
        self._leaves = True
        self.close()

    def close(self, timeout_s: float = 10.0) -> None:
        """End the thread; hang up on every reader, end the players, remove the files. Idempotent."""
        super().close(timeout_s)
        wake_fd, self._wake_fd = self._wake_fd, -1
        if wake_fd >= 0:
            os.close(wake_fd)

    # -- the thread -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self._open_folder()
        try:
            self._follow_channels(held_fds=self._ports.holder.held().fds)
            self._end_orphans()
        except SpawnError as error:  # the holder is gone, and with it all it held; the daemon is told of that by others
            log.error("pipes_not_adopted", error=str(error))
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        while not self.stopping.is_set():
            try:
                self._turn()
            except (SpawnError, OSError) as error:  # of one pipe; the next turn is everybody's
                log.error("pipes_not_turned", error=str(error))
            if poller.poll(LOOK_S * 1000):
                os.eventfd_read(self._wake_fd)
        self._do_orders()
        if self._leaves:
            for pipe in self._pipes.values():
                pipe.leave()
        else:
            self._end_all()

    def _open_folder(self) -> None:
        folder, gid = self._place.folder, self._place.owner.gid
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if gid is not None:
                os.chown(folder, -1, gid)
                # Who may read must be able to walk through; what is in it has modes of its own.
                runtime = self._place.runtime_dir
                runtime.chmod(runtime.stat().st_mode & 0o7777 | 0o011)
            folder.chmod(0o700 if gid is None else 0o750)
        except OSError as error:  # told of every pipe that cannot be made for it, too
            log.error("pipe_folder_not_made", path=str(folder), error=error.strerror)

    def _turn(self) -> None:
        if (channels := self._channels()) != self._seen:
            self._follow_channels(channels)
        self._do_orders()
        now_s = time.monotonic()
        for pipe in self._pipes.values():
            pipe.turn(now_s)
        self._ending = [pipe for pipe in self._ending if not pipe.end_player(now_s)]
        self._tell()

    def _do_orders(self) -> None:
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return
            order()

    def _follow_channels(self, channels: Mapping[str, ChannelSettings] | None = None, held_fds: tuple[str, ...] = ()) -> None:
        """Have just the pipes that are configured. `held_fds`: what an earlier control left, at the start."""
        self._seen = channels = self._channels() if channels is None else channels
        wanted = dict(_wanted(channels))
        for name in [name for name, pipe in self._pipes.items() if name not in wanted or wanted[name].path != pipe.rules.path]:
            pipe = self._pipes.pop(name)
            pipe.close()
            self._ending.append(pipe)
        for name, rules in wanted.items():
            if name not in self._pipes:
                self._pipes[name] = self._make(name, rules, held_fds)
            elif self._pipes[name].rules != rules:
                self._pipes[name].change(rules)

    def _make(self, name: PipeName, rules: PipeRules, held_fds: tuple[str, ...]) -> NamedPipe:
        pipe = NamedPipe(name, rules, self._ports)
        pipe.adopt(held_fds)
        if self._on_air.get(name.channel):
            pipe.go_on_air(adopts=False)
        elif name.channel in self._on_air:
            pipe.go_off_air()
        return pipe

    def _end_orphans(self) -> None:
        """What is left of pipes that are configured no more."""
        held, wanted = self._ports.holder.held(), {label for name in self._pipes for label in name.labels()}
        for label in held.fds:
            if label.startswith(PREFIX) and label not in wanted:
                self._ports.holder.release(label)
        for child in held.children:
            if child.name.startswith(PREFIX) and child.name not in wanted:
                end_player(self._ports.holder, child.name)
        try:
            remove_leftovers(self._place.folder, {pipe.rules.path for pipe in self._pipes.values()})
        except OSError as error:
            log.warning("leftover_stays", path=str(self._place.folder), error=error.strerror)

    def _end_all(self) -> None:
        for pipe in self._pipes.values():
            pipe.close()
        self._ending += self._pipes.values()
        deadline = time.monotonic() + 2 * KILL_S
        while self._ending and time.monotonic() < deadline:
            now_s = time.monotonic()
            self._ending = [pipe for pipe in self._ending if not pipe.end_player(now_s)]
            time.sleep(0.02 if self._ending else 0.0)
        try:
            self._place.folder.rmdir()
        except OSError as error:
            log.debug("pipe_folder_stays", error=error.strerror)

    # -- orders, on the thread --------------------------------------------------------------------------------------

    def _each(self, channel: str, do: Callable[[NamedPipe], None]) -> None:
        for name, pipe in self._pipes.items():
            if name.channel == channel:
                do(pipe)

    def _go_on_air(self, channel: str, *, adopts: bool) -> None:
        self._on_air[channel] = True
        self._each(channel, lambda pipe: pipe.go_on_air(adopts=adopts))

    def _go_off_air(self, channel: str) -> None:
        self._on_air[channel] = False
        self._each(channel, NamedPipe.go_off_air)

    def _give_to(self, owner: PipeOwner) -> None:
        if owner == self._place.owner:
            return
        self._place, self._ports = replace(self._place, owner=owner), replace(self._ports, owner=owner)
        self._open_folder()
        for pipe in self._pipes.values():
            pipe.give_to(owner)

    def _told(self, kind: str, values: Mapping[str, object]) -> None:
        for name, pipe in self._pipes.items():
            if name.channel == values["channel"]:
                pipe.told(kind, values)

    # -- what there is to know --------------------------------------------------------------------------------------

    def _tell(self) -> None:
        outputs: dict[tuple[str, str], list[NamedPipe]] = {}
        for name, pipe in self._pipes.items():
            outputs.setdefault((name.channel, name.output), []).append(pipe)
        states = {key: self._state(key, pipes) for key, pipes in outputs.items()}
        before, self.states = self.states, states
        for key, state in states.items():
            known = before.get(key)
            if known is None or (known.condition, known.last_error) != (state.condition, state.last_error):
                self._on_change(state)
        for key in before.keys() - states.keys():
            self._on_change(replace(before[key], condition=PushCondition.STOPPED, last_error=None))

    def _state(self, key: tuple[str, str], pipes: list[NamedPipe]) -> PipeState:
        known, condition = self.states.get(key), self._condition(key[0], pipes)
        errors = [error for pipe in pipes for error in (pipe.error, pipe.player_error) if error is not None]
        return PipeState(
            *key,
            condition=condition,
            since_s=known.since_s if known is not None and known.condition is condition else time.time(),
            paths=tuple(str(pipe.rules.path) for pipe in pipes),
            readers=sum(pipe.readers for pipe in pipes),
            jumps=sum(pipe.jumps for pipe in pipes),
            stalls=sum(pipe.stalls for pipe in pipes),
            restarts=sum(pipe.restarts for pipe in pipes),
            last_error=errors[0] if errors else known.last_error if known is not None else None,
            pids=tuple(pid for pipe in pipes if (pid := pipe.player_pid) is not None),
        )

    def _condition(self, channel: str, pipes: list[NamedPipe]) -> PushCondition:
        if any(pipe.error is not None or pipe.player_error is not None for pipe in pipes):
            return PushCondition.RETRYING
        if not self._on_air.get(channel, False):
            return PushCondition.STOPPED
        return PushCondition.STARTING if any(pipe.is_awaited for pipe in pipes) else PushCondition.UP


def _wanted(channels: Mapping[str, ChannelSettings]) -> list[tuple[PipeName, PipeRules]]:
    return [
        (PipeName(channel, target.name, number), PipeRules(path, target.lag_s, target.stall_s, target.player))
        for channel, settings in channels.items()
        for target in settings.targets
        if isinstance(target, PipeTarget) and target.enabled and settings.enabled
        for number, path in enumerate(target.paths, start=1)
    ]
