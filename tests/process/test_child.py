"""Children: real processes, their limits, their ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import psutil
import pytest

from channeld.base.errors import SpawnError
from channeld.process.child import LINE_BYTES, TAIL_BYTES, Child, ChildSpec, Limits, StderrTail
from channeld.process.confine import clean_environment
from channeld.process.holder import Holder

Until = Callable[[Callable[[], object]], None]


def shell(script: str, **values: object) -> ChildSpec:
    return ChildSpec("shell", ("sh", "-c", script), **values)  # type: ignore[arg-type]


def output_of(holder: Holder, spec: ChildSpec) -> str:
    child = holder.spawn(spec)
    child.wait(20)
    return child.stderr_tail


def test_the_exit_status_and_the_last_lines_are_kept(holder: Holder) -> None:
    child = holder.spawn(shell("echo one >&2; echo two >&2; exit 7"))
    assert child.wait(20) == 7
    assert (child.poll(), child.status, child.stderr_tail) == (7, 7, "one\ntwo")


def test_a_child_ended_by_a_signal_has_its_negative_number_as_status(holder: Holder) -> None:
    assert holder.spawn(shell("kill -TERM $$")).wait(20) == -signal.SIGTERM


def test_a_living_child_has_no_status_and_waiting_for_it_times_out(holder: Holder) -> None:
    child = holder.spawn(ChildSpec("sleeper", ("sleep", "60")))
    assert child.poll() is None
    with pytest.raises(TimeoutError, match="sleeper"):
        child.wait(0.01)


def test_a_missing_program_is_told_as_such(holder: Holder) -> None:
    with pytest.raises(SpawnError, match="no-such-program is not installed"):
        holder.spawn(ChildSpec("x", ("no-such-program",)))


def test_the_pid_is_the_programs_own_and_leads_its_own_group(holder: Holder) -> None:
    child = holder.spawn(ChildSpec("sleeper", ("sleep", "60"), limits=Limits(open_files=32), nice=3))
    assert os.getpgid(child.pid) == child.pid != os.getpgrp()


def test_a_child_sees_a_clean_environment(holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", "file=/tmp/x")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    seen = {line.partition("=")[0] for line in output_of(holder, shell("env >&2")).splitlines()}
    assert seen - {"PWD", "_", "SHLVL", "OLDPWD"} == {"PATH", "LANG", "TZ"}
    assert clean_environment()["LANG"] == "C.UTF-8"


def test_limits_and_niceness_reach_the_program(holder: Holder) -> None:
    limits = Limits(address_space_bytes=512 << 20, file_size_bytes=1 << 20, open_files=40, cpu_s=9)
    script = "ulimit -v >&2; ulimit -f >&2; ulimit -n >&2; ulimit -t >&2; nice >&2"
    expected = [str(512 << 10), str((1 << 20) // 512), "40", "9", str(os.nice(0) + 4)]
    assert output_of(holder, shell(script, limits=limits, nice=4)).splitlines() == expected


WRITES_AND_LISTS = """
import os, sys
os.write(0, b"hello")
for fd in os.listdir("/proc/self/fd"):
    if os.path.exists(f"/proc/self/fd/{fd}"):  # not the one that listed
        print(fd, file=sys.stderr)
"""


def test_a_child_gets_the_descriptors_it_was_given_and_no_other(holder: Holder) -> None:
    read_end, write_end = os.pipe()
    other = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(other, True)
    os.set_blocking(read_end, False)
    try:
        spec = ChildSpec("lister", (sys.executable, "-c", WRITES_AND_LISTS), stdin=write_end)
        fds = {int(fd) for fd in output_of(holder, spec).split()}
        assert os.read(read_end, 100) == b"hello"
        assert fds == {0, 1, 2}
    finally:
        for fd in (read_end, write_end, other):
            os.close(fd)


def test_stdout_goes_where_it_was_told(holder: Holder) -> None:
    read_end, write_end = os.pipe()
    try:
        holder.spawn(shell("echo out", stdout=write_end)).wait(20)
        assert os.read(read_end, 100) == b"out\n"
    finally:
        os.close(read_end)
        os.close(write_end)


def test_terminate_asks_with_int_first(holder: Holder, until: Until) -> None:
    child = holder.spawn(shell("trap 'echo asked >&2; exit 3' INT; echo up >&2; while :; do sleep 0.05; done"))
    until(lambda: "up" in child.stderr_tail)
    assert child.terminate(grace_s=20) == 3
    assert "asked" in child.stderr_tail


def test_terminate_kills_what_does_not_listen_with_its_whole_group(holder: Holder, until: Until) -> None:
    child = holder.spawn(shell("trap '' INT; sleep 300 & echo $! >&2; while :; do wait; done"))
    until(lambda: child.stderr_tail)
    grandchild = int(child.stderr_tail)
    assert child.terminate(grace_s=0.05) == -signal.SIGKILL
    until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)
    assert child.terminate() == -signal.SIGKILL


def test_a_grandchild_left_behind_by_an_exit_is_ended_too(holder: Holder, until: Until) -> None:
    child = holder.spawn(shell("sleep 300 & echo $! >&2"))
    assert child.wait(20) == 0
    grandchild = int(child.stderr_tail)
    until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)


def test_a_signal_to_a_child_that_is_gone_does_nothing(holder: Holder) -> None:
    child = holder.spawn(shell("exit 0"))
    child.wait(20)
    child.signal(signal.SIGKILL)


def test_lines_and_the_exit_are_told_redacted_and_before_wait_returns(holder: Holder) -> None:
    lines: list[str] = []
    ends: list[int] = []
    script = "echo 'Error opening rtmp://a.example/live/SECRET gone' >&2; printf unfinished >&2; exit 4"
    holder.spawn(shell(script), on_line=lines.append, on_exit=ends.append).wait(20)
    assert lines == ["Error opening rtmp://a.example/live/*** gone", "unfinished"]
    assert ends == [4]


def test_a_callback_that_fails_harms_neither_its_child_nor_another(holder: Holder) -> None:
    other = holder.spawn(ChildSpec("sleeper", ("sleep", "60")))
    child = holder.spawn(shell("echo a >&2; echo b >&2"), on_line=lambda line: [][0])
    assert child.wait(20) == 0
    assert child.stderr_tail == "a\nb"
    assert other.poll() is None


def test_the_tail_stays_bounded_whatever_a_child_writes(holder: Holder) -> None:
    child = holder.spawn(shell("yes abcdefgh | head -c 400000 >&2; head -c 300000 /dev/zero | tr '\\0' x >&2"))
    assert child.wait(20) == 0
    assert 0 < len(child.stderr_tail) <= TAIL_BYTES


def test_a_line_without_end_is_cut() -> None:
    tail = StderrTail()
    assert [len(line) for line in tail.feed(b"x" * (LINE_BYTES + 1))] == [LINE_BYTES]
    assert tail.feed(b"y\rz\n") == ["y", "z"]


def test_usage_shows_a_living_child_and_nothing_of_a_gone_one(holder: Holder, until: Until) -> None:
    child = holder.spawn(ChildSpec("burner", (sys.executable, "-c", "while True: pass")))

    def has_burnt() -> bool:
        usage = child.usage()
        return usage is not None and usage.cpu_s > 0 and usage.rss_bytes > 0 and usage.threads >= 1

    until(has_burnt)
    child.terminate()
    assert child.usage() is None


SPAWNS_AND_WAITS = """
import sys, time
from channeld.process.child import ChildSpec
from channeld.process.holder import Holder
from channeld.telemetry import log
log.configure("warning")
print(Holder().spawn(ChildSpec("sleeper", ("sleep", "300"))).pid, flush=True)
time.sleep(300)
"""


def test_a_child_dies_with_the_process_that_holds_it(until: Until) -> None:
    with subprocess.Popen([sys.executable, "-c", SPAWNS_AND_WAITS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        try:
            until(lambda: psutil.Process(pid).name() == "sleep")  # the wrappers have replaced themselves
        finally:
            parent.kill()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_child_survives_the_thread_that_asked_for_it(holder: Holder, until: Until) -> None:
    started: list[Child] = []
    thread = threading.Thread(target=lambda: started.append(holder.spawn(ChildSpec("sleeper", ("sleep", "60")))))
    thread.start()
    thread.join(20)
    until(lambda: psutil.Process(started[0].pid).name() == "sleep")
    assert started[0].poll() is None
