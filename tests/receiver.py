"""An HTTP endpoint of the tests' own: it keeps what it is sent and answers as it is told."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`answers` are the statuses of the coming requests, then 200; a status with a header is `(302, ("Location", …))`."""

    def __init__(self) -> None:
        self.got: list[Delivery] = []
        self.answers: list[int | tuple[int, tuple[str, str]]] = []
        self.holds = threading.Event()
        """While it is set, requests get no answer."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                receiver.got.append(Delivery(self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                while receiver.holds.is_set():
                    time.sleep(0.01)
                answer = receiver.answers.pop(0) if receiver.answers else 200
                status, header = answer if isinstance(answer, tuple) else (answer, None)
                self.send_response(status)
                if header is not None:
                    self.send_header(*header)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        self.holds.clear()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    made = Receiver()
    try:
        yield made
    finally:
        made.close()


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until it is true; fails after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"within 20 s: {what}"
        time.sleep(0.01)
