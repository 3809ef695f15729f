"""A named pipe at a path that people chose: made, given anew to every reader, removed.

Rule: what is there and is not a FIFO of this user is never replaced, opened or removed. Each reader has a pipe of its own: as soon as
one has opened the path, another FIFO takes its place there, so that what one left unread cannot come out for the next, and two at a time
do not share the bytes. Made and removed by the pipe desk's thread.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from channeld.base.errors import OutputError
from channeld.process.fifo import WANT_BYTES, widen

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PipeOwner:
    """Who may read besides root and our own user: members of a group."""

    gid: int | None = None

    @property
    def mode(self) -> int:
        """Of the FIFO. The group may not write: whoever did would put bytes of his own among those of another's player."""
        return 0o600 if self.gid is None else 0o640


def remove_leftovers(folder: Path, keep: Collection[Path]) -> None:
    """Remove the FIFOs of ours in a folder, but for those at these paths; other files stay. Raises OSError."""
    for path in folder.iterdir():
        facts = path.lstat()
        if path not in keep and stat.S_ISFIFO(facts.st_mode) and facts.st_uid == os.geteuid():
            with contextlib.suppress(OSError):  # nobody waits
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))
            path.unlink(missing_ok=True)


class PipeFile:
    """The FIFO at one path."""

    def __init__(self, path: Path, owner: PipeOwner) -> None:
        self.path = path
        self._owner = owner
        self._held: int | None = None
        """The FIFO itself, neither end of it, so that no other file gets its inode's number, by which we know it."""

    @property
    def is_there(self) -> bool:
        """The path leads to the FIFO that we made or took over."""
        try:
            return self._is_ours(self.path.lstat())
        except OSError:
            return False

    def _is_ours(self, facts: os.stat_result) -> bool:
        return self._held is not None and os.path.samestat(os.fstat(self._held), facts)

    def make(self) -> None:
        """Make the FIFO, or take one over that is ours: a killed daemon left it, and a player may wait at it. Raises OutputError."""
        self._let_go()
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self.path, 0o600)
            self._give(self.path)
            self._hold()
        except OSError as error:
            raise self._trouble(error) from error

    def _judge(self, facts: os.stat_result) -> None:
        if not stat.S_ISFIFO(facts.st_mode):
            raise OutputError(f"{self.path} is there already and is not a named pipe: left alone. Remove it, or name another path")
        if facts.st_uid != os.geteuid():
            raise OutputError(f"{self.path} is another user's named pipe: left alone. Remove it, or name another path")

    def give_to(self, owner: PipeOwner) -> None:
        """Have others read it; who reads already goes on. Raises OutputError."""
        self._owner = owner
        if self.is_there:
            try:
                self._give(self.path)
            except OSError as error:
                raise self._trouble(error) from error

    def _give(self, path: Path) -> None:
        # By the file itself, as judged: who may write in its folder could put a link in the path's place meanwhile.
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._judge(os.fstat(fd))
            reached = Path(f"/proc/self/fd/{fd}")
            if self._owner.gid is not None:
                os.chown(reached, -1, self._owner.gid)
            reached.chmod(self._owner.mode)
        finally:
            os.close(fd)

    def open_writer(self) -> int | None:
        """The write end (non-blocking) of the pipe that a reader has opened, for that reader alone; None while there is none.

        The caller owns the descriptor. Raises OutputError.
        """
        # Asked again and again: inotify tells of an open when it has returned, and a reader's returns only when a writer is there.
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            raise self._trouble(error) from error
        try:
            if not self._is_ours(os.fstat(fd)):
                raise OutputError(f"{self.path} was replaced: left alone")
            self._renew()
        except BaseException:
            os.close(fd)
            raise
        widen(fd, WANT_BYTES)
        return fd

    def _renew(self) -> None:
        """Put another FIFO in the place of this one, for the next reader."""
        draft = self.path.with_name(f".{hashlib.blake2b(self.path.name.encode(), digest_size=6).hexdigest()}.pipe")
        try:
            with contextlib.suppress(FileNotFoundError):  # one that a killed daemon left
                self._judge(draft.lstat())
                draft.unlink()
            os.mkfifo(draft, 0o600)
            self._give(draft)
            draft.rename(self.path)
            self._hold()
        except OSError as error:
            raise self._trouble(error) from error

    def leave(self) -> None:
        """Let the FIFO be, for another control to take over."""
        self._let_go()

    def remove(self) -> None:
        """Unlink the FIFO, unless something else has taken its name; who waits at it is let go. Idempotent."""
        if self.is_there:
            with contextlib.suppress(OSError):  # nobody waits
                os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:  # its folder may have become another's, or read-only
                log.warning("pipe_not_removed", path=str(self.path), error=error.strerror)
        self._let_go()

    def _hold(self) -> None:
        self._let_go()
        self._held = os.open(self.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def _trouble(self, error: OSError) -> OutputError:
        # EINVAL of chown: a group that our user namespace does not know (PrivateUsers= of the unit). EPERM: we are no member of it.
        hint = ""
        if self._owner.gid is not None and error.errno in (errno.EPERM, errno.EINVAL):
            hint = ". The daemon's user must be a member of attach.group; under the systemd unit that must be its own group"
        elif error.errno in (errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR):
            hint = ". The folder must be there, and the daemon's user must be able to write in it"
        return OutputError(f"{self.path}: {error.strerror}{hint}")
