"""The verb `hold`: the holder in the foreground, for a service manager.

Rule: with a runtime folder given it reads no configuration, so that no faulty file keeps it from starting.
"""

from pathlib import Path

import sdnotify

from channeld.config import default_path, load
from channeld.process.hold import serve
from channeld.process.hold_client import SOCKET_NAME
from channeld.telemetry.log import configure


def hold(config: Path | None, runtime_dir: Path | None, linger_s: float | None) -> int:
    """Hold until SIGTERM, or `linger_s` seconds after control went. Raises ChannelError, also when a holder is there already."""
    if runtime_dir is None:
        loaded = load(config or default_path())
        runtime_dir = loaded.folders.runtime
        configure(loaded.log.level.value, loaded.log.format.value)
    else:
        configure()
    notifier = sdnotify.SystemdNotifier()
    serve(runtime_dir.absolute() / SOCKET_NAME, linger_s=linger_s, on_ready=lambda: notifier.notify("READY=1"))
    notifier.notify("STOPPING=1")
    return 0
