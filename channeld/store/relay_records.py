"""What the store keeps of relays, as plain values.

Rule: whatever may hold a password (a source, a URL, arguments, attributes) is in no repr; errors and details have passed the redactor.
Wall time in seconds since the epoch; a draft is what a person says, a record what was made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LIFECYCLES = ("always", "on_demand")
FALLBACKS = ("refuse", "software")


@dataclass(frozen=True, slots=True)
class ProfileDraft:
    """How FFmpeg is to relay. Durations in seconds; `hardware_acceleration` None is software."""

    name: str
    ffmpeg_args: str = field(repr=False)
    description: str = ""
    output_format: str = "transport_stream"
    segment_duration: float = 6.0
    max_segments: int = 6
    input_timeout: float = 10.0
    hardware_acceleration: str | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class RelayProfile:
    """A profile as it is kept; one that is a system default is read-only."""

    id: int
    name: str
    description: str
    ffmpeg_args: str = field(repr=False)
    output_format: str
    segment_duration: float
    max_segments: int
    input_timeout: float
    hardware_acceleration: str | None
    is_system_default: bool
    is_active: bool
    created_at_s: float
    updated_at_s: float


@dataclass(frozen=True, slots=True)
class ProxyDraft:
    """A list of upstream channels to import. `id` None: made of the name; `source`: path or URL; `refresh_s` None: only when asked."""

    name: str
    source: str = field(repr=False)
    refresh_s: float | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class RelayProxy:
    """A list as it is kept. `fetched_at_s`: when it was fetched and understood last; `last_error`: why that failed since."""

    id: str
    name: str
    source: str = field(repr=False)
    refresh_s: float | None
    fetched_at_s: float | None
    last_error: str | None
    created_at_s: float
    updated_at_s: float


@dataclass(frozen=True, slots=True)
class ProxyChannel:
    """One channel of a list, at its place in it. One that is relayed is kept when the list has it no more: then it is not `is_listed`."""

    proxy_id: str
    channel_id: str
    position: int
    title: str
    url: str = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    group: str | None = None
    options: tuple[str, ...] = field(default=(), repr=False)
    is_listed: bool = True


@dataclass(frozen=True, slots=True)
class ChannelChanges:
    """What a newer list changed: how many channels came, changed (moved ones too), went."""

    added: int
    changed: int
    removed: int


@dataclass(frozen=True, slots=True)
class ConfigDraft:
    """That a channel is to be relayed, and how. One for each channel of a proxy.

    `lifecycle`: `always`, or `on_demand`: while somebody watches, and `idle_seconds` after (None: the configuration's).
    `hardware_fallback`: `refuse`, or `software`, where the profile's hardware does not encode.
    """

    proxy_id: str
    channel_id: str
    profile_id: int
    name: str
    custom_args: str | None = field(default=None, repr=False)
    enabled: bool = True
    lifecycle: str = LIFECYCLES[0]
    idle_seconds: float | None = None
    hardware_fallback: str = FALLBACKS[0]


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """A relay as it is kept. Its id is never given to another one."""

    id: int
    proxy_id: str
    channel_id: str
    profile_id: int
    name: str
    custom_args: str | None = field(repr=False)
    enabled: bool
    created_at_s: float
    updated_at_s: float
    lifecycle: str = LIFECYCLES[0]
    idle_seconds: float | None = None
    hardware_fallback: str = FALLBACKS[0]


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """What a relay was seen doing last; only the newest counts. `source`: which of its sources airs."""

    config_id: int
    state: str
    pid: int | None = None
    started_at_s: float | None = None
    last_seen_s: float | None = None
    bytes: int = 0
    clients: int = 0
    source: str | None = None
    restarts: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RelayEvent:
    """Something happened to a relay; `details` are fit for JSON."""

    id: int
    config_id: int
    at_s: float
    kind: str
    details: dict[str, Any] = field(default_factory=dict, hash=False)


Kept = RelayProfile | RelayProxy | RelayConfig
"""What people made: small enough to be remembered, for a database that must be made anew."""
