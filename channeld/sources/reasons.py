"""Why an attempt at a source ended, from what FFmpeg said and how it ended: the slate that is shown, and a line for people.

Rule: the first line that names a cause counts, not the general one at the end. One table; pure.
"""

import re

from channeld.base.errors import ChildExited, ChildStalled, StreamError
from channeld.process.ffmpeg_log import FFmpegLine, LineKind, parse_line
from channeld.sources.spec import Reason

MAX_DETAIL = 200
_KEPT_LINES = 20
_TROUBLE = ("error", "fatal", "warning")

_BY_KIND = {
    LineKind.AUTH_FAILED: Reason.AUTHENTICATION_FAILED,
    LineKind.CONNECTION_REFUSED: Reason.CANNOT_CONNECT,
    LineKind.UNREACHABLE: Reason.CANNOT_CONNECT,
    LineKind.NAME_UNKNOWN: Reason.CANNOT_CONNECT,
    LineKind.CERTIFICATE_REFUSED: Reason.CANNOT_CONNECT,
    LineKind.TIMED_OUT: Reason.TIMED_OUT,
}
_BY_TEXT = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"Server returned [45]|404 Not Found|Stream not found|NetStream\.Play\.(StreamNotFound|Failed)", Reason.CANNOT_CONNECT),
        (r"Connection .*failed|Connection setup failure|Connection does not exist|Failed to connect", Reason.CANNOT_CONNECT),
        (
            r"matches no streams|not in allowed|not on whitelist|Codec .* not found|Decoder .* not found|Unsupported codec"
            r"|could not find codec parameters|unknown codec|does not contain any stream",
            Reason.UNSUPPORTED_FORMAT,
        ),
        (r"Invalid data found when processing input", Reason.UNSUPPORTED_FORMAT),
    )
)

_HUNG_UP = re.compile(
    r"rtsps?://\S+: Invalid data found|\w+://\S+: (End of file|Input/output error|Connection reset by peer|Broken pipe)"
    r"|Cannot read RTMP handshake|Server returned (400|5)",
    re.IGNORECASE,
)
"""The far end took the connection and gave nothing; of RTSP, FFmpeg calls an answer that never came invalid data."""
_NO_DATAGRAM = re.compile(r"\budp://\S+: Input/output error")
"""FFmpeg's words for a time that ran out."""
_PICTURE_ENCODER = re.compile(r"^\[lib(?:x264|x265) @|^x265 \[info\]|^\[(?:h264|hevc)_(?:nvenc|vaapi|qsv) @")
"""Of a line, as FFmpeg writes it."""


class Diary:
    """What FFmpeg said of one attempt, as far as it explains its end."""

    def __init__(self) -> None:
        self._causes: list[tuple[Reason, str]] = []
        self._hung_up = ""
        self.lacks_sound = False
        self.encodes = False
        """The encoder of the pictures has begun."""
        self.streams: list[str] = []
        """What the source has, once all of it is told."""
        self._are_told = False

    def feed(self, line: str) -> None:
        """Take one line of its stderr."""
        told = parse_line(line)
        if told.text.startswith("Stream mapping"):
            self._are_told = True
        if told.text.startswith("Stream #0:") and not self._are_told and len(self.streams) < _KEPT_LINES:
            self.streams.append(told.text[:MAX_DETAIL])
        if _PICTURE_ENCODER.search(line):
            self.encodes = True
        # Without sound nothing else is wrong: it is tried again with silence.
        # FFmpeg 5.1 names the stream in that line, newer ones in the next, as an option's value.
        is_no_stream = "matches no streams" in told.text or "for option 'map'" in told.text
        if is_no_stream and ("':a'" in told.text or "a:0" in told.text):
            self.lacks_sound = True
        # By the line itself: of an address without a path nothing is left in what may be told.
        reason = Reason.TIMED_OUT if _NO_DATAGRAM.search(line) else _reason_of(told)
        if reason is not Reason.TIMED_OUT and told.kind not in _BY_KIND and told.level in _TROUBLE and _HUNG_UP.search(line):
            self._hung_up = self._hung_up or told.text[:MAX_DETAIL]
            return
        if reason is not None and len(self._causes) < _KEPT_LINES:
            self._causes.append((reason, told.text[:MAX_DETAIL]))

    def explain(self, error: Exception | None, *, was_live: bool) -> tuple[Reason, str]:
        """Why it ended, and the line that says so."""
        if isinstance(error, ChildStalled):
            return Reason.TIMED_OUT, f"nothing came for {error.idle_s:.0f} s"
        if isinstance(error, StreamError):
            return (Reason.OTHER if was_live else Reason.UNSUPPORTED_FORMAT), str(error)[:MAX_DETAIL]
        # While it was live, lines about damaged pictures came and went: they end nothing.
        causes = [each for each in self._causes if not (was_live and each[0] is Reason.UNSUPPORTED_FORMAT)]
        if causes:
            return causes[-1] if was_live else causes[0]
        if self._hung_up and not was_live:
            return Reason.CANNOT_CONNECT, self._hung_up
        if error is None:
            return Reason.ENDED, "the source ended"
        if isinstance(error, ChildExited):
            last = error.stderr_tail.splitlines()[-1:] or ["no reason given"]
            return (Reason.ENDED if was_live else Reason.OTHER), parse_line(last[0]).text[:MAX_DETAIL]
        return Reason.OTHER, str(error)[:MAX_DETAIL]


def _reason_of(told: FFmpegLine) -> Reason | None:
    if told.level not in _TROUBLE:
        return None
    if told.kind in _BY_KIND:
        return _BY_KIND[told.kind]
    return next((reason for pattern, reason in _BY_TEXT if pattern.search(told.text)), None)
