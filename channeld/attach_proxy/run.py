"""The proxy as a process: its log, its signals, its loop.

Rule: it listens before it says that it is ready, and every reader is told before it ends.
"""

import asyncio
from signal import Signals

import sdnotify
import structlog

from channeld.attach_proxy.listen import listening
from channeld.attach_proxy.rules import ProxyRules
from channeld.attach_proxy.server import Proxy
from channeld.base.descriptors import widen_descriptors
from channeld.far.address import Address
from channeld.telemetry.log import configure

log = structlog.get_logger()


def serve(address: Address, rules: ProxyRules, gid: int | None) -> Signals:
    """Until SIGTERM or SIGINT: which of them. Raises ChannelError where it cannot listen."""
    configure()
    widen_descriptors()
    notifier, came = sdnotify.SystemdNotifier(), [Signals.SIGTERM]
    with listening(address, gid) as listeners:

        async def run() -> None:
            proxy, loop = Proxy(rules, listeners), asyncio.get_running_loop()

            def end(signal: Signals) -> None:
                came[0] = signal
                proxy.stop()

            for signal in (Signals.SIGTERM, Signals.SIGINT):
                loop.add_signal_handler(signal, end, signal)
            notifier.notify("READY=1")
            log.info("attach_proxy_ready", listen=[_shown(listener.getsockname()) for listener in listeners])
            await proxy.run()
            notifier.notify("STOPPING=1")

        asyncio.run(run())
    return came[0]


def _shown(name: object) -> str:
    if isinstance(name, tuple):
        return f"tcp:[{name[0]}]:{name[1]}" if ":" in name[0] else f"tcp:{name[0]}:{name[1]}"
    return f"unix:{name}"
