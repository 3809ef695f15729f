"""The slates of one channel: cards that say why nothing else airs, made beforehand where their words are known.

Rule: nobody waits for a slate: what is not made yet is ordered, and the next best one airs meanwhile. Control loop's thread only.
"""

import time
from collections.abc import Callable

import structlog

from channeld.channel.failover import Standing
from channeld.channel.preparation import Preparer
from channeld.media.clip import PreparedClip
from channeld.media.profile import Profile
from channeld.sources.spec import Reason, SourceState

MAX_KEPT = 64
RETRY_S = 30.0

_WORDS = {
    Reason.CANNOT_CONNECT: "cannot connect",
    Reason.TIMED_OUT: "timed out",
    Reason.AUTHENTICATION_FAILED: "authentication failed",
    Reason.UNSUPPORTED_FORMAT: "unsupported format",
    Reason.ENDED: "the source ended",
    Reason.FROZEN: "the picture stands still",
    Reason.BLACK: "no picture",
    Reason.SILENT: "no sound",
    Reason.OTHER: "source lost",
}
CONNECTING = "connecting"
SIGNAL_LOST = "one moment please"

log = structlog.get_logger()


class Slates:
    """`on_made` is called when one that was ordered is there."""

    def __init__(self, title: str, profile: Profile, preparer: Preparer, on_made: Callable[[], None]) -> None:
        self._title, self._profile, self._preparer, self._on_made = title, profile, preparer, on_made
        self._made: dict[str, PreparedClip] = {}
        self._ordered: dict[str, float] = {}

    def prepare(self) -> None:
        """Have all made whose words are known beforehand."""
        for words in (CONNECTING, SIGNAL_LOST, *_WORDS.values()):
            self.find(words)

    def find(self, words: str) -> PreparedClip | None:
        """A slate; ordered where it is not there."""
        clip = self._made.get(words)
        if clip is None and time.monotonic() - self._ordered.get(words, -RETRY_S) >= RETRY_S:
            self._ordered[words] = time.monotonic()
            self._preparer.ensure_slate(self._profile, f"{self._title}: {words}", lambda result: self._take(words, result))
        return clip

    def of(self, standing: Standing) -> tuple[str, PreparedClip | None]:
        """The slate for a source's trouble, and its words: with the time, else without it, else that something is wrong."""
        if standing.reason is None:
            is_first = standing.state is not SourceState.LOST and not standing.was_lost
            words = CONNECTING if is_first else SIGNAL_LOST
            return words, self.find(words) or self.find(SIGNAL_LOST)
        plain = _WORDS[standing.reason]
        if standing.reason is Reason.TIMED_OUT and standing.detail.startswith("nothing came for "):
            plain = f"timed out after {standing.detail.removeprefix('nothing came for ')}"
        timed = f"{plain} since {time.strftime('%H:%M:%S', time.gmtime(standing.since_wall_s))} UTC"
        return plain, self.find(timed) or self.find(plain) or self.find(_WORDS[standing.reason]) or self.find(SIGNAL_LOST)

    def _take(self, words: str, result: PreparedClip | str) -> None:
        if isinstance(result, str):
            log.warning("slate_not_made", words=words, error=result)
            return
        self._made[words] = result
        while len(self._made) > MAX_KEPT:
            oldest = next(key for key in self._made if " since " in key)
            del self._made[oldest]
            self._ordered.pop(oldest, None)
        self._on_made()
