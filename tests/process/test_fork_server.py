"""Children that a fork server makes: as if they were started as programs, the holder's own, and never needed to be."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from channeld.base.wire import Wire, socket_pair
from channeld.process.child import Child, ChildSpec
from channeld.process.confine import Limits, python_environment
from channeld.process.fork_server import READY
from channeld.process.forked import ANSWER_S
from channeld.process.holder import Holder

Until = Callable[[Callable[[], object]], None]
SERVER = "forks:test"
PROGRAM = """
import json, os, resource, signal, socket, sys, threading, time
from channeld.base.wire import Wire
from channeld.process import fork_server
from channeld.process.fork_server import READY, serve

def main():
    facts = {
        "argv": sys.argv, "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "env": dict(os.environ),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1], "nice": os.nice(0),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "core": resource.getrlimit(resource.RLIMIT_CORE),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler, "word": sys.stdin.readline(),
        "threads": threading.active_count(), "comm": open("/proc/self/comm").read().strip(),
    }
    thread = threading.Thread(target=lambda: facts.update(ran=True))
    thread.start()
    thread.join()
    print(json.dumps(facts), flush=True)
    print("a line", file=sys.stderr, flush=True)
    if "wait" in sys.argv:
        time.sleep(60)
    return 7

if "late" in sys.argv:  # as on a machine that is busy beyond its means
    take, fork_server._take_environment = fork_server._take_environment, lambda env: (time.sleep(2.5), take(env))

if __name__ == "__main__":
    print(READY, file=sys.stderr, flush=True)
    raise SystemExit(serve(Wire(socket.socket(fileno=0)), main))
"""


@pytest.fixture
def server(holder: Holder, tmp_path: Path) -> Child:
    """A fork server whose module tells of itself, as the holder's child."""
    return server_of(holder, tmp_path)


def server_of(holder: Holder, tmp_path: Path, *arguments: str) -> Child:
    """The same; `late`: its children are."""
    program = tmp_path / "teller.py"
    program.write_text(PROGRAM)
    ours, theirs = socket_pair()
    spec = ChildSpec(SERVER, (sys.executable, str(program), *arguments), env=python_environment(), stdin=theirs.fileno())
    is_ready = threading.Event()
    child = holder.spawn(spec, on_line=lambda line: is_ready.set() if line == READY else None)
    holder.keep_fd(SERVER, ours.fileno())
    ours.close()
    theirs.close()
    assert is_ready.wait(20)
    return child


def spec_of(tmp_path: Path, *arguments: str) -> ChildSpec:
    """Of a child by the server, or as the same program without it."""
    program = tmp_path / "plain.py"
    program.write_text(PROGRAM[: PROGRAM.index("if __name__")] + "raise SystemExit(main())")
    argv = (sys.executable, str(program), "-m", "teller", *arguments)
    return ChildSpec("one", argv, env={**python_environment(), "WORD": "x"}, forked_by=SERVER)


def told(holder: Holder, spec: ChildSpec) -> tuple[Child, dict[str, Any], list[str]]:
    """Start it with a word on its stdin; the child, what it told on stdout, and its lines on stderr."""
    lines: list[str] = []
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    os.write(in_write, b"hello\n")
    child = holder.spawn(replace(spec, stdin=in_read, stdout=out_write), on_line=lines.append)
    for fd in (in_read, in_write, out_write):
        os.close(fd)
    with os.fdopen(out_read) as out:
        return child, json.loads(out.readline()), lines


def is_forked(child: Child, server: Child) -> bool:
    """It never became another program than its server's."""
    return psutil.Process(child.pid).cmdline() == psutil.Process(server.pid).cmdline()


def test_a_forked_child_is_as_one_that_was_started(holder: Holder, server: Child, tmp_path: Path) -> None:
    spec = replace(spec_of(tmp_path, "a", "b c"), limits=Limits(open_files=77), nice=3)
    child, forked, lines = told(holder, spec)
    assert child.wait(10) == 7
    plain_child, plain, plain_lines = told(holder, replace(spec, forked_by=""))
    assert plain_child.wait(10) == 7
    assert forked.pop("argv") == ["teller", "a", "b c"]
    assert plain.pop("argv")[-2:] == ["a", "b c"]
    for facts, of in ((forked, child), (plain, plain_child)):
        assert facts.pop("pid") == facts.pop("group") == of.pid
    assert (forked.pop("comm"), plain.pop("comm")[:6]) == ("one", "python")
    for facts in (forked, plain):
        facts["env"].pop("LC_CTYPE", None)  # Python's own, where the locale is C
    assert forked == plain
    assert (forked["parent"], forked["descriptors"], forked["word"]) == (os.getpid(), [0, 1, 2], "hello\n")
    assert lines == plain_lines == ["a line"]


def test_its_end_is_told_and_nothing_of_it_stays(holder: Holder, server: Child, tmp_path: Path, until: Until) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (a count only)
    for number in (signal.SIGKILL, signal.SIGTERM):
        child, _, _ = told(holder, spec_of(tmp_path, "wait"))
        assert is_forked(child, server)
        child.signal(number)
        assert child.wait(10) == -number
    until(lambda: [each.name for each in holder.held().children] == [SERVER])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert psutil.Process().children() == [psutil.Process(server.pid)]


def test_children_outlive_their_server_and_others_start_as_programs(holder: Holder, server: Child, tmp_path: Path) -> None:
    first, _, _ = told(holder, spec_of(tmp_path, "wait"))
    assert is_forked(first, server)
    server.signal(signal.SIGKILL)
    server.wait(10)
    second, facts, _ = told(holder, spec_of(tmp_path, "wait"))
    assert "plain.py" in " ".join(psutil.Process(second.pid).cmdline())
    assert facts["word"] == "hello\n"
    assert first.poll() is None
    assert SERVER not in holder.held().fds


def test_a_server_that_stands_still_is_ended_and_the_child_started_as_a_program(holder: Holder, server: Child, tmp_path: Path) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    child, facts, _ = told(holder, spec_of(tmp_path, "wait"))
    assert time.monotonic() - began >= ANSWER_S
    assert "plain.py" in " ".join(psutil.Process(child.pid).cmdline())
    assert facts["word"] == "hello\n"
    assert server.wait(10) == -signal.SIGKILL


def test_a_child_that_comes_too_late_never_runs_and_is_buried(tmp_path: Path, until: Until) -> None:
    program = "from pathlib import Path; import sys; from test_fork_server import late_child; late_child(Path(sys.argv[1]))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.endswith("buried\n"), done.stderr


def late_child(folder: Path) -> None:
    """In a process where all children are the holder's, which buries those that it does not know."""
    holder = Holder(is_alone=True)
    server = server_of(holder, folder, "late")
    child, facts, _ = told(holder, spec_of(folder, "wait"))
    assert "plain.py" in " ".join(psutil.Process(child.pid).cmdline())
    assert facts["word"] == "hello\n", "the late one read it"
    assert server.wait(10) == -signal.SIGKILL
    strangers = {each.pid for each in psutil.Process().children()} - {child.pid}
    assert len(strangers) == 1
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in strangers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.terminate(0.0)
    while psutil.Process().children():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    holder.close()
    sys.stdout.write("buried\n")


def test_a_child_that_nobody_tells_to_go_ends_without_running(server: Child, holder: Holder, until: Until) -> None:
    ours, theirs = socket_pair()
    error_read, error_write = os.pipe()
    with socket.socket(fileno=holder.borrow(SERVER)) as end:
        Wire(end).send(
            "fork",
            (theirs.fileno(), error_write),
            argv=["teller"],
            env={},
            limits={},
            nice=0,
            pdeathsig=True,
            name="late",
            parent=os.getpid(),
            has_stdin=False,
            has_stdout=False,
        )
    theirs.close()
    os.close(error_write)
    answer = Wire(ours).receive(10)
    assert answer is not None
    assert answer.kind == "forked"
    ours.close()
    assert os.waitstatus_to_exitcode(os.waitpid(answer.values["pid"], 0)[1]) == 1
    assert os.read(error_read, 100) == b""
    os.close(error_read)


def test_what_is_no_request_is_passed_over(holder: Holder, server: Child, tmp_path: Path) -> None:
    with socket.socket(fileno=holder.borrow(SERVER)) as end:
        for datagram in (b"{", b"[]", b'{"kind": "fork"}', b'{"kind": "other"}', b"\xff" * 1000):
            end.send(datagram)
        ours, theirs = socket_pair()
        Wire(end).send("fork", (theirs.fileno(), theirs.fileno()), argv=[])
        theirs.close()
        answer = Wire(ours).receive(10)
        assert answer is not None
        assert answer.kind == "failed"
        ours.close()
    child, _, _ = told(holder, spec_of(tmp_path))
    assert child.wait(10) == 7
