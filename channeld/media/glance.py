"""What people want to know of a media file before it is listed, found out in the background and remembered.

Rule: a file is looked at once as long as its path, size and date stay; one at a time, at low priority, and never for more than half of the
time, unless somebody waits for it. What is asked for last comes first. Safe from any thread.
"""

import contextlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from channeld.base.errors import ProbeError, ProcessError
from channeld.base.worker import Worker
from channeld.media.facts import MediaFacts
from channeld.media.fingerprint import FingerprintBook, write_atomically
from channeld.media.folder_walk import Found
from channeld.media.opened import opened
from channeld.media.probe import look
from channeld.media.tools import Tools

REMEMBERED = 100_000
MAX_WAITING = 100_000
SAVE_S = 60.0
TIMEOUT_S = 20.0
LONGEST_PAUSE_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Glance:
    """What a file holds; `reason`: why it cannot air, None where nothing speaks against it. `content`: its fingerprint."""

    duration_s: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    reason: str | None = None
    content: str | None = None


class GlanceBook:
    """Glances by path, size and date, in one JSON file; a lost or damaged file only costs looking again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # guards the two below
        self._known: dict[str, tuple[int, int, Glance]] = _load(path)
        self._is_changed = False

    def get(self, file: Found) -> Glance | None:
        """What is known of a file as it is now."""
        with self._lock:
            known = self._known.get(file.real)
        return known[2] if known is not None and known[:2] == (file.size, file.mtime_ns) else None

    def note(self, file: Found, glance: Glance) -> None:
        """Remember."""
        with self._lock:
            self._known.pop(file.real, None)
            self._known[file.real] = (file.size, file.mtime_ns, glance)
            while len(self._known) > REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._is_changed = True

    def save(self) -> None:
        """Write what is new; what cannot be written is told and looked up again by the next process."""
        with self._lock:
            if not self._is_changed:
                return
            self._is_changed = False
            known = dict(self._known)
        text = json.dumps({path: [size, mtime_ns, asdict(glance)] for path, (size, mtime_ns, glance) in known.items()})
        try:
            write_atomically(self._path, text.encode())
        except OSError as error:
            log.warning("glances_not_written", error=error.strerror)


class Glancer(Worker):
    """The thread `library:glances`, which looks at what is asked for."""

    def __init__(self, book: GlanceBook, fingerprints: FingerprintBook, tools: Tools) -> None:
        super().__init__("library:glances")
        self.book = book
        self._fingerprints, self._tools = fingerprints, tools
        self._changed = threading.Condition()  # guards the two below
        self._soon: OrderedDict[str, Found] = OrderedDict()
        self._later: OrderedDict[str, Found] = OrderedDict()

    def want(self, page: Iterable[Found], others: Iterable[Found] = ()) -> None:
        """Look at a page's files now, and at others when there is time."""
        with self._changed:
            self._soon = OrderedDict((file.real, file) for file in page if self.book.get(file) is None)
            for file in others:
                if len(self._later) < MAX_WAITING and file.real not in self._later and self.book.get(file) is None:
                    self._later[file.real] = file
            self._changed.notify()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def run(self) -> None:
        saved_s = time.monotonic()
        while not self.stopping.is_set():
            file, is_urgent = self._next()
            if file is not None and self.book.get(file) is None:
                begun_s = time.monotonic()
                self._look_at(file)
                if not is_urgent:
                    self.stopping.wait(min(LONGEST_PAUSE_S, time.monotonic() - begun_s))
            if file is None or time.monotonic() - saved_s > SAVE_S:
                self.book.save()
                saved_s = time.monotonic()
        self.book.save()

    def _next(self) -> tuple[Found | None, bool]:
        """None after a while without work."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopping.is_set() or bool(self._soon) or bool(self._later), SAVE_S)
            if self._soon:
                return self._soon.popitem(last=False)[1], True
            return (self._later.popitem(last=False)[1], False) if self._later else (None, False)

    def _look_at(self, file: Found) -> None:
        try:
            with opened(Path(file.real)) as where:
                facts = look(where, timeout_s=TIMEOUT_S, tools=self._tools)
            glance = glance_of(facts, self._fingerprints.of(Path(file.real)))
        except ProbeError as error:
            glance = Glance(reason=str(error))
        except (ProcessError, OSError) as error:
            # Perhaps the machine's fault, or the disk's: no verdict on the file. It is looked at again when it is asked for again.
            log.info("file_not_looked_at", path=file.real, error=str(error).splitlines()[0])
            return
        except Exception:  # a file that our reading of the answer does not foresee must not end the looking at all others
            log.exception("file_not_looked_at", path=file.real)
            glance = Glance(reason="not understood; the daemon's log says where")
        self.book.note(file, glance)


def glance_of(facts: MediaFacts, content: str | None = None) -> Glance:
    """The part of a file's facts that people ask for; the rate as the stream's average, in frames per second."""
    video, audio = facts.video, facts.audio[0] if facts.audio else None
    return Glance(
        duration_s=None if facts.duration_s is None else round(facts.duration_s, 3),
        width=video.picture.width if video is not None else None,
        height=video.picture.height if video is not None else None,
        fps=round(video.average_fps or video.nominal_fps, 3) or None if video is not None else None,
        video_codec=video.codec if video is not None else None,
        audio_codec=audio.codec if audio is not None else None,
        content=content,
    )


def _load(path: Path) -> dict[str, tuple[int, int, Glance]]:
    with contextlib.suppress(OSError, ValueError, TypeError):
        found = json.loads(path.read_bytes())
        return {str(real): (int(size), int(mtime_ns), Glance(**values)) for real, (size, mtime_ns, values) in found.items()}
    return {}
