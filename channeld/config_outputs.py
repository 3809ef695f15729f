"""The outputs of a channel, as plain frozen values.

Rule: secrets are never part of a repr. Made by `config_rules`; below the configuration's floor the daemon hands on values of its own.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from channeld.outputs.pipe_player import Player
from channeld.outputs.push_srt import SrtLink


@dataclass(frozen=True, slots=True)
class RtmpSpec:
    """A push target. `url` holds the stream key and is left out of the repr; `shown_url` is fit for people.

    `key_path`: where the key was read. `tls_verify`, `ca_file`: for rtmps, whether the server must prove who it is, and by which
    authorities (None: those that this machine trusts).
    """

    type: ClassVar[str] = "rtmp"
    name: str
    enabled: bool
    url: str = field(repr=False)
    shown_url: str
    control: str | None = field(repr=False)
    manifest: str | None = field(repr=False)
    key_path: Path | None = None
    tls_verify: bool = True
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class SrtSpec:
    """An SRT push. `link` holds passphrase and stream id, which stay out of its repr. `key_path`: where the passphrase was read."""

    type: ClassVar[str] = "srt"
    name: str
    enabled: bool
    url: str
    link: SrtLink
    key_path: Path | None = None

    @property
    def shown_url(self) -> str:
        """Fit for people: it holds no secret."""
        return self.url


PushSpec = RtmpSpec | SrtSpec


@dataclass(frozen=True, slots=True)
class SegmentedSpec:
    """What the embedded origin packages; `window` counts segments."""

    type: ClassVar[str]
    name: str
    enabled: bool
    segment_s: float
    window: int


@dataclass(frozen=True, slots=True)
class HlsSpec(SegmentedSpec):
    """As HLS."""

    type: ClassVar[str] = "hls"


@dataclass(frozen=True, slots=True)
class DashSpec(SegmentedSpec):
    """As DASH."""

    type: ClassVar[str] = "dash"


@dataclass(frozen=True, slots=True)
class TsSpec:
    """The endless transport stream over HTTP."""

    type: ClassVar[str] = "ts"
    name: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class PipeSpec:
    """Named pipes, one at each of `paths`. `lag_s`: stream that a reader may be behind; `stall_s`: how long it may take nothing."""

    type: ClassVar[str] = "named_pipe"
    name: str
    enabled: bool
    paths: tuple[Path, ...]
    lag_s: float
    stall_s: float
    player: Player | None = None


OutputSpec = PushSpec | HlsSpec | DashSpec | TsSpec | PipeSpec
