"""A clip being written: packets and index side by side under `.part` names, block by block, committed by two renames.

Rule: a block's packets are in the file before its index record is, so a reader that follows the index never reads what is not there;
an `.idx` without `.part` is the commit. One writer per clip; used by one prepare job.
"""

import fcntl
import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from channeld.media.clip import PreparedClip
from channeld.ts.index import Block, ClipHeader, Totals, encode_block, encode_header, encode_trailer


class PartWriter:
    """Appends blocks; ends with `commit` or `abort`. Raises OSError when the disk refuses."""

    def __init__(self, folder: Path, key: str, header: ClipHeader) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._key, self._header = folder, key, header
        self._idx = _open_alone(self._part("idx"))
        self._ts: BinaryIO = self._part("ts").open("wb")
        self._idx.write(encode_header(header))
        self._idx.flush()
        self._ts_bytes = 0
        self.frames = 0

    def _part(self, suffix: str) -> Path:
        return self._folder / f"{self._key}.{suffix}.part"

    @property
    def ts_bytes(self) -> int:
        """Bytes of packets written."""
        return self._ts_bytes

    def append(self, block: Block) -> None:
        """Write a block, packets first."""
        self._ts.write(block.ts)
        self._ts.flush()
        self._idx.write(encode_block(block, ts_offset=self._ts_bytes))
        self._idx.flush()
        self._ts_bytes += len(block.ts)
        self.frames += len(block.video)

    @property
    def growing(self) -> PreparedClip:
        """The clip as far as it is written."""
        return self._clip(self._part("ts"), self._part("idx"), growing=True)

    def commit(self, totals: Totals) -> PreparedClip:
        """Close the index, put both files on disk for good, give them their names: packets first, index last."""
        self._idx.write(encode_trailer(totals))
        for file in (self._ts, self._idx):
            file.flush()
            os.fsync(file.fileno())
        self.close()
        ts, idx = self._folder / f"{self._key}.ts", self._folder / f"{self._key}.idx"
        self._part("ts").replace(ts)
        self._part("idx").replace(idx)
        _sync_folder(self._folder)
        return replace(self._clip(ts, idx, growing=False), facts={**self._header.facts, **totals.facts})

    def abort(self) -> None:
        """Remove what was written. Idempotent; a committed clip is left alone."""
        self.close()
        self._part("idx").unlink(missing_ok=True)
        self._part("ts").unlink(missing_ok=True)

    def close(self) -> None:
        """Close both files."""
        self._ts.close()
        self._idx.close()

    def _clip(self, ts: Path, idx: Path, *, growing: bool) -> PreparedClip:
        header = self._header
        seconds = header.fps.seconds(self.frames)
        written = self._ts_bytes + (idx.stat().st_size if idx.exists() else 0)
        return PreparedClip(self._key, header.profile_key, ts, idx, self.frames, seconds, written, header.facts, growing)


def _open_alone(path: Path) -> BinaryIO:
    """Open for writing, empty. Raises BlockingIOError while another process writes this clip: the lock goes with the process."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
    except OSError:
        file.close()
        raise
    return file


def remove_leftover(idx_part: Path) -> None:
    """Remove a part that nobody writes any more."""
    try:
        _open_alone(idx_part).close()
    except BlockingIOError:
        return
    idx_part.unlink(missing_ok=True)
    idx_part.with_name(idx_part.name.replace(".idx.part", ".ts.part")).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # A rename is on disk only when its directory is (fsync(2)).
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
