"""A load: so many viewers of one address, honest and slow ones, for so long; and what they report.

Rule: viewers come RAMP a second, so that a listen queue is no part of the measurement; all are gone when it returns.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import uvloop

from channeld.base.descriptors import widen_descriptors
from channeld.base.errors import ConfigError
from channeld.load.client import STALL_S, Condition, LoadClient

RAMP = 500
"""New viewers a second."""
CONNECT_TIMEOUT_S = 10.0
SLOW_SHARE = 0.1
_FIRST_RATE = 25_000.0
"""Bytes a second of a slow viewer, before any other has had something."""


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What is asked for. `slow` of the clients take a tenth of what others get; `is_judged`: every packet is looked at."""

    url: str
    clients: int
    slow: int = 0
    seconds: float = 10.0
    is_judged: bool = True
    stall_s: float = STALL_S


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What came of it; times in seconds. `stalls`: honest viewers that got nothing for over `stall_s`, each time; `reasons` of failures."""

    clients: int
    slow: int
    connected: int
    refused: int
    lost: int
    seconds: float
    bytes: int
    slow_bytes: int
    mbit_per_s: float
    continuity_errors: int
    slow_continuity_errors: int
    unsynced_packets: int
    stalls: int
    first_byte_p50_s: float | None
    first_byte_p99_s: float | None
    first_byte_max_s: float | None
    reasons: dict[str, int]

    @property
    def is_good(self) -> bool:
        """Every viewer was served to the end, and every honest one without a fault."""
        return self.connected == self.clients and not (self.lost or self.continuity_errors or self.unsynced_packets or self.stalls)

    def to_json(self) -> dict[str, Any]:
        """As `--json` writes it."""
        return {**asdict(self), "good": self.is_good}


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int
    tls: ssl.SSLContext | None
    request: bytes


def run_load(order: LoadOrder, tell: Callable[[int, int], None] = lambda _connected, _bytes: None) -> LoadReport:
    """Do it. `tell` hears once a second how many watch, and how many bytes came. Raises ConfigError for what cannot be."""
    if order.slow > order.clients:
        raise ConfigError(f"--slow {order.slow}: more than there are clients. Write at most {order.clients}", key="slow")
    target = _target(order.url)
    widen_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(order, target, tell))


def _target(url: str) -> _Target:
    """Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{url}: {error}", key="url") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or any(each <= " " for each in url):
        raise ConfigError(f"{url}: no address of a stream. Write one as http://127.0.0.1:8090/ts/live1", key="url")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # HTTP/1.0: whatever serves, no chunks come.
    request = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nUser-Agent: channeld-load\r\nAccept: */*\r\n\r\n"
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    return _Target(parts.hostname, port or (443 if tls else 80), tls, request.encode("ascii"))


async def _run(order: LoadOrder, target: _Target, tell: Callable[[int, int], None]) -> LoadReport:
    loop = asyncio.get_running_loop()
    clients: list[LoadClient] = []
    began_s = loop.time()

    def slow_rate() -> float:
        honest = [client.bytes for client in clients if not client.is_slow and client.condition is Condition.WATCHING]
        return SLOW_SHARE * sum(honest) / len(honest) / (loop.time() - began_s) if any(honest) else _FIRST_RATE

    async def connect(client: LoadClient) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: client, target.host, target.port, ssl=target.tls)
        except TimeoutError:
            client.fail(f"no connection within {CONNECT_TIMEOUT_S:g} s")
        except OSError as error:
            client.fail(error.strerror or str(error))

    async def come() -> None:
        async with asyncio.TaskGroup() as connecting:
            for number in range(order.clients):
                # Slow ones are spread evenly.
                is_slow = (number + 1) * order.slow // order.clients > number * order.slow // order.clients
                rate = slow_rate if is_slow else None
                clients.append(LoadClient(target.request, judged=order.is_judged, rate=rate, stall_s=order.stall_s))
                connecting.create_task(connect(clients[-1]))
                await asyncio.sleep(1 / RAMP)

    coming = asyncio.create_task(come())
    try:
        while (left_s := began_s + order.seconds - loop.time()) > 0:
            await asyncio.sleep(min(1.0, left_s))
            tell(sum(client.condition is Condition.WATCHING for client in clients), sum(client.bytes for client in clients))
        await coming
    finally:
        coming.cancel()
        seconds = loop.time() - began_s
        for client in clients:
            client.finish()
    return _report(order, clients, seconds)


def _report(order: LoadOrder, clients: Sequence[LoadClient], seconds: float) -> LoadReport:
    honest, slow = [each for each in clients if not each.is_slow], [each for each in clients if each.is_slow]
    firsts = sorted(each.first_byte_s for each in clients if each.first_byte_s is not None)
    total = sum(each.bytes for each in clients)
    judged = [each.continuity for each in clients if each.continuity is not None]
    return LoadReport(
        clients=len(clients),
        slow=len(slow),
        connected=sum(each.status == 200 for each in clients),
        refused=sum(each.condition is Condition.REFUSED for each in clients),
        lost=sum(each.condition is Condition.LOST for each in clients),
        seconds=round(seconds, 3),
        bytes=total,
        slow_bytes=sum(each.bytes for each in slow),
        mbit_per_s=round(total * 8 / seconds / 1e6, 3),
        continuity_errors=sum(each.continuity.errors for each in honest if each.continuity is not None),
        slow_continuity_errors=sum(each.continuity.errors for each in slow if each.continuity is not None),
        unsynced_packets=sum(each.unsynced for each in judged),
        stalls=sum(each.stalls for each in honest),
        first_byte_p50_s=_quantile(firsts, 0.5),
        first_byte_p99_s=_quantile(firsts, 0.99),
        first_byte_max_s=_quantile(firsts, 1.0),
        reasons=dict(Counter(each.error for each in clients if each.error is not None).most_common(20)),
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 4) if ordered else None
