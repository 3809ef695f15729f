"""Where a push goes, as options of FFmpeg: what of the URL may be seen, what may not, and how the far end proves who it is.

Rule: a stream key or passphrase is on no command line, as every user of the machine may read those (ps, /proc/PID/cmdline). It goes to
FFmpeg in a preset file, which is read from a pipe on stdin and is gone then. Pure but for `handed`, which makes the pipe.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from channeld.base.errors import OutputError
from channeld.base.redact import redact_url
from channeld.outputs.push_srt import SrtLink, open_options, secret_options

RW_TIMEOUT_US = 5_000_000
MAX_PRESET_BYTES = 990
"""FFmpeg reads a line of a preset into 1000 bytes."""

_FROM_STDIN = ("-fpre", "/proc/self/fd/0")
_PROTOCOLS = {"rtmp": "rtmp,tcp", "rtmps": "rtmps,tls,tcp", "srt": "srt"}
# Where distributions keep the authorities that they trust, for an FFmpeg that does not know it by itself (OpenSSL builds).
_AUTHORITIES = tuple(
    map(Path, ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"))
)


@dataclass(frozen=True, slots=True)
class PushTarget:
    """A publish URL. `ca_file` None: the authorities that this machine trusts; `tls_verify` off: whoever answers is believed.

    `srt`: how an srt:// URL is connected.
    """

    url: str = field(repr=False)
    tls_verify: bool = True
    ca_file: Path | None = None
    srt: SrtLink = field(default_factory=SrtLink)

    @property
    def scheme(self) -> str:
        """The URL's, in small letters."""
        return urlsplit(self.url).scheme.lower()


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """The end of the argument list, and what stands in the preset file that it names, if it names one; what the stream is wrapped in."""

    arguments: tuple[str, ...]
    preset: bytes | None = field(default=None, repr=False)
    container: Literal["flv", "mpegts"] = "flv"


def protocols(url: str) -> str:
    """The protocols that a publish URL needs, for FFmpeg's whitelist. Raises OutputError for another scheme."""
    scheme = urlsplit(url).scheme.lower()
    if scheme not in _PROTOCOLS:
        raise OutputError(f"a push goes to rtmp://, rtmps:// or srt://, not to {scheme or 'a URL without a scheme'}")
    return _PROTOCOLS[scheme]


def target_options(target: PushTarget) -> TargetOptions:
    """How FFmpeg's fifo muxer is told of its target. Raises OutputError."""
    # The fifo muxer hands these to the muxer within and its connection. The whitelist must go this way:
    # as an output option it stays with the fifo muxer and restricts nothing.
    if target.scheme == "srt":
        return _srt_options(target)
    options = {"flvflags": "no_duration_filesize", "rw_timeout": str(RW_TIMEOUT_US), "protocol_whitelist": protocols(target.url)}
    options |= _tls_options(target)
    if redact_url(target.url) == target.url:
        return TargetOptions(("-format_opts", _written(options), target.url))
    shown, app, key = _split(target.url)
    if not key:
        return TargetOptions(("-format_opts", _written(options), target.url))
    # Both, or FFmpeg would take the last part of the application for the name of the stream.
    preset = _preset(target, options | {"rtmp_app": app, "rtmp_playpath": key})
    return TargetOptions((*_FROM_STDIN, shown), preset)


def _srt_options(target: PushTarget) -> TargetOptions:
    options = open_options(target.srt) | {"protocol_whitelist": protocols(target.url)}
    secrets = secret_options(target.srt)
    if secrets:
        return TargetOptions((*_FROM_STDIN, target.url), _preset(target, options | secrets), "mpegts")
    return TargetOptions(("-format_opts", _written(options), target.url), None, "mpegts")


def _preset(target: PushTarget, options: dict[str, str]) -> bytes:
    preset = f"format_opts={_written(options)}\n".encode()
    if len(preset) > MAX_PRESET_BYTES:
        raise OutputError(f"{redact_url(target.url)}: what is secret about it (stream key, stream id, passphrase) is too long for FFmpeg")
    return preset


def _tls_options(target: PushTarget) -> dict[str, str]:
    if target.scheme != "rtmps" or not target.tls_verify:
        return {}
    authorities = target.ca_file or next((path for path in _AUTHORITIES if path.is_file()), None)
    return {"tls_verify": "1"} | ({} if authorities is None else {"ca_file": str(authorities)})


def _split(url: str) -> tuple[str, str, str]:
    """The URL up to its application, the application, and what names the stream, its query included.

    As FFmpeg splits it: the application has one part, or two where the path has three.
    """
    parts = urlsplit(url)
    app, _, key = parts.path.lstrip("/").partition("/")
    instance, slash, rest = key.partition("/")
    if slash and rest:
        app, key = f"{app}/{instance}", rest
    query = f"?{parts.query}" if parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc, f"/{app}", "", "")), app, f"{key}{query}" if key else ""


def _written(options: dict[str, str]) -> str:
    """A dictionary as FFmpeg reads it: `\\` before what would end a key or a value (av_get_token)."""
    return ":".join(f"{name}={re.sub(_SPECIAL, _escaped, value)}" for name, value in options.items())


_SPECIAL = re.compile(r"[\\':]|^\s|\s$")


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def handed(preset: bytes) -> int:
    """The read end of a pipe that holds a preset and ends after it; owned by the caller."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        os.write(writing, preset)  # less than a pipe takes at once (PIPE_BUF)
    finally:
        os.close(writing)
    return reading
