"""`channeld play` as a process, and small players that write down what they were given.

Rule: whoever makes a Viewing ends it; its stderr goes to a file, to be looked at while it runs.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
from small_air import until

WAIT_S = 40.0


def program(path: Path, text: str) -> Path:
    """A shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def recorder(folder: Path) -> tuple[Path, Path]:
    """A player that only writes what it is given into a file, behind what was there; and the file."""
    got = folder / "got"
    got.touch()
    return program(folder / "recorder", f"exec cat >>{shlex.quote(str(got))}"), got


class Viewing:
    """One viewer of a channel."""

    def __init__(self, folder: Path, player: Path | str, *options: str, channel: str = "one", env: Mapping[str, str] | None = None) -> None:
        self.told_path = folder / f"told-{len(list(folder.glob('told-*')))}"
        command = [sys.executable, "-m", "channeld", "play", channel, "--player", str(player), *options]
        with self.told_path.open("wb") as told:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=told, env={**os.environ, **(env or {})})

    @property
    def told(self) -> str:
        return self.told_path.read_text()

    def tells(self, words: str) -> None:
        """Wait until it told that."""
        until(lambda: words in self.told, f"{words!r} in {self.told}")

    def player(self) -> psutil.Process:
        """The player, once it is itself and no wrapper any more."""
        mine = psutil.Process(self.process.pid)
        wrappers = ("setpriv", "prlimit", "env", "python", "channeld")
        found: list[psutil.Process] = []

        def is_there() -> bool:
            found[:] = [each for each in mine.children() if not each.name().startswith(wrappers)]
            return bool(found)

        until(is_there, f"a player: {self.told}")
        return found[0]

    def ends(self) -> int:
        """Its exit code, once it ended by itself."""
        return self.process.wait(WAIT_S)

    def interrupt(self) -> int:
        """Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.ends()

    def __enter__(self) -> "Viewing":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)


def is_gone(process: psutil.Process) -> bool:
    """It ended, also where nobody has asked yet how."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
