"""A proxy in a thread of this process or in one of its own, and a way to it that delays, cuts and spoils."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from small_air import until

from channeld.attach_proxy.listen import listening
from channeld.attach_proxy.rules import ProxyRules
from channeld.attach_proxy.server import Proxy
from channeld.far.address import Address, TcpAddress

HERE = TcpAddress("127.0.0.1", 0)


@contextlib.contextmanager
def proxy_at(rules: ProxyRules, address: Address = HERE) -> Iterator[str]:
    """In a thread; where it listens, as a reader writes it."""
    loops: list[tuple[asyncio.AbstractEventLoop, Proxy]] = []

    async def run(listeners: list[socket.socket]) -> None:
        proxy = Proxy(rules, listeners)
        loops.append((asyncio.get_running_loop(), proxy))
        await proxy.run()

    with listening(address) as listeners:
        where = f"tcp:127.0.0.1:{listeners[0].getsockname()[1]}" if isinstance(address, TcpAddress) else str(address)
        thread = threading.Thread(target=lambda: asyncio.run(run(listeners)))
        thread.start()
        until(lambda: loops, "the proxy's loop")
        loop, proxy = loops[0]
        try:
            yield where
        finally:
            loop.call_soon_threadsafe(proxy.stop)
            thread.join(30)
            assert not thread.is_alive()


class ProxyProcess:
    """The command itself; `stop` it."""

    def __init__(self, folder: Path, *options: str, listen: str = "tcp:127.0.0.1:0") -> None:
        command = [sys.executable, "-m", "channeld", "attach-proxy", "--runtime-dir", str(folder), "--listen", listen, *options]
        self._log = (folder / "proxy.log").open("w+b")
        self.process = subprocess.Popen(command, stderr=self._log)
        until(lambda: self.process.poll() is not None or self.lines("attach_proxy_ready"), "the proxy is ready")
        assert self.process.poll() is None, self.text()
        self.where = str(self.lines("attach_proxy_ready")[0]["listen"][0])

    def text(self) -> str:
        return Path(self._log.name).read_text()

    def lines(self, event: str) -> list[dict[str, list[str]]]:
        lines = [line for line in self.text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)

    def __enter__(self) -> "ProxyProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()


class Forwarder:
    """What stands between, as a tunnel does: bytes pass through `spoil` in both directions. A thread for each connection and direction."""

    def __init__(self, to: str, spoil: Callable[[bytes], bytes] = bytes) -> None:
        _, host, port = to.split(":")
        self._to, self._spoil = (host, int(port)), spoil
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.where = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self.passes = threading.Event()
        self.passes.set()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(self._to, 10)
                except OSError:
                    near.close()
                    continue
                self.connections += 1
                self._ends += [near, far]
                for here, there, spoil in ((near, far, bytes), (far, near, self._spoil)):
                    threading.Thread(target=self._pass, args=(here, there, spoil), daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket, spoil: Callable[[bytes], bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(4096):
                self.passes.wait()
                there.sendall(spoil(data))
        for end in (here, there):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Every connection, whatever is on its way."""
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.passes.set()
        self.cut()

    def __enter__(self) -> "Forwarder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
