"""One named pipe of a channel: whoever opens it gets a stream of its own, from the newest random access point on.

Rule: it fails alone, and nobody waits for its reader. The host's feeder fills the pipe, and has it lag, jump and stall by its own
measure; here it is found out who opened and who left. Run by the pipe desk's thread; who owns what:

| what                      | made by    | closed by                                                                |
|---------------------------|------------|--------------------------------------------------------------------------|
| FIFO on disk              | PipeFile   | PipeFile, when the output goes                                           |
| write end, a dup to watch | PipeFile   | NamedPipe, when the reader leaves or is hung up on                       |
| write end that is filled  | a dup      | the host's feeder                                                        |
| write end that is kept    | the holder | NamedPipe, by release: with it a reader outlives a host that is replaced |
| player                    | PipePlayer | PipePlayer                                                               |
"""

import os
import select
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from channeld.base.errors import OutputError
from channeld.outputs.pipe_file import PipeFile, PipeOwner
from channeld.outputs.pipe_player import PipePlayer, Player
from channeld.process.holding import Holding

PREFIX = "pipe:"
"""Of what the holder keeps for pipes."""
MAX_READERS = 4
"""Of one path at a time; who comes then waits. VLC alone opens what it plays twice at once."""
AGAIN_S = 1.0
"""How often a path that cannot be used is tried again, and one that can is looked at."""

log = structlog.get_logger()


class Send(Protocol):
    """Sends a message about a channel to its host; False when that is not there."""

    def __call__(self, kind: str, fds: tuple[int, ...] = (), **values: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class PipeRules:
    """`lag_s`: how much stream a reader may be behind before it loses some; `stall_s`: how long it may take nothing."""

    path: Path
    lag_s: float
    stall_s: float
    player: Player | None = None


@dataclass(frozen=True, slots=True)
class PipePorts:
    """What pipes work with. `wake` has the desk's thread turn; any thread may call it."""

    holder: Holding
    send: Send
    owner: PipeOwner
    wake: Callable[[], None]


@dataclass(frozen=True, slots=True)
class PipeName:
    """Which pipe: number 1 to `count` of an output."""

    channel: str
    output: str
    number: int

    @property
    def label(self) -> str:
        """What the holder knows its player by."""
        return f"{PREFIX}{self.channel}/{self.output}/{self.number}"

    def labels(self) -> list[str]:
        """What the holder knows the write ends of its readers by."""
        return [f"{self.label}{mark}" for mark in _MARKS]

    def feeds(self) -> list[str]:
        """What the feeder knows its readers by."""
        return [f"{self.output}:{self.number}{mark}" for mark in _MARKS]


_MARKS = ("", *(f"+{number}" for number in range(1, MAX_READERS)))


@dataclass(slots=True)
class _Reader:
    """One that opened the path: which of the places it has, the write end that it is watched by, and which feed is its."""

    place: int
    fd: int
    serial: int = 0
    is_fed: bool = False


class NamedPipe:
    """One pipe."""

    def __init__(self, name: PipeName, rules: PipeRules, ports: PipePorts) -> None:
        self.name, self.rules = name, rules
        self._ports = ports
        self._file = PipeFile(rules.path, ports.owner)
        self._look_s = 0.0
        self._readers: list[_Reader] = []
        self._is_on_air = self._is_known = False  # whether the channel is on air, and whether that was told
        self._player = self._make_player()
        self._restarts = 0
        self.error: str | None = None
        """Why there is no pipe."""
        self.jumps = self.stalls = 0
        """How often a reader lagged and lost some, and how often one took nothing and was hung up on."""

    def _make_player(self) -> PipePlayer | None:
        if self.rules.player is None:
            return None
        return PipePlayer(self.name.label, self.rules.player, self.rules.path, self._ports.holder, self._ports.wake)

    # -- what there is ----------------------------------------------------------------------------------------------

    @property
    def readers(self) -> int:
        """How many read it."""
        return len(self._readers)

    @property
    def player_pid(self) -> int | None:
        """Of the player that the daemon started."""
        return self._player.pid if self._player is not None else None

    @property
    def player_error(self) -> str | None:
        """Why its player does not play."""
        return self._player.error if self._player is not None else None

    @property
    def is_awaited(self) -> bool:
        """The player that the daemon started has not opened it."""
        return self._player is not None and not self._readers

    @property
    def restarts(self) -> int:
        """How often its player was started again."""
        return self._restarts + (self._player.restarts if self._player is not None else 0)

    # -- its life ---------------------------------------------------------------------------------------------------

    def adopt(self, held_fds: tuple[str, ...]) -> None:
        """Take up the readers and the player that an earlier control left; what cannot be taken up is ended."""
        for place, label in enumerate(self.name.labels()):
            if label in held_fds:
                self._readers.append(_Reader(place, self._ports.holder.borrow(label), is_fed=True))
        if self._player is None or not self._player.adopt():
            end_player(self._ports.holder, self.name.label)

    def give_to(self, owner: PipeOwner) -> None:
        """Have others read it; a reader stays."""
        self._try(lambda: self._file.give_to(owner))

    def change(self, rules: PipeRules) -> None:
        """Have other rules for the same path; a reader stays."""
        before, self.rules = self.rules, rules
        if rules.player is None or self._player is None or not self._player.change(rules.player):
            self._restarts = self.restarts
            end_player(self._ports.holder, self.name.label)
            self._player = self._make_player()
        if (rules.lag_s, rules.stall_s) != (before.lag_s, before.stall_s):
            self.feed()

    def go_on_air(self, *, adopts: bool) -> None:
        """The channel is on air. One that did not go on in its ring begins a timeline of its own: no reader goes on into that."""
        self._is_on_air = self._is_known = True
        if not adopts:
            self._hang_up_all("the channel began anew")

    def go_off_air(self) -> None:
        """Nothing comes any more: the reader's file ends, and the next one waits in its open until something does."""
        self._is_on_air, self._is_known = False, True
        self._hang_up_all("the channel is off the air")

    def turn(self, now_s: float) -> None:
        """Look who came and who left."""
        self._look_at_file(now_s)
        for reader in [reader for reader in self._readers if _is_left(reader.fd)]:
            self._hang_up(reader, "it left")
        while self._is_on_air and self.error is None and len(self._readers) < MAX_READERS and self._receive():
            pass
        if self._player is not None and self._is_known:
            is_wanted = self._is_on_air and self.error is None
            self._player.turn(now_s, is_wanted=is_wanted, is_connected=bool(self._readers))

    def _look_at_file(self, now_s: float) -> None:
        if now_s < self._look_s:
            return
        self._look_s = now_s + AGAIN_S
        for reader in self._readers:
            if not reader.is_fed:  # no host was there, or no descriptor free
                self._feed(reader)
        if self.error is not None or not self._file.is_there:
            self._try(self._file.make)

    def _try(self, step: Callable[[], Any]) -> Any:
        """What a step gives; None, and the error noted, where it fails."""
        try:
            found = step()
        except OutputError as error:
            if str(error) != self.error:
                log.error("pipe_failed", channel=self.name.channel, output=self.name.output, error=str(error), consequence="tried again")
            self.error = str(error)
            return None
        self.error = None
        return found

    def _receive(self) -> bool:
        """Serve a reader, if one has opened the path."""
        fd = self._try(self._file.open_writer)
        if fd is None:
            return False
        log.info("pipe_opened", channel=self.name.channel, output=self.name.output, path=str(self.rules.path))
        taken = {reader.place for reader in self._readers}
        reader = _Reader(next(place for place in range(MAX_READERS) if place not in taken), fd)
        self._readers.append(reader)
        self._ports.holder.keep_fd(self.name.labels()[reader.place], fd)
        self._feed(reader)
        return True

    def feed(self) -> None:
        """Have the host fill the pipe of each reader, from the byte on where it was left."""
        for reader in self._readers:
            self._feed(reader)

    def _feed(self, reader: _Reader) -> None:
        """A new reader begins at the newest random access point."""
        if not self._is_on_air:
            return
        reader.serial = time.monotonic_ns()
        reader.is_fed |= self._ports.send(
            "feed",
            (reader.fd,),
            channel=self.name.channel,
            output=self.name.feeds()[reader.place],
            continues=reader.is_fed,
            joins=True,
            serial=reader.serial,
            lag_s=self.rules.lag_s,
            stall_s=self.rules.stall_s,
        )

    def told(self, kind: str, values: Mapping[str, Any]) -> None:
        """What the host tells of a feed; that of an earlier reader is no news."""
        feed = (values.get("output"), values.get("serial"))
        for reader in [each for each in self._readers if (self.name.feeds()[each.place], each.serial) == feed]:
            if kind == "feed_jumped":
                self.jumps += 1
                continue
            self.stalls += values.get("reason") == "stalled"
            self._hang_up(reader, "it left" if values.get("reason") == "gone" else str(values["error"]))

    def _hang_up_all(self, reason: str) -> None:
        for reader in list(self._readers):
            self._hang_up(reader, reason)

    def _hang_up(self, reader: _Reader, reason: str) -> None:
        """Close every write end: the reader comes to the end of its file, and the kernel drops what it left."""
        log.info("pipe_closed", channel=self.name.channel, output=self.name.output, path=str(self.rules.path), reason=reason)
        self._readers.remove(reader)
        os.close(reader.fd)
        self._ports.send("unfeed", channel=self.name.channel, output=self.name.feeds()[reader.place])
        self._ports.holder.release(self.name.labels()[reader.place])

    def close(self) -> None:
        """Hang up, and take the pipe away; its player is ended by `end_player`."""
        self._is_on_air = False
        self._hang_up_all("the output is closed")
        self._file.remove()

    def end_player(self, now_s: float) -> bool:
        """Called again until it answers True: no player is left."""
        return self._player is None or self._player.end(now_s)

    def leave(self) -> None:
        """Let readers and player be, for another control to take up."""
        self._file.leave()
        while self._readers:
            os.close(self._readers.pop().fd)


def _is_left(fd: int) -> bool:
    """Nobody reads behind this write end. Nobody can come any more: the path leads elsewhere by then."""
    poller = select.poll()
    poller.register(fd, 0)
    return bool(poller.poll(0))


def end_player(holder: Holding, label: str) -> None:
    """Kill a player that is not wanted as it is."""
    try:
        holder.adopt(label).terminate(0.0)
    except KeyError:
        return
