"""From the way to the player, until one of them ends: `Session.run`.

Rule: every start of a player begins on a way taken anew, so with PAT, PMT and the newest random access point. No wait is longer than
a look (0.25 s), so that Ctrl-C, a signal and the player's end are seen however long the player or the channel stands still. Owns the
player and the way. Run by the main thread.
"""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from channeld.client import Overrun
from channeld.process.backoff import Backoff
from channeld.process.holder import Holder
from channeld.viewer.feed import Feed
from channeld.viewer.players import Player
from channeld.viewer.playing import DRAIN_S, PlayerGone, Playing
from channeld.viewer.way import Way, WayLost
from channeld.viewer.ways import LOOK_S, Chance, NoWay, take_first

AGAIN_S = 1.0
"""Between two rounds over all ways, for those who wait for a channel."""
HOPE_S = 2.0
"""How long none of the ways may know the channel, or let us, before waiting is given up."""
SHORT_S = 3.0
MOST_SHORT = 3
"""A player that fails so often in a row within SHORT_S is not started again."""
EXITING_S = 1.0
"""What a player that reads no more is given to end by itself."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted."""

    channel: str
    chances: tuple[Chance, ...]
    player: Player
    restarts: bool = False
    reconnects: bool = False
    timeout_s: float = 10.0


class _End(Enum):
    PLAYER = auto()
    RESTART = auto()
    STREAM = auto()
    SILENCE = auto()


class Session:
    """One viewing. `say` tells the user one line."""

    def __init__(self, order: Order, holder: Holder, say: Callable[[str], None]) -> None:
        self._order, self._holder, self._say = order, holder, say
        self._player: Playing | None = None
        self._is_restart_asked = False
        self._short = 0
        self._backoff = Backoff(first_s=0.5, longest_s=5.0, healthy_s=SHORT_S)

    def ask_restart(self) -> None:
        """Have the player started again; from a signal handler."""
        self._is_restart_asked = True

    def run(self) -> int:
        """View until the player or the stream ends; an exit code. Raises NoWay, SpawnError, KeyboardInterrupt."""
        try:
            while True:
                code = self._view_once()
                if code is not None:
                    return code
        finally:
            if self._player is not None:
                self._player.end()

    def _view_once(self) -> int | None:
        """One way, to its end or the player's; an exit code, or None: go on."""
        try:
            way, first = self._take_way()
        except PlayerGone:
            return self._after_player()
        except NoWay as nothing:
            if self._player is None:
                raise
            self._say(str(nothing))
            self._player.end(drain_s=DRAIN_S)
            return 0
        feed = Feed()
        try:
            if self._player is None:
                self._is_restart_asked = False
                self._player = Playing(self._holder, self._order.player)
            end, reason = self._feed(way, first, self._player, feed)
        finally:
            feed.tell(way)
            way.close()
        if end is _End.PLAYER:
            return self._after_player()
        if end is _End.RESTART:
            self._player.end()
            self._player = None
            return None
        return self._after_stream(end, reason, feed)

    def _take_way(self) -> tuple[Way, bytes]:
        """Raises NoWay unless one is waited for, PlayerGone."""
        say: Callable[[str], None] = self._say
        hoped_s = time.monotonic()
        while True:
            try:
                return take_first(self._order.chances, self._order.timeout_s, say, self._look_at_player)
            except NoWay as nothing:
                now_s = time.monotonic()
                hoped_s = hoped_s if nothing.is_hopeless else now_s
                # A daemon that starts or ends may not know a channel for a moment.
                if not self._order.reconnects or (now_s - hoped_s >= HOPE_S and self._player is None):
                    raise
                if say is self._say:
                    self._say(f"{nothing}\nwaiting for {self._order.channel}")
                say = _say_nothing
            self._pause(AGAIN_S)

    def _look_at_player(self) -> None:
        if self._player is not None:
            self._player.look()

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            self._look_at_player()
            time.sleep(min(LOOK_S, left_s))

    def _feed(self, way: Way, first: bytes, player: Playing, feed: Feed) -> tuple[_End, str]:
        """Until something ends. What ended, and why."""
        chunk: bytes | None = first
        heard_s = time.monotonic()
        try:
            while True:
                if chunk is not None:
                    if not self._write(player, chunk, way, feed):
                        return _End.RESTART, ""
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > self._order.timeout_s:
                    return _End.SILENCE, f"nothing came of {self._order.channel} for {self._order.timeout_s:g} s"
                self._look_at_player()
                if self._is_restart_asked:
                    return _End.RESTART, ""
                try:
                    chunk = way.receive(LOOK_S)
                except Overrun as overrun:
                    chunk, heard_s = None, time.monotonic()
                    feed.lose(overrun.lost_bytes)
                    lost = f"the player stood still, and {overrun.lost_bytes} bytes were lost" if overrun.lost_bytes else str(overrun)
                    self._say(lost)
        except PlayerGone:
            return _End.PLAYER, ""
        except WayLost as lost:
            return _End.STREAM, str(lost)

    def _write(self, player: Playing, chunk: bytes, way: Way, feed: Feed) -> bool:
        """All of it, however long that takes; False when another player is asked for. Raises PlayerGone."""
        left = memoryview(chunk)
        while left:
            before_s = time.monotonic()
            taken = player.write(left, LOOK_S)
            feed.note(taken, time.monotonic() - before_s)
            left = left[taken:]
            feed.tell_now_and_then(way)
            if self._is_restart_asked:
                return False
        return True

    def _after_stream(self, end: _End, reason: str, feed: Feed) -> int | None:
        if feed.has_stood_lately:
            self._say(f"{reason}, while the player stood still; attaching again")
            return None
        self._say(reason)
        if self._order.reconnects:
            return None
        assert self._player is not None
        self._player.end(drain_s=DRAIN_S)
        return 0 if end is _End.STREAM else 1

    def _after_player(self) -> int | None:
        assert self._player is not None
        player, self._player = self._player, None
        status, lived_s = player.end(drain_s=EXITING_S), time.monotonic() - player.began_s
        if status:
            ended = f"was killed by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
            self._say("\n  ".join((f"{player.name} {ended}", *player.last_words())))
        if not self._order.restarts:
            return 1 if status else 0
        self._short = self._short + 1 if status and lived_s < SHORT_S else 0
        if self._short >= MOST_SHORT:
            self._say(f"{player.name} failed {MOST_SHORT} times as soon as it was started: given up")
            return 1
        wait_s = self._backoff.next_s(healthy_for_s=lived_s)
        self._say(f"{player.name} is started again")
        self._pause(wait_s)
        return None


def _say_nothing(_: str) -> None:
    pass


def _signal_name(number: int) -> str:
    names: Sequence[str] = [each.name for each in signal.Signals if each == number]
    return names[0] if names else f"signal {number}"
