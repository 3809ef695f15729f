"""The folders under inotify's eyes, through watchdog.

Rule: owned by one Watcher and changed by its thread only; events come out on watchdog's thread, as signs.
Where the kernel refuses a watch (limits, permissions), that is told once and the rescan does the work.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import structlog
from watchdog import events
from watchdog.observers.api import ObservedWatch
from watchdog.observers.inotify import InotifyObserver
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from channeld.playlist.trail import Identity

# watchdog holds a name that was moved away for half a second, and all later events of its folder behind it, hoping to see
# where it went. We do not care where it went.
InotifyMoveEventGrouper.delay = 0.0

log = structlog.get_logger()


class SignKind(Enum):
    """What happened to a name in a watched folder."""

    CREATED = "created"
    CLOSED = "closed"  # after it was open for writing
    PLACED = "placed"  # renamed to this name
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Sign:
    """One event, as (real folder, name)."""

    kind: SignKind
    step: tuple[str, str]


# One filter for all folders: a second inotify_add_watch(2) of a folder replaces the first one's mask.
_FILTER: list[type[events.FileSystemEvent]] = [
    events.FileClosedEvent,
    events.FileCreatedEvent,
    events.FileMovedEvent,
    events.FileDeletedEvent,
    events.DirCreatedEvent,
    events.DirMovedEvent,
    events.DirDeletedEvent,
]
_KINDS = {
    events.EVENT_TYPE_CLOSED: SignKind.CLOSED,
    events.EVENT_TYPE_CREATED: SignKind.CREATED,
    events.EVENT_TYPE_DELETED: SignKind.GONE,
}


class _Receiver(events.FileSystemEventHandler):
    def __init__(self, on_sign: Callable[[Sign], None]) -> None:
        self._on_sign = on_sign

    def dispatch(self, event: events.FileSystemEvent) -> None:
        if event.event_type == events.EVENT_TYPE_MOVED:
            self._tell(SignKind.GONE, os.fsdecode(event.src_path))
            self._tell(SignKind.PLACED, os.fsdecode(event.dest_path))
        elif event.event_type in _KINDS:
            self._tell(_KINDS[event.event_type], os.fsdecode(event.src_path))

    def _tell(self, kind: SignKind, path: str) -> None:
        if path:  # one side of a move is empty when it is in no watched folder
            folder, _, name = path.rpartition("/")
            self._on_sign(Sign(kind, (folder or "/", name)))


class Folders:
    """The set of watched folders, by real path."""

    def __init__(self, on_sign: Callable[[Sign], None]) -> None:
        self._receiver = _Receiver(on_sign)
        self._watches: dict[str, tuple[Identity, ObservedWatch]] = {}
        self._has_warned = False
        self._observer: InotifyObserver | None = None

    def start(self) -> None:
        """Start watchdog's thread."""
        try:
            # Full events: a name moved in from elsewhere is told as moved, not as created.
            self._observer = InotifyObserver(generate_full_events=True)
            self._observer.name = "watch:events"
            self._observer.start()
        except OSError as error:
            self._warn(error)

    def close(self) -> None:
        """Stop watchdog's threads and wait for them; idempotent."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
        self._observer = None
        self._watches.clear()

    def watch_only(self, wanted: set[str]) -> None:
        """Add and drop watches until just these folders are watched, those replaced by another folder anew."""
        observer = self._observer
        if observer is None:
            return
        for path in [path for path, (identity, _) in self._watches.items() if path not in wanted or _identity(path) != identity]:
            observer.unschedule(self._watches.pop(path)[1])
        for path in wanted - self._watches.keys():
            identity = _identity(path)
            if identity is None:
                continue
            try:
                watch = observer.schedule(self._receiver, path, event_filter=_FILTER)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # gone again: the next look tells
                    self._warn(error)
                continue
            self._watches[path] = identity, watch

    def forget_below(self, path: str) -> None:
        """A name was removed or replaced: watches at or below it look at folders that are gone, even under the same inode number."""
        if self._observer is not None:
            for each in [each for each in self._watches if each == path or each.startswith(path.rstrip("/") + "/")]:
                self._observer.unschedule(self._watches.pop(each)[1])

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning("playlist_watch_limited", error=str(error), effect="changes are found by the rescan only")


def _identity(path: str) -> Identity | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
