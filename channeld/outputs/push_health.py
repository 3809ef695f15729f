"""Whether an egress FFmpeg delivers: judged from its stderr lines and its progress.

Rule: alive means progress on a connection that was made, never "has a pid". Sans-I/O; times come in as nanoseconds of
the monotonic clock. Used by the push's thread, one Delivery per FFmpeg.

*Tried* on FFmpeg 5.1: the fifo muxer keeps the process and its progress going while the target is away. A lost connection
shows as `Recovery attempt #1`, one whose far end is silent 10 s sooner by the statistics of what was written to it, a new
one as `Recovery successful`; the first one only as TCP's `Successfully connected`, so that a server which accepts and then
says nothing counts as up until rw_timeout (5 s). Before that, TCP tells each address of a name that does not answer, and RTMP
each attempt to sign in, as trouble. Within a recovery `Successfully connected` proves nothing. An SRT connection shows as the muxer that
begins behind it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from channeld.base.clock import NS_PER_SECOND
from channeld.process.ffmpeg_log import CONNECTION_TROUBLE, FFmpegLine, LineKind

LOST = "connection lost"
UNFED = "nothing to send"
_ADVANCES_AFTER = {LineKind.CONNECTED: 2, LineKind.RECOVERED: 1}
"""Progress reports (one a second) that must advance after such a line; a first connection may yet be refused by RTMP."""

_WHAT_FOLLOWS = frozenset({LineKind.IO_ERROR, LineKind.NO_ANSWER})
"""What FFmpeg says after every other trouble: it never hides the cause before it."""


class PushCondition(Enum):
    """What a push does."""

    STARTING = "starting"
    UP = "up"
    RETRYING = "retrying"
    RESTING = "resting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class PushState:
    """A push at one moment; `url` and `last_error` are redacted, `since_s` and `next_try_s` are seconds of the wall clock.

    `failures`: how many attempts ended by themselves. `next_try_s`: when a resting one is tried again.
    """

    channel: str
    name: str
    url: str
    condition: PushCondition
    reason: str | None
    since_s: float
    restarts: int
    last_error: str | None
    pid: int | None
    failures: int = 0
    next_try_s: float | None = None


class Delivery:
    """One FFmpeg's delivery, from its start."""

    def __init__(self, *, now_ns: int) -> None:
        self.condition = PushCondition.STARTING
        self.reason: str | None = None
        self.last_error: str | None = None
        self._cause: LineKind | None = None  # of the connection attempt under way
        self._is_recovering = False
        self._advances_wanted: int | None = None  # None: not connected
        self._out_time = ""
        self._advanced_ns = now_ns
        self._up_since_ns = now_ns
        self._longest_up_ns = 0
        self._unfed_since_ns: int | None = None
        self.is_stalled = False

    def remember(self, lines: Iterable[FFmpegLine], *, is_called: bool = False) -> None:
        """What the tail of an adopted FFmpeg tells: up unless it lost its connection, once progress has gone on twice.

        `is_called`: it waits for the far end, and says nothing meanwhile; up only where the tail tells of a connection.
        """
        for line in lines:
            self.take_line(line)
        if self.condition is PushCondition.STARTING and not is_called:
            self._advances_wanted = _ADVANCES_AFTER[LineKind.CONNECTED]

    def take_line(self, line: FFmpegLine) -> None:
        """Judge a stderr line."""
        if line.kind is LineKind.RECOVERED:
            self._is_recovering = False
            self._advances_wanted = _ADVANCES_AFTER[line.kind]
        elif line.kind is LineKind.CONNECTED and self.condition is not PushCondition.UP and not self._is_recovering:
            self._advances_wanted = _ADVANCES_AFTER[line.kind]
        elif line.kind is LineKind.RECOVERING:
            self._is_recovering = True
            self._cause = None
            self._lose(self.reason if self.condition is PushCondition.RETRYING else LOST)
        elif line.kind is LineKind.GIVEN_UP and self.condition is PushCondition.UP:  # else it may be the farewell of the one before
            self._lose(LOST)
        elif line.kind in CONNECTION_TROUBLE:
            self._take_trouble(line)

    def take_progress(self, text: str, *, now_ns: int) -> None:
        """Judge a line of `-progress`; only `out_time_us` counts."""
        key, _, value = text.partition("=")
        if key != "out_time_us" or value == self._out_time:
            return
        self._out_time = value
        self._advanced_ns = now_ns
        self._unfed_since_ns = None
        if self.condition is PushCondition.UP:
            self._longest_up_ns = max(self._longest_up_ns, now_ns - self._up_since_ns)
        elif self._advances_wanted is not None:
            self._advances_wanted -= 1
            if self._advances_wanted <= 0:
                self.condition, self.reason, self._up_since_ns = PushCondition.UP, None, now_ns

    def idle_s(self, now_ns: int) -> float:
        """Seconds since progress last advanced."""
        return (now_ns - self._advanced_ns) / NS_PER_SECOND

    def starve(self, *, now_ns: int, patience_s: float) -> None:
        """Nothing was there to send: that is no standing still, but after a while no delivery either."""
        self._advanced_ns = now_ns
        if self._unfed_since_ns is None:
            self._unfed_since_ns = now_ns
        elif (now_ns - self._unfed_since_ns) / NS_PER_SECOND >= patience_s and self.condition is PushCondition.UP:
            self._lose(UNFED)
            self._advances_wanted = 1

    @property
    def is_starved(self) -> bool:
        """Nothing was there to send when it was last looked, nor since."""
        return self._unfed_since_ns is not None

    @property
    def out_time_s(self) -> float:
        """Seconds of stream that went through."""
        return int(self._out_time) / 1e6 if self._out_time.lstrip("-").isdigit() else 0.0

    @property
    def healthy_s(self) -> float:
        """Seconds of the longest time without a break that it was up."""
        return self._longest_up_ns / NS_PER_SECOND

    def _take_trouble(self, line: FFmpegLine) -> None:
        if self._cause is None or line.kind not in _WHAT_FOLLOWS:
            self._cause = line.kind
            self.last_error = line.text
        self._lose(self._cause.value)

    def _lose(self, reason: str | None) -> None:
        self.condition, self.reason, self._advances_wanted = PushCondition.RETRYING, reason, None
