"""Files that people send, until they are whole: hidden drafts beside where they will lie, and a small record of each.

Rule: how far a draft is, is its size on the disk and nothing else, so that sending goes on after any break, also of this process; what is
there is never overwritten; nothing that does not probe is kept. One writer of a draft at a time. Blocking; safe from any thread.
"""

import contextlib
import errno
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from channeld.base.errors import ChannelError, ProbeError
from channeld.media.fingerprint import write_atomically
from channeld.media.folder_walk import NO_MEDIA
from channeld.media.opened import opened
from channeld.media.probe import look
from channeld.media.tools import Tools

MAX_NAME_BYTES = 200
PROBE_TIMEOUT_S = 10.0
SYNC_BYTES = 64 << 20
"""Written so often to the disk itself, so that the last time is short."""
_ID = re.compile(r"[0-9a-f]{32}")

log = structlog.get_logger()


class UnfitName(ChannelError):
    """A file may not be called so, and why."""


class UnfitMedia(ChannelError):
    """The whole file cannot air, and why; its draft is removed."""


class Busy(ChannelError):
    """Somebody else writes this draft just now."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An upload. `length` in bytes, moments in seconds of the wall clock; `path`: where the whole file lies, None until then."""

    id: str
    channel: str
    name: str
    folder: str
    length: int
    begun_s: float
    ends_s: float
    path: str | None = None

    @property
    def file(self) -> Path:
        """The hidden file that grows."""
        return Path(self.folder) / f".{self.id}.channeld-upload"


def checked_name(name: str) -> str:
    """The name as it was sent. Raises UnfitName."""
    if not name or name != name.strip() or not name.isprintable():
        raise UnfitName("the name is empty, or holds spaces at an end or control characters")
    if "/" in name or "\\" in name or name.startswith("."):
        raise UnfitName("the name must not be a path, nor begin with a dot")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise UnfitName(f"the name is longer than {MAX_NAME_BYTES} bytes")
    if name.lower().endswith(NO_MEDIA):
        raise UnfitName(f"files of this kind never air: {Path(name).suffix}")
    return name


class DraftBook:
    """All drafts; their records lie in one folder."""

    def __init__(self, folder: Path, tools: Tools) -> None:
        self._folder, self._tools = folder, tools
        self._lock = threading.Lock()  # guards the one below; never held over the disk
        self._writers: set[str] = set()

    def begin(self, *, channel: str, name: str, folder: Path, length: int, now_s: float, keep_s: float) -> Draft:
        """A new draft. Raises OSError."""
        draft = Draft(secrets.token_hex(16), channel, name, str(folder), length, now_s, now_s + keep_s)
        os.close(os.open(draft.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
        try:
            self._note(draft)
        except OSError:
            draft.file.unlink(missing_ok=True)
            raise
        return draft

    def find(self, draft_id: str) -> Draft | None:
        """None for one that there is not, or no more."""
        if _ID.fullmatch(draft_id) is None:
            return None
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Draft(**json.loads(self._record(draft_id).read_bytes()))
        return None

    def all(self) -> list[Draft]:
        """Every draft, the oldest first."""
        names = [path.stem for path in self._folder.glob("*.json")] if self._folder.is_dir() else []
        return sorted((draft for name in names if (draft := self.find(name)) is not None), key=lambda draft: draft.begun_s)

    def offset(self, draft: Draft) -> int:
        """So many bytes are there. Raises OSError where the draft was taken away."""
        return draft.length if draft.path is not None else os.stat(draft.file, follow_symlinks=False).st_size  # noqa: PTH116

    @contextlib.contextmanager
    def writing(self, draft_id: str) -> Iterator[None]:
        """Nobody else writes meanwhile. Raises Busy."""
        with self._lock:
            if draft_id in self._writers:
                raise Busy("another request writes this upload just now")
            self._writers.add(draft_id)
        try:
            yield
        finally:
            with self._lock:
                self._writers.discard(draft_id)

    def is_written(self, draft_id: str) -> bool:
        """Somebody writes it now."""
        with self._lock:
            return draft_id in self._writers

    def keep_until(self, draft: Draft, ends_s: float) -> Draft:
        """It is waited for so long. Raises OSError."""
        later = replace(draft, ends_s=ends_s)
        self._note(later)
        return later

    def finish(self, draft: Draft) -> Draft:
        """The whole file: probed, and put under a free name. Raises UnfitMedia, OSError; a ProcessError says nothing of the file."""
        try:
            with opened(draft.file.resolve()) as where:
                look(where, timeout_s=PROBE_TIMEOUT_S, tools=self._tools)
        except ProbeError as error:
            self.remove(draft)
            raise UnfitMedia(str(error)) from error
        done = replace(draft, path=str(_place(draft)))
        self._note(done)
        log.info("upload_finished", channel=draft.channel, path=done.path, bytes=draft.length)
        return done

    def remove(self, draft: Draft) -> None:
        """Forget a draft; a whole file stays where it lies. Raises OSError."""
        if draft.path is None:
            draft.file.unlink(missing_ok=True)
        self._record(draft.id).unlink(missing_ok=True)

    def sweep(self, now_s: float) -> list[Draft]:
        """Remove those that nobody went on with in time."""
        over = [draft for draft in self.all() if draft.ends_s <= now_s and not self.is_written(draft.id)]
        for draft in over:
            try:
                self.remove(draft)
                log.info("upload_expired" if draft.path is None else "upload_forgotten", channel=draft.channel, name=draft.name)
            except OSError as error:
                log.warning("upload_not_removed", path=str(draft.file), error=error.strerror)
        return over

    def _record(self, draft_id: str) -> Path:
        return self._folder / f"{draft_id}.json"

    def _note(self, draft: Draft) -> None:
        write_atomically(self._record(draft.id), json.dumps(asdict(draft)).encode())


def _place(draft: Draft) -> Path:
    """Give the draft the first free name: its own, then `name-2` and so on. Raises OSError."""
    wanted = Path(draft.folder) / draft.name
    for number in range(1, 10_000):
        target = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        try:
            # A link, unlike a rename, never takes the place of a file that came meanwhile.
            os.link(draft.file, target, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            # A file system without links: the name is taken by an empty file first.
            try:
                os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
            except FileExistsError:
                continue
            draft.file.replace(target)
            return target
        draft.file.unlink()
        return target
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(wanted))


class DraftWriter:
    """The end of a draft, open for more. Used by one request at a time."""

    def __init__(self, draft: Draft) -> None:
        """Raises OSError."""
        self.draft = draft
        self._fd = os.open(draft.file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.offset = os.lseek(self._fd, 0, os.SEEK_END)
        self._synced = self.offset

    def write(self, piece: bytes) -> None:
        """Add bytes; what does not fit the length is refused whole. Raises OSError; then the part that was written counts."""
        if self.offset + len(piece) > self.draft.length:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        view = memoryview(piece)
        while view:
            count = os.write(self._fd, view)
            self.offset += count
            view = view[count:]
        if self.offset - self._synced >= SYNC_BYTES:
            os.fdatasync(self._fd)
            self._synced = self.offset

    def close(self) -> None:
        """Have it on the disk; idempotent. Raises OSError."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)
