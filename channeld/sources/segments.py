"""Whether what comes of a manifest is new: a server whose encoder died goes on listing its last segments, for ever.

Rule: after a loss nothing counts as live before a segment was opened that was not opened before, or more of them than anybody begins with,
as some servers name their segments in turns. By FFmpeg's own words; of a source without segments it knows nothing, and says nothing. Pure.
"""

import re
from collections.abc import Iterable

_OPENED = re.compile(r"Opening '(?P<url>[^']+)' for reading")
_MANIFEST = re.compile(r"\.m3u8?(\?|$)", re.IGNORECASE)
_SESSION = re.compile(r"\?.*$|_w\d+(?=[_.])")
"""What may be another one for each who asks, though the segment is the same: tokens in the query, and Wowza's names of sessions."""
FIRST_SEGMENTS = 3
"""FFmpeg begins with the last three of each manifest."""
KEPT_SEGMENTS = 32


class Segments:
    """Of one attempt; `before`: those of the attempt before it."""

    def __init__(self, before: Iterable[str] = ()) -> None:
        self._before = frozenset(before)
        self._manifests: set[str] = set()
        self._opened: list[str] = []
        self._count = 0
        self._is_new = not self._before

    def feed(self, line: str) -> None:
        """Take one line of FFmpeg's stderr."""
        opened = _OPENED.search(line)
        if opened is None:
            return
        url = _SESSION.sub("", opened["url"])
        if _MANIFEST.search(url):
            self._manifests.add(url)
            return
        self._count += 1
        self._opened = [*self._opened[1 - KEPT_SEGMENTS :], url]
        self._is_new |= url not in self._before or self._count > FIRST_SEGMENTS * max(1, len(self._manifests))

    @property
    def are_old(self) -> bool:
        """All that came so far had come before."""
        return not self._is_new

    @property
    def seen(self) -> tuple[str, ...]:
        """For the next attempt; what was known where nothing was opened."""
        return tuple(self._opened) or tuple(self._before)
