"""The playout host stands over its FFmpegs where the system allows it, and airs all the same where it does not."""

import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from channeld.base.wire import Wire, socket_pair
from channeld.playout.host import NICE


def start_host(theirs: socket.socket, *wrapper: str) -> subprocess.Popen[bytes]:
    command = [*wrapper, sys.executable, "-m", "channeld.playout.host", "--wire-fd", str(theirs.fileno()), "--log-format", "json"]
    # Only our own threads: numpy's library would start idle ones while it is imported, before the host runs.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def niceness_of_threads(pid: int) -> set[int]:
    """Field 19 of each thread's stat (proc(5)), counted behind the program's name in brackets."""
    stats = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat"))
    return {int(stat.rpartition(")")[2].split()[16]) for stat in stats}


def told(wire: Wire, kind: str) -> None:
    """Wait for a message of the host: then its threads run."""
    deadline = time.monotonic() + 20
    while (message := wire.receive(deadline - time.monotonic())) is not None and message.kind != kind:
        assert time.monotonic() < deadline


@pytest.mark.skipif(os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_NICE)[0] < 20 - NICE, reason="RLIMIT_NICE forbids it")
def test_every_thread_of_a_host_that_may_is_raised_over_the_ffmpegs() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        host = start_host(theirs)
        try:
            told(Wire(ours), "progress")
            assert niceness_of_threads(host.pid) == {NICE}
        finally:
            host.terminate()
            host.communicate(timeout=20)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_host_that_may_not_raise_itself_says_so_and_runs() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        host = start_host(theirs, "prlimit", "--nice=0", "setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice")
        try:
            told(Wire(ours), "progress")
            assert niceness_of_threads(host.pid) == {0}
        finally:
            host.terminate()
            output, errors = host.communicate(timeout=20)
        assert b"priority_not_raised" in output + errors
