"""An HTTP origin that a test rules: what it lists, what it answers, how slowly, and what it was asked for.

Rule: a real server on a real socket; its threads end with `close`, a slow answer among them.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]
CHUNK_BYTES = 64


class WaywardOrigin:
    """Serves a live manifest at /live/index.m3u8 whose segments the test adds."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.target_s = 1
        self.first = 0
        self.listed: list[tuple[str, float]] = []
        self._segments: dict[str, bytes] = {}
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="wayward-origin")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                origin.asked.append(self.path)
                origin.answers.get(self.path, origin.serve)(self)

            def log_message(self, format: str, *args: object) -> None:  # the base class names it so
                pass

        return Handler

    # -- what there is ------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The manifest's address."""
        return f"{self.base}/live/index.m3u8"

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, segment: bytes, *, seconds: float = 1.0) -> str:
        """List one more segment; gives its path. Three are listed at most."""
        name = f"s{self.first + len(self.listed)}.ts"
        self._segments[f"/live/{name}"] = segment
        self.listed.append((name, seconds))
        while len(self.listed) > 3:
            self.listed.pop(0)
            self.first += 1
        return f"/live/{name}"

    def manifest(self) -> bytes:
        """The text as it is now."""
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-MEDIA-SEQUENCE:{self.first}", f"#EXT-X-TARGETDURATION:{self.target_s}"]
        for name, seconds in self.listed:
            lines += [f"#EXTINF:{seconds:.3f},", name]
        return ("\n".join(lines) + "\n").encode()

    # -- how it answers -----------------------------------------------------------------------------------------

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """As a good origin does."""
        body = self.manifest() if request.path.endswith(".m3u8") else self._segments.get(request.path)
        if body is None:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def drip(self, request: BaseHTTPRequestHandler) -> None:
        """A byte now and then, for ever."""
        request.send_response(200)
        request.end_headers()
        while not self._closing.wait(0.05):
            request.wfile.write(b"#")
            request.wfile.flush()

    def hang(self, _request: BaseHTTPRequestHandler) -> None:
        """Accept, and say nothing."""
        self._closing.wait(60)

    def flood(self, request: BaseHTTPRequestHandler) -> None:
        """More than anybody takes."""
        request.send_response(200)
        request.end_headers()
        block = b"#EXTM3U\n" + b"#" * (1 << 20)
        try:
            while not self._closing.is_set():
                request.wfile.write(block)
        except ConnectionError:
            self.asked.append("gave up")

    def redirect(self, location: str) -> Answer:
        """Send whoever asks somewhere else."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(302)
            request.send_header("Location", location)
            request.send_header("Content-Length", "0")
            request.end_headers()

        return answer

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Serve no more; slow answers end."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
