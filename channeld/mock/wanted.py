"""What a mock source is asked to be: its stream, its address, its faults.

Rule: everything is parsed here, once, and refused with the option's name; no text of the user's reaches an FFmpeg filter. Pure.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from channeld.base.errors import ConfigError

PROTOCOLS = ("ts", "hls", "rtmp", "rtsp", "srt", "udp")
VIDEO_CODECS = ("h264", "hevc", "mpeg2video")
AUDIO_CODECS = ("aac", "pcm_mulaw", "mp2", "none")
PUSHED = ("rtmp", "srt")
"""Protocols that may push to a server instead of being one."""
WITH_PASSWORD = ("ts", "hls", "rtsp")

MAX_WIDTH, MAX_HEIGHT, MIN_SIDE = 7680, 4320, 16
MAX_BITRATE_KBPS = 200_000


@dataclass(frozen=True, slots=True)
class Stream:
    """Picture and sound. Sizes in pixels, `gop_s` seconds between key frames."""

    width: int = 640
    height: int = 360
    fps: Fraction = Fraction(25)
    vcodec: str = "h264"
    acodec: str = "aac"
    bitrate_kbps: int = 1000
    gop_s: float = 2.0

    @property
    def gop_frames(self) -> int:
        """Frames from one key frame to the next."""
        return max(1, round(self.gop_s * self.fps))


@dataclass(frozen=True, slots=True)
class Access:
    """What clients must show: basic, and for RTSP basic or digest."""

    user: str
    password: str
    digest: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """One source. `host` and `port` are where it listens, for UDP where it sends; `push_url` replaces them."""

    protocol: str
    host: str = "127.0.0.1"
    port: int = 0
    stream: Stream = Stream()
    push_url: str | None = None
    access: Access | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        _refuse_impossible(self)


def _refuse_impossible(wanted: Wanted) -> None:
    if wanted.protocol not in PROTOCOLS:
        raise ConfigError(f"--protocol {wanted.protocol}: one of {', '.join(PROTOCOLS)}", key="protocol")
    if wanted.push_url is not None:
        if wanted.protocol not in PUSHED:
            raise ConfigError(f"--push goes with {' and '.join(PUSHED)}; {wanted.protocol} listens at --listen", key="push")
        if not re.fullmatch(rf"{wanted.protocol}://[^\s]{{1,2000}}", wanted.push_url):
            raise ConfigError(f"--push {wanted.push_url}: an address that begins with {wanted.protocol}://", key="push")
    if wanted.access is not None and wanted.protocol not in WITH_PASSWORD:
        raise ConfigError(f"--user goes with {', '.join(WITH_PASSWORD)}; {wanted.protocol} has no password here", key="user")
    refuse_codecs(wanted.protocol, wanted.stream)
    if wanted.port == 0 and wanted.push_url is None and wanted.protocol in ("udp", "srt", "rtmp"):
        raise ConfigError(f"--listen: {wanted.protocol} needs a port, such as 127.0.0.1:9000", key="listen")


def refuse_codecs(protocol: str, stream: Stream) -> None:
    """Raises ConfigError for a codec that the protocol cannot carry."""
    if protocol == "rtmp" and stream.vcodec != "h264":
        raise ConfigError(f"--vcodec {stream.vcodec}: rtmp carries h264 only", key="vcodec")
    if protocol == "rtmp" and stream.acodec not in ("aac", "none"):
        raise ConfigError(f"--acodec {stream.acodec}: rtmp carries aac only", key="acodec")
    if protocol == "rtsp" and stream.vcodec == "mpeg2video":
        # GStreamer 1.22's only free encoder for it refuses every rate with the FFmpeg of Debian 12.
        raise ConfigError("--vcodec mpeg2video: rtsp serves h264 and hevc", key="vcodec")
    if protocol != "rtsp" and stream.acodec == "pcm_mulaw":
        raise ConfigError(f"--acodec pcm_mulaw: a transport stream, and so {protocol}, cannot carry it; rtsp can", key="acodec")


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, an IPv6 host in brackets. Raises ConfigError."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):(\d{1,5})", text)
    if found is None or int(found[2]) > 65535:
        raise ConfigError(f"--listen {text}: write HOST:PORT, such as 127.0.0.1:9000", key="listen")
    return found[1].strip("[]"), int(found[2])


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """`640x360`, even numbers. Raises ConfigError."""
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (MIN_SIDE <= width <= MAX_WIDTH and MIN_SIDE <= height <= MAX_HEIGHT) or width % 2 or height % 2:
        raise ConfigError(f"{option} {text}: even numbers from {MIN_SIDE} on, such as 640x360", key="size")
    return width, height


def parse_fps(text: str) -> Fraction:
    """`25` or `30000/1001`. Raises ConfigError."""
    if re.fullmatch(r"\d{1,6}(/[1-9]\d{0,5})?", text) and 1 <= (fps := Fraction(text)) <= 120:
        return fps
    raise ConfigError(f"--fps {text}: 1 to 120, whole or such as 30000/1001", key="fps")


def parse_bitrate(text: str) -> int:
    """`800k` or `1M` as kilobits per second. Raises ConfigError."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([kM])", text)
    kbps = round(float(found[1]) * {"k": 1, "M": 1000}[found[2]]) if found else 0
    if not 16 <= kbps <= MAX_BITRATE_KBPS:
        raise ConfigError(f"--bitrate {text}: 16k to {MAX_BITRATE_KBPS // 1000}M, such as 800k or 1M", key="bitrate")
    return kbps


def one_of(option: str, text: str, choices: tuple[str, ...]) -> str:
    """The text when it is one of the choices. Raises ConfigError."""
    if text not in choices:
        raise ConfigError(f"{option} {text}: one of {', '.join(choices)}", key=option.strip("-"))
    return text
