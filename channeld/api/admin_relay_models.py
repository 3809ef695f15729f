"""The shapes of what the relay routes take and give.

Rule: what a profile or a list may be is judged behind these, where each refusal says its field; here only types are. See docs/relay-api.md.
"""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from channeld.store.relay_records import ProfileDraft

MAX_ID = 2**53 - 1
ProfileId = Annotated[int, Path(ge=1, le=MAX_ID, description="The profile's id", examples=[1])]
PROFILE_EXAMPLE: dict[str, Any] = {
    "name": "720p for tablets",
    "ffmpeg_args": "-i {input_url} -c:v libx264 -preset veryfast -s 1280x720 -b:v 2500k -c:a aac -f mpegts {output_path}",
    "output_format": "transport_stream",
}
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


class ProfileModel(BaseModel):
    """A relay profile; one that is a system default is read-only, and can be copied."""

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
    """Whether a profile could be stored. `taken`: what its arguments mean, null when it is refused."""

    valid: bool
    errors: list[RefusalModel]
    taken: dict[str, Any] | None


class CopyModel(BaseModel):
    """What the copy is called."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Ours"}})
    name: str
