"""The keys of a configuration file: their types, ranges and defaults.

Rule: exactly these keys exist; what concerns one key is checked here, what spans keys in `config_rules`.
Used by `config` only: below it plain values travel, not these models.
"""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, Field, model_validator

from channeld.base.units import FrameRate, parse_bitrate
from channeld.config_types import (
    BUILT_IN_PROFILE,
    Address,
    Bytes,
    ChannelId,
    EventKind,
    GroupName,
    Height,
    HostName,
    Jobs,
    Language,
    OutputName,
    PathText,
    Preset,
    ProfileName,
    Program,
    Rate,
    Scheme,
    Section,
    WebAddress,
    Width,
)
from channeld.config_values import Access, ByteLimit, ListenSpec, LogFormat, LogLevel, OnOutage, Order, Resume
from channeld.notices.settings import Trouble
from channeld.ts.nal import VideoCodec


class TlsModel(Section):
    cert: PathText
    key: PathText


class AdminModel(Section):
    listen: Address = ListenSpec("127.0.0.1", 8080)
    allowed_hosts: list[HostName] = []
    event_readers: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    tls: TlsModel | None = None


class MediaModel(Section):
    listen: Address = ListenSpec("127.0.0.1", 8090)
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    access: Access = Access.OPEN
    max_clients_per_channel: Annotated[int, Field(ge=1, le=100_000)] | None = 1_000
    max_clients_per_address: Annotated[int, Field(ge=1, le=100_000)] | None = 100
    stale_seconds: Annotated[float, Field(ge=1, le=3600)] = 30
    geoip: str | None = None
    tls: TlsModel | None = None


class UrlAllowModel(Section):
    schemes: list[Scheme] = ["https", "http", "rtsp", "srt", "rtmp"]
    private: bool = False


class ToleranceModel(Section):
    min_duration: Annotated[float, Field(ge=0, le=1)] = 0.9
    max_errors: Annotated[float, Field(ge=0, le=1)] = 0.05


class PrepareModel(Section):
    jobs: Jobs = None
    cache_max_bytes: Bytes = ByteLimit(None, 80)
    tolerance: ToleranceModel = ToleranceModel()


class RelayModel(Section):
    enabled: bool = True
    max_concurrent_processes: Annotated[int, Field(ge=1, le=1000)] = 10
    cleanup_interval_seconds: Annotated[float, Field(ge=1, le=86_400)] = 30
    default_timeout_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300
    temp_directory: PathText | None = None


class LogModel(Section):
    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO
    file: PathText | None = None


class WatchModel(Section):
    enabled: bool = True
    cpu_budget: Annotated[float, Field(ge=0, le=1)] = 0.02
    timeout_seconds: Annotated[float, Field(ge=0.5, le=60)] = 5
    recover_after_seconds: Annotated[float, Field(ge=1, le=3600)] = 10


class DiskModel(Section):
    low: Bytes | None = None
    critical: Bytes | None = None


class HistoryModel(Section):
    event_days: Annotated[float, Field(ge=1, le=36_500)] = 30
    as_run_days: Annotated[float, Field(ge=1, le=36_500)] = 400
    audience_days: Annotated[float, Field(ge=1, le=36_500)] = 400


class UploadsModel(Section):
    enabled: bool = True
    max_bytes: Bytes = ByteLimit(50 << 30, None)
    expire_hours: Annotated[float, Field(ge=0.1, le=720)] = 24


class ProfileModel(Section):
    width: Width = 1280
    height: Height = 720
    fps: Rate = FrameRate(30, 1)
    video_bitrate: Annotated[int, BeforeValidator(parse_bitrate), Field(ge=50_000, le=200_000_000)] = 3_000_000
    audio_bitrate: Annotated[int, BeforeValidator(parse_bitrate), Field(ge=32_000, le=512_000)] = 128_000
    gop_seconds: Annotated[float, Field(ge=0.2, le=20)] = 2
    loudness: Annotated[float, Field(ge=-70, le=-5)] = -23
    preset: Preset = Preset.VERYFAST
    codec: VideoCodec = VideoCodec.H264
    audio_language: Language | None = None


class DefaultsModel(Section):
    profile: ProfileName = BUILT_IN_PROFILE


class OutputModel(Section):
    name: OutputName | None = None
    enabled: bool = True


class RtmpModel(OutputModel):
    url: Annotated[str, Field(repr=False)]
    key_file: Annotated[PathText | None, Field(repr=False)] = None
    control: Annotated[str | None, Field(repr=False)] = None
    manifest: Annotated[str | None, Field(repr=False)] = None
    tls_verify: bool = True
    ca_file: PathText | None = None


class SrtModel(OutputModel):
    url: Annotated[str, Field(repr=False)]
    mode: Literal["caller", "listener"] = "caller"
    latency_ms: Annotated[int, Field(ge=20, le=60_000)] = 120
    passphrase: Annotated[str | None, Field(repr=False)] = None
    key_file: Annotated[PathText | None, Field(repr=False)] = None
    streamid: Annotated[str | None, Field(repr=False)] = None


class HlsModel(OutputModel):
    segment_seconds: Annotated[float, Field(ge=0.5, le=60)] = 4
    window: Annotated[int, Field(ge=3, le=4096)] = 6


class DashModel(HlsModel):
    pass


class TsModel(OutputModel):
    pass


class NamedPipeModel(OutputModel):
    path: PathText | None = None
    count: Annotated[int, Field(ge=1, le=16)] = 1
    max_buffer_segments: Annotated[int, Field(ge=1, le=60)] = 10
    segment_timeout_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 5000
    connection_timeout_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 10_000
    player: Program | None = None


class OutputEntry(Section):
    """One item of `outputs`: exactly one of these keys."""

    rtmp: RtmpModel | None = None
    srt: SrtModel | None = None
    hls: HlsModel | None = None
    dash: DashModel | None = None
    ts: TsModel | None = None
    named_pipe: NamedPipeModel | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """`- rtmp: URL`, `- srt: URL`, `- named_pipe: PATH`, `- hls:` and `- hls` mean their long forms."""
        if isinstance(value, str) and value in cls.model_fields:
            value = {value: None}
        if not isinstance(value, dict):
            return value
        entry = {key: {} if inner is None else inner for key, inner in value.items()}
        short = {"rtmp": "url", "srt": "url", "named_pipe": "path"}
        return {key: {short[key]: inner} if key in short and isinstance(inner, str) else inner for key, inner in entry.items()}

    @model_validator(mode="after")
    def _exactly_one(self) -> "OutputEntry":
        if len(self.model_fields_set) != 1:
            known = "`- rtmp: URL`, `- srt: URL`, `- hls: {}`, `- dash: {}`, `- ts: {}` or `- named_pipe: {}`"
            raise ValueError(f"an output has exactly one of rtmp, srt, hls, dash, ts and named_pipe. Write {known}")
        return self


class SourceModel(Section):
    """`- URL` means `- url: URL`, `- pattern` the built-in test pattern."""

    name: OutputName | None = None
    title: GroupName | None = None
    url: Annotated[str | None, Field(repr=False)] = None
    pattern: bool = False
    transport: Literal["auto", "tcp", "udp"] = "auto"
    mode: Literal["auto", "copy", "transcode"] = "auto"
    timeout_seconds: Annotated[float, Field(ge=1, le=300)] = 10

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if value == "pattern":
            return {"pattern": True}
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> "SourceModel":
        if (self.url is None) == (not self.pattern):
            raise ValueError("a source is a url or the test pattern. Write `- rtsp://…`, `- {url: …, name: …}` or `- pattern`")
        return self


class FailoverModel(Section):
    loss_grace_seconds: Annotated[float, Field(ge=0.2, le=60)] = 2
    recovery_grace_seconds: Annotated[float, Field(ge=0, le=600)] = 3
    buffer_seconds: Annotated[float, Field(ge=0.2, le=30)] = 1
    standby: Literal["cold", "hot"] = "cold"
    frozen_seconds: Annotated[float, Field(ge=1, le=3600)] | None = None
    black_seconds: Annotated[float, Field(ge=1, le=3600)] | None = None
    silent_seconds: Annotated[float, Field(ge=1, le=3600)] | None = None


class ScheduleModel(Section):
    at: str
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = []
    seconds: Annotated[float, Field(gt=0, le=604_800)] | None = None
    text: Annotated[GroupName | None, Field(max_length=80)] = None
    path: PathText | None = None
    source: OutputName | None = None
    playlist: bool = False
    once: bool = False

    @model_validator(mode="after")
    def _exactly_one(self) -> "ScheduleModel":
        if sum((self.text is not None, self.path is not None, self.source is not None, self.playlist)) != 1:
            raise ValueError("it airs exactly one thing. Write one of `text`, `path`, `source` and `playlist: true`")
        return self


class ChannelModel(Section):
    name: str | None = None
    enabled: bool = True
    playlist: PathText | None = None
    sources: Annotated[list[SourceModel], Field(max_length=16)] = []
    failover: FailoverModel = FailoverModel()
    schedule: Annotated[list[ScheduleModel], Field(max_length=200)] = []
    timezone: str | None = None
    lifecycle: Literal["always", "on_demand"] = "always"
    idle_seconds: Annotated[float, Field(ge=5, le=86_400)] | None = None
    profile: ProfileName | None = None
    order: Order = Order.SEQUENTIAL
    shuffle_seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    filler: PathText | None = None
    resume: Resume = Resume.EXACT
    on_outage: OnOutage = OnOutage.CONTINUE
    media_roots: list[PathText] = []
    uploads: PathText | None = None
    timeline_start: Annotated[int, Field(ge=0, lt=2**63)] = 90_000
    ring_seconds: Annotated[int, Field(ge=12, le=300)] = 12
    number: Annotated[int, Field(ge=1, le=99_999)] | None = None
    logo: WebAddress | None = None
    group: GroupName | None = None
    outputs: list[OutputEntry] = [OutputEntry(hls=HlsModel())]


class WebhookModel(Section):
    name: OutputName | None = None
    url: Annotated[str, Field(repr=False)]
    secret: Annotated[str | None, Field(repr=False)] = None
    secret_file: Annotated[PathText | None, Field(repr=False)] = None
    kinds: list[EventKind] = []
    channels: list[ChannelId] = []
    private: bool = False
    timeout_seconds: Annotated[float, Field(ge=1, le=60)] = 10


class AlertTargetModel(Section):
    """`- URL` means `- url: URL`."""

    name: OutputName | None = None
    url: Annotated[str, Field(repr=False)]

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value


class AlertRuleModel(Section):
    name: OutputName | None = None
    when: Trouble
    for_seconds: Annotated[float, Field(ge=0, le=86_400)] = 30
    above: Annotated[float, Field(gt=0, lt=100)] | None = None
    channels: list[ChannelId] = []
    repeat_seconds: Annotated[float, Field(ge=0, le=2_592_000)] = 3600
    targets: list[OutputName] = []


class AlertsModel(Section):
    targets: list[AlertTargetModel] = []
    rules: list[AlertRuleModel] = []
    group_seconds: Annotated[float, Field(ge=0, le=3600)] = 10


class AttachModel(Section):
    enabled: bool = True
    group: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] | None = None
    max_readers: Annotated[int, Field(ge=1, le=1_000)] = 64
    max_readers_per_user: Annotated[int, Field(ge=1, le=1_000)] | None = None


class ConfigModel(Section):
    """The whole file."""

    state_dir: PathText = "/var/lib/channeld"
    runtime_dir: PathText = "/run/channeld"
    hls_dir: PathText = "/var/cache/channeld/hls"
    hls_max_bytes: Bytes = ByteLimit(None, 10)
    database: Annotated[str | None, Field(repr=False)] = None
    history: HistoryModel = HistoryModel()
    hosts: Annotated[int, Field(ge=1, le=64)] = 1
    admin: AdminModel = AdminModel()
    media: MediaModel = MediaModel()
    attach: AttachModel = AttachModel()
    media_roots: list[PathText] = []
    url_allow: UrlAllowModel = UrlAllowModel()
    uploads: UploadsModel = UploadsModel()
    prepare: PrepareModel = PrepareModel()
    relay: RelayModel = RelayModel()
    log: LogModel = LogModel()
    disk: DiskModel = DiskModel()
    watch: WatchModel = WatchModel()
    webhooks: list[WebhookModel] = []
    alerts: AlertsModel = AlertsModel()
    reload_on_change: bool = False
    profiles: dict[ProfileName, ProfileModel] = {}
    defaults: DefaultsModel = DefaultsModel()
    channels: dict[ChannelId, ChannelModel]


def inner_type(annotation: Any) -> Any:
    """The section, mapping or list behind `Annotated` and `| None`."""
    if get_origin(annotation) is Annotated:
        return inner_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return inner_type(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation


def section_at(path: tuple[str | int, ...]) -> type[Section] | None:
    """The model of the mapping at a key path, or None where no section stands."""
    here: Any = ConfigModel
    for part in path:
        if isinstance(here, type) and issubclass(here, Section):
            here = inner_type(here.model_fields[str(part)].annotation) if part in here.model_fields else None
        elif get_origin(here) in (dict, list):
            here = inner_type(get_args(here)[-1])
        else:
            return None
    return here if isinstance(here, type) and issubclass(here, Section) else None


def key_patterns(section: type[Section] = ConfigModel, prefix: str = "") -> Iterator[str]:
    """Every key that may be written, as `channels.<id>.outputs[].hls.window`; sections before what they hold."""
    names = {"channels": "<id>", "profiles": "<name>"}
    for name, field in section.model_fields.items():
        key, inner = f"{prefix}{name}", inner_type(field.annotation)
        yield key
        if get_origin(inner) is dict:
            key, inner = f"{key}.{names[name]}", inner_type(get_args(inner)[1])
        elif get_origin(inner) is list:
            key, inner = f"{key}[]", inner_type(get_args(inner)[0])
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from key_patterns(inner, f"{key}.")
