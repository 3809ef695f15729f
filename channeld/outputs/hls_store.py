"""Files of the embedded origin: segments and manifests of HLS and DASH below one folder, with a cap on their bytes.

Rule: a file appears whole or not at all (temporary name, then rename), and a removed segment goes when its time is over,
or earlier when the cap or a full disk asks for it, the oldest first. What a manifest lists is never deleted here.
Not thread-safe; used by the packager thread only. No fsync: after a power loss the timeline is another one anyway.
"""

import contextlib
import errno
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from channeld.base.clock import NS_PER_SECOND, Clock
from channeld.outputs.hls_manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, SEGMENT_NAME

CHANNEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
GUIDE_NAME, CHANNELS_NAME = "guide.xml", "channels.m3u"
"""The programme guide, beside the channels' folders; control writes it."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_IOV_MAX = 512
_DELETE_AGAIN_NS = 60 * NS_PER_SECOND


PackagingType = Literal["hls", "dash"]
PACKAGINGS: tuple[PackagingType, ...] = get_args(PackagingType)


@dataclass(frozen=True, slots=True)
class FileNames:
    """What one way of packaging calls its files; several may share a folder. The first group of `segment` is a number that grows."""

    type: PackagingType
    manifest: str
    segment: re.Pattern[str]
    max_manifest_bytes: int


HLS_FILES = FileNames("hls", MANIFEST_NAME, SEGMENT_NAME, MAX_MANIFEST_BYTES)


@dataclass(frozen=True, slots=True)
class _Removed:
    """A segment no manifest lists any more, with the moment (monotonic) after which nobody asks for it."""

    path: Path
    expires_ns: int


class SegmentStore:
    """All channels' folders below `hls_dir`. `max_bytes` None: no cap."""

    def __init__(self, hls_dir: Path, max_bytes: int | None, clock: Clock) -> None:
        self.max_bytes = max_bytes
        self._hls_dir = hls_dir
        self._clock = clock
        self._sizes: dict[Path, int] = {}
        self._removed: list[_Removed] = []  # in the order in which they were removed
        self._leaving: dict[tuple[Path, FileNames], int] = {}  # folders to clean, with the moment (monotonic) from which on
        self._total_bytes = 0

    @property
    def total_bytes(self) -> int:
        """Bytes of all segments known here."""
        return self._total_bytes

    @property
    def is_over_cap(self) -> bool:
        """The listed segments alone are more than the cap allows; they are kept all the same."""
        return self.max_bytes is not None and self._total_bytes > self.max_bytes

    def open_channel(self, channel: str, names: FileNames = HLS_FILES) -> dict[str, int]:
        """Make or scan the channel's folder; returns the sizes of its segments by name and drops unfinished files."""
        if CHANNEL_ID.fullmatch(channel) is None:
            raise ValueError(f"not a channel id: {channel!r}")
        folder = self._hls_dir / channel
        self._leaving.pop((folder, names), None)
        folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, int] = {}
        for path in folder.iterdir():
            if names.segment.fullmatch(path.name) is not None:
                found[path.name] = path.stat(follow_symlinks=False).st_size
                self._note(path, found[path.name])
            elif path.name.endswith(".tmp"):
                path.unlink(missing_ok=True)
        return found

    def forget_channel(self, channel: str, names: FileNames = HLS_FILES) -> None:
        """The channel is packaged so no more here: all of its segments count as removed, to go first when room is needed."""
        folder = self._hls_dir / channel
        waiting = {removed.path for removed in self._removed}
        ours = (path for path in self._sizes if path.parent == folder and names.segment.fullmatch(path.name) is not None)
        for path in sorted(path for path in ours if path not in waiting):
            self._removed.append(_Removed(path, 1 << 63))

    def clean_channel(self, channel: str, names: FileNames = HLS_FILES, *, keep_s: float) -> None:
        """The channel is packaged so no more: these files go in so many seconds, unless it is opened before; files of others stay."""
        folder = self._hls_dir / channel
        if folder.is_dir() and not folder.is_symlink():
            self._leaving[folder, names] = self._clock.monotonic_ns() + int(keep_s * NS_PER_SECOND)

    def _remove_files(self, folder: Path, names: FileNames) -> None:
        gone = []
        for path in folder.iterdir():
            if names.segment.fullmatch(path.name) is not None:
                self._delete(path)
                gone.append(path)
            elif path.name == names.manifest or path.name.endswith(".tmp"):
                path.unlink(missing_ok=True)
        self._removed = [removed for removed in self._removed if removed.path not in gone]
        with contextlib.suppress(OSError):  # somebody keeps other files there
            folder.rmdir()

    def read_manifest(self, channel: str, names: FileNames = HLS_FILES) -> bytes | None:
        """The manifest's bytes, bounded; None where there is none."""
        try:
            with (self._hls_dir / channel / names.manifest).open("rb") as file:
                return file.read(names.max_manifest_bytes + 1)
        except FileNotFoundError:
            return None

    def write_segment(self, channel: str, files: Mapping[str, Sequence[bytes]]) -> None:
        """Write one segment's files, pieces by name, each whole, making room by the cap. Raises OSError; then nothing of them is left."""
        sizes = {self._hls_dir / channel / name: sum(map(len, pieces)) for name, pieces in files.items()}
        self._make_room(sum(sizes.values()))
        for (path, size), pieces in zip(sizes.items(), files.values(), strict=True):
            try:
                self._write_or_purge(path, pieces)
            except OSError:
                for written in sizes:
                    with contextlib.suppress(OSError):  # the folder itself is broken: what matters is the error that told so
                        self._delete(written)
                raise
            self._note(path, size)

    def write_manifest(self, channel: str, text: bytes, names: FileNames = HLS_FILES) -> None:
        """Replace the manifest in one step. Raises OSError; then the old one stands."""
        self._write_or_purge(self._hls_dir / channel / names.manifest, [text])

    def retire(self, channel: str, name: str, *, keep_s: float) -> None:
        """No manifest lists this segment any more; it stays fetchable for `keep_s`."""
        expires_ns = self._clock.monotonic_ns() + int(keep_s * NS_PER_SECOND)
        self._removed.append(_Removed(self._hls_dir / channel / name, expires_ns))

    def purge(self) -> OSError | None:
        """Delete the removed segments, and folders, whose time is over; gives an error when some cannot be, which are tried again."""
        now_ns = self._clock.monotonic_ns()
        errors = [self._discard(removed) for removed in list(self._removed) if removed.expires_ns <= now_ns]
        errors += [self._clean(*place) for place in [place for place, due_ns in self._leaving.items() if due_ns <= now_ns]]
        return next((error for error in errors if error is not None), None)

    def _clean(self, folder: Path, names: FileNames) -> OSError | None:
        try:
            self._remove_files(folder, names)
        except FileNotFoundError:
            pass  # somebody was sooner
        except OSError as error:
            self._leaving[folder, names] = self._clock.monotonic_ns() + _DELETE_AGAIN_NS
            return error
        del self._leaving[folder, names]
        return None

    def _discard(self, removed: _Removed) -> OSError | None:
        """Delete a removed segment, of whichever channel: where its folder is broken, that is not the caller's trouble."""
        self._removed.remove(removed)
        try:
            self._delete(removed.path)
        except OSError as error:
            self._removed.append(_Removed(removed.path, self._clock.monotonic_ns() + _DELETE_AGAIN_NS))
            return error
        return None

    def _note(self, path: Path, size: int) -> None:
        # A name that waited for deletion and is written anew is a listed segment again.
        self._removed = [removed for removed in self._removed if removed.path != path]
        self._total_bytes += size - self._sizes.get(path, 0)
        self._sizes[path] = size

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._total_bytes -= self._sizes.pop(path, 0)

    def _make_room(self, size: int) -> None:
        for removed in list(self._removed):
            if self.max_bytes is None or self._total_bytes + size <= self.max_bytes:
                return
            self._discard(removed)

    def _write_or_purge(self, path: Path, pieces: Sequence[bytes]) -> None:
        removed = iter(list(self._removed))
        while True:
            try:
                _write_whole(path, pieces)
                return
            except FileNotFoundError:
                # Somebody deleted the channel's folder, or all of them: it is made again, and what is deleted once more is told.
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_whole(path, pieces)
                return
            except OSError as error:
                oldest = next(removed, None) if error.errno in _FULL else None
                if oldest is None:
                    raise
                self._discard(oldest)


def _write_whole(path: Path, pieces: Sequence[bytes]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            _write_pieces(fd, pieces)
        finally:
            os.close(fd)  # its error counts: a network file system tells of a full disk only here
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_pieces(fd: int, pieces: Sequence[bytes]) -> None:
    rest = [memoryview(piece) for piece in pieces if piece]
    while rest:
        written = os.writev(fd, rest[:_IOV_MAX])
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if written:
            rest[0] = rest[0][written:]
