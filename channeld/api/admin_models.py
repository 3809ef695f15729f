"""The shapes of the admin interface as its OpenAPI document shows them, with examples.

Rule: requests are checked against these; answers are the daemon's own objects and are only described here. Values may be
added to an answer, so nobody may rely on their absence.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_PATH_CHARS = 4096
MAX_ENTRIES = 200_000


class PlayNextModel(BaseModel):
    """Which clip airs next, once."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": {"path": "trailers/tonight.mp4"}})
    path: Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARS, pattern=r"^[^\x00\r\n]+$")]


class EntriesModel(BaseModel):
    """A playlist as entries: paths, or objects with the keys of a YAML playlist."""

    model_config = ConfigDict(
        extra="ignore", strict=True, json_schema_extra={"example": {"entries": ["a.mp4", {"path": "b.mp4", "title": "B", "repeat": 2}]}}
    )
    entries: Annotated[list[Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARS)] | dict[str, Any]], Field(max_length=MAX_ENTRIES)]


class TriggerModel(BaseModel):
    """`changed` is false when it was so already."""

    model_config = ConfigDict(json_schema_extra={"example": {"revision": 7, "effective_at": "2026-11-21T10:00:52.200Z", "changed": True}})
    revision: int
    effective_at: str | None
    changed: bool


class NowModel(BaseModel):
    """What airs. A live source has no `duration_s`."""

    entry: str
    title: str
    path: str
    position_s: float
    duration_s: float | None
    started_at: str


class NextModel(BaseModel):
    """What will air."""

    entry: str
    title: str
    path: str
    starts_at: str | None
    ready: bool


class SkippedModel(BaseModel):
    """An entry of the list that will not air as it is, and why."""

    entry: str
    path: str
    reason: str


class PreparedModel(BaseModel):
    """How much of the loop is prepared, in seconds of air.

    `eta_s`: work that is left, null while its speed is unknown. `dry_at`: when the first clip is due that is not prepared
    now, null when all are. `fits_cache`: the loops of all channels fit the cache together.
    """

    ready_s: float
    needed_s: float
    eta_s: float | None
    dry_at: str | None
    fits_cache: bool


class VerdictModel(BaseModel):
    """What viewers find. `condition`: ok, late, stale, broken, silent, frozen or unreachable.

    `end_pts` (33 bits) and `end_at` tell where the newest segment ends, as far as its manifest tells.
    """

    condition: str
    reason: str | None
    since: str
    seen_at: str
    manifest_age_s: float | None
    media_sequence: int | None
    end_pts: int | None
    end_at: str | None


class OutputModel(BaseModel):
    """One output; secrets in its URL are masked. `verdict` is null where nobody looks, and before the first look.

    `next_try_at`: when an output that is `resting` is tried again. `segment_wait_s`, of HLS: from the release of the newest segment's first
    picture to the manifest that names it. Of named pipes: where they are, how many read them, how often one was too slow and
    lost stream (`jumps`), or took nothing and was hung up on (`stalls`).
    """

    name: str
    type: str
    url: str | None
    state: str
    since: str | None
    restarts: int
    last_error: str | None
    next_try_at: str | None = None
    segment_wait_s: float | None = None
    paths: list[str] | None = None
    readers: int | None = None
    jumps: int | None = None
    stalls: int | None = None
    verdict: VerdictModel | None = None


class EditErrorModel(BaseModel):
    """Why the newest edit of the playlist was not taken."""

    file: str
    line: int | None
    message: str


class DegradedModel(BaseModel):
    """What a channel does without, as its parts ended too often. `step`: outputs, entry or filler."""

    step: str
    since: str
    until: str
    reason: str


class SourceFiguresModel(BaseModel):
    """Figures of a live source since its process began. `bits_per_s`: of its stream behind FFmpeg; `losses`: what FFmpeg tells of, by kind.

    `jitter_ms`: how unevenly pictures come (RFC 3550's estimator). Of the one on air: `air_delay_s` from a picture's arrival to its
    release, `segment_delay_s` to the manifest that names its HLS segment, at most; `drift_ms`: how much later than at first slices are due.
    """

    bits_per_s: int | None
    losses: dict[str, int]
    jitter_ms: float | None
    reconnects: int
    air_delay_s: float | None
    segment_delay_s: float | None
    drift_ms: float | None


class SourceModel(BaseModel):
    """A live source. `state`: standby, connecting, live or lost; `reason` why it is lost.

    `mode`: copy or transcode, and `why` it is not copied. `figures`: null before its process told any.
    """

    name: str
    url: str
    state: str
    since: str | None
    reason: str | None
    detail: str | None
    on_air: bool
    mode: str | None
    why: str | None
    attempts: int
    bytes: int
    figures: SourceFiguresModel | None = None


class OverrideModel(BaseModel):
    """What is to air in place of everything; `until` null: until it is lifted. `is_ready`: it is prepared. `by`: order or timetable."""

    title: str
    since: str
    until: str | None
    once: bool
    is_ready: bool
    by: str


class TurnModel(BaseModel):
    """An item of the timetable at one of its times."""

    title: str
    begins_at: str
    ends_at: str


class TimetableModel(BaseModel):
    """What the timetable says for now, and what it will say next."""

    now: TurnModel | None
    next: TurnModel | None


class ChannelModel(BaseModel):
    """A channel. `state`: starting, on_air, filler, stopping, stopped or failed. `readers`: local programs that read its memory."""

    id: str
    name: str
    state: str
    profile: str
    revision: int
    edit_error: EditErrorModel | None
    now: NowModel | None
    next: list[NextModel]
    skipped: list[SkippedModel]
    outputs: list[OutputModel]
    readers: int = 0
    timeline: dict[str, int]
    prepared: PreparedModel
    sources: list[SourceModel] = []
    override: OverrideModel | None = None
    timetable: TimetableModel | None = None


class EventModel(BaseModel):
    """Something that happened; each kind has facts of its own besides these. `channel` is missing where it concerns the daemon."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {"id": 42, "kind": "channel_state", "at": "2026-11-21T10:00:00.000Z", "channel": "live1", "state": "on_air"}
        },
    )
    id: int
    kind: str
    at: str


class ReloadModel(BaseModel):
    """What a new configuration changed. `changed`: keys by channel; `restarted`: channels that go off the air and on again;

    `daemon`: other keys that were taken; `needs_restart`: keys that keep their old values until the daemon starts again.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "added": ["live3"],
                "removed": [],
                "changed": {"live1": ["outputs.youtube"], "live2": ["profile"]},
                "restarted": ["live2"],
                "daemon": ["log"],
                "needs_restart": ["admin.listen"],
            }
        }
    )
    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]
    restarted: list[str]
    daemon: list[str]
    needs_restart: list[str]


class ConfigErrorModel(BaseModel):
    """Why the newest configuration was refused."""

    file: str | None
    line: int | None
    message: str


class RestartModel(BaseModel):
    """Which control answered, and since when: one that answers later with another `since` is its successor."""

    model_config = ConfigDict(json_schema_extra={"example": {"part": "control", "since": "2026-11-21T10:00:00.000Z"}})
    part: str
    since: str


class StatusModel(BaseModel):
    """The daemon. `since`: when this control began; `hosts`: pids of the playout hosts; `config_error`: null while the newest
    configuration is in use; `alarms`: what is wrong just now; `store_problem`: why state and history are not written, null while they are;
    `webhooks` and `alerts`: what is delivered and what waits for each target, and the alerts that fire.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": "0.1.0",
                "since": "2026-11-21T10:00:00.000Z",
                "hosts": {"host:0": 4711},
                "config": "/etc/channeld/channeld.yaml",
                "config_error": None,
                "needs_restart": [],
                "alarms": [
                    {"alarm": "disk", "subject": "hls", "since": "2026-11-21T10:00:00.000Z", "message": "3 MiB are free", "level": "low"}
                ],
                "store_problem": None,
                "webhooks": [
                    {
                        "name": "webhook",
                        "url": "https://example.org/***",
                        "state": "ok",
                        "waiting": 0,
                        "delivered": 42,
                        "failures": 1,
                        "dropped": 0,
                        "last_error": None,
                        "delivered_at": "2026-11-21T10:00:00.000Z",
                        "failing_since": None,
                    }
                ],
                "alerts": {
                    "firing": [
                        {
                            "rule": "output_down",
                            "when": "output_down",
                            "subject": "live1/youtube",
                            "message": "connection lost",
                            "since": "2026-11-21T10:00:00.000Z",
                        }
                    ],
                    "targets": [{"name": "ops", "waiting": 0, "sent": 3, "failures": 0, "dropped": 0, "last_error": None}],
                },
            }
        }
    )
    version: str
    since: str
    hosts: dict[str, int]
    config: str
    config_error: ConfigErrorModel | None
    needs_restart: list[str]
    alarms: list[dict[str, Any]]
    store_problem: str | None
    webhooks: list[dict[str, Any]] = []
    alerts: dict[str, list[dict[str, Any]]] = {}


class HealthModel(BaseModel):
    """Whether the control loop and every playout host turn."""

    model_config = ConfigDict(json_schema_extra={"example": {"ok": True, "parts": {"control": "ok", "host-0": "ok"}}})
    ok: bool
    parts: dict[str, Any]


class ReadinessModel(BaseModel):
    """Whether there is something to watch, with the state of each channel and what viewers find at its outputs.

    `store_problem`: why history is not written, if so.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": True,
                "channels": {"live1": "on_air"},
                "verdicts": {"live1": {"rtmp": "ok", "hls": "ok"}},
                "store_problem": None,
            }
        }
    )
    ok: bool
    channels: dict[str, str]
    verdicts: dict[str, dict[str, str]]
    store_problem: str | None


class ProblemModel(BaseModel):
    """A problem document (RFC 9457); some carry further members, such as `line`, `revision` or `errors`."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unknown channel",
                "status": 404,
                "detail": "There is no channel 'live9'. GET /api/v1/channels lists all.",
            }
        },
    )
    type: str
    title: str
    status: int
    detail: str
