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

VERSION_TIMEOUT_S = 20.0


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
def encoder_version(tools: Tools) -> str:
    """FFmpeg's and x264's versions as one line: other versions may write other parameter sets.

    x264 names its build only in the SEI of what it encodes, so one frame of 16x16 is encoded. Raises ProcessError.
    """
    banner = child.run([tools.ffmpeg, "-hide_banner", "-version"], max_bytes=1 << 16, deadline_s=VERSION_TIMEOUT_S)
    name = banner.decode("utf-8", "replace").splitlines()[0].split(" Copyright")[0]
    one_frame = ("-f", "lavfi", "-i", "color=s=16x16:r=25", "-frames:v", "1", "-c:v", "libx264", "-f", "h264", "pipe:1")
    encoded = child.run([tools.ffmpeg, "-nostdin", "-v", "error", *one_frame], max_bytes=1 << 20, deadline_s=VERSION_TIMEOUT_S)
    found = re.search(rb"x264 - core (\d+[ -~]*?) - H\.264", encoded)
    if found is None:
        raise ProcessError("this FFmpeg has no libx264")
    return f"{name}; x264 {found[1].decode()}"
