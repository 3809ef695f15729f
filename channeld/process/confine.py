"""How every child is confined: its environment, its limits, its priority, and that it dies with its owner.

Rule: whatever starts a program, FFmpeg above all, starts it through `confined` and with `clean_environment` and nothing else,
without a shell. What sets limits and priority are the small tools of util-linux and coreutils, which replace themselves
(execve), so that the pid is the program's and the death signal stays set (prctl(2)). Pure but for the look at PATH.
"""

import os
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from channeld.telemetry import log

_log = log.get("process")


def clean_environment() -> dict[str, str]:
    """What a child sees of our environment: PATH, a fixed language, the time zone. No FFREPORT, LD_PRELOAD, proxy or secret."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    if "TZ" in os.environ:
        env["TZ"] = os.environ["TZ"]
    return env


def python_environment() -> dict[str, str]:
    """A clean environment, with what Python needs to find this package where it is not installed."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**clean_environment(), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a child; None leaves ours. Bytes, counts and seconds of CPU (setrlimit(2)).

    `processes` counts all processes and threads of the user; it does not bind root.
    """

    address_space_bytes: int | None = None
    file_size_bytes: int | None = None
    processes: int | None = None
    open_files: int | None = None
    cpu_s: int | None = None


NO_LIMITS = Limits()
_LIMITS = (
    ("address_space_bytes", "--as", resource.RLIMIT_AS),
    ("file_size_bytes", "--fsize", resource.RLIMIT_FSIZE),
    ("processes", "--nproc", resource.RLIMIT_NPROC),
    ("open_files", "--nofile", resource.RLIMIT_NOFILE),
    ("cpu_s", "--cpu", resource.RLIMIT_CPU),
)
"""Field of Limits, option of prlimit(1), number of setrlimit(2)."""


@cache
def _tool(name: str) -> str | None:
    """Path of a small helper of util-linux or coreutils; told once when it is missing."""
    path = shutil.which(name)
    if path is None:
        _log.warning("tool_missed", tool=name, consequence="children start without what it sets")
    return path


def confined(
    argv: Sequence[str], *, limits: Limits = NO_LIMITS, nice: int = 0, yields_disk: bool = False, dies_with_owner: bool = True
) -> list[str]:
    """The argument list with its wrappers. `nice` is added to our own niceness; `yields_disk`: least priority at the disk.

    `dies_with_owner`: killed when the thread that starts it ends.
    """
    line = list(argv)
    if yields_disk and (ionice := _tool("ionice")):
        line = [ionice, "-c", "2", "-n", "7", *line]
    if nice and (nicer := _tool("nice")):
        line = [nicer, "-n", str(nice), *line]
    # A core would hold stream keys and other people's pictures.
    wanted = ["--core=0", *(f"{option}={value}" for name, option, _ in _LIMITS if (value := getattr(limits, name)) is not None)]
    if prlimit := _tool("prlimit"):
        line = [prlimit, *wanted, *line]
    if dies_with_owner and (setpriv := _tool("setpriv")):
        line = [setpriv, "--pdeathsig", "KILL", *line]
    return line


def confine_self(limits: Limits, nice: int) -> None:
    """The same for a process that was forked, and so has no program to begin with. Raises OSError, ValueError."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, _, number in _LIMITS:
        value = getattr(limits, name)
        if value is not None:
            resource.setrlimit(number, (value, value))
    if nice:
        os.nice(nice)
