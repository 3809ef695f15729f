"""An SRT connection, as options of FFmpeg's: who calls, how long the far end waits for what was lost, what it is encrypted with.

Rule: passphrase and stream id are secrets, and leave here apart from what may be seen. Sans-I/O.

*Tried* on FFmpeg 5.1 with libsrt 1.5.1, a listener of FFmpeg's and `srt-live-transmit`: a listener that nobody calls waits as long as it
takes, takes one caller and no second beside it, and waits again when that one has gone. Killed or frozen peers are told after 5 s without a
sign of life. FFmpeg makes the transport stream anew, as copying our bytes (`-f data`) has no clock and no frames: no progress to judge a
frozen process by, and a full queue is cut anywhere instead of at a frame. What it makes has the same pictures and timestamps' steps; one
AAC frame per PES and a PCR at every frame, as ours.
"""

from dataclasses import dataclass, field
from typing import Literal

PASSPHRASE_LENGTHS = range(10, 80)
"""Characters that a passphrase may have (SRTO_PASSPHRASE)."""
STREAM_ID_LENGTH = 512
"""Characters that a stream id may have (SRTO_STREAMID)."""
_MUXER = {"pcr_period": "20", "pes_payload_size": "0"}
_RW_TIMEOUT_US = 5_000_000


@dataclass(frozen=True, slots=True)
class SrtLink:
    """How an SRT push is connected. `latency_ms`: how long what was lost may be sent again; both ends keep to the longer of theirs."""

    mode: Literal["caller", "listener"] = "caller"
    latency_ms: int = 120
    passphrase: str | None = field(default=None, repr=False)
    stream_id: str | None = field(default=None, repr=False)


def open_options(link: SrtLink) -> dict[str, str]:
    """What anybody may see, for muxer and connection."""
    waiting = {"rw_timeout": str(_RW_TIMEOUT_US)} if link.mode == "caller" else {}
    return {**_MUXER, **waiting, "mode": link.mode, "latency": str(link.latency_ms * 1000)}  # FFmpeg counts microseconds


def secret_options(link: SrtLink) -> dict[str, str]:
    """What nobody may see, for the connection; empty where nothing is secret."""
    named = {"passphrase": link.passphrase, "streamid": link.stream_id}
    return {name: value for name, value in named.items() if value is not None}
