"""The shapes of playlists and their edits as the OpenAPI document shows them, with examples."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from channeld.api.admin_models import MAX_PATH_CHARS

MAX_REPEAT = 1_000_000
MAX_SECONDS = 9_999_999

_Line = Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARS, pattern=r"^[^\x00\r\n]+$")]
_Time = Annotated[str, Field(pattern=r"^[0-9:.]{1,24}$")] | Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
_Repeat = Annotated[int, Field(ge=1, le=MAX_REPEAT)]
_EntryId = Annotated[str, Field(pattern=r"^[a-z][0-9a-f]{1,16}$")]

ID = "e12ab34cd56ef7890"
AT = "2026-11-21T10:00:52.200Z"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _TrimModel(_Request):
    """`in`, `out` (exclusive) and `duration`: seconds, or HH:MM:SS.mmm."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)
    title: _Line | None = None
    in_: Annotated[_Time | None, Field(alias="in")] = None
    out: _Time | None = None
    duration: _Time | None = None
    repeat: _Repeat | None = None

    def fields(self) -> dict[str, str | None]:
        """What was said, as it is written into a list; None takes a field away."""
        said = {name: getattr(self, f"{name}_" if name == "in" else name) for name in ("title", "in", "out", "duration", "repeat")}
        given = {"in" if name == "in_" else name for name in self.model_fields_set}
        return {name: _written(value) for name, value in said.items() if name in given}


class NewEntryModel(_TrimModel):
    """An entry to add: `before` or `after` another, at the end where neither is given."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"path": "trailers/tonight.mp4", "title": "Tonight", "before": ID}}
    )
    path: _Line
    before: _EntryId | None = None
    after: _EntryId | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.before is not None and self.after is not None:
            raise ValueError("give before or after, not both")
        return self


class ChangeEntryModel(_TrimModel):
    """Fields to set; null takes one away."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": {"title": "Tonight", "out": "00:00:30"}})

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one of title, in, out, duration, repeat")
        return self


class MoveEntryModel(_Request):
    """Where an entry goes: `before` or `after` another, or `to_index`, from 0, of the list as it then is."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": {"to_index": 0}})
    before: _EntryId | None = None
    after: _EntryId | None = None
    to_index: Annotated[int, Field(ge=0, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.before, self.after, self.to_index)) != 1:
            raise ValueError("give one of before, after and to_index")
        return self


class ListedModel(BaseModel):
    """An entry of a list. `state`: ready, preparing, waiting, refused (`reason` says why) or unknown; `duration_s`: how long it airs once.

    `prepared`: how much of its clip is, 0 to 1; null before that is begun. `airs_at`: when it airs next, null where that stands
    on a length that is not known yet.
    """

    entry: str
    index: int
    line: int | None
    path: str
    title: str
    in_s: float | None
    out_s: float | None
    duration_s: float | None
    repeat: int
    fault: str | None
    state: str
    reason: str | None
    prepared: float | None
    is_playing: bool
    airs_at: str | None


class PlaylistModel(BaseModel):
    """A list: `total` entries, of which these are a page; `next` is the `after` of the next page. `text` is empty on later pages.

    `can_edit`: single entries can be edited; `reason` says why not.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "text": "a.mp4\n",
                "media_type": "text/plain",
                "revision": 7,
                "can_edit": True,
                "reason": None,
                "total": 1,
                "next": None,
                "entries": [],
            }
        }
    )
    text: str
    media_type: str
    revision: int
    can_edit: bool
    reason: str | None
    total: int
    next: str | None
    entries: list[ListedModel]


class AirsModel(BaseModel):
    """When an entry airs next, without the edit and with it; null: not at all, or not known."""

    entry: str
    path: str
    title: str
    before: str | None
    after: str | None


class EditedModel(BaseModel):
    """What an edit did, or, for a dry run, would do. `changed` is false when the file says that already.

    `entry`: the one that was added, changed or moved. `diff` shows 200 entries of each kind at most, its `counts` tell of all. `airs`: the
    edited entries first, then those that it shifts; `airs_left_out` more are not shown.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "revision": 8,
                "effective_at": AT,
                "changed": True,
                "dry_run": False,
                "entry": ID,
                "diff": {
                    "added": [{"entry": ID, "path": "b.mp4", "title": "B", "index": 1}],
                    "removed": [],
                    "moved": [],
                    "changed": [],
                    "counts": {"added": 1, "removed": 0, "moved": 0, "kept": 2},
                },
                "airs": [{"entry": ID, "path": "b.mp4", "title": "B", "before": None, "after": AT}],
                "airs_left_out": 0,
            }
        }
    )
    revision: int
    effective_at: str | None
    changed: bool
    dry_run: bool
    entry: str | None
    diff: dict[str, Any]
    airs: list[AirsModel]
    airs_left_out: int


def _written(value: str | float | None) -> str | None:
    """Seconds without an exponent, to the microsecond."""
    if value is None or isinstance(value, str):
        return value
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
