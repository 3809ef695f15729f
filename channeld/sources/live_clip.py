"""A clip that never ends: what a live source sent, in blocks, of which only the newest minute is kept.

Rule: a block's packets are in the file before its index record is, as with every clip; what is too old is punched out of both files, so
that neither memory nor disk grows, and `<name>.base` says where the index goes on behind the hole. That is renamed into place one turn
before the hole is made: who reads it has a turn's time. One writer; the folder is made and removed by who starts the source.
"""

import contextlib
import ctypes
import ctypes.util
import errno
import os
import time
from collections import deque
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path

from channeld.telemetry import log
from channeld.ts.index import Base, Block, ClipHeader, Totals, encode_block, encode_header, encode_trailer

KEPT_S = 60.0
TURN_S = 20.0
_PAGE_BYTES = 4096
_KEEP_SIZE_AND_PUNCH = 0x01 | 0x02
"""FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE (fallocate(2)), which Python does not have."""

_log = log.get("live_clip")


@dataclass(frozen=True, slots=True)
class _Place:
    """A place between two blocks."""

    base: Base
    ts_at: int


class LiveClip:
    """Writes one; of it `kept_s` seconds stay, looked at every `turn_s`. Raises OSError when the disk refuses."""

    def __init__(self, folder: Path, key: str, header: ClipHeader, *, kept_s: float = KEPT_S, turn_s: float = TURN_S) -> None:
        self.key = key
        self._kept_s, self._turn_s = kept_s, turn_s
        self.ts_path, self.idx_path = folder / f"{key}.ts", folder / f"{key}.idx"
        self._base_path = folder / f"{key}.base"
        begin = encode_header(header)
        self._ts, self._idx = _begin(folder, key, begin)
        self._header_bytes = -(-len(begin) // _PAGE_BYTES) * _PAGE_BYTES
        self._at = self._told = _Place(Base(len(begin)), 0)
        self._marks: deque[tuple[float, _Place]] = deque()
        self._turned_s = time.monotonic()
        self._may_punch = True

    @property
    def frames(self) -> int:
        """Pictures written."""
        return self._at.base.frames

    @property
    def bytes_written(self) -> int:
        """Bytes of packets written."""
        return self._at.ts_at

    def append(self, block: Block) -> None:
        """Write a block, packets first."""
        at, now_s = self._at, time.monotonic()
        self._marks.append((now_s, at))
        _write_all(self._ts.fileno(), block.ts)
        record, base = encode_block(block, ts_offset=at.ts_at), at.base
        _write_all(self._idx.fileno(), record)
        base = Base(base.index_at + len(record), base.frames + len(block.video), base.audio_units + len(block.audio))
        self._at = _Place(base, at.ts_at + len(block.ts))
        if now_s - self._turned_s >= self._turn_s:
            self._turned_s = now_s
            self._turn(now_s)

    def _turn(self, now_s: float) -> None:
        """Punch out what was told to be old at the last turn, and tell what is by now."""
        self._punch(self._told)
        while self._marks and self._marks[0][0] < now_s - self._kept_s:
            self._told = self._marks.popleft()[1]
        draft = self._base_path.with_suffix(".base.part")
        draft.write_bytes(self._told.base.encode())
        draft.replace(self._base_path)

    def _punch(self, until: _Place) -> None:
        for file, begin, end in ((self._ts, 0, until.ts_at), (self._idx, self._header_bytes, until.base.index_at)):
            end -= end % _PAGE_BYTES
            if self._may_punch and end > begin and not _punch_hole(file.fileno(), begin, end - begin):
                self._may_punch = False
                _log.warning("live_clip_grows", folder=str(self._base_path.parent), reason="its filesystem punches no holes: use a tmpfs")

    def finish(self, audio_frames: int) -> None:
        """Nothing comes any more: a reader ends with what it has."""
        _write_all(self._idx.fileno(), encode_trailer(Totals(self.frames, audio_frames)))
        self.close()

    def close(self) -> None:
        """Close both files. Idempotent."""
        self._ts.close()
        self._idx.close()

    def remove(self) -> None:
        """Take the files away; who has them open reads on."""
        self.close()
        for name in (f"{self.key}.ts.part", f"{self.key}.idx.part", f"{self.key}.base", f"{self.key}.base.part"):
            (self._base_path.parent / name).unlink(missing_ok=True)


def _begin(folder: Path, key: str, header: bytes) -> tuple[FileIO, FileIO]:
    """Both files, the index with its header; neither where the disk refuses."""
    with contextlib.ExitStack() as undo:
        made = []
        for path in (folder / f"{key}.ts.part", folder / f"{key}.idx.part"):
            file = path.open("xb", buffering=0)
            undo.callback(path.unlink)
            undo.callback(file.close)
            made.append(file)
        _write_all(made[1].fileno(), header)
        undo.pop_all()
    return made[0], made[1]


def _write_all(fd: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)


def _punch_hole(fd: int, offset: int, length: int) -> bool:
    """Give the blocks of a range back; False where the filesystem cannot. What a disk refuses at the moment is in the next hole."""
    fallocate = _libc().fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    is_done = int(fallocate(fd, _KEEP_SIZE_AND_PUNCH, offset, length)) == 0
    return is_done or ctypes.get_errno() not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
