"""Permanent parent of children and keeper of descriptors that must outlive whoever uses them.

Rule: the holder decides nothing. It starts what it is told, reads stderr, reaps, keeps descriptors by name, and ends
everything in reverse order when closed. Plain values and descriptors only go in and out. Made and closed by the process
of `process.hold`, or by a program that wants its children in the same process; all methods are safe from any thread but its own.

| what                      | made by          | waited for by         | closed by                      |
|---------------------------|------------------|-----------------------|--------------------------------|
| thread `holder:spawner`   | Holder           | Holder.close          | Holder.close, after all else   |
| child, its pidfd, stderr  | spawner thread   | spawner thread        | spawner thread, when it ends   |
| kept descriptor (a dup)   | Holder.keep_fd   | -                     | Holder.release or Holder.close |
| wake eventfd, epoll       | Spawner          | -                     | Holder.close                   |
"""

import contextlib
import os
import queue
import selectors
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from channeld.base.errors import SpawnError
from channeld.base.worker import Worker
from channeld.process.child import Child, ChildSpec, OnExit, OnLine, start_child
from channeld.process.forked import ForkedProcess, ServerLost, fork_child, server_wire
from channeld.process.holding import Held, HeldChild
from channeld.telemetry import log

_log = log.get("holder")
_SPAWN_TIMEOUT_S = 10.0


class Spawner(Worker):
    """The one thread that starts children, reads their stderr and reaps them; tells each start and end in this thread."""

    def __init__(
        self,
        fork: Callable[[ChildSpec], ForkedProcess | None],
        on_started: Callable[[Child], None],
        on_gone: Callable[[Child], None],
        *,
        is_alone: bool,
    ) -> None:
        super().__init__("holder:spawner")
        self._is_alone = is_alone
        self._fork, self._on_started, self._on_gone = fork, on_started, on_gone
        self._refusing = False
        self._living: set[int] = set()
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_fd, selectors.EVENT_READ, self._serve_requests)

    def run(self) -> None:
        while not self.stopping.is_set():
            for key, _ in self._selector.select():
                if key.fd in self._selector.get_map():  # an earlier event of this round may have closed it
                    key.data()

    def wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    def start_soon(
        self, spec: ChildSpec, on_line: OnLine | None, on_exit: OnExit | None, on_start: Callable[[Child], None]
    ) -> "Future[Child]":
        """Start a child in the spawner's thread."""
        result: Future[Child] = Future()

        def start() -> None:
            try:
                if self._refusing:
                    raise SpawnError(f"{spec.name}: the holder is closed")
                forked = self._fork(spec)
                if forked is not None:
                    child = _child_of(forked, spec, on_line, on_exit)
                else:
                    child = start_child(spec, on_line=on_line, on_exit=on_exit)
            except (SpawnError, OSError) as error:  # whatever is wrong with one child, this thread is all children's
                result.set_exception(error if isinstance(error, SpawnError) else SpawnError(f"{spec.name}: {error}"))
                return
            self._living.add(child.pid)
            self._selector.register(child.stderr, selectors.EVENT_READ, lambda: self._read(child))
            self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._reap(child))
            self._on_started(child)
            on_start(child)
            result.set_result(child)

        self._ask(start)
        return result

    def refuse_soon(self) -> "Future[None]":
        """Start no more children; done when every start asked for before is done."""
        result: Future[None] = Future()

        def refuse() -> None:
            self._refusing = True
            result.set_result(None)

        self._ask(refuse)
        return result

    def close_fds(self) -> None:
        """Close what the thread waited on; call after close()."""
        self._selector.close()
        os.close(self._wake_fd)

    def _ask(self, request: Callable[[], None]) -> None:
        self._requests.put(request)
        self.wake()

    def _serve_requests(self) -> None:
        os.eventfd_read(self._wake_fd)
        with contextlib.suppress(queue.Empty):
            while True:
                self._requests.get_nowait()()

    def _read(self, child: Child) -> None:
        if not child.read_stderr():
            self._selector.unregister(child.stderr)

    def _reap(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        if child.stderr in self._selector.get_map():
            self._selector.unregister(child.stderr)
        child.reap()
        self._living.discard(child.pid)
        self._on_gone(child)
        self._bury_strangers()

    def _bury_strangers(self) -> None:
        """Reap what a fork server made for us after we had stopped waiting for it: children of this process that nobody knows."""
        if not self._is_alone:
            return
        with contextlib.suppress(ChildProcessError):  # no child at all
            # One that is known has an event of its own to come, and whatever is behind it the next turn.
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in self._living:
                os.waitpid(ended.si_pid, 0)
                _log.debug("stranger_buried", pid=ended.si_pid)


def _child_of(forked: ForkedProcess, spec: ChildSpec, on_line: OnLine | None, on_exit: OnExit | None) -> Child:
    try:
        return Child(spec, forked, on_line=on_line, on_exit=on_exit)
    except OSError:  # no descriptor is free: nobody could watch it
        os.kill(forked.pid, signal.SIGKILL)
        forked.wait()
        forked.stderr.close()
        raise


class Holder:
    """A holder inside this process. `is_alone`: nothing else in it starts processes."""

    def __init__(self, *, is_alone: bool = False) -> None:
        self._lock = threading.Lock()  # guards children, fds and closed; never held over a wait
        self._children: dict[int, Child] = {}
        self._fds: dict[str, int] = {}
        self._closed = False
        self._spawner = Spawner(self._fork, self._remember, self._forget, is_alone=is_alone)
        self._spawner.start()

    def spawn(
        self,
        spec: ChildSpec,
        *,
        on_line: OnLine | None = None,
        on_exit: OnExit | None = None,
        on_start: Callable[[Child], None] = lambda child: None,
    ) -> Child:
        """Start a child. Callbacks run in the spawner's thread: they must be quick and may not call spawn.

        `on_start` comes before every line and the exit.
        Raises SpawnError when the program cannot be started or the holder is closed.
        """
        if threading.current_thread().name == "holder:spawner":
            raise RuntimeError("spawn called in a callback of the spawner's own thread")
        if self._closed:
            raise SpawnError(f"{spec.name}: the holder is closed")
        try:
            child = self._spawner.start_soon(spec, on_line, on_exit, on_start).result(_SPAWN_TIMEOUT_S)
        except TimeoutError:
            raise SpawnError(f"{spec.name}: no answer from the spawner within {_SPAWN_TIMEOUT_S:g} s") from None
        return child

    def adopt(self, name: str, *, on_line: OnLine | None = None, on_exit: OnExit | None = None) -> Child:
        """The newest living child of that name, which tells these callbacks from now on. Raises KeyError."""
        with self._lock:
            children = [child for child in self._children.values() if child.name == name]
        if not children or not children[-1].watch(on_line, on_exit):
            raise KeyError(name)
        return children[-1]

    def keep_fd(self, name: str, fd: int) -> None:
        """Keep a duplicate of a descriptor under a name, in place of one kept before; the caller keeps its own."""
        copy = os.dup(fd)
        with self._lock:
            old = copy if self._closed else self._fds.pop(name, None)
            if not self._closed:
                self._fds[name] = copy
        if old is not None:
            os.close(old)

    def borrow(self, name: str) -> int:
        """A duplicate of a kept descriptor, owned by the caller. Raises KeyError."""
        with self._lock:
            return os.dup(self._fds[name])

    def release(self, name: str) -> None:
        """Close a kept descriptor; nothing happens if there is none."""
        with self._lock:
            fd = self._fds.pop(name, None)
        if fd is not None:
            os.close(fd)

    def held(self) -> Held:
        """Living children and kept descriptors."""
        with self._lock:
            children = tuple(HeldChild(each.name, each.pid, each.spec.digest) for each in self._children.values())
            return Held(children, tuple(self._fds))

    def close(self, grace_s: float = 3.0) -> None:
        """End all children (INT, after `grace_s` seconds KILL), newest first, then descriptors, then the thread; idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._spawner.refuse_soon().result(_SPAWN_TIMEOUT_S)
        with self._lock:
            children = list(reversed(self._children.values()))
        for child in children:
            child.signal(signal.SIGINT)
        ends = time.monotonic() + grace_s
        for child in children:
            try:
                child.wait(max(0.0, ends - time.monotonic()))
            except TimeoutError:
                child.terminate(0.0)
        for name in reversed(self.held().fds):
            self.release(name)
        self._spawner.close()
        self._spawner.close_fds()

    def _fork(self, spec: ChildSpec) -> ForkedProcess | None:
        """Spawner's thread: a child from the fork server that the spec names; None where it is to be started as a program."""
        if not spec.forked_by:
            return None
        try:
            server = server_wire(self.borrow(spec.forked_by))
        except (KeyError, OSError):
            return None
        try:
            return fork_child(spec, server)
        except SpawnError as error:
            _log.warning("fork_server_failed", child=spec.name, server=spec.forked_by, error=str(error), consequence="started as a program")
            if not isinstance(error, ServerLost):
                return None
            self.release(spec.forked_by)
            with self._lock:
                stuck = [child for child in self._children.values() if child.name == spec.forked_by]
            for child in stuck:
                child.signal(signal.SIGKILL)  # whoever started it is told, and starts another
            return None
        finally:
            server.close()

    def _remember(self, child: Child) -> None:
        with self._lock:
            self._children[child.pid] = child
        _log.debug("child_started", child=child.name, pid=child.pid)

    def _forget(self, child: Child) -> None:
        with self._lock:
            self._children.pop(child.pid, None)
        _log.debug("child_ended", child=child.name, pid=child.pid, status=child.status)
