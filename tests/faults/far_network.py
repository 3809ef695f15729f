"""A network of its own at the far end of a real link: a namespace and a veth pair that can be pulled out or slowed down.

Rule: the network lives as long as the process that holds it, and that ends with the tests; nothing has a fixed name or address, so that
several test runs do not meet. Where the kernel has none of this, `far_network` gives the reason instead.
"""

import contextlib
import ctypes
import ipaddress
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from nginx_origin import wait_until

PROGRAMS = ("ip", "tc", "unshare", "nsenter", "setpriv")
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_CLONE_NEWNET = 0x40000000
# Set aside for benchmarks of network devices (RFC 2544): no real host has one of these.
_ADDRESSES = ipaddress.ip_network("198.18.0.0/15")


class FarNetwork:
    """The namespace that process `holder` lives in, joined to ours by one link. Sockets of `listen` stand at its end."""

    def __init__(self, holder: int) -> None:
        self._holder = holder
        self._near = f"far{holder}"
        first = int(_ADDRESSES.network_address) + holder % (_ADDRESSES.num_addresses // 4) * 4
        near, self.address = str(ipaddress.ip_address(first + 1)), str(ipaddress.ip_address(first + 2))
        _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", "near", "netns", str(holder))
        _run("ip", "address", "add", f"{near}/30", "dev", self._near)
        _run("ip", "link", "set", self._near, "up")
        self._run_there("ip", "address", "add", f"{self.address}/30", "dev", "near")
        self._run_there("ip", "link", "set", "near", "up")

    def listen(self) -> socket.socket:
        """A listening socket in the far network; whoever accepts from it may live in ours."""
        made: list[socket.socket] = []

        def make() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/proc/{self._holder}/ns/net").open("rb") as network:
                if libc.setns(network.fileno(), _CLONE_NEWNET) != 0:  # of this thread only, setns(2)
                    raise OSError(ctypes.get_errno(), "the far network cannot be entered")
            made.append(socket.create_server((self.address, 0)))

        thread = threading.Thread(target=make, name="far-listener")
        thread.start()
        thread.join(10)
        return made[0]

    @contextlib.contextmanager
    def pulled(self) -> Iterator[None]:
        """The link's far end is down: what is sent is lost, and neither end of a connection is told."""
        self._run_there("ip", "link", "set", "near", "down")
        try:
            yield
        finally:
            self._run_there("ip", "link", "set", "near", "up")

    @contextlib.contextmanager
    def slowed(self, *, bits_per_s: int) -> Iterator[None]:
        """What is sent there passes a token bucket (tc-tbf(8)), whose short queue drops what does not fit."""
        rate = ("rate", f"{bits_per_s}bit", "burst", "16kb", "latency", "400ms")
        _run("tc", "qdisc", "add", "dev", self._near, "root", "tbf", *rate)
        try:
            yield
        finally:
            _run("tc", "qdisc", "del", "dev", self._near, "root")

    def _run_there(self, *command: str) -> None:
        _run("nsenter", "--target", str(self._holder), "--net", *command)


@contextlib.contextmanager
def far_network() -> Iterator[FarNetwork | str]:
    """A network for the block, or why there can be none here."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]
    if missing or os.geteuid() != 0:
        yield f"missing on this machine: {', '.join(missing)}" if missing else "needs root (CAP_NET_ADMIN)"
        return
    # The network ends with its last process, and that with the tests, even when they are killed.
    holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
    try:
        yield _make(holder)
    finally:
        holder.kill()
        holder.wait(10)


def _make(holder: subprocess.Popen[bytes]) -> FarNetwork | str:
    ours = Path("/proc/self/ns/net").readlink()
    try:
        wait_until(lambda: _is_apart(holder, ours), what="a network namespace", timeout_s=10)
        return FarNetwork(holder.pid)
    except (TimeoutError, ChildProcessError) as error:
        return f"this kernel gives no network of its own: {error}"
    except subprocess.CalledProcessError as error:
        return f"this kernel gives no link to another network: {error.stderr.decode(errors='replace').strip()}"


def _is_apart(holder: subprocess.Popen[bytes], ours: Path) -> bool:
    if holder.poll() is not None:
        raise ChildProcessError(f"unshare exits with {holder.returncode}")
    return Path(f"/proc/{holder.pid}/ns/net").readlink() != ours


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20, env={**os.environ, "PATH": _PATH})
