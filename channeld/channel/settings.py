"""What a channel is told about itself: plain values, made by the daemon from the configuration. Immutable."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from channeld.channel.timetable import Timetable
from channeld.media.picture_rules import NOT_LOOKED_AT, PictureRules
from channeld.media.profile import Profile
from channeld.media.treatment import NO_TREATMENT, Treatment
from channeld.outputs.pipe_player import Player
from channeld.outputs.push_srt import SrtLink
from channeld.playlist.locate import PathRules
from channeld.playlist.resume import OnOutage, Resume


@dataclass(frozen=True, slots=True)
class PushedTarget:
    """A push, by RTMP unless `srt` says how. `url` may hold a stream key and stays out of the repr; `shown_url` is fit for people.

    `control` is the address of nginx-rtmp's control page, where there is one. `tls_verify` and `ca_file`: how an rtmps server
    proves who it is. `manifest`: where the target publishes it as HLS; None: nobody looks.
    """

    name: str
    url: str = field(repr=False)
    shown_url: str
    enabled: bool = True
    control: str | None = field(default=None, repr=False)
    tls_verify: bool = True
    ca_file: Path | None = None
    manifest: str | None = field(default=None, repr=False)
    srt: SrtLink | None = None

    @property
    def type(self) -> Literal["rtmp", "srt"]:
        """The output's type in the configuration."""
        return "rtmp" if self.srt is None else "srt"


@dataclass(frozen=True, slots=True)
class ServedTarget:
    """An output that the media worker serves: HLS or DASH (segments of at most `segment_s` seconds, `window` of them), or HTTP-TS."""

    name: str
    type: Literal["hls", "dash", "ts"]
    url: str
    enabled: bool = True
    segment_s: float = 4.0
    window: int = 6


@dataclass(frozen=True, slots=True)
class PipeTarget:
    """Named pipes, one at each of `paths`; `lag_s` and `stall_s` are PipeRules'. `player`: what is started for each."""

    name: str
    paths: tuple[Path, ...]
    enabled: bool = True
    lag_s: float = 10.0
    stall_s: float = 5.0
    player: Player | None = None
    type: Literal["named_pipe"] = "named_pipe"


Target = PushedTarget | ServedTarget | PipeTarget


@dataclass(frozen=True, slots=True)
class Listing:
    """How programme guides list a channel: its number, the web address of its logo, the group it is filed under."""

    number: int | None = None
    logo: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A live source. `url` may hold a password and stays out of the repr; see sources.spec for the rest."""

    name: str
    title: str
    url: str = field(repr=False)
    shown_url: str
    transport: str = "auto"
    mode: str = "auto"
    timeout_s: float = 10.0
    allows_private: bool = True
    treatment: Treatment = NO_TREATMENT


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """The live sources of a channel, best first, and when one gives way to another; see channel.failover.

    `buffer_s`: how far the air is behind a source at least. `idle_s`: sources are connected to while somebody watches, and so long after;
    None: always. `picture`: when what a source sends is not worth airing.
    """

    sources: tuple[SourceSettings, ...]
    loss_grace_s: float = 2.0
    recovery_grace_s: float = 3.0
    buffer_s: float = 1.0
    standby: Literal["cold", "hot"] = "cold"
    idle_s: float | None = None
    picture: PictureRules = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """One channel's own values; `filler` None is the built-in slate. `has_list`: its playlist airs, where no source is live.

    `ring_s`: how much of the stream its ring holds, and so how far whoever reads it may lag.
    """

    id: str
    name: str
    playlist: Path
    profile: Profile
    rules: PathRules
    order: Literal["sequential", "shuffle"] = "sequential"
    shuffle_seed: int = 0
    filler: Path | None = None
    targets: tuple[Target, ...] = ()
    enabled: bool = True
    origin_ticks: int = 90_000
    resume: Resume = "exact"
    on_outage: OnOutage = "continue"
    listing: Listing = Listing()
    live: LiveSettings | None = None
    has_list: bool = True
    timetable: Timetable | None = None
    ring_s: int = 12


def needs_restart(before: ChannelSettings, after: ChannelSettings) -> bool:
    """What is on air cannot become this: another house format, filler, origin of the timeline or size of the ring begins anew."""
    kept = (before.profile, before.filler, before.origin_ticks, before.ring_s)
    return kept != (after.profile, after.filler, after.origin_ticks, after.ring_s)
