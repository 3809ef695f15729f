"""When the configuration is read again without being asked over HTTP: on SIGHUP, and, if it says so, when its file changes.

Rule: a file that changes is read once it stood still for a second, whoever writes it in whatever way; its own thread,
`reload:watch`, so that neither signals nor the daemon's heart wait for a reload.
"""

import os
import threading
from pathlib import Path

import structlog

from channeld.api.control import ConfigRefused
from channeld.base.worker import Worker
from channeld.daemon_reload import Reloader

LOOK_S = 1.0

Identity = tuple[int, int, int] | None

log = structlog.get_logger()


class ConfigWatch(Worker):
    """Asks the Reloader."""

    def __init__(self, reloader: Reloader) -> None:
        super().__init__("reload:watch")
        self._reloader = reloader
        self._wanted = threading.Event()
        self._is_asked = False
        self._known = _identity(reloader.config.path)
        self._candidate = self._known

    def ask(self) -> None:
        """Reload soon. From a signal handler."""
        self._is_asked = True
        self._wanted.set()

    def wake(self) -> None:
        self._wanted.set()

    def run(self) -> None:
        while True:
            self._wanted.wait(LOOK_S)
            self._wanted.clear()
            if self.stopping.is_set():
                return
            is_asked, self._is_asked = self._is_asked, False
            has_changed = self._has_changed()
            if is_asked or (has_changed and self._reloader.config.reload_on_change):
                self._reload()

    def _has_changed(self) -> bool:
        """Another file stands there than was read last, and has for one look."""
        found = _identity(self._reloader.config.path)
        stands, self._candidate = found == self._candidate, found
        if not stands or found is None or found == self._known:
            return False
        self._known = found
        return True

    def _reload(self) -> None:
        try:
            self._reloader.reload()
        except ConfigRefused:
            return  # told in the log, as an event and in the status
        except Exception:  # a mistake in taking one configuration must not end the watch; it is logged with its traceback
            log.exception("reload_failed")


def _identity(path: Path) -> Identity:
    try:
        status = os.stat(path)  # noqa: PTH116  # through links: they may be swapped
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
