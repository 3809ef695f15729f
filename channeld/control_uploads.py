"""Uploads for the admin interface: who may send what to where, and how much room there is for it.

Rule: a file is taken only into the folder that its channel has for it, only while uploads are on, within their bounds and the disk's mark,
and only under a name that a playlist can hold. Any thread but the control loop's; blocks as long as a disk does.
"""

import errno
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from channeld.api.control import Refused, UnknownChannel
from channeld.api.upload_desk import Upload
from channeld.base.errors import ProcessError
from channeld.base.worker import Worker
from channeld.channel.disk import Room
from channeld.channel.means import Publish
from channeld.config_values import Config
from channeld.control_library import written_path
from channeld.daemon_settings import disk_marks
from channeld.media.drafts import Busy, Draft, DraftBook, DraftWriter, UnfitMedia, UnfitName, checked_name

MAX_UNFINISHED = 64
"""Of one channel."""
SWEEP_S = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class UploadDesk(Worker):
    """Takes files. Owns the thread `uploads:sweep`. `heard`: something was put into a media folder."""

    def __init__(self, config: Callable[[], Config], book: DraftBook, *, publish: Publish, heard: Callable[[], None]) -> None:
        super().__init__("uploads:sweep")
        self._config, self._book = config, book
        self._publish, self._heard = publish, heard

    def run(self) -> None:
        while not self.stopping.is_set():
            self._book.sweep(time.time())
            self.stopping.wait(SWEEP_S)

    def max_bytes(self, channel: str) -> int:
        """Of one file. Raises UnknownChannel, Refused."""
        return self._config().uploads.limit.on(self._folder(channel))

    def begin(self, channel: str, name: str, length: int) -> Upload:
        """A new upload. Raises UnknownChannel, Refused."""
        folder = self._folder(channel)
        try:
            checked_name(name)
        except UnfitName as error:
            raise Refused(422, "Unfit name", f"{error}.") from None
        if length > (most := self._config().uploads.limit.on(folder)):
            raise Refused(413, "Too large", f"The file has {length} bytes, and uploads.max_bytes allows {most}.")
        unfinished = [draft for draft in self._book.all() if draft.path is None]
        if sum(draft.channel == channel for draft in unfinished) >= MAX_UNFINISHED:
            raise Refused(409, "Too many uploads", f"{MAX_UNFINISHED} uploads of this channel are unfinished. Finish or delete some.")
        self._check_room(folder, length, unfinished)
        try:
            keep_s = self._config().uploads.expire_s
            draft = self._book.begin(channel=channel, name=name, folder=folder, length=length, now_s=time.time(), keep_s=keep_s)
        except OSError as error:
            raise _not_written(error) from error
        return self._described(draft)

    def find(self, channel: str, upload: str) -> Upload:
        """How far an upload is; one that is whole and not yet put into its place is put there now. Raises UnknownChannel, Refused."""
        draft = self._draft(channel, upload)
        described = self._described(draft)
        if draft.path is None and described.offset == draft.length:
            with suppress(Busy), self._book.writing(draft.id):
                return self._finish(self._draft(channel, upload))
        return described

    def all(self, channel: str) -> list[Upload]:
        """A channel's uploads, the oldest first. Raises UnknownChannel, Refused."""
        self._folder(channel)
        return [self._described(draft) for draft in self._book.all() if draft.channel == channel]

    def open(self, channel: str, upload: str, offset: int) -> "Writing":
        """Go on at an offset. Raises UnknownChannel, Refused (409 at another offset, 423 while somebody else writes)."""
        draft = self._draft(channel, upload)
        if draft.path is not None:
            raise Refused(409, "Finished", "This upload is whole already.")
        with ExitStack() as turn:
            try:
                turn.enter_context(self._book.writing(draft.id))
                self._check_room(Path(draft.folder), 0, [])
                writer = DraftWriter(draft)
            except Busy as error:
                raise Refused(423, "Locked", f"{error}. Try again in some seconds.") from None
            except OSError as error:
                raise _not_written(error) from error
            turn.callback(writer.close)
            if writer.offset != offset:
                raise Refused(409, "Another offset", f"The upload is at {writer.offset}, not at {offset}: HEAD tells where to go on.")
            return Writing(self, writer, turn.pop_all())

    def remove(self, channel: str, upload: str) -> None:
        """End an upload; a whole file stays. Raises UnknownChannel, Refused."""
        draft = self._draft(channel, upload)
        try:
            with self._book.writing(draft.id):
                self._book.remove(draft)
        except Busy as error:
            raise Refused(423, "Locked", f"{error}. Try again in some seconds.") from None
        except OSError as error:
            raise _not_written(error) from error

    def wrote(self, draft: Draft) -> Upload:
        """Some of a draft was written, by whoever has its turn. Raises Refused where the whole file cannot air."""
        try:
            draft = self._book.keep_until(draft, time.time() + self._config().uploads.expire_s)
            return self._finish(draft) if self._book.offset(draft) == draft.length else self._described(draft)
        except OSError as error:
            raise _not_written(error) from error

    def _finish(self, draft: Draft) -> Upload:
        if draft.path is not None:
            return self._described(draft)
        try:
            done = self._book.finish(draft)
        except UnfitMedia as error:
            raise Refused(422, "Cannot air", f"{draft.name}: {error}. The file was removed.") from None
        except ProcessError as error:
            raise Refused(503, "Not now", f"{draft.name} could not be looked at: {error}. HEAD tries again.") from None
        except OSError as error:
            raise _not_written(error) from error
        described = self._described(done)
        self._heard()
        self._publish("clip_uploaded", channel=draft.channel, path=described.path, bytes=draft.length)
        return described

    def _draft(self, channel: str, upload: str) -> Draft:
        self._folder(channel)
        draft = self._book.find(upload)
        if draft is None or draft.channel != channel:
            raise Refused(404, "Unknown upload", "There is no such upload: it was finished long ago, ended, refused, or its time is over.")
        return draft

    def _folder(self, channel: str) -> Path:
        config = self._config()
        spec = config.channels.get(channel)
        if spec is None:
            raise UnknownChannel(channel)
        if not config.uploads.is_enabled:
            raise Refused(403, "Uploads are off", "uploads.enabled is false in the configuration.")
        return spec.uploads

    def _check_room(self, folder: Path, length: int, unfinished: list[Draft]) -> None:
        """Room for the file and for what else is on its way to the same disk, above the mark below which nothing is prepared."""
        try:
            room, device = Room.of(folder), os.stat(folder).st_dev  # noqa: PTH116
        except OSError as error:
            raise Refused(503, "No folder", f"{folder}: {error.strerror}. Make it, writable for the daemon.") from error
        promised = sum(self._missing(draft) for draft in unfinished if _device(draft.folder) == device)
        left = room.free_bytes - length - promised - disk_marks(self._config()).critical(room.total_bytes)
        if left < 0 or room.is_read_only:
            raise Refused(507, "No room", f"The disk of {folder} lacks {max(0, -left)} bytes for it. Make room first.")

    def _missing(self, draft: Draft) -> int:
        try:
            return draft.length - self._book.offset(draft)
        except OSError:
            return 0

    def _described(self, draft: Draft) -> Upload:
        try:
            offset = self._book.offset(draft)
        except OSError as error:
            raise Refused(404, "Unknown upload", f"What was sent is gone: {error.strerror}. Begin anew.") from None
        spec = self._config().channels[draft.channel]
        path = None if draft.path is None else written_path(draft.path, spec.playlist)
        return Upload(draft.id, draft.channel, draft.name, draft.length, offset, draft.ends_s, path)


class Writing:
    """One request's turn at an upload; whoever has it closes it."""

    def __init__(self, desk: UploadDesk, writer: DraftWriter, turn: ExitStack) -> None:
        self._desk, self._writer, self._turn = desk, writer, turn

    @property
    def left_bytes(self) -> int:
        """So many may still come."""
        return self._writer.draft.length - self._writer.offset

    def write(self, piece: bytes) -> None:
        """Add bytes. Raises Refused (507 on a full disk)."""
        try:
            self._writer.write(piece)
        except OSError as error:
            raise _not_written(error) from error

    def close(self) -> Upload:
        """Have it all on the disk, and finish what is whole. Raises Refused."""
        try:
            with self._turn:
                self._writer.close()
                return self._desk.wrote(self._writer.draft)
        except OSError as error:
            raise _not_written(error) from error


def _device(folder: str) -> int | None:
    try:
        return os.stat(folder).st_dev  # noqa: PTH116
    except OSError:
        return None


def _not_written(error: OSError) -> Refused:
    if error.errno == errno.EFBIG:
        return Refused(413, "Too large", "More bytes came than Upload-Length says.")
    status = 507 if error.errno in _FULL else 404 if error.errno == errno.ENOENT else 500
    return Refused(status, "Not written", f"{error.strerror or error}; what was written before counts.")
