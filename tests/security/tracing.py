"""A daemon whose system calls are written down, and what they say: which files were opened, which addresses were spoken to.

Rule: `-D` makes the tracer a stranger, so that the daemon is our own child and its parent's signals reach it.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from running import RunningDaemon

STRACE = shutil.which("strace")
_CALLS = "open,openat,openat2,connect,sendto,sendmsg,execve"
_OPENED = re.compile(r'\bopen(?:at2?)?\((?:AT_FDCWD[^,]*, |\d+<[^>]*>, )?"((?:[^"\\]|\\.)*)"')
_STARTED = re.compile(r'\bexecve\("((?:[^"\\]|\\.)*)", \[(.*)\]')
_RESULT = re.compile(r"= \d+<([^>]*)>")
_ADDRESS = re.compile(
    r"\b(connect|sendto|sendmsg)\(.*?sa_family=(AF_INET6?), sin6?_port=htons\((\d+)\).*?"
    r'(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")'
)


@dataclass(frozen=True, slots=True)
class Opening:
    """One file that was asked for: the path as written, and where it led if it was opened."""

    written: str
    led_to: str | None


class Trace:
    """The lines of a trace."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> Iterator[str]:
        """Every line so far; a call that another process interrupted is told in two, of which the first has the path."""
        yield from self._path.read_text(errors="replace").splitlines() if self._path.exists() else ()

    def openings(self) -> Iterator[Opening]:
        """Every file that any process asked for."""
        for line in self.lines():
            if match := _OPENED.search(line):
                result = _RESULT.search(line[match.end() :])
                yield Opening(match[1], result[1] if result else None)
            elif "resumed>" in line and (result := _RESULT.search(line)):
                yield Opening("", result[1])

    def opened(self) -> set[str]:
        """Where everything led that was opened."""
        return {opening.led_to for opening in self.openings() if opening.led_to is not None}

    def asked_below(self, folder: Path) -> set[str]:
        """What was asked for by a path below a folder, or led there."""
        prefix = f"{folder}/"
        return {text for each in self.openings() for text in (each.written, each.led_to or "") if text.startswith(prefix)}

    def started(self, *names: str) -> list[list[str]]:
        """Argument lists of the programs of these names that were started; strace tells 32 arguments of each."""
        found = []
        for line in self.lines():
            if (match := _STARTED.search(line)) and match[1].rpartition("/")[2] in names and line.rstrip().endswith("= 0"):
                found.append([text.replace('\\"', '"') for text in re.findall(r'"((?:[^"\\]|\\.)*)"', match[2])])
        return found

    def addresses(self) -> set[tuple[str, int]]:
        """Every address of the Internet's protocols that was connected to or sent to."""
        found = (match for line in self.lines() if (match := _ADDRESS.search(line)))
        return {(match[4] or match[5], int(match[3])) for match in found}


class TracedDaemon(RunningDaemon):
    """`channeld run` with every process of it traced."""

    @property
    def trace(self) -> Trace:
        return Trace(self.folder / "trace")

    def launch(self) -> None:
        self.write_config()
        tracer = [str(STRACE), "-D", "-f", "-y", "-qq", "-s", "400", "--seccomp-bpf", "-e", f"trace={_CALLS}", "-e", "signal=none"]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*tracer, "-o", str(self.folder / "trace"), sys.executable, "-m", "channeld", "run", "--config", str(self.config_path)],
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.folder / "tmp")},
                process_group=0,
            )


class Canary(threading.Thread):
    """A listener on 127.0.0.1 that nobody should find; counts who does."""

    def __init__(self) -> None:
        super().__init__(name="test:canary", daemon=True)
        self.visits: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return  # closed
            with peer:
                peer.settimeout(1.0)
                try:
                    self.visits.append(peer.recv(200))
                except OSError:
                    self.visits.append(b"")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join(5)
