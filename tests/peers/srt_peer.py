"""An SRT peer that nobody here wrote: `srt-live-transmit` of Debian's srt-tools, which keeps every byte it is sent in a file.

Rule: whoever starts it stops it.
"""

import shutil
import subprocess
from pathlib import Path

import pytest


def has_srt_tools() -> bool:
    """The program is there."""
    return shutil.which("srt-live-transmit") is not None


class SrtPeer:
    """Listens at a port of loopback, or calls one, and appends what comes to `path`; after a lost caller it listens again."""

    def __init__(self, port: int, path: Path, *, mode: str = "listener", passphrase: str | None = None) -> None:
        if not has_srt_tools():
            pytest.skip("missing on this machine: srt-tools")
        secret = "" if passphrase is None else f"&passphrase={passphrase}"
        self.url, self.path = f"srt://127.0.0.1:{port}", path
        self._far = f"{self.url}?mode={mode}{secret}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "SrtPeer":
        """Begin to listen or call."""
        with self.path.open("ab") as file:
            command = ["srt-live-transmit", "-q", "-a:yes", self._far, "file://con"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL)
        return self

    @property
    def kept(self) -> int:
        """Bytes that came."""
        return self.path.stat().st_size if self.path.exists() else 0

    def kill(self) -> None:
        """End at once, without a farewell."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def stop(self) -> None:
        """Say farewell and end. Idempotent."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
