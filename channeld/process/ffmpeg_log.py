"""What FFmpeg's stderr lines mean.

Rule: lines are judged by this table only, and leave here redacted. Sans-I/O. Made for `-loglevel level+…`; lines as FFmpeg 5.1 writes them.
"""

import re
from dataclasses import dataclass
from enum import Enum

from channeld.base.redact import redact_text


class LineKind(Enum):
    """What a line tells."""

    CONNECTED = "connected"
    GIVEN_UP = "given up"
    RECOVERING = "recovering"
    RECOVERED = "recovered"
    CONNECTION_REFUSED = "connection refused"
    TIMED_OUT = "timed out"
    UNREACHABLE = "unreachable"
    NAME_UNKNOWN = "name unknown"
    AUTH_FAILED = "authentication failed"
    ALREADY_PUBLISHING = "already publishing"
    CERTIFICATE_REFUSED = "certificate not trusted"
    SERVER_REFUSED = "refused by the server"
    NO_ANSWER = "no answer"
    BROKEN_PIPE = "broken pipe"
    IO_ERROR = "input/output error"
    QUEUE_FULL = "queue full"
    NON_MONOTONIC = "non-monotonic timestamps"
    CORRUPT = "corrupt input"
    DISK_FULL = "disk full"
    OTHER = "other"


CONNECTION_TROUBLE = frozenset(
    {
        *(LineKind.CONNECTION_REFUSED, LineKind.TIMED_OUT, LineKind.UNREACHABLE, LineKind.NAME_UNKNOWN, LineKind.AUTH_FAILED),
        *(LineKind.ALREADY_PUBLISHING, LineKind.SERVER_REFUSED, LineKind.BROKEN_PIPE, LineKind.IO_ERROR),
        *(LineKind.CERTIFICATE_REFUSED, LineKind.NO_ANSWER),
    }
)
"""Kinds that say that an output's target does not take the stream."""


@dataclass(frozen=True, slots=True)
class FFmpegLine:
    """One line: its level (`info` where FFmpeg wrote none), the part of FFmpeg that speaks, the redacted text, the kind."""

    level: str
    component: str
    text: str
    kind: LineKind


# First match wins: what names a cause stands above the general error that follows it.
_TABLE: tuple[tuple[re.Pattern[str], LineKind], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        # Not only at a line's start: FFmpeg's threads write whole messages, but into each other's lines.
        (r"Successfully connected to ", LineKind.CONNECTED),
        (r"muxrate (VBR|\d+), ", LineKind.CONNECTED),  # a transport stream's muxer begins behind its connection; SRT's says nothing
        (r"Recovery successful", LineKind.RECOVERED),
        (r"Recovery attempt #", LineKind.RECOVERING),
        # The muxer has let go of its connection; the farewells to a silent far end take two timeouts more before an attempt is told.
        (r"bytes written, \d+ seeks, \d+ writeouts", LineKind.GIVEN_UP),
        (r"FIFO queue full", LineKind.QUEUE_FULL),
        (
            r"Already publishing|Publish\.BadName|stream is already|already being published|Stream already exists",
            LineKind.ALREADY_PUBLISHING,
        ),
        (r"peer certificate|certificate('s owner does not match| verify failed)", LineKind.CERTIFICATE_REFUSED),
        (
            # Never a bare number: FFmpeg's sums of packets and bytes are lines too.
            r"(code|error|status)[ =:]+40[13]\b|\b40[13] (Unauthori[sz]ed|Forbidden)|Unauthori[sz]ed|authentication|authmod"
            r"|access denied|auth(orization)? failed|forbidden|Incorrect passphrase|BADSECRET|Password required or unexpected",
            LineKind.AUTH_FAILED,
        ),
        (r"Connection refused", LineKind.CONNECTION_REFUSED),
        (r"timed out|rw_timeout", LineKind.TIMED_OUT),
        (r"No route to host|Network is unreachable|Host is down", LineKind.UNREACHABLE),
        (r"Failed to resolve hostname|Name or service not known|Temporary failure in name", LineKind.NAME_UNKNOWN),
        (r"Server error:|REJECT reported", LineKind.SERVER_REFUSED),
        (r"Connection to srt://\S+ failed: Input/output error", LineKind.NO_ANSWER),
        (r"No space left on device|Disk quota exceeded|File too large", LineKind.DISK_FULL),
        (r"Broken pipe|Connection reset|End of file", LineKind.BROKEN_PIPE),
        (r"Non-monoton|non monoton|out of order|DTS .* invalid|Timestamps are unset", LineKind.NON_MONOTONIC),
        (
            r"Packet corrupt|PES packet size mismatch|Continuity check failed|Invalid data found|error while decoding"
            r"|corrupt(ed)? (frame|decoded|macroblock|input)|concealing \d+|Invalid NAL|missing picture",
            LineKind.CORRUPT,
        ),
        (r"Input/output error|I/O error|IO error|Error in the (pull|push) function", LineKind.IO_ERROR),
    )
)

_PREFIX = re.compile(
    r"^(?:\[(?P<component>[^\]@]+?) @ 0x[0-9a-f]+\] ?)?(?:\[(?P<parent>[^\]@]+?) @ 0x[0-9a-f]+\] ?)?(?:\[(?P<level>[a-z]+)\] ?)?"
)

# libsrt writes for itself, by the wall clock: 17:40:49.767379/SRT:RcvQ:w1*E:SRT.cn: …
_LIBSRT = re.compile(r"^\d\d:\d\d:\d\d\.\d+/[^ ]*?(?P<mark>[A-Z!]*)!*:SRT\.[a-z]+: ")
_LIBSRT_LEVELS = {"W": "warning", "E": "error", "FATAL": "fatal"}


def classify(text: str) -> LineKind:
    """What a line without its prefix tells."""
    for pattern, kind in _TABLE:
        if pattern.search(text):
            return kind
    return LineKind.OTHER


def parse_line(line: str) -> FFmpegLine:
    """Take a line apart: `[tcp @ 0x55d1] [error] Connection to tcp://… failed: Connection refused`."""
    if (own := _LIBSRT.match(line)) is not None:
        text = redact_text(line[own.end() :].strip())
        return FFmpegLine(_LIBSRT_LEVELS.get(own["mark"].strip("!"), "info"), "libsrt", text, classify(text))
    match = _PREFIX.match(line)
    assert match is not None  # every part of the prefix is optional
    text = line[match.end() :].strip()
    return FFmpegLine(match["level"] or "info", match["component"] or "", redact_text(text), classify(text))
