"""The shapes of what the relay routes take and give.

Rule: what a profile or a list may be is judged behind these, where each refusal says its field; here only types are. See docs/relay-api.md.
"""

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from channeld.api.relay_assign import Assignment
from channeld.store.relay_records import ProfileDraft, ProxyDraft

MAX_ID = 2**53 - 1
ProfileId = Annotated[int, Path(ge=1, le=MAX_ID, description="The profile's id", examples=[1])]
PROFILE_EXAMPLE: dict[str, Any] = {
    "name": "720p for tablets",
    "ffmpeg_args": "-i {input_url} -c:v libx264 -preset veryfast -s 1280x720 -b:v 2500k -c:a aac -f mpegts {output_path}",
    "output_format": "transport_stream",
}
ProxyId = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$", description="The proxy's id", examples=["tv"])]
UpstreamId = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$", description="The upstream channel's id in its list", examples=["news"])]
ConfigId = Annotated[int, Path(ge=1, le=MAX_ID, description="The relay's id", examples=[1])]
ASSIGN_EXAMPLE: dict[str, Any] = {"profile_id": 1}
PROXY_EXAMPLE: dict[str, Any] = {"name": "TV", "source": "https://provider.example.org/list.m3u", "refresh_s": 3600}
Whole = Annotated[int, Field(strict=True)]


class ProfileDraftModel(BaseModel):
    """A profile as a person says it; docs/relay-profiles.md has the fields and what `ffmpeg_args` may be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": PROFILE_EXAMPLE})
    name: str
    ffmpeg_args: str
    description: str = ""
    output_format: str = "transport_stream"
    segment_duration: Whole = 6
    max_segments: Whole = 6
    input_timeout: Whole = 10
    hardware_acceleration: str = "none"
    is_active: bool = True

    def draft(self) -> ProfileDraft:
        """As the store takes it."""
        said = self.model_dump()
        return ProfileDraft(
            **{**said, "hardware_acceleration": None if self.hardware_acceleration == "none" else self.hardware_acceleration}
        )


class NoticeModel(BaseModel):
    """An argument that has no effect on air, and why."""

    argument: str
    reason: str


class ProfileModel(BaseModel):
    """A relay profile; one that is a system default is read-only, and can be copied. `available`: whether its hardware encodes here, null
    while that is not known, `unavailable_reason` why it does not; `notices`: what of its arguments has no effect on air.
    """

    id: int
    name: str
    description: str
    ffmpeg_args: str
    output_format: str
    segment_duration: float
    max_segments: int
    input_timeout: float
    hardware_acceleration: str
    is_system_default: bool
    is_active: bool
    available: bool | None
    unavailable_reason: str | None
    notices: list[NoticeModel]
    created_at: str
    updated_at: str


class RefusalModel(BaseModel):
    """One thing that is wrong with a profile. `position` counts the arguments from 1, null where no single one is at fault."""

    at: str
    message: str
    kind: str
    field: str
    position: int | None
    argument: str
    problem: str
    remedy: str


class JudgementModel(BaseModel):
    """Whether a profile could be stored. `taken`: what its arguments mean, null when refused; `notices`: what has no effect on air."""

    valid: bool
    errors: list[RefusalModel]
    notices: list[NoticeModel]
    taken: dict[str, Any] | None


class CopyModel(BaseModel):
    """What the copy is called."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Ours"}})
    name: str


class ProxyDraftModel(BaseModel):
    """A list of upstream channels: `source` is its URL or file. `refresh_s` null: fetched only when asked. `id` is made of the name."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"example": PROXY_EXAMPLE})
    name: str
    source: str
    refresh_s: float | None = None
    id: str | None = None

    def draft(self) -> ProxyDraft:
        """As the store takes it."""
        return ProxyDraft(self.name, self.source, self.refresh_s, self.id)


class ProxyChangeModel(BaseModel):
    """The same anew; without `source` that stays, as what is shown of it may lack a password."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"example": {"name": "TV", "refresh_s": 600}})
    name: str
    source: str | None = None
    refresh_s: float | None = None


class ProxyModel(BaseModel):
    """A proxy. `channels` of its list are known, `relayed` of them are relayed; `source` is without passwords."""

    id: str
    name: str
    source: str
    refresh_s: float | None
    fetched_at: str | None
    last_error: str | None
    channels: int
    relayed: int
    created_at: str
    updated_at: str


class GroupModel(BaseModel):
    """Channels of a list that are filed under one group; null: under none."""

    group: str | None
    channels: int


class OneProxyModel(ProxyModel):
    """A proxy with its groups."""

    groups: list[GroupModel]


class FaultModel(BaseModel):
    """Why an entry of a list was left out."""

    line: int
    message: str


class RefreshModel(BaseModel):
    """What fetching a list gave. `pending`: it is still being fetched. With an `error` nothing was imported."""

    proxy_id: str
    pending: bool
    error: str | None
    at: str | None = None
    channels: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    left_out: int = 0
    faults: list[FaultModel] = []


class UpstreamModel(BaseModel):
    """A channel of a list. `relay`: the relay of it, null while it has none."""

    channel_id: str
    title: str
    group: str | None
    url: str
    attributes: dict[str, str]
    position: int
    is_listed: bool
    relay: int | None


class UpstreamPageModel(BaseModel):
    """A page of a list's channels; `next` is the `after` of the next one, null on the last."""

    channels: list[UpstreamModel]
    next: int | None


class AssignModel(BaseModel):
    """How an upstream channel is to be relayed. `name` null: as it is titled; `custom_args` stand in place of the profile's own.

    `lifecycle` `on_demand`: its upstream is connected to while somebody watches, and for `idle_seconds` after (null: as configured).
    `hardware_fallback` `software`: where the profile's hardware does not encode, the CPU does; else the relay is refused.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": ASSIGN_EXAMPLE})
    profile_id: Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]
    name: str | None = None
    custom_args: str | None = None
    enabled: bool = True
    lifecycle: Literal["always", "on_demand"] = "always"
    idle_seconds: Annotated[float, Field(ge=5, le=86_400)] | None = None
    hardware_fallback: Literal["refuse", "software"] = "refuse"

    def assignment(self) -> Assignment:
        """As it is carried out."""
        return Assignment(**self.model_dump())


class RelayModel(BaseModel):
    """A relay. `channel` is what it is as a channel; `refused`: why it cannot air, null where it can; `notices`: what of its arguments
    has no effect on air, and why.
    """

    id: int
    proxy_id: str
    channel_id: str
    profile_id: int
    name: str
    custom_args: str | None
    enabled: bool
    lifecycle: str
    idle_seconds: float | None
    hardware_fallback: str
    notices: list[NoticeModel]
    channel: str
    refused: str | None
    playlist: str
    stream: str
    created_at: str
    updated_at: str


class LiveFiguresModel(BaseModel):
    """What a channel of live sources did lately. `bytes` came of its sources; `losses` are theirs since the daemon began."""

    channel: str
    name: str
    state: str
    started_at: str | None
    uptime_s: float | None
    bytes: int
    bitrate_bps: int
    clients: int
    restarts: int
    losses: int
    losses_last_hour: int
    cpu_percent: float | None
    memory_bytes: int | None
    pid: int | None


class RelayFiguresModel(LiveFiguresModel):
    """What a relay did lately, and what is relayed by it. `refused`: why it cannot air, null where it can."""

    config_id: int
    proxy_id: str
    channel_id: str
    profile_id: int
    enabled: bool
    refused: str | None


class RelayStatusModel(RelayFiguresModel):
    """All of a relay. `source`: what airs; `error`: why its upstream does not; `events`: the newest first."""

    source: str | None
    error: str | None
    sources: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    events: list[dict[str, Any]]


class RelayMetricsModel(BaseModel):
    """Figures of each relay, of the configuration's `channels` that have live sources, of all together, and of the machine."""

    at: str
    enabled: bool
    relays: list[RelayFiguresModel]
    channels: list[LiveFiguresModel]
    totals: dict[str, Any]
    system: dict[str, Any]


class RelayHealthModel(BaseModel):
    """`status`: healthy (its upstream airs), degraded (a slate does), unhealthy (it cannot air), stopped; with the reasons."""

    config_id: int
    name: str
    status: str
    state: str
    reasons: list[str]


class RelaysHealthModel(BaseModel):
    """`status` is the worst of all that are not stopped; `counts` by status."""

    status: str
    enabled: bool
    counts: dict[str, int]
    relays: list[RelayHealthModel]
