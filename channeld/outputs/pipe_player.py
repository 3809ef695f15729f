"""A player that the daemon starts for a named pipe, and keeps running.

Rule: a program and its arguments, never a shell; it has what every child has (a process group, limits, an environment of few words) and
besides what a player needs to find its screen, its sound and its settings. It is ended, and tried again with back-off, when it does not
open its pipe in time. The holder is its parent: it outlives a control that leaves. Run by the pipe desk's thread; nothing here waits.
"""

import contextlib
import hashlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from channeld.base.errors import SpawnError
from channeld.process.backoff import Backoff
from channeld.process.child import ChildSpec
from channeld.process.confine import Limits, clean_environment
from channeld.process.holding import HeldProcess, Holding

KILL_S = 2.0
"""How long a player may take to end when it was asked to."""
_TAIL_S = 0.5
"""How long the last words of a player that ended are waited for: they are on their way."""
_NICE = 5  # below the playout host, as pushes
_LIMITS = Limits(open_files=1024)
_SEES = ("HOME", "DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "PULSE_SERVER")


@dataclass(frozen=True, slots=True)
class Player:
    """What is started: program and arguments, behind which the pipe's path comes, and how long it may take to open that."""

    argv: tuple[str, ...]
    connect_s: float


class PipePlayer:
    """The player of one pipe. `label` names its process in the holder; `wake` is called from another thread when it ended."""

    def __init__(self, label: str, player: Player, path: Path, holder: Holding, wake: Callable[[], None]) -> None:
        self._label, self._player, self._holder, self._wake = label, player, holder, wake
        self._argv = (*player.argv, str(path))
        self._child: HeldProcess | None = None
        self._backoff = Backoff()
        self._again_s = 0.0
        self._waits_since_s: float | None = None
        self._connected_s: float | None = None
        self._kill_at_s: float | None = None
        self._starts = 0
        self.error: str | None = None
        """Why the attempt before this one ended; None once one has opened its pipe."""

    @property
    def pid(self) -> int | None:
        """Of the player that runs."""
        return self._child.pid if self._child is not None else None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self._starts - 1)

    @property
    def _digest(self) -> str:
        return hashlib.blake2b("\0".join(self._argv).encode(), digest_size=16).hexdigest()

    def adopt(self) -> bool:
        """Go on with the one that an earlier control left, if it is the one that would be started; False where there is none."""
        if all((child.name, child.digest) != (self._label, self._digest) for child in self._holder.held().children):
            return False
        try:
            self._child = self._holder.adopt(self._label, on_exit=lambda _: self._wake())
        except KeyError:  # it ended just now
            return False
        self._starts = 1
        return True

    def change(self, player: Player) -> bool:
        """Have another patience; False when another program is wanted, for which another PipePlayer is needed."""
        is_same = player.argv == self._player.argv
        if is_same:
            self._player = player
        return is_same

    def turn(self, now_s: float, *, is_wanted: bool, is_connected: bool) -> None:
        """Do what is due. `is_connected`: somebody reads the pipe."""
        child = self._child
        if child is not None and child.poll() is not None:
            self._ended(child, now_s)
        elif child is None:
            if is_wanted and now_s >= self._again_s:
                self._start(now_s)
        elif not is_wanted or self._kill_at_s is not None:
            self.end(now_s)
        elif is_connected:
            self._connected_s, self._waits_since_s, self.error = self._connected_s or now_s, None, None
        else:
            self._waits_since_s = self._waits_since_s or now_s
            if now_s - self._waits_since_s >= self._player.connect_s:
                self.error = f"{self._argv[0]} did not open the pipe within {self._player.connect_s:g} s"
                self.end(now_s)

    def end(self, now_s: float) -> bool:
        """Ask it to end, and after a while see to it; called again until it answers True: it is gone."""
        child = self._child
        if child is None or child.poll() is not None:
            self._child = None
            return True
        if self._kill_at_s is None:
            self._kill_at_s = now_s + KILL_S
            child.signal(signal.SIGINT)
        elif now_s >= self._kill_at_s:
            child.signal(signal.SIGKILL)
        return False

    def _start(self, now_s: float) -> None:
        env = clean_environment() | {name: os.environ[name] for name in _SEES if name in os.environ}
        spec = ChildSpec(self._label, self._argv, env=env, limits=_LIMITS, nice=_NICE, digest=self._digest)
        self._waits_since_s, self._connected_s, self._kill_at_s = now_s, None, None
        try:
            self._child = self._holder.spawn(spec, on_exit=lambda _: self._wake())
        except SpawnError as error:
            self.error = str(error).removeprefix(f"{self._label}: ")
            self._again_s = now_s + self._backoff.next_s(healthy_for_s=0.0)
        else:
            self._starts += 1

    def _ended(self, child: HeldProcess, now_s: float) -> None:
        """It is gone: another one comes, later each time, unless this one read for long."""
        healthy_s = 0.0 if self._connected_s is None else now_s - self._connected_s
        self._child = None
        if self._kill_at_s is None:
            with contextlib.suppress(TimeoutError):
                child.wait(_TAIL_S)
            tail = child.stderr_tail.strip().splitlines()
            self.error = f"{self._argv[0]} ended with status {child.poll()}" + (f": {tail[-1]}" if tail else "")
        self._again_s = now_s + self._backoff.next_s(healthy_for_s=healthy_s)
