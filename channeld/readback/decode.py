"""Decoding one segment in a confined FFmpeg: does it decode without error, is there a picture that moves, is there sound?

Rule: the bytes come by a memory file on stdin; the child may open nothing, and only MPEG-TS with H.264 or H.265 and AAC is understood.
Blocking; run by the read-back's decoder thread, one child at a time.
"""

import os
import re
import time
from dataclasses import dataclass

from channeld.base.errors import ProcessError, SpawnError
from channeld.media import child

DEADLINE_S = 30.0
_QUIET_SHARE = 0.8
"""A segment is silent, still or black when so much of it is in one piece."""
_MOST_OUTPUT_BYTES = 64 * 1024
_SILENCE_DB = -55
_STILL_NOISE = 0.001
_BENCH = re.compile(r"bench: utime=([\d.]+)s stime=([\d.]+)s")
_DETECTED = (
    ("is_silent", re.compile(r"silence_(?:start|end): ")),
    ("is_still", re.compile(r"freezedetect\.freeze_start: ")),
    ("is_black", re.compile(r"black_start:")),
)
_ERROR = re.compile(r"\[(?:error|fatal|panic)\] ?(.*)")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What decoding told: how many errors and the first of them, and what was found in nearly all of the segment."""

    errors: int
    first_error: str | None
    is_silent: bool
    is_still: bool
    is_black: bool
    cpu_s: float


def decode_args(ffmpeg: str, span_s: float) -> list[str]:
    """Decode stdin to nothing and tell what is seen; `span_s` is how long the segment lasts."""
    quiet_s = max(0.2, _QUIET_SHARE * span_s)
    picture = f"fps=10,scale=w=160:h=-2:flags=fast_bilinear,blackdetect=d={quiet_s:.3f},freezedetect=n={_STILL_NOISE}:d={quiet_s:.3f}"
    sound = f"silencedetect=n={_SILENCE_DB}dB:d={quiet_s:.3f}"
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info", "-benchmark"),
        *("-protocol_whitelist", "pipe", "-format_whitelist", "mpegts", "-codec_whitelist", "h264,hevc,aac", "-threads", "1"),
        *("-f", "mpegts", "-i", "pipe:0", "-map", "0:v:0?", "-map", "0:a:0?", "-filter_threads", "1"),
        *("-vf", picture, "-af", sound, "-f", "null", "-"),
    ]


def decode(segment: bytes, span_s: float, ffmpeg: str, *, should_stop: child.Stop = child.never) -> Decoded:
    """Decode a whole segment. Raises SpawnError when FFmpeg cannot be started, ChildStopped; all else is told as errors."""
    told = _Told()
    fd = os.memfd_create("segment", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(segment)
        os.lseek(fd, 0, os.SEEK_SET)
        arguments = decode_args(ffmpeg, span_s)
        child.run(arguments, max_bytes=_MOST_OUTPUT_BYTES, deadline_s=DEADLINE_S, on_line=told.take, should_stop=should_stop, stdin=fd)
    except (SpawnError, child.ChildStopped):
        raise
    except ProcessError as error:
        told.fail(str(error).splitlines()[0])
    finally:
        os.close(fd)
    return told.decoded()


class _Told:
    """FFmpeg's lines, summed up."""

    def __init__(self) -> None:
        self._errors = 0
        self._first_error: str | None = None
        self._found: set[str] = set()
        self._cpu_s: float | None = None
        self._begun_s = time.monotonic()

    def take(self, line: str) -> None:
        if match := _BENCH.search(line):
            self._cpu_s = float(match[1]) + float(match[2])
        elif match := _ERROR.search(line):
            self.fail(match[1])
        else:
            self._found |= {name for name, pattern in _DETECTED if pattern.search(line)}

    def fail(self, text: str) -> None:
        self._errors += 1
        self._first_error = self._first_error or text[:200]

    def decoded(self) -> Decoded:
        found = {name: name in self._found for name, _ in _DETECTED}
        # One that did not live to tell it may have been busy all the time.
        cpu_s = time.monotonic() - self._begun_s if self._cpu_s is None else self._cpu_s
        return Decoded(self._errors, self._first_error, cpu_s=cpu_s, **found)
