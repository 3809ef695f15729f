"""Which FFmpeg prepares clips, and what exactly it is.

Rule: the system's FFmpeg first, then the one of imageio-ffmpeg; ffprobe may be missing, the probe then reads FFmpeg's own words.
Asked once by control; pure but for the look at PATH and one short run.
"""

import importlib
import re
import shutil
from dataclasses import dataclass
from functools import cache

from channeld.base.errors import ProcessError, SpawnError
from channeld.media import child
from channeld.ts.nal import VideoCodec

VERSION_TIMEOUT_S = 20.0
# Each encoder, the smallest picture it takes, its options, FFmpeg's name for its stream, and where its SEI tells the build.
_ENCODERS: dict[VideoCodec, tuple[str, str, tuple[str, ...], str, bytes]] = {
    VideoCodec.H264: ("x264", "16x16", (), "h264", rb"x264 - core (\d+[ -~]*?) - H\.264"),
    VideoCodec.H265: ("x265", "64x64", ("-x265-params", "log-level=error"), "hevc", rb"x265 (\(build \d+\) - [^:]*)"),
}


@dataclass(frozen=True, slots=True)
class Tools:
    """Paths of FFmpeg and of ffprobe, if there is one."""

    ffmpeg: str
    ffprobe: str | None


@cache
def find_tools() -> Tools:
    """FFmpeg on this machine. Raises SpawnError when there is none."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is not None:
        return Tools(ffmpeg, shutil.which("ffprobe"))
    bundled = bundled_ffmpeg()
    if bundled is None:
        raise SpawnError("no FFmpeg: install the ffmpeg package, or channeld[bundled]")
    return Tools(bundled, None)


def bundled_ffmpeg() -> str | None:
    """FFmpeg of the imageio-ffmpeg package, when that is installed."""
    try:
        package = importlib.import_module("imageio_ffmpeg")
        return str(package.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


@cache
def encoder_version(tools: Tools, codec: VideoCodec = VideoCodec.H264) -> str:
    """FFmpeg's and its encoder's versions as one line: other versions may write other parameter sets.

    x264 and x265 name their build only in the SEI of what they encode, so one frame is encoded. Raises ProcessError.
    """
    banner = child.run([tools.ffmpeg, "-hide_banner", "-version"], max_bytes=1 << 16, deadline_s=VERSION_TIMEOUT_S)
    name = banner.decode("utf-8", "replace").splitlines()[0].split(" Copyright")[0]
    encoder, size, options, container, told = _ENCODERS[codec]
    one_frame = (
        "-f",
        "lavfi",
        "-i",
        f"color=s={size}:r=25",
        "-frames:v",
        "1",
        "-c:v",
        f"lib{encoder}",
        *options,
        "-f",
        container,
        "pipe:1",
    )
    encoded = child.run([tools.ffmpeg, "-nostdin", "-v", "error", *one_frame], max_bytes=1 << 20, deadline_s=VERSION_TIMEOUT_S)
    found = re.search(told, encoded)
    if found is None:
        raise ProcessError(f"this FFmpeg has no lib{encoder}")
    return f"{name}; {encoder} {found[1].decode()}"
