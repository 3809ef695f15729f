"""Have a fork server make a child for us: what the holder does in place of starting a program.

Rule: it waits ANSWER_S at most. A child that comes too late is never told to go, and ends; as it is the holder's, the holder buries it.
"""

import contextlib
import io
import os
import socket
from dataclasses import asdict

from channeld.base.errors import SpawnError
from channeld.base.wire import Wire, socket_pair
from channeld.process.child import ChildSpec

ANSWER_S = 1.0
"""A fork takes some milliseconds; whoever waits reads nobody's stderr meanwhile."""


class ServerLost(SpawnError):
    """The fork server is gone, or stands still: there is no use in asking it again."""


class ForkedProcess:
    """A child of ours that a fork server made; as much of subprocess.Popen as a Child needs."""

    def __init__(self, pid: int, stderr: io.FileIO) -> None:
        self.pid, self.stderr = pid, stderr

    def wait(self) -> int:
        """Reap it; its status, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork_child(spec: ChildSpec, server: Wire) -> ForkedProcess:
    """A child that runs the server's module with `argv` behind the module's name. Raises SpawnError."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as failed:
        try:
            end, theirs = (ours.enter_context(each) for each in socket_pair())
            read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
            stderr, write_end = failed.enter_context(io.FileIO(read_fd)), ours.enter_context(io.FileIO(write_fd, "w"))
            fds = (theirs.fileno(), write_fd, *(fd for fd in (spec.stdin, spec.stdout) if fd is not None))
        except OSError as error:
            raise SpawnError(f"{spec.name}: {error.strerror}") from error
        try:
            pid = _ask(spec, server, Wire(end), fds, close=(theirs, write_end))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ServerLost(f"{spec.name}: the fork server did not answer: {error}") from error
        failed.pop_all()
        return ForkedProcess(pid, stderr)


def _ask(spec: ChildSpec, server: Wire, reply: Wire, fds: tuple[int, ...], *, close: tuple[socket.socket, io.FileIO]) -> int:
    """The pid of the child, which has been told to go. Raises SpawnError, and what a wire does."""
    _request(spec, server, fds)
    for end in close:  # theirs now: the end of the server, or of the child, is the end of what we hear
        end.close()
    answer = reply.receive(ANSWER_S)
    if answer is None:
        raise ServerLost(f"{spec.name}: the fork server ended")
    if answer.kind != "forked":
        raise SpawnError(f"{spec.name}: {answer.values.get('error')}")
    reply.send("go")
    return int(answer.values["pid"])


def _request(spec: ChildSpec, server: Wire, fds: tuple[int, ...]) -> None:
    at = spec.argv.index("-m") + 1  # as of `python -m module arguments`
    server.send(
        "fork",
        fds,
        argv=list(spec.argv[at:]),
        env=dict(spec.env),
        limits=asdict(spec.limits),
        nice=spec.nice,
        pdeathsig=spec.pdeathsig,
        name=spec.name,
        parent=os.getpid(),
        has_stdin=spec.stdin is not None,
        has_stdout=spec.stdout is not None,
    )


def server_wire(fd: int) -> Wire:
    """A fork server's wire by a descriptor, which is its own from now on."""
    return Wire(socket.socket(fileno=fd))
