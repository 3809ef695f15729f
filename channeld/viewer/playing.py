"""A player that runs, and the pipe into its stdin.

Rule: writing waits no longer than it is told to, however long the player stands still; the player dies with us (death signal), and
its end is seen at once. Its own words are kept, and told only to those who look closely, or when it failed.

| what                    | made by    | waited for by | closed by      |
|-------------------------|------------|---------------|----------------|
| the player's process    | Playing    | end           | end, the holder|
| write end of its stdin  | Playing    | write         | end            |
| read end of its stdout  | Playing    | -             | end            |
| eventfd of its end      | Playing    | write         | end            |
"""

import os
import select
import signal
import time
from pathlib import Path

from channeld.process.child import ChildSpec, StderrTail
from channeld.process.holder import Holder
from channeld.telemetry import log
from channeld.viewer.players import Player

DRAIN_S = 5.0
"""How long a player may go on with what it holds after the stream's end."""
GRACE_S = 3.0
WORDS_LINES = 4
_NOT_ITS_BUSINESS = "CHANNELD_"

_log = log.get("play.player")


class PlayerGone(Exception):
    """It ended, or reads no more."""


class Playing:
    """One started player. Raises SpawnError when it cannot be started."""

    def __init__(self, holder: Holder, player: Player) -> None:
        self.name = player.name
        self.began_s = time.monotonic()
        self._status = 0
        # The user's own program at the user's own desk: it wants the session's environment, and the folder that its arguments mean.
        env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_ITS_BUSINESS)}
        argv = ("env", f"--chdir={Path.cwd()}", *player.argv)
        self._gone_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        stdin, self._stdin = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._stdin, False)
        # mpv complains on stdout. What it says there is read by us, at each look, as the holder reads its stderr.
        self._said_fd, stdout = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._said_fd, False)
        self._said = StderrTail()
        try:
            spec = ChildSpec(player.name, argv, env=env, stdin=stdin, stdout=stdout)
            self._child = holder.spawn(spec, on_line=_tell_line, on_exit=self._leave)
        except BaseException:
            self._close_fds()
            raise
        finally:
            os.close(stdin)
            os.close(stdout)
        _log.debug("player_started", pid=self._child.pid, argv=player.argv)

    def _leave(self, status: int) -> None:
        os.eventfd_write(self._gone_fd, 1)

    def look(self) -> None:
        """Take in what it said. Raises PlayerGone when it ended."""
        self._hear()
        if self._child.poll() is not None:
            raise PlayerGone

    def _hear(self) -> None:
        try:
            while words := os.read(self._said_fd, 1 << 16):
                for line in self._said.feed(words):
                    _tell_line(line)
        except BlockingIOError:
            return

    def write(self, piece: memoryview, wait_s: float) -> int:
        """Bytes that it took, none when it took none for so long. Raises PlayerGone."""
        poller = select.poll()
        poller.register(self._stdin, select.POLLOUT)
        poller.register(self._gone_fd, select.POLLIN)
        ready = dict(poller.poll(wait_s * 1000))
        if self._gone_fd in ready:
            raise PlayerGone
        if self._stdin not in ready:
            return 0
        try:
            return os.write(self._stdin, piece)
        except BlockingIOError:  # less room than a page, which poll(2) does not count
            return 0
        except BrokenPipeError:
            raise PlayerGone from None

    def end(self, *, drain_s: float = 0.0) -> int:
        """Close its stdin, wait so long, then ask it (INT), then kill it; its status, 0 also where it was we who ended it. Idempotent."""
        if self._gone_fd < 0:
            return self._status
        was_asked = False
        try:
            self._close_stdin()
            try:
                # Dead already, it is only still to be told of.
                status = self._child.wait(GRACE_S if self._child.poll() is not None else drain_s)
            except TimeoutError:
                was_asked = True
                _log.debug("player_asked_to_end", pid=self._child.pid)
                self._child.signal(signal.SIGCONT)  # one that was stopped could not do as it is asked
                status = self._child.terminate(GRACE_S)
        except KeyboardInterrupt:  # a second one: at once
            self._child.signal(signal.SIGKILL)
            raise
        self._hear()
        _log.debug("player_ended", pid=self._child.pid, status=status, after_s=round(time.monotonic() - self.began_s, 1))
        self._close_fds()
        self._status = 0 if was_asked else status
        return self._status

    def last_words(self) -> list[str]:
        """The last lines of what it said."""
        return [*self._said.text().splitlines()[-WORDS_LINES:], *self._child.stderr_tail.splitlines()[-WORDS_LINES:]]

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def _close_fds(self) -> None:
        self._close_stdin()
        for fd in (self._gone_fd, self._said_fd):
            if fd >= 0:
                os.close(fd)
        self._gone_fd = self._said_fd = -1


def _tell_line(line: str) -> None:
    _log.debug("player_said", line=line)
