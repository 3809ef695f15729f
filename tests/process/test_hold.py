"""The holder as a process of its own, and control's side of it: real processes, real deaths."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from channeld.base.errors import ProcessError, SpawnError
from channeld.process.child import ChildSpec
from channeld.process.hold_client import HolderClient, connect, start_holder
from channeld.process.hold_socket import connect as connect_socket
from channeld.process.holding import HeldChild, HeldExit

Until = Callable[[Callable[[], object]], None]
Start = Callable[..., HolderClient]
SLEEPER = ChildSpec("sleeper", ("sleep", "60"))


def nobody() -> None:
    """An `on_lost` that does not matter."""


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def shell(script: str, **values: object) -> ChildSpec:
    return ChildSpec("shell", ("sh", "-c", script), **values)  # type: ignore[arg-type]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts or finds the holder of the test's folder; what was started ends with the test."""
    clients: list[HolderClient] = []

    def connect_here(**values: object) -> HolderClient:
        wanted = {"linger_s": 60.0, "on_lost": nobody, "arguments": ("--log-level", "warning"), **values}
        clients.append(start_holder(tmp_path / "run", **wanted))  # type: ignore[arg-type]
        return clients[-1]

    yield connect_here
    for client in reversed(clients):
        client.end(grace_s=0.5)


@pytest.fixture
def client(start: Start) -> HolderClient:
    return start()


def test_a_child_is_started_told_and_its_exit_known(client: HolderClient) -> None:
    lines: list[str] = []
    ends: list[int] = []
    child = client.spawn(shell("echo one >&2; echo two >&2; exit 7"), on_line=lines.append, on_exit=ends.append)
    assert child.wait(20) == 7
    assert (lines, ends, child.stderr_tail, child.poll()) == (["one", "two"], [7], "one\ntwo", 7)
    assert client.held().children == ()


def test_a_program_that_is_missing_is_told_as_such(client: HolderClient) -> None:
    with pytest.raises(SpawnError, match="no-such-program is not installed"):
        client.spawn(ChildSpec("x", ("no-such-program",)))


def test_a_child_has_its_wire_as_stdin_and_writes_where_it_was_told(client: HolderClient) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read_end, write_end = os.pipe()
    program = "import socket; s = socket.socket(fileno=0); s.send(s.recv(100).upper()); print('out')"
    child = client.spawn(ChildSpec("echo", (sys.executable, "-c", program), stdin=theirs.fileno(), stdout=write_end))
    theirs.close()
    os.close(write_end)
    with ours:
        ours.send(b"hello")
        ours.settimeout(20)
        assert ours.recv(100) == b"HELLO"
    assert child.wait(20) == 0
    assert os.read(read_end, 100) == b"out\n"
    os.close(read_end)


def test_signals_reach_a_child_and_terminate_kills_what_does_not_listen(client: HolderClient, until: Until) -> None:
    child = client.spawn(shell("trap '' INT; echo up >&2; while :; do sleep 0.05; done"))
    until(lambda: "up" in child.stderr_tail)
    assert child.usage() is not None
    assert child.terminate(0.05) == -signal.SIGKILL
    assert child.usage() is None
    child.signal(signal.SIGINT)


def test_descriptors_are_kept_lent_and_released(client: HolderClient) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    client.keep_fd("spare", write_end)
    os.close(write_end)
    with pytest.raises(BlockingIOError):
        os.read(read_end, 1)
    lent = client.borrow("spare")
    os.write(lent, b"x")
    os.close(lent)
    assert client.held().fds == ("spare",)
    client.release("spare")
    client.release("spare")
    assert os.read(read_end, 2) == b"x"
    assert os.read(read_end, 2) == b""
    os.close(read_end)
    with pytest.raises(KeyError):
        client.borrow("spare")


def test_lines_of_two_kinds_are_told_but_not_kept_or_neither(client: HolderClient) -> None:
    script = "echo kept >&2; echo out_time_us=5 >&2; echo speed=1x >&2; echo last >&2"
    lines: list[str] = []
    child = client.spawn(shell(script, told_only=("out_time_us=",), dropped=("speed=",)), on_line=lines.append)
    child.wait(20)
    assert lines == ["kept", "out_time_us=5", "last"]
    assert child.stderr_tail == "kept\nlast"


def test_children_live_on_when_control_parts_and_are_adopted_by_the_next(start: Start, until: Until, tmp_path: Path) -> None:
    first = start()
    script = "echo born >&2; until [ -e go ]; do sleep 0.02; done; echo seen >&2; exec sleep 60"
    child = first.spawn(ChildSpec("one", ("sh", "-c", f"cd {tmp_path}; {script}"), digest="abc"))
    until(lambda: child.stderr_tail == "born")
    null = os.open("/dev/null", os.O_RDONLY)
    first.keep_fd("spare", null)
    os.close(null)
    first.close()
    assert child.poll() is None
    second = start()
    assert second.pid == first.pid, "it was found, not started"
    held = second.held()
    assert (held.children, held.fds) == ((HeldChild("one", child.pid, "abc"),), ("spare",))
    lines: list[str] = []
    ends: list[int] = []
    adopted = second.adopt("one", on_line=lines.append, on_exit=ends.append)
    assert (adopted.pid, adopted.stderr_tail) == (child.pid, "born")
    (tmp_path / "go").touch()
    until(lambda: lines == ["seen"])
    assert adopted.terminate() == -signal.SIGINT
    assert ends == [-signal.SIGINT]
    with pytest.raises(KeyError):
        second.adopt("one")


def test_what_ends_while_nobody_listens_is_told_to_the_next_control_once(start: Start, until: Until) -> None:
    first = start()
    child = first.spawn(shell("echo bye >&2; read line; exit 3", stdin=(pipe := os.pipe())[0]))
    until(lambda: child.stderr_tail == "bye")
    first.close()
    os.close(pipe[0])
    os.close(pipe[1])
    until(lambda: not lives(child.pid))
    second = start()
    exits: list[HeldExit] = []
    until(lambda: exits or exits.extend(second.held().exits) or exits)
    assert exits == [HeldExit("shell", child.pid, 3, "bye")]
    assert second.held().exits == ()


def test_a_control_that_was_killed_leaves_its_children_to_the_next(start: Start, tmp_path: Path, until: Until) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom channeld.process.child import ChildSpec\n"
        "from channeld.process.hold_client import start_holder\n"
        "holder = start_holder(Path(sys.argv[1]), linger_s=60, on_lost=lambda: None)\n"
        "print(holder.pid, holder.spawn(ChildSpec('one', ('sleep', '60'))).pid, flush=True)\ntime.sleep(60)"
    )
    line = [sys.executable, "-c", program, str(tmp_path / "run")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as control:
        assert control.stdout is not None
        holder_pid, child_pid = map(int, control.stdout.readline().split())
        control.kill()
    client = start()
    assert client.pid == holder_pid
    assert client.adopt("one").pid == child_pid
    assert os.getsid(holder_pid) == holder_pid


def test_a_new_control_takes_over_from_one_that_is_still_there(start: Start, until: Until) -> None:
    lost = threading.Event()
    first = start(on_lost=lost.set)
    child = first.spawn(SLEEPER)
    second = start()
    assert lost.wait(20)
    assert child.status == -9  # to the first it is gone
    with pytest.raises(SpawnError):
        first.spawn(SLEEPER)
    assert second.adopt("sleeper").poll() is None


def test_a_killed_holder_takes_its_children_along_and_control_is_told(start: Start, until: Until) -> None:
    lost = threading.Event()
    client = start(on_lost=lost.set)
    ends: list[int] = []
    children = [client.spawn(SLEEPER, on_exit=ends.append) for _ in range(3)]
    until(lambda: all(psutil.Process(child.pid).name() == "sleep" for child in children))
    os.kill(client.pid, signal.SIGKILL)
    assert lost.wait(20)
    assert ends == [-9, -9, -9]
    assert [child.wait(0) for child in children] == [-9, -9, -9]
    assert "the holder is gone" in children[0].stderr_tail
    until(lambda: not any(lives(child.pid) for child in children))
    with pytest.raises(SpawnError, match="gone"):
        client.spawn(SLEEPER)
    again = start()
    assert again.pid != client.pid


def test_a_question_that_waits_when_the_holder_dies_is_refused(client: HolderClient) -> None:
    os.kill(client.pid, signal.SIGSTOP)
    refused = threading.Event()

    def ask() -> None:
        with pytest.raises(SpawnError, match=r"gone|cannot be asked"):  # it may die before the question is written
            client.spawn(SLEEPER)
        refused.set()

    thread = threading.Thread(target=ask)
    thread.start()
    os.kill(client.pid, signal.SIGKILL)
    thread.join(20)
    assert refused.is_set()


def test_asking_in_a_callback_is_an_error_not_a_deadlock(client: HolderClient, until: Until) -> None:
    told: list[str] = []

    def ask(_: int) -> None:
        with pytest.raises(RuntimeError, match="callback"):
            client.held()
        told.append("refused")

    client.spawn(ChildSpec("quick", ("true",)), on_exit=ask)
    until(lambda: told)


def test_end_leaves_no_process_no_socket_no_thread_and_no_descriptor(start: Start, tmp_path: Path) -> None:
    fds, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())  # noqa: PTH208 (names only)
    client = start()
    stubborn = client.spawn(shell("trap '' INT; while :; do sleep 60; done"))
    children = [stubborn, *(client.spawn(SLEEPER) for _ in range(3))]
    client.end(grace_s=0.1)
    client.end()
    assert not any(lives(child.pid) for child in children)
    assert all(child.poll() is not None for child in children)
    assert not psutil.pid_exists(client.pid)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["hold.sock.lock"]
    assert set(os.listdir("/proc/self/fd")) == fds  # noqa: PTH208
    assert set(threading.enumerate()) == threads


def test_sigterm_ends_everything_and_sigint_does_not_reach_it(client: HolderClient, until: Until) -> None:
    child = client.spawn(SLEEPER)
    os.kill(client.pid, signal.SIGINT)
    assert client.held().children
    os.kill(client.pid, signal.SIGTERM)
    assert child.wait(20) == -signal.SIGINT
    until(lambda: not psutil.pid_exists(client.pid))


def test_without_control_for_its_time_it_ends_by_itself(start: Start, until: Until) -> None:
    client = start(linger_s=0.2)
    child = client.spawn(SLEEPER)
    client.close()
    until(lambda: not lives(client.pid) and not lives(child.pid))


def test_a_second_holder_is_refused_and_told_who_is_there(client: HolderClient, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "channeld.process.hold", "--socket", str(tmp_path / "run" / "hold.sock")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert f"pid {client.pid}" in done.stderr
    assert client.held().children == ()


def test_the_socket_of_a_dead_holder_is_replaced_and_is_for_us_alone(start: Start, tmp_path: Path, until: Until) -> None:
    path = tmp_path / "run" / "hold.sock"
    first = start()
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not first.alive)
    assert path.exists()
    assert connect(path, nobody) is None
    assert start().pid != first.pid
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hold.sock"
    path.write_text("precious")
    line = [sys.executable, "-m", "channeld.process.hold", "--socket", str(path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert (done.returncode, path.read_text()) == (1, "precious")


def test_a_malformed_message_or_one_before_hello_closes_only_its_own_connection(client: HolderClient, tmp_path: Path) -> None:
    child = client.spawn(SLEEPER)
    datagrams = [
        b"\x00\xff garbage",
        b"[]",
        b"{}",
        b"[" * 60_000,
        json.dumps({"kind": "hello"}).encode(),
        json.dumps({"kind": "spawn", "id": 1, "child": {}}).encode(),
        json.dumps({"kind": "end", "id": 1, "grace_s": 0}).encode(),
    ]
    for datagram in datagrams:
        end = connect_socket(tmp_path / "run" / "hold.sock")
        assert end is not None
        with end:
            end.settimeout(20)
            end.send(datagram)
            assert end.recv(100) == b""
    assert (client.held().children[0].pid, child.poll()) == (child.pid, None)


def test_a_malformed_question_of_control_costs_it_its_connection_and_no_child(start: Start, until: Until) -> None:
    lost = threading.Event()
    first = start(on_lost=lost.set)
    pid = first.spawn(SLEEPER).pid
    first._wire.send("spawn", id=1, child={"name": "x"})
    assert lost.wait(20)
    assert start().adopt("sleeper").pid == pid


def test_many_strangers_neither_fill_it_nor_disturb_control(client: HolderClient, tmp_path: Path) -> None:
    ends = [end for _ in range(30) if (end := connect_socket(tmp_path / "run" / "hold.sock"))]
    client.spawn(ChildSpec("quick", ("true",))).wait(20)
    assert len(psutil.Process(client.pid).open_files()) < 20
    assert psutil.Process(client.pid).num_fds() < 40
    for end in ends:
        end.close()


def test_a_control_of_another_version_is_told_so(client: HolderClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channeld.process.hold_client.PROTOCOL", 99)
    with pytest.raises(ProcessError, match="another version"):
        connect(tmp_path / "run" / "hold.sock", nobody)
    assert client.held().children == ()


def test_a_control_that_does_not_read_holds_up_nobody_and_goes_on_when_it_reads_again(client: HolderClient, until: Until) -> None:
    """The reading thread waits in a callback while a child writes many times what a socket holds."""
    go_on, waiting = threading.Event(), threading.Event()
    lines: list[str] = []

    def wait_once(line: str) -> None:
        lines.append(line)
        waiting.set()
        go_on.wait(60)

    writer = client.spawn(shell("echo first >&2; yes abcdefghijklmnopqrstuvwxyz | head -c 16000000 >&2; exit 5"), on_line=wait_once)
    assert waiting.wait(20)
    until(lambda: not lives(writer.pid))  # the holder read all of it, and reaped
    go_on.set()
    assert writer.wait(60) == 5
    assert lines[0] == "first" and len(lines) < 300_000


def test_many_children_from_many_threads_are_all_told_to_end(client: HolderClient, until: Until) -> None:
    ends: list[int] = []

    def spawn_some() -> None:
        for n in range(5):
            client.spawn(ChildSpec("quick", ("sh", "-c", f"exit {n}")), on_exit=ends.append)

    threads = [threading.Thread(target=spawn_some) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    until(lambda: len(ends) == 40)
    assert sorted(ends) == sorted(list(range(5)) * 8)


def test_more_than_a_datagram_is_listed_in_pages(start: Start, until: Until) -> None:
    """Tails full of what JSON writes six times as long, of children that ended while nobody listened."""
    first = start()
    script = "read line; yes \"$(printf '\\1\\2\\3\\4\\5\\6\\7')\" | head -c 9000 >&2"
    read_end, write_end = os.pipe()
    children = [first.spawn(ChildSpec(f"c{n}", ("sh", "-c", script), stdin=read_end)) for n in range(8)]
    first.close()
    os.close(read_end)
    os.close(write_end)
    until(lambda: not any(lives(child.pid) for child in children))
    exits: list[HeldExit] = []
    second = start()
    until(lambda: exits.extend(second.held().exits) or len(exits) == len(children))
    assert sum(len(each.stderr_tail) for each in exits) > 60_000
    assert {each.name for each in exits} == {child.name for child in children}


def test_a_socket_may_lie_deeper_than_an_address_is_long(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 10)
    client = start_holder(folder, linger_s=60, on_lost=nobody)
    try:
        assert client.spawn(ChildSpec("quick", ("true",))).wait(20) == 0
    finally:
        client.end()
