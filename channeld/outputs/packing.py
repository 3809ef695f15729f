"""What a packager leaves to each way of packaging: what a cut becomes on disk, and how it is listed.

Rule: a way of packaging makes bytes and reads them back; files, numbers, windows and failures are the packager's, for all ways alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from channeld.outputs.hls_manifest import Manifest, Segment
from channeld.outputs.hls_store import FileNames


@dataclass(frozen=True, slots=True)
class Cut:
    """A finished segment in memory: [start, end) in ticks; `released_ns`: when its first slice aired."""

    start: int
    end: int
    pieces: tuple[bytes, ...]
    released_ns: int = 0

    @property
    def size_bytes(self) -> int:
        """All its pieces'."""
        return sum(map(len, self.pieces))


@dataclass(frozen=True, slots=True)
class Packed:
    """How a cut is listed, and the pieces of its files by name."""

    segment: Segment
    files: Mapping[str, Sequence[bytes]]


class Packing(Protocol):
    """One way of packaging."""

    names: FileNames

    def pack(self, cut: Cut, listed: Segment, before: Manifest | None) -> Packed:
        """The cut as files. `listed`: what the packager knows of it; `before`: what came before it. Raises StreamError for a broken one."""
        ...

    def files_of(self, segments: Sequence[Segment]) -> list[str]:
        """All files that these segments need."""
        ...

    def is_intact(self, segment: Segment, sizes: Mapping[str, int]) -> bool:
        """Nothing of a listed segment is missing or torn among the files that are there."""
        ...

    def render(self, manifest: Manifest) -> bytes:
        """The manifest's text."""
        ...

    def parse(self, text: bytes) -> Manifest:
        """Read back what `render` wrote. Raises ValueError."""
        ...
