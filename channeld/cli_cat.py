"""`channeld cat`: a channel's stream on stdout, read from the daemon's memory.

Rule: stdout has the stream and nothing else. It ends with its reader, at Ctrl-C, and with the channel; what was lost on the way is told
on stderr.
"""

import os
import sys
from pathlib import Path

from channeld.base.errors import ChannelError, ConfigError
from channeld.cli_render import show_note
from channeld.client import AttachError, Closed, Overrun, Start, connect
from channeld.config import default_path, load_whereabouts

BUILT_IN = Path("/run/channeld")


def runtime_dir_of(config: Path | None) -> Path:
    """Where the daemon of a configuration has its sockets; where there is no configuration, the built-in folder. Raises ConfigErrors."""
    try:
        path = config or default_path()
    except ConfigError:
        return BUILT_IN
    return load_whereabouts(path).runtime_dir


def write_stream(channel: str, runtime_dir: Path, start: Start, *, reconnect: bool, timeout_s: float) -> None:
    """Until the channel goes off the air, or nobody reads stdout any more; who reconnects waits for ever. Raises ChannelError."""
    out = sys.stdout.fileno()
    try:
        with connect(channel, runtime_dir, start=start, reconnect=reconnect, timeout=None if reconnect else timeout_s) as stream:
            while True:
                try:
                    chunk = next(stream)
                except Overrun as overrun:
                    show_note(f"{channel}: {overrun}")
                    continue
                except Closed as closed:
                    show_note(str(closed))
                    return
                _write_all(out, chunk)
    except BrokenPipeError:
        return
    except AttachError as error:
        raise ChannelError(str(error)) from error


def _write_all(out: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(out, left) :]
