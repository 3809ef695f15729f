"""The holder: what it keeps, and that it leaves nothing behind."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from channeld.base.errors import SpawnError
from channeld.process.child import ChildSpec
from channeld.process.holder import Holder
from channeld.process.holding import Held, HeldChild

Until = Callable[[Callable[[], object]], None]
SLEEPER = ChildSpec("sleeper", ("sleep", "60"))


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names only)


def test_it_lists_what_it_holds_and_forgets_what_is_gone(holder: Holder, until: Until) -> None:
    child = holder.spawn(SLEEPER)
    read_end, write_end = os.pipe()
    holder.keep_fd("spare", write_end)
    assert holder.held() == Held((HeldChild("sleeper", child.pid),), ("spare",))
    child.terminate()
    holder.release("spare")
    until(lambda: holder.held() == Held((), ()))
    os.close(read_end)
    os.close(write_end)


def test_a_kept_write_end_keeps_a_pipe_from_ending_until_it_is_released(holder: Holder) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    holder.keep_fd("spare", write_end)
    os.close(write_end)
    with pytest.raises(BlockingIOError):
        os.read(read_end, 1)
    holder.release("spare")
    holder.release("spare")
    assert os.read(read_end, 1) == b""
    os.close(read_end)


def test_a_borrowed_descriptor_is_the_borrowers_own(holder: Holder, tmp_path: Path) -> None:
    fd = os.memfd_create("bus")
    os.write(fd, b"slices")
    holder.keep_fd("bus", fd)
    os.close(fd)
    borrowed = holder.borrow("bus")
    holder.release("bus")
    assert os.pread(borrowed, 6, 0) == b"slices"
    os.close(borrowed)
    with pytest.raises(KeyError):
        holder.borrow("bus")


def test_keeping_under_a_taken_name_closes_what_was_kept(holder: Holder) -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    holder.keep_fd("x", fd)
    before = open_fds()
    holder.keep_fd("x", fd)
    assert len(open_fds()) == len(before)
    os.close(fd)


def test_close_ends_every_child_and_leaves_no_descriptor_and_no_thread() -> None:
    fds, threads = open_fds(), set(threading.enumerate())
    holder = Holder()
    stubborn = holder.spawn(ChildSpec("stubborn", ("sh", "-c", "trap '' INT; echo up >&2; while :; do sleep 60; done")))
    children = [stubborn, *(holder.spawn(SLEEPER) for _ in range(5))]
    null = os.open("/dev/null", os.O_RDONLY)
    holder.keep_fd("spare", null)
    os.close(null)
    holder.close(grace_s=0.1)
    holder.close()
    assert all(child.poll() is not None and not psutil.pid_exists(child.pid) for child in children)
    assert open_fds() == fds
    assert set(threading.enumerate()) == threads


def test_a_closed_holder_starts_nothing_and_keeps_nothing() -> None:
    holder = Holder()
    holder.close()
    fds = open_fds()
    with pytest.raises(SpawnError, match="closed"):
        holder.spawn(SLEEPER)
    holder.keep_fd("x", 0)
    assert open_fds() == fds


def test_children_asked_for_while_it_closes_are_refused_or_ended() -> None:
    """No child is missed by a close that comes in the midst of starts."""
    holder = Holder()
    started: list[int] = []
    going = threading.Event()

    def spawn_until_refused() -> None:
        try:
            for _ in range(200):
                started.append(holder.spawn(SLEEPER).pid)
                going.set()
        except SpawnError:
            return

    thread = threading.Thread(target=spawn_until_refused)
    thread.start()
    assert going.wait(20)
    holder.close()
    thread.join(20)
    assert not thread.is_alive()
    assert started and not [pid for pid in started if psutil.pid_exists(pid)]


def test_many_children_started_from_many_threads_are_all_told_to_end(holder: Holder, until: Until) -> None:
    ends: list[int] = []

    def spawn_some() -> None:
        for n in range(5):
            holder.spawn(ChildSpec("quick", ("sh", "-c", f"exit {n}")), on_exit=ends.append)

    threads = [threading.Thread(target=spawn_some) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    until(lambda: len(ends) == 40)
    until(lambda: holder.held().children == ())
    assert sorted(ends) == sorted(list(range(5)) * 8)


def test_spawning_from_a_callback_is_an_error_not_a_deadlock(holder: Holder, until: Until) -> None:
    told: list[str] = []

    def spawn_again(_: int) -> None:
        with pytest.raises(RuntimeError, match="callback"):
            holder.spawn(SLEEPER)
        told.append("refused")

    holder.spawn(ChildSpec("quick", ("true",)), on_exit=spawn_again)
    until(lambda: told)
