"""What others may ask of a holder, wherever it runs, and what they know of a child that it holds.

Rule: plain values and descriptors only. `Holder` answers in the same process, `HolderClient` for one in a process of
its own; whoever is given a `Holding` cannot tell which it is.
"""

from dataclasses import dataclass, field
from typing import Protocol

from channeld.process.child import ChildSpec, OnExit, OnLine, Usage


@dataclass(frozen=True, slots=True)
class HeldChild:
    """A living child: its name and pid, and the digest it was started with. The tail of its stderr comes with adopting it."""

    name: str
    pid: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class HeldExit:
    """A child that ended while nobody listened."""

    name: str
    pid: int
    status: int
    stderr_tail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """What a holder holds, oldest first, and what ended while no control was connected (told once)."""

    children: tuple[HeldChild, ...]
    fds: tuple[str, ...]
    exits: tuple[HeldExit, ...] = ()


class HeldProcess(Protocol):
    """A child as others see it. `status` is None while it lives, then its exit status, or minus the signal that ended it."""

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def status(self) -> int | None: ...
    @property
    def stderr_tail(self) -> str: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout_s: float) -> int: ...
    def signal(self, number: int) -> None: ...
    def terminate(self, grace_s: float = 3.0) -> int: ...
    def usage(self) -> Usage | None: ...


class Holding(Protocol):
    """A holder. Callbacks run in a thread of the holder's: they must be quick and may ask nothing of it.

    `spawn` raises SpawnError, `adopt` and `borrow` KeyError where nothing of that name is held. `keep_fd` keeps a
    duplicate, in place of one kept before; `borrow` gives a duplicate that the caller owns.
    """

    def spawn(self, spec: ChildSpec, *, on_line: OnLine | None = None, on_exit: OnExit | None = None) -> HeldProcess: ...
    def adopt(self, name: str, *, on_line: OnLine | None = None, on_exit: OnExit | None = None) -> HeldProcess: ...
    def keep_fd(self, name: str, fd: int) -> None: ...
    def borrow(self, name: str) -> int: ...
    def release(self, name: str) -> None: ...
    def held(self) -> Held: ...
