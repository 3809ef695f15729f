"""`channeld mock-source`: a live source on this machine, to develop and test relays against.

Rule: needs FFmpeg (for RTSP GStreamer) and no configuration; listens on loopback unless told otherwise; leaves nothing behind.
"""

import re
import sys
from dataclasses import dataclass

from channeld.base.errors import ConfigError
from channeld.mock.faults import parse_fault
from channeld.mock.run import serve
from channeld.mock.wanted import (
    AUDIO_CODECS,
    PROTOCOLS,
    VIDEO_CODECS,
    Access,
    Stream,
    Wanted,
    one_of,
    parse_bitrate,
    parse_fps,
    parse_listen,
    parse_size,
)
from channeld.telemetry.log import configure as configure_log


@dataclass(frozen=True, slots=True)
class Written:
    """What was written on the command line."""

    protocol: str
    listen: str
    push: str | None
    size: str
    fps: str
    vcodec: str
    acodec: str
    bitrate: str
    gop_seconds: float
    faults: tuple[str, ...]
    commands: bool
    user: str | None
    password: str | None
    digest: bool
    seed: int


def run(written: Written) -> None:
    """Serve until told to end. Raises ConfigError for what cannot be."""
    configure_log("warning")
    wanted = _wanted(written)
    faults = [parse_fault(text, wanted.protocol, wanted.stream) for text in written.faults]
    serve(wanted, faults, _tell, obeys_stdin=written.commands)


def _wanted(written: Written) -> Wanted:
    one_of("--protocol", written.protocol, PROTOCOLS)
    width, height = parse_size(written.size)
    if not 0.1 <= written.gop_seconds <= 60:
        raise ConfigError(f"--gop-seconds {written.gop_seconds:g}: 0.1 to 60", key="gop-seconds")
    stream = Stream(
        width,
        height,
        parse_fps(written.fps),
        one_of("--vcodec", written.vcodec, VIDEO_CODECS),
        one_of("--acodec", written.acodec, AUDIO_CODECS),
        parse_bitrate(written.bitrate),
        written.gop_seconds,
    )
    host, port = parse_listen(written.listen)
    return Wanted(written.protocol, host, port, stream, written.push, _access(written), written.seed)


def _access(written: Written) -> Access | None:
    if (written.user is None) != (written.password is None):
        raise ConfigError("--user and --password go together", key="user")
    if written.digest and (written.user is None or written.protocol != "rtsp"):
        raise ConfigError("--digest goes with --protocol rtsp, --user and --password", key="digest")
    if written.user is None or written.password is None:
        return None
    if not re.fullmatch(r"[!-9;-~]{1,100}", written.user) or not re.fullmatch(r"[!-~]{1,100}", written.password):
        raise ConfigError("--user, --password: 1 to 100 printable ASCII letters, no space; no colon in the user", key="user")
    return Access(written.user, written.password, written.digest)


def _tell(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
