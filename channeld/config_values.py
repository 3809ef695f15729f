"""What a configuration means, as plain frozen values: all that travels below the configuration's floor.

Rule: paths are absolute, units stand in the names, secrets are never part of a repr.
Made by `config.load`; read by the daemon, which hands each part its own values.
"""

import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from channeld.base.errors import ConfigError
from channeld.base.tls import TlsSpec
from channeld.base.units import parse_size
from channeld.channel.settings import SourceSettings
from channeld.channel.timetable import Timetable
from channeld.config_outputs import OutputSpec
from channeld.media.picture_rules import NOT_LOOKED_AT, PictureRules
from channeld.media.profile import Profile
from channeld.notices.settings import AlertSettings, WebhookSettings


class Order(StrEnum):
    """In which order a playlist's entries air."""

    SEQUENTIAL = "sequential"
    SHUFFLE = "shuffle"


class Resume(StrEnum):
    """Where a channel goes on after a restart."""

    EXACT = "exact"
    ENTRY = "entry"
    START = "start"


class OnOutage(StrEnum):
    """What a playlist's clock does while the channel cannot air."""

    CONTINUE = "continue"
    HOLD = "hold"


class Access(StrEnum):
    """Who may read the media listener."""

    OPEN = "open"
    TOKEN = "token"


class LogLevel(StrEnum):
    """The least event that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How log lines look; auto means console on a terminal, else JSON."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ByteLimit:
    """A cap in bytes, or in percent of the file system's size."""

    size_bytes: int | None
    percent: float | None

    def of(self, total_bytes: int) -> int:
        """The cap in bytes on a file system of that size."""
        if self.size_bytes is not None:
            return self.size_bytes
        return int(total_bytes * Fraction(self.percent or 0) / 100)

    def on(self, folder: Path) -> int:
        """The cap in bytes for a folder; its nearest existing parent's file system counts. Raises OSError."""
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        numbers = os.statvfs(folder)
        return self.of(numbers.f_blocks * numbers.f_frsize)


def parse_byte_limit(text: Any) -> ByteLimit:
    """Read `80%`, `20G` or a number of bytes. Raises ValueError."""
    written = str(text).strip()
    if written.endswith("%"):
        match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)\s*%", written)
        if match is None or not 0 < float(match[1]) <= 100:
            raise ValueError(f"{written[:40]!r} is not a share of the disk. Write more than 0% and at most 100%")
        return ByteLimit(None, float(match[1]))
    try:
        return ByteLimit(parse_size(written[:40]), None)
    except ValueError:
        raise ValueError(f"{written[:40]!r} is not a size. Write 80%, 500M, 20G or a number of bytes") from None


@dataclass(frozen=True, slots=True)
class ListenSpec:
    """Where a listener binds."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: Any) -> ListenSpec:
    """Read `127.0.0.1:8080`, `[::1]:8080` or `0.0.0.0:80`. Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})", str(text).strip())
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{str(text)[:80]!r} is not an address. Write host:port, such as 127.0.0.1:8080 or [::1]:8080")
    return ListenSpec(match[1] or match[2], int(match[3]))


@dataclass(frozen=True, slots=True)
class AdminSpec:
    """The listener of the admin API. `allowed_hosts`: names that it answers to besides its own address.

    `event_readers`: how many may follow the events at a time.
    """

    listen: ListenSpec
    tls: TlsSpec | None
    allowed_hosts: tuple[str, ...] = ()
    event_readers: int = 1_000


@dataclass(frozen=True, slots=True)
class MediaSpec:
    """The listener of viewers. `max_…`, `stale_s` are about endless streams; None: no limit. `geoip`: the file that knows places."""

    listen: ListenSpec
    workers: int
    access: Access
    tls: TlsSpec | None
    max_clients_per_channel: int | None = 1_000
    max_clients_per_address: int | None = 100
    stale_s: float = 30.0
    geoip: Path | None = None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a client finds the daemon, and its token; a local reader the sockets; a viewer the stream."""

    admin: AdminSpec
    state_dir: Path
    runtime_dir: Path
    media: MediaSpec


@dataclass(frozen=True, slots=True)
class AttachSpec:
    """Local readers of rings. `group`: who may read besides root and our own user; `max_readers` of one channel at a time.

    `max_readers_per_user`: of these, how many may be of any one of the other users.
    """

    is_enabled: bool = True
    group: str | None = None
    max_readers: int = 64
    max_readers_per_user: int = 32


@dataclass(frozen=True, slots=True)
class FolderSpec:
    """Where the daemon writes."""

    state: Path
    runtime: Path
    hls: Path
    hls_limit: ByteLimit


@dataclass(frozen=True, slots=True)
class UrlRules:
    """Which URLs may stand in a playlist; `private` admits private and link-local hosts."""

    schemes: tuple[str, ...]
    private: bool


@dataclass(frozen=True, slots=True)
class PrepareSpec:
    """How clips are conformed. `jobs` None: as many as the machine bears; ratios are between 0 and 1."""

    jobs: int | None
    cache_limit: ByteLimit
    min_duration_ratio: float
    max_error_ratio: float


@dataclass(frozen=True, slots=True)
class UploadSpec:
    """What people may send. `limit`: of one file; `expire_s`: how long an unfinished one is waited for."""

    is_enabled: bool = True
    limit: ByteLimit = ByteLimit(50 << 30, None)
    expire_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class RelaySpec:
    """Limits of the relay; `temp_directory` None: below the runtime folder."""

    enabled: bool
    max_concurrent_processes: int
    cleanup_interval_s: float
    default_timeout_s: float
    temp_directory: Path | None


@dataclass(frozen=True, slots=True)
class LogSpec:
    """What is logged, how it looks, and where it goes; `file` None is stderr."""

    level: LogLevel
    format: LogFormat
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """How little room may be left before it is told (`low`) and before preparing stops (`critical`). None: the built-in rule."""

    low: ByteLimit | None = None
    critical: ByteLimit | None = None


@dataclass(frozen=True, slots=True)
class WatchSpec:
    """How what is published is looked at. `cpu_budget`: decoding's share of a core, for all channels together."""

    is_enabled: bool = True
    cpu_budget: float = 0.02
    timeout_s: float = 5.0
    recover_after_s: float = 10.0


@dataclass(frozen=True, slots=True)
class FailoverSpec:
    """When one source gives way to another, in seconds; see channel.failover. `picture`: also when it sends nothing worth airing."""

    loss_grace_s: float = 2.0
    recovery_grace_s: float = 3.0
    buffer_s: float = 1.0
    standby: Literal["cold", "hot"] = "cold"
    picture: PictureRules = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One channel; `media_roots` holds every folder whose files may air, the playlist's own first. `uploads`: where sent files go.

    `has_list`: the playlist airs, where no source is live; a channel of sources alone has none. `idle_s`: sources are connected to while
    somebody watches, and so long after; None: always.
    """

    id: str
    name: str
    enabled: bool
    playlist: Path
    order: Order
    shuffle_seed: int | None
    timeline_start: int
    filler: Path | None
    resume: Resume
    on_outage: OnOutage
    media_roots: tuple[Path, ...]
    uploads: Path
    profile: str
    outputs: tuple[OutputSpec, ...]
    number: int | None = None
    logo: str | None = None
    group: str | None = None
    sources: tuple[SourceSettings, ...] = ()
    failover: FailoverSpec = FailoverSpec()
    idle_s: float | None = None
    has_list: bool = True
    timetable: Timetable | None = None
    ring_s: int = 12


@dataclass(frozen=True, slots=True)
class HistorySpec:
    """How long the past is kept."""

    event_days: float = 30
    as_run_days: float = 400
    audience_days: float = 400


@dataclass(frozen=True, slots=True)
class Setting:
    """One key as people are shown it: without secrets. `line` is None where the default counts."""

    key: str
    value: str | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, checked. `database`: SQLAlchemy's URL, None for SQLite in the state folder."""

    path: Path
    folders: FolderSpec
    hosts: int
    admin: AdminSpec
    media: MediaSpec
    url_rules: UrlRules
    prepare: PrepareSpec
    relay: RelaySpec
    log: LogSpec
    default_profile: str
    profiles: dict[str, Profile]
    channels: dict[str, ChannelSpec]
    disk: DiskSpec = DiskSpec()
    uploads: UploadSpec = UploadSpec()
    watch: WatchSpec = WatchSpec()
    reload_on_change: bool = False
    database: str | None = field(default=None, repr=False)
    history: HistorySpec = HistorySpec()
    webhooks: tuple[WebhookSettings, ...] = ()
    alerts: AlertSettings = field(default_factory=AlertSettings)
    attach: AttachSpec = AttachSpec()
    told: tuple[Setting, ...] = field(default=(), compare=False, repr=False)

    def profile(self, name: str) -> Profile:
        """A profile by its name. Raises ConfigError for an unknown one."""
        if name not in self.profiles:
            raise ConfigError(f"no profile {name!r}; there are {', '.join(sorted(self.profiles))}", path=self.path)
        return self.profiles[name]

    def channel(self, channel_id: str) -> ChannelSpec:
        """A channel by its id. Raises ConfigError for an unknown one."""
        if channel_id not in self.channels:
            raise ConfigError(f"no channel {channel_id!r}; there are {', '.join(self.channels) or 'none'}", path=self.path)
        return self.channels[channel_id]
