"""Random access pictures made into small JPEGs, many by one confined FFmpeg: starting it costs more than decoding a picture.

Rule: the bytes come by a memory file on stdin; the child may open nothing, and only the channel's codec is understood. Blocking; run by
control's picture desk, one child at a time.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from channeld.base.errors import ChildStalled, ProcessError, SpawnError
from channeld.media import child
from channeld.ts.nal import VideoCodec

DEADLINE_S = 10.0
MAX_JPEG_BYTES = 512 * 1024
_END_OF_IMAGE = re.compile(rb"(?<=\xff\xd9)(?=\xff\xd8)")
_BENCH = re.compile(r"bench: utime=([\d.]+)s stime=([\d.]+)s")


@dataclass(frozen=True, slots=True)
class Stills:
    """A JPEG of each unit, in order, None for one that does not decode; `cpu_s`: what FFmpeg took for all of them."""

    jpegs: list[bytes | None]
    cpu_s: float


def still_args(ffmpeg: str, width: int, codec: VideoCodec = VideoCodec.H264) -> list[str]:
    """Decode a stream of this codec from stdin; each picture becomes a JPEG of this width on stdout."""
    name = "h264" if codec is VideoCodec.H264 else "hevc"
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "info", "-benchmark"),
        *("-protocol_whitelist", "pipe", "-format_whitelist", name, "-codec_whitelist", name, "-threads", "1"),
        *("-probesize", "32", "-analyzeduration", "0", "-f", name, "-i", "pipe:0", "-map", "0:v:0", "-filter_threads", "1"),
        *("-vf", f"scale=w={width}:h=-2:flags=fast_bilinear:out_range=pc,setsar=1", "-vsync", "passthrough"),
        *("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "5", "-f", "image2pipe", "pipe:1"),
    ]


def stills(
    units: Sequence[bytes], width: int, ffmpeg: str, codec: VideoCodec = VideoCodec.H264, *, should_stop: child.Stop = child.never
) -> Stills:
    """Decode units that are all of one codec and picture size. Raises SpawnError, ChildStalled, ChildStopped."""
    told: list[str] = []
    arguments = still_args(ffmpeg, width, codec)
    found: list[bytes | None] = [*_decode(units, arguments, should_stop, told)]
    if len(found) != len(units):
        # One of them is damaged: which one, only a child of its own for each can tell.
        found = [next(iter(_decode([unit], arguments, should_stop, told)), None) for unit in units]
    return Stills(found, sum(float(user) + float(system) for user, system in _BENCH.findall("\n".join(told))))


def _decode(units: Sequence[bytes], arguments: list[str], should_stop: child.Stop, told: list[str]) -> list[bytes]:
    """As many pictures as decode; FFmpeg's words are added to `told`."""
    fd = os.memfd_create("pictures", os.MFD_CLOEXEC)
    most = MAX_JPEG_BYTES * len(units)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.writelines(units)
        os.lseek(fd, 0, os.SEEK_SET)
        output = child.run(arguments, max_bytes=most, deadline_s=DEADLINE_S, on_line=told.append, should_stop=should_stop, stdin=fd)
    except (child.ChildStopped, ChildStalled, SpawnError):
        raise
    except ProcessError:
        return []
    finally:
        os.close(fd)
    return _END_OF_IMAGE.split(output) if output else []
