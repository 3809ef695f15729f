"""Relay profiles between the store, which keeps what was said, and `relay`, which judges it.

Rule: what is stored is judged anew each time it is used; the system defaults are those of the code, whatever the database says. Pure.
"""

from typing import cast

from channeld.relay.arguments import parse, refusals_of
from channeld.relay.defaults import SYSTEM_DEFAULTS
from channeld.relay.effects import effect_of
from channeld.relay.profile import Hardware, OutputFormat
from channeld.relay.profile import RelayProfile as Profile
from channeld.relay.refusal import ProfileRefused, Refusal
from channeld.store.relay_records import ProfileDraft, RelayProfile


def as_profile(said: ProfileDraft | RelayProfile, *, custom_args: str | None = None) -> Profile:
    """As it is judged; `custom_args`: those of one relay, in place of the profile's own."""
    return Profile(
        str(said.id) if isinstance(said, RelayProfile) else "draft",
        said.name,
        said.ffmpeg_args if custom_args is None else custom_args,
        said.description,
        # Unknown words are told as refusals, not raised.
        cast(OutputFormat, said.output_format),
        _whole(said.segment_duration),
        said.max_segments,
        _whole(said.input_timeout),
        cast(Hardware, said.hardware_acceleration or Hardware.NONE.value),
        isinstance(said, RelayProfile) and said.is_system_default,
        said.is_active,
    )


def check(said: ProfileDraft | RelayProfile, *, custom_args: str | None = None) -> None:
    """Raises ProfileRefused with everything that is wrong."""
    refusals: tuple[Refusal, ...] = refusals_of(as_profile(said, custom_args=custom_args))
    if refusals:
        raise ProfileRefused(refusals)


def notices(said: ProfileDraft | RelayProfile, *, custom_args: str | None = None, uses_hardware: bool = True) -> list[dict[str, str]]:
    """Arguments that have no effect on air, each with the reason; none of a profile that is refused."""
    profile = as_profile(said, custom_args=custom_args)
    if refusals_of(profile):
        return []
    effect = effect_of(parse(profile), Hardware(profile.hardware_acceleration), uses_hardware=uses_hardware)
    return [{"argument": each.argument, "reason": each.reason} for each in effect.notices]


def system_drafts() -> list[ProfileDraft]:
    """The system defaults as the store keeps them."""
    return [
        ProfileDraft(
            each.name,
            each.ffmpeg_args,
            each.description,
            each.output_format.value,
            each.segment_duration,
            each.max_segments,
            each.input_timeout,
            None if each.hardware_acceleration is Hardware.NONE else each.hardware_acceleration.value,
            each.is_active,
        )
        for each in SYSTEM_DEFAULTS
    ]


def _whole(seconds: float) -> int:
    """What is no whole number stays as it is, and is refused."""
    return int(seconds) if seconds == int(seconds) else cast(int, seconds)
