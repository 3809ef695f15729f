"""Whether named pipes can be made where the configuration wants them, and their players be started.

Rule: looks and changes nothing: no pipe is made. Run by `check`.
"""

import os
import shutil
import stat
from pathlib import Path

from channeld.config_outputs import PipeSpec
from channeld.process.confine import clean_environment


def troubles_of(output: PipeSpec, runtime_dir: Path, ring_s: int) -> list[tuple[str, str]]:
    """What is in the way of an output: the key that says so, and the trouble with what to do. `ring_s`: what its channel's ring holds."""
    found = [("path", problem) for path in output.paths if (problem := _trouble_at(path, runtime_dir)) is not None]
    if output.player is not None and shutil.which(output.player.argv[0], path=clean_environment()["PATH"]) is None:
        found.append(("player", f"{output.player.argv[0]} is not installed or not executable. Install it, or write its whole path"))
    if output.lag_s > ring_s:
        way_out = f"Write ring_seconds: {output.lag_s:.0f}, or fewer segments"
        words = f"a reader loses its place after {ring_s} s, as the ring holds no more. {way_out}"
        found.append(("max_buffer_segments", words))
    return found


def _trouble_at(path: Path, runtime_dir: Path) -> str | None:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        facts = None
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror}"
    if facts is not None and not stat.S_ISFIFO(facts.st_mode):
        return f"{path} is there already and is not a named pipe. Remove it, or name another path"
    if path.is_relative_to(runtime_dir):
        return None  # told of the folder itself
    if not path.parent.is_dir():
        return f"the folder {path.parent} is not there. Make it, or name another path"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path.parent} is not writable for this user. Make it so, name another folder, or check as the daemon's user"
    return None
