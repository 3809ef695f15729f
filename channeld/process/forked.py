"""Have a fork server make a child for us: what the holder does in place of starting a program.

Rule: it waits ANSWER_S at most, and leaves nothing behind where it fails: a child that comes too late is never told to go, and ends.
"""

import io
import os
import socket
from dataclasses import asdict

from channeld.base.errors import SpawnError
from channeld.base.wire import Message, Wire, socket_pair
from channeld.process.child import ChildSpec

ANSWER_S = 1.0
"""A fork takes some milliseconds; whoever waits reads nobody's stderr meanwhile."""


class ForkedProcess:
    """A child of ours that a fork server made; as much of subprocess.Popen as a Child needs."""

    def __init__(self, pid: int, stderr_fd: int) -> None:
        self.pid = pid
        self.stderr = io.FileIO(stderr_fd)

    def wait(self) -> int:
        """Reap it; its status, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork_child(spec: ChildSpec, server: Wire) -> ForkedProcess:
    """A child that runs the server's module with `argv` behind the module's name. Raises SpawnError."""
    ours, theirs = socket_pair()
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    reply = Wire(ours)
    try:
        fds = (theirs.fileno(), write_fd, *(fd for fd in (spec.stdin, spec.stdout) if fd is not None))
        _request(spec, server, fds)
        theirs.close()
        os.close(write_fd)
        write_fd = -1
        answer = reply.receive(ANSWER_S)
        if answer is None or answer.kind != "forked":
            raise SpawnError(f"{spec.name}: {_reason(answer)}")
        reply.send("go")
        child, read_fd = ForkedProcess(int(answer.values["pid"]), read_fd), -1
        return child
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpawnError(f"{spec.name}: the fork server did not answer: {error}") from error
    finally:
        theirs.close()
        reply.close()
        for fd in (read_fd, write_fd):
            if fd >= 0:
                os.close(fd)


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


def _reason(answer: Message | None) -> str:
    return "the fork server ended" if answer is None else f"the fork server failed: {answer.values.get('error')}"


def server_wire(fd: int) -> Wire:
    """A fork server's wire by a descriptor, which is its own from now on."""
    return Wire(socket.socket(fileno=fd))
