"""Icecast 2 beside us: its own configuration, a free port of the loopback, an ordinary user, and channeld's streams put to it by HTTP.

Rule: whoever makes an Icecast closes it; nothing is left but the folder. Needs Debian's package icecast2.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

PASSWORD = "bench-only"
USER = "nobody"
START_S = 15.0

_CONFIGURATION = """<icecast>
  <limits><clients>{clients}</clients><sources>{sources}</sources><queue-size>2097152</queue-size><burst-on-connect>1</burst-on-connect>
    <burst-size>65535</burst-size><source-timeout>30</source-timeout></limits>
  <authentication><source-password>{password}</source-password><admin-user>admin</admin-user><admin-password>{password}</admin-password>
  </authentication>
  <hostname>localhost</hostname>
  <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
  <paths><logdir>{folder}</logdir><webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot></paths>
  <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog><loglevel>2</loglevel></logging>
</icecast>
"""


def find_icecast() -> str:
    """The program, or the end."""
    found = shutil.which("icecast2") or shutil.which("icecast")
    if found is None:
        raise SystemExit("this benchmark compares with Icecast 2: apt install icecast2 (--no-icecast does without)")
    return found


class Icecast:
    """A running server. `put` gives it a stream under a name."""

    def __init__(self, folder: Path, port: int, *, clients: int, sources: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        path = folder / "icecast.xml"
        path.write_text(_CONFIGURATION.format(clients=clients, sources=sources, password=PASSWORD, port=port, folder=folder))
        is_root = os.geteuid() == 0
        if is_root:  # Icecast refuses to run as root
            shutil.chown(folder, USER)
        self._child = subprocess.Popen(
            [find_icecast(), "-c", str(path)],
            user=USER if is_root else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_for_port()

    @property
    def process(self) -> psutil.Process:
        """Of the server."""
        return psutil.Process(self._child.pid)

    def put(self, source_url: str, name: str) -> None:
        """Fetch a stream and put it to the server for as long as it lives."""
        thread = threading.Thread(target=self._relay, args=(source_url, name), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _relay(self, source_url: str, name: str) -> None:
        source = urlsplit(source_url)
        with (
            socket.create_connection((source.hostname or "", source.port or 80), 10) as upstream,
            socket.create_connection(("127.0.0.1", self.port), 10) as server,
        ):
            upstream.sendall(f"GET {source.path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            credentials = "c291cmNlOmJlbmNoLW9ubHk="  # source:bench-only
            head = [f"PUT /{name} HTTP/1.1", "Host: localhost", f"Authorization: Basic {credentials}", "Content-Type: video/mp2t"]
            server.sendall("\r\n".join([*head, "Ice-Public: 0", "Expect: 100-continue", "", ""]).encode())
            answer = server.recv(4096)
            if b" 100 " not in answer and b" 200 " not in answer:
                sys.stderr.write(f"icecast took no stream: {answer[:200]!r}\n")
                return
            data = upstream.recv(65536)
            data = data.partition(b"\r\n\r\n")[2]
            while not self._stop.is_set():
                server.sendall(data)
                data = upstream.recv(65536)
                if not data:
                    return

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self._child.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"icecast did not start; its log is in {self._child.args}") from None
                time.sleep(0.05)

    def close(self) -> None:
        """End it; idempotent."""
        self._stop.set()
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        for thread in self._threads:
            thread.join(12)
