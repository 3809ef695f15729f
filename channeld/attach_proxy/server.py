"""The proxy: who connects, how many at once, and until when.

Rule: what strangers can have of it is bounded: connections that said nothing yet, those of one address, and readers; of who says nothing
the oldest gives way. One loop, in the process's main thread; owns all connections.
"""

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from channeld.attach_proxy.far_reader import FarReader
from channeld.attach_proxy.rules import ProxyRules

MAX_WAITING = 64
"""Connections that did not say yet what they want; one more has the oldest hung up on."""
TELL_S = 1.0

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class _Caller:
    host: str
    is_heard: bool = False
    is_reader: bool = False
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Proxy:
    """`run` it once."""

    def __init__(self, rules: ProxyRules, listeners: Sequence[socket.socket]) -> None:
        self._rules, self._listeners = rules, listeners
        self._callers: dict[_Caller, None] = {}
        """The oldest first."""
        self._refused: Counter[str] = Counter()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End: readers are told that the channel is closed. From the loop's thread."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until `stop`, and then until everybody is told."""
        workers = [asyncio.create_task(self._accept(listener)) for listener in self._listeners]
        workers.append(asyncio.create_task(self._tell_refused()))
        try:
            await self._stop.wait()
        finally:
            for worker in workers:
                worker.cancel()
            for caller in list(self._callers):
                if not caller.is_reader and caller.task is not None:
                    caller.task.cancel()
            tasks = [caller.task for caller in self._callers if caller.task is not None]
            await asyncio.gather(*workers, *tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                end, where = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("far_reader_not_accepted", error=error.strerror)
                await asyncio.sleep(0.1)  # out of descriptors: whoever waits is still there when some are free
                continue
            self._welcome(end, _host_of(end, where))

    def _welcome(self, end: socket.socket, host: str) -> None:
        if _is_elsewhere(host) and sum(caller.host == host for caller in self._callers) >= self._rules.most_per_address:
            self._refused["too_many_of_an_address"] += 1
            end.close()
            return
        waiting = [each.task for each in self._callers if not each.is_reader and each.task is not None and not each.task.cancelling()]
        if len(waiting) >= MAX_WAITING:
            waiting[0].cancel()
        caller = _Caller(host)
        self._callers[caller] = None
        caller.task = asyncio.create_task(self._serve(caller, end))
        caller.task.add_done_callback(lambda _: self._forget(caller, end))

    async def _serve(self, caller: _Caller, end: socket.socket) -> None:
        caller.is_heard = True
        refused = await FarReader(self._rules, caller.host, lambda: self._admit(caller), self._stop).serve(end)
        if refused is not None:
            self._refused[refused.name.lower()] += 1

    def _forget(self, caller: _Caller, end: socket.socket) -> None:
        del self._callers[caller]
        if not caller.is_heard:  # hung up on before its turn came; else it is its transport's
            end.close()

    def _admit(self, caller: _Caller) -> bool:
        if sum(other.is_reader for other in self._callers) >= self._rules.max_readers:
            return False
        caller.is_reader = True
        return True

    async def _tell_refused(self) -> None:
        while True:
            await asyncio.sleep(TELL_S)
            if self._refused:
                log.warning("far_readers_refused", **self._refused)
                self._refused.clear()


def _host_of(end: socket.socket, where: object) -> str:
    """The address of who connects, of IPv6 its /64; "unix" where there is none."""
    if end.family == socket.AF_UNIX or not isinstance(where, tuple):
        return "unix"
    host = ipaddress.ip_address(str(where[0]).partition("%")[0])
    if isinstance(host, ipaddress.IPv6Address) and not host.is_loopback:
        return str(ipaddress.IPv6Network((host, 64), strict=False))
    return str(host)


def _is_elsewhere(host: str) -> bool:
    return host != "unix" and not ipaddress.ip_network(host).is_loopback
