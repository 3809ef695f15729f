"""Control's side of a holder in a process of its own: asks it, and hands on what its children say.

Rule: whatever becomes of the holder, nobody waits for ever: a question is answered within ASK_S or raises SpawnError, and
when the holder is gone every child is told as ended (it is: the holder's death takes its children along).

| what                             | made by                  | waited for by    | closed by                         |
|----------------------------------|--------------------------|------------------|-----------------------------------|
| holder process                   | start_holder             | HolderClient     | end(); or it outlives us          |
| connection, thread `holder:told` | HolderClient             | close(), end()   | close(), end(), the holder's end  |
| descriptor lent by the holder    | borrow                   | -                | whoever borrowed it               |
"""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

from channeld.base.errors import ProcessError, SpawnError
from channeld.base.wire import Message, Wire
from channeld.base.worker import Worker
from channeld.process.child import ChildSpec, OnExit, OnLine
from channeld.process.confine import python_environment
from channeld.process.hold_messages import MAX_EXITS, PROTOCOL, spec_values
from channeld.process.hold_socket import connect as connect_socket
from channeld.process.holding import Held, HeldChild, HeldExit
from channeld.process.remote_child import RemoteChild
from channeld.telemetry import log

ASK_S = 12.0
"""A little more than a holder gives its spawner."""

START_S = 15.0
SOCKET_NAME = "hold.sock"
WAIT_VARIABLE = "CHANNELD_HOLDER_WAIT"
"""In the environment: seconds to wait for a holder that somebody else starts."""

_LOST_STATUS = -9
_ids = count(1)

_log = log.get("holder")


class _Question:
    """What waits for an answer: pages come together, then `understand` makes the result, in the reading thread."""

    def __init__(self, understand: Callable[[Message], Any]) -> None:
        self.understand = understand
        self.result: Future[Any] = Future()
        self.items: list[dict[str, Any]] = []


class HolderClient(Worker):
    """A connected holder; implements `Holding`. `on_lost` is called once, in the reading thread, when the holder ends unasked."""

    def __init__(self, end: socket.socket, *, on_lost: Callable[[], None], process: subprocess.Popen[bytes] | None = None) -> None:
        super().__init__("holder:told")
        # A holder that does not read for so long counts as gone (EAGAIN, socket(7)).
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(ASK_S), 0))
        self._socket = end
        self._wire = Wire(end)
        self._process, self._on_lost = process, on_lost
        self._lock = threading.Lock()  # guards questions, children and is_over; never held over a call
        self._questions: dict[int, _Question] = {}
        self._children: dict[int, RemoteChild] = {}
        self._is_over = self._is_superseded = False
        self._unseen: deque[HeldExit] = deque(maxlen=MAX_EXITS)
        self.pid = 0
        self.lingers = False
        """It ends when nobody comes back to it: a `channeld run` started it, and no service."""
        self.start()
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        answer: Message = self._ask("hello", lambda answer: answer, protocol=PROTOCOL)
        theirs = answer.values["protocol"]
        if theirs != PROTOCOL:
            raise ProcessError(f"the holder (pid {answer.values['pid']}) is of another version ({theirs}, not {PROTOCOL}): stop it")
        self.pid, self.lingers = answer.values["pid"], bool(answer.values["lingers"])

    # Holding

    def spawn(self, spec: ChildSpec, *, on_line: OnLine | None = None, on_exit: OnExit | None = None) -> RemoteChild:
        """Have the holder start a child. Raises SpawnError when it cannot, or is gone."""

        def understand(answer: Message) -> RemoteChild:
            if "error" in answer.values:
                raise SpawnError(answer.values["error"])
            child = RemoteChild(spec.name, answer.values["pid"], self._signal, told_only=spec.told_only)
            return self._watch(child, on_line, on_exit)

        fds = tuple(fd for fd in (spec.stdin, spec.stdout) if fd is not None)
        child: RemoteChild = self._ask("spawn", understand, fds, child=spec_values(spec))
        return child

    def adopt(self, name: str, *, on_line: OnLine | None = None, on_exit: OnExit | None = None) -> RemoteChild:
        """The newest living child of that name, which tells these callbacks from now on. Raises KeyError."""

        def understand(answer: Message) -> RemoteChild:
            values = answer.values
            if "error" in values:
                raise KeyError(name)
            child = RemoteChild(name, values["pid"], self._signal, told_only=tuple(values["told_only"]), tail=values["tail"])
            return self._watch(child, on_line, on_exit)

        child: RemoteChild = self._ask("adopt", understand, name=name)
        return child

    def keep_fd(self, name: str, fd: int) -> None:
        """Have a duplicate of a descriptor kept under a name, in place of one kept before. Raises SpawnError."""

        def understand(answer: Message) -> None:
            if "error" in answer.values:
                raise SpawnError(f"{name}: {answer.values['error']}")

        self._ask("keep", understand, (fd,), name=name)

    def borrow(self, name: str) -> int:
        """A duplicate of a kept descriptor, owned by the caller. Raises KeyError."""

        def understand(answer: Message) -> int:
            if "error" in answer.values:
                raise KeyError(name)
            return os.dup(answer.fds[0])

        fd: int = self._ask("borrow", understand, name=name)
        return fd

    def release(self, name: str) -> None:
        """Close a kept descriptor; nothing happens if there is none, or no holder any more."""
        with contextlib.suppress(SpawnError):
            self._ask("release", lambda answer: None, name=name)

    def held(self) -> Held:
        """Living children, kept descriptors, and what ended while no control was connected (told once, and logged)."""

        def understand(answer: Message) -> Held:
            items = answer.values["items"]
            unseen = [self._unseen.popleft() for _ in range(len(self._unseen))]
            children = [HeldChild(each["name"], each["pid"], each["digest"]) for each in items if each["is"] == "child"]
            exits = [HeldExit(each["name"], each["pid"], each["status"], each["tail"]) for each in items if each["is"] == "exit"]
            return Held(tuple(children), tuple(each["name"] for each in items if each["is"] == "fd"), (*exits, *unseen))

        held: Held = self._ask("held", understand)
        for each in held.exits:
            _log.warning("child_ended_unseen", child=each.name, pid=each.pid, status=each.status, tail=each.stderr_tail[-400:])
        return held

    # Ends

    def end(self, timeout_s: float = 15.0, grace_s: float = 3.0) -> None:
        """Have the holder end all its children (INT, after `grace_s` seconds KILL) and itself, and wait for it; idempotent.

        Raises TimeoutError.
        """
        with contextlib.suppress(SpawnError):
            self._ask("end", lambda answer: None, grace_s=grace_s)
        self._thread.join(timeout_s)
        if self.alive:
            raise TimeoutError(f"the holder (pid {self.pid}) lives after {timeout_s:g} s")
        self._reap()
        self.close()

    def close(self, timeout_s: float = 10.0) -> None:
        """Disconnect: holder and children go on, and are not heard of any more; idempotent."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        super().close(timeout_s)
        self._wire.close()

    # The reading thread

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                message = self._wire.receive()
            except ValueError as error:  # no descriptor was free for one that came: that question has no answer
                _log.error("holder_not_understood", error=str(error))
                continue
            except OSError:
                break
            if message is None:
                break
            self._take(message)
        self._part()

    def _take(self, message: Message) -> None:
        values = message.values
        if message.kind == "answer":
            self._take_answer(message)
        elif message.kind == "lines":
            with self._lock:
                child = self._children.get(values["pid"])
            if child is not None:
                child.take_lines(values["lines"])
        elif message.kind == "exit":
            with self._lock:
                child = self._children.pop(values["pid"], None)
            if child is not None:
                child.take_exit(values["status"], values["tail"])
            else:  # not adopted yet
                self._unseen.append(HeldExit(values["name"], values["pid"], values["status"], values["tail"]))
        elif message.kind == "superseded":
            self._is_superseded = True
            _log.error("holder_taken_over", consequence="another control holds the children now")

    def _take_answer(self, message: Message) -> None:
        try:
            with self._lock:
                question = self._questions.get(message.values["id"])
                if question is not None and not message.values.get("more"):
                    del self._questions[message.values["id"]]
            if question is None:  # it waited too long: a child that came after all is nobody's
                if "pid" in message.values and "digest" not in message.values:
                    self._signal(message.values["pid"], 9)
                return
            question.items += message.values.get("items", [])
            if message.values.get("more"):
                return
            message.values["items"] = question.items
            try:
                question.result.set_result(question.understand(message))
            except (SpawnError, KeyError, OSError) as error:
                question.result.set_exception(error)
        finally:
            for fd in message.fds:
                os.close(fd)

    def _watch(self, child: RemoteChild, on_line: OnLine | None, on_exit: OnExit | None) -> RemoteChild:
        """Reading thread: from here on events of this pid are this child's."""
        child.on_line, child.on_exit = on_line, on_exit
        with self._lock:
            self._children[child.pid] = child
        return child

    def _part(self) -> None:
        """Reading thread, at its end: nobody is left waiting."""
        with self._lock:
            self._is_over = True
            questions, children = list(self._questions.values()), list(self._children.values())
            self._questions.clear()
            self._children.clear()
        for question in questions:
            question.result.set_exception(SpawnError("the holder is gone"))
        if self.stopping.is_set():
            return
        if not self._is_superseded:
            self._reap()
        for child in children:
            child.take_exit(_LOST_STATUS, f"{child.stderr_tail}\nthe holder is gone".strip())
        self._on_lost()

    def _reap(self) -> None:
        """Wait for the holder if it is our child: started by this client, or by what ran in this process before."""
        deadline = time.monotonic() + 1.0
        with contextlib.suppress(ChildProcessError):
            while self._process.poll() is None if self._process else os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() >= deadline:
                    _log.error("holder_not_reaped", pid=self.pid)
                    return
                time.sleep(0.01)

    # Any other thread

    def _signal(self, pid: int, number: int) -> None:
        with contextlib.suppress(OSError):  # gone, and its children with it
            self._wire.send("signal", pid=pid, number=number)

    def _ask(self, kind: str, understand: Callable[[Message], Any], fds: tuple[int, ...] = (), **values: Any) -> Any:
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"{kind} asked in a callback of the holder's own thread")
        question = _Question(understand)
        number = next(_ids)
        with self._lock:
            if self._is_over or self.stopping.is_set():
                raise SpawnError("the holder is gone")
            self._questions[number] = question
        try:
            self._wire.send(kind, fds, id=number, **values)
            return question.result.result(ASK_S)
        except TimeoutError:
            raise SpawnError(f"{kind}: no answer from the holder within {ASK_S:g} s") from None
        except OSError as error:
            raise SpawnError(f"{kind}: the holder cannot be asked: {error.strerror}") from error
        finally:
            with self._lock:
                self._questions.pop(number, None)


def connect(path: Path, on_lost: Callable[[], None]) -> HolderClient | None:
    """Connect to the holder that listens at that path, and take it over; None when none does. Raises ProcessError."""
    end = connect_socket(path)
    return None if end is None else HolderClient(end, on_lost=on_lost)


def _patience_s() -> float:
    try:
        return float(os.environ.get(WAIT_VARIABLE, "0"))
    except ValueError:
        _log.warning("variable_not_understood", name=WAIT_VARIABLE, consequence="no holder is waited for")
        return 0.0


def start_holder(
    runtime_dir: Path, *, linger_s: float | None, on_lost: Callable[[], None], arguments: tuple[str, ...] = ()
) -> HolderClient:
    """Connect to the runtime folder's holder, or start one in a session of its own that outlives us.

    Where a service manager starts it (WAIT_VARIABLE says so, and for how many seconds), it is waited for first: it may have been
    killed just now. `arguments` are further options of `channeld.process.hold`. Raises ProcessError.
    """
    path = runtime_dir.absolute() / SOCKET_NAME
    found_until = time.monotonic() + _patience_s()
    while True:
        found = connect(path, on_lost)
        if found is not None:
            return found
        if time.monotonic() >= found_until:
            break
        time.sleep(0.05)
    return _start(path, linger_s, on_lost, arguments)


def _start(path: Path, linger_s: float | None, on_lost: Callable[[], None], arguments: tuple[str, ...]) -> HolderClient:
    linger = () if linger_s is None else ("--linger", f"{linger_s:g}")
    line = [sys.executable, "-m", "channeld.process.hold", "--socket", str(path), "--background", *linger, *arguments]
    # Its own session: Ctrl-C on our terminal is ours to handle. No death signal: it is to outlive us.
    process = subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=python_environment(), cwd="/", start_new_session=True
    )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ProcessError(f"the holder ended at once with status {process.returncode}: its reason stands on stderr")
        end = connect_socket(path)
        if end is not None:
            return HolderClient(end, on_lost=on_lost, process=process)
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise ProcessError(f"the holder does not listen at {path} after {START_S:g} s")
