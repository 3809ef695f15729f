"""A process that has imported a module and forks children that run it: `python -m channeld.process.fork_server --module M --wire-fd N`.

Rule: it decides nothing; a request of the holder's says all there is to say. A child is the holder's own (clone.py), runs `main` of the
module as if Python had just been started with it, and only after the holder has said `go`: one that nobody waits for any more ends.
One thread, so that no fork copies a lock that is held. It ends when the other end of the wire does.

A request is `fork` (argv, env, limits, nice, pdeathsig, name, parent) with descriptors: the wire for the answer, stderr, then stdin and
stdout where `has_stdin` and `has_stdout` say so. The child answers `forked` (pid); who cannot answers `failed` (error).
"""

import argparse
import gc
import importlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from channeld.base.wire import Message, Wire
from channeld.process.clone import die_with_parent, fork_sibling, name_self
from channeld.process.confine import Limits, confine_self

READY = "fork server is ready"
"""Its one line on stderr."""
MODULES = ("channeld.sources.ingest",)
"""What may be run: nothing is imported only because somebody asks."""
GO_S = 10.0


def serve(wire: Wire, main: Callable[[], int]) -> int:
    """Fork whatever is asked for. Returns in each child with its status, and in the server at the end of the wire."""
    while True:
        try:
            message = wire.receive()
        except ValueError as error:
            sys.stderr.write(f"fork server: {error}\n")
            continue
        if message is None:
            return 0
        if message.kind == "fork" and len(message.fds) >= 2 and _fork(message):
            return _run(message, main)
        for fd in message.fds:
            os.close(fd)


def _fork(message: Message) -> bool:
    """True in the child."""
    try:
        return fork_sibling() == 0
    except OSError as error:
        with socket.socket(fileno=os.dup(message.fds[0])) as reply:
            Wire(reply).send("failed", error=str(error))
        return False


def _run(message: Message, main: Callable[[], int]) -> int:
    """The child: set up what the holder wants, say so, and go on when it says so. Nothing of the server's is open afterwards."""
    values = message.values
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reply = Wire(socket.socket(fileno=_take_descriptors(message)))
    try:
        os.setpgid(0, 0)
        confine_self(Limits(**values["limits"]), int(values["nice"]))
        if values["pdeathsig"]:
            die_with_parent()
        if os.getppid() != values["parent"]:  # it ended before that was set
            return 1
        name_self(values["name"])
        _take_environment(values["env"])
        sys.argv = [str(values["argv"][0]), *map(str, values["argv"][1:])]
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        reply.send("failed", error=f"{type(error).__name__}: {error}")
        return 1
    try:
        reply.send("forked", pid=os.getpid())
        answer = reply.receive(GO_S)
    except (OSError, TimeoutError, ValueError):
        return 1
    reply.close()
    return main() if answer is not None and answer.kind == "go" else 1


def _take_descriptors(message: Message) -> int:
    """Put the child's descriptors to their places and close all others; gives the one of the reply."""
    reply, stderr, *others = message.fds
    null = os.open(os.devnull, os.O_RDWR)
    for target, wanted in ((0, "has_stdin"), (1, "has_stdout")):
        os.dup2(others.pop(0) if message.values.get(wanted) else null, target)
    os.dup2(stderr, 2)
    os.closerange(3, reply)
    os.closerange(reply + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return reply


def _take_environment(env: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update({str(name): str(value) for name, value in env.items()})
    time.tzset()


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="channeld-fork-server")
    parser.add_argument("--module", choices=MODULES, required=True)
    parser.add_argument("--wire-fd", type=int, required=True)
    arguments = parser.parse_args()
    # It holds nothing that wants tidying up, and its children take their own measures.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    wire = Wire(socket.socket(fileno=arguments.wire_fd))
    run: Callable[[], int] = importlib.import_module(arguments.module).main
    gc.collect()
    gc.freeze()  # collections in children touch nothing of what is there now, so that its pages stay shared
    sys.stderr.write(READY + "\n")
    sys.stderr.flush()
    return serve(wire, run)


if __name__ == "__main__":
    raise SystemExit(main())
