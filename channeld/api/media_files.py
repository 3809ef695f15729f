"""Files of HLS and DASH as HTTP answers: conditional requests, ranges, and no way out of the folder.

Rule: a name is matched against a fixed pattern, then opened below the folder's descriptor without following links, and
only a regular file is read. Run by the media worker's event loop; a read that would wait for the disk goes to a thread.
"""

import asyncio
import errno
import os
import re
import stat
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from starlette.requests import Request

from channeld.outputs.hls_store import CHANNEL_ID, HLS_FILES, FileNames

CHUNK_BYTES = 256 * 1024
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open regular file and what HTTP calls its validators. Whoever has it closes `fd`."""

    fd: int
    size: int
    mtime_s: int
    etag: str

    @property
    def last_modified(self) -> str:
        """HTTP date."""
        return formatdate(self.mtime_s, usegmt=True)


class Folder:
    """The HLS folder, held open by descriptor, so that a renamed or replaced path leads nowhere else."""

    def __init__(self, hls_dir: Path) -> None:
        hls_dir.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(hls_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, channel: str, name: str, names: FileNames = HLS_FILES) -> OpenFile | None:
        """The manifest or a segment of a channel; None for anything else."""
        if CHANNEL_ID.fullmatch(channel) is None or (name != names.manifest and names.segment.fullmatch(name) is None):
            return None
        try:
            folder = os.open(channel, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
            try:
                # O_NONBLOCK: opening a FIFO that somebody put there must not hang.
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise
        return _regular(fd)

    def open_listing(self, name: str) -> OpenFile | None:
        """A file of the programme guide, beside the channels' folders; None where it is not. `name` is ours, not a viewer's."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise
        return _regular(fd)

    def close(self) -> None:
        """Close the folder; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _regular(fd: int) -> OpenFile | None:
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        os.close(fd)
        return None
    return OpenFile(fd, facts.st_size, int(facts.st_mtime), f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"')


def is_unchanged(request: Request, file: OpenFile) -> bool:
    """The requester has this file already (RFC 9110, 13.1: If-None-Match wins over If-Modified-Since)."""
    known = request.headers.get("if-none-match")
    if known is not None:
        return known.strip() == "*" or file.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return file.mtime_s <= parsedate_to_datetime(since).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False


def wanted_range(request: Request, file: OpenFile) -> tuple[int, int] | None:
    """[start, end) of the bytes asked for; None for the whole file. Raises ValueError when no byte of it exists.

    Several ranges, other units and a stale If-Range get the whole file, as RFC 9110, 14.2 allows.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or match[0] == "bytes=-" or request.headers.get("if-range", file.etag) not in (file.etag, file.last_modified):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, file.size - int(last)), file.size
    else:
        start, end = int(first), min(int(last) + 1, file.size) if last else file.size
    if start >= file.size or start >= end:
        raise ValueError(f"no byte of {match[0]} exists")
    return start, end


async def read_chunks(fd: int, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """The file's bytes in [start, end). Raises EOFError when the file is shorter."""
    while start < end:
        chunk = await _read_at(fd, min(CHUNK_BYTES, end - start), start)
        if not chunk:
            raise EOFError(f"file ends at {start}, not at {end}")
        start += len(chunk)
        yield chunk


async def read_whole(file: OpenFile, most: int) -> bytes:
    """All of a small file. Raises ValueError when it is longer than `most` bytes, EOFError when it became shorter."""
    if file.size > most:
        raise ValueError(f"the file has {file.size} bytes, more than {most}")
    return b"".join([chunk async for chunk in read_chunks(file.fd, 0, file.size)])


async def _read_at(fd: int, size: int, position: int) -> bytes:
    buffer = bytearray(size)
    try:
        # Only what is in the page cache (preadv2(2)): a disk that is busy must not stop the loop.
        return bytes(memoryview(buffer)[: os.preadv(fd, [buffer], position, os.RWF_NOWAIT)])
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise
    return await asyncio.to_thread(os.pread, fd, size, position)
