"""How FFmpeg opens a live source: its URL, and the options that confine it and bound its waits.

Rule: only the protocols that a scheme needs, never files; every wait has an end. What a scheme may say is one table. Pure.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from channeld.media.whitelist import DECODERS, LIVE_FORMATS, LIVE_PROTOCOLS

PATTERN = "pattern:"
"""In place of a URL: the built-in test pattern."""
_PROBE = {"analyzeduration": 2_000_000, "probesize": 2_000_000}


@dataclass(frozen=True, slots=True)
class LiveInput:
    """What stands before FFmpeg's `-i`, and behind it."""

    url: str = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)


def live_input(url: str, *, transport: str = "auto", timeout_s: float = 10.0) -> LiveInput:
    """Make it. `transport`: tcp or udp for RTSP, auto is tcp. Raises ValueError for a scheme that no live source has."""
    if url == PATTERN:
        return LiveInput(url)
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in LIVE_PROTOCOLS:
        raise ValueError(f"scheme {scheme or '(none)'} is no live source's: use one of {', '.join(sorted(LIVE_PROTOCOLS))}")
    options: dict[str, Any] = {
        "protocol_whitelist": LIVE_PROTOCOLS[scheme],
        "format_whitelist": LIVE_FORMATS,
        "codec_whitelist": DECODERS,
        **_PROBE,
    }
    timeout_us = int(timeout_s * 1_000_000)
    if scheme in ("rtsp", "rtsps"):
        options |= {"rtsp_transport": "tcp" if transport == "auto" else transport, "timeout": timeout_us}
    elif scheme in ("udp", "rtp"):
        options |= {"timeout": timeout_us, "overrun_nonfatal": 1, "fifo_size": 50_000} if scheme == "udp" else {}
    elif scheme == "srt":
        options |= {"timeout": timeout_us, "connect_timeout": round(timeout_s * 1000)}
    else:
        options |= {"rw_timeout": timeout_us}
    if parts.path.lower().endswith((".m3u8", ".m3u")):
        options |= {"re": None}  # its segments come in bursts; three of them are between us and the newest
    return LiveInput(url, options)
