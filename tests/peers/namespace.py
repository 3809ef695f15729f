"""A network of its own for a peer: a pair of virtual links, of which one end can be taken down, or be made narrow.

Rule: whoever makes one closes it (it is a context manager); it is gone with its links then. Needs root and iproute2.
"""

import itertools
import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

_numbers = itertools.count(1)
_NARROW = ("tbf", "rate", "{}kbit", "burst", "16kbit", "latency", "400ms")


def has_namespaces() -> bool:
    """The kernel and our rights allow them."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


class Namespace:
    """`there` is the peer's address, `here` ours; `enter` stands before a command that is to run there."""

    def __init__(self) -> None:
        number = next(_numbers)
        self._name = f"peer{os.getpid()}n{number}"
        self._ours, self._theirs = f"a{os.getpid()}n{number}", f"b{os.getpid()}n{number}"
        block = (os.getpid() * 64 + number) % 16384 * 4
        self.here, self.there = (f"10.211.{block // 256}.{block % 256 + host}" for host in (1, 2))
        self.enter = ("ip", "netns", "exec", self._name)
        _ip("netns", "add", self._name)
        _ip("link", "add", self._ours, "type", "veth", "peer", "name", self._theirs, "netns", self._name)
        _ip("addr", "add", f"{self.here}/30", "dev", self._ours)
        _ip("-n", self._name, "addr", "add", f"{self.there}/30", "dev", self._theirs)
        for device in ("lo", self._theirs):
            _ip("-n", self._name, "link", "set", device, "up")
        _ip("link", "set", self._ours, "up")

    def unplug(self) -> None:
        """The cable is out: no packet passes, nobody is told."""
        _ip("link", "set", self._ours, "down")

    def plug(self) -> None:
        """And in again."""
        _ip("link", "set", self._ours, "up")

    def narrow(self, kbit: int) -> None:
        """No more than so much passes from there; 0: all of it again. Raises CalledProcessError where the kernel has no tbf."""
        action = "replace" if kbit else "del"
        rule = [word.format(kbit) for word in _NARROW] if kbit else []
        subprocess.run([*self.enter, "tc", "qdisc", action, "dev", self._theirs, "root", *rule], check=True, capture_output=True)

    def close(self) -> None:
        """Take it away; links go with it. Idempotent."""
        subprocess.run(["ip", "link", "del", self._ours], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self._name], capture_output=True, check=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
