"""The fields of a relay profile, its limits, the six system defaults and copies of them."""

import uuid
from dataclasses import FrozenInstanceError

import pytest
from relay_profiles import profile

from channeld.relay.arguments import parse, refusals_of
from channeld.relay.defaults import SYSTEM_DEFAULTS, system_default
from channeld.relay.profile import Hardware, OutputFormat, copy_of
from channeld.relay.refusal import Kind


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "../x"),
        ("id", "A"),
        ("id", "a" * 65),
        ("name", ""),
        ("name", "   "),
        ("name", "a" * 101),
        ("name", "a\nb"),
        ("name", "a\udc80"),
        ("description", "a" * 1001),
        ("description", "a\0"),
        ("output_format", "mp4"),
        ("segment_duration", 0),
        ("segment_duration", 61),
        ("segment_duration", True),
        ("segment_duration", 2.5),
        ("max_segments", 1),
        ("max_segments", 101),
        ("input_timeout", 0),
        ("input_timeout", 3601),
        ("hardware_acceleration", "quantum"),
    ],
)
def test_a_field_out_of_its_limits_is_refused_by_name(field: str, value: object) -> None:
    refusals = refusals_of(profile(**{field: value}))
    assert (Kind.BAD_FIELD, field) in [(refusal.kind, refusal.field) for refusal in refusals]
    assert all(refusal.remedy for refusal in refusals)


def test_a_description_may_have_lines() -> None:
    assert refusals_of(profile(description="One.\nTwo.")) == ()


def test_the_limits_themselves_are_allowed() -> None:
    assert refusals_of(profile(segment_duration=1, max_segments=2, input_timeout=1)) == ()
    assert refusals_of(profile(segment_duration=60, max_segments=100, input_timeout=3600, name="a" * 100)) == ()


def test_there_are_six_system_defaults_whose_ids_never_change() -> None:
    assert [default.id for default in SYSTEM_DEFAULTS] == [
        "system-ts-passthrough",
        "system-hls-conversion",
        "system-nvidia",
        "system-vaapi",
        "system-h264",
        "system-hls-low-latency",
    ]
    assert all(default.is_system_default and default.is_active and default.description for default in SYSTEM_DEFAULTS)


@pytest.mark.parametrize("default", SYSTEM_DEFAULTS, ids=lambda default: default.id)
def test_every_system_default_passes_its_own_checks(default) -> None:  # type: ignore[no-untyped-def]
    assert refusals_of(default) == ()
    output = parse(default).output
    assert (output.output_format, output.segment_duration_s) == (default.output_format, default.segment_duration)


def test_the_low_latency_default_has_segments_of_two_seconds() -> None:
    low = system_default("system-hls-low-latency")
    assert low is not None and parse(low).output.segment_duration_s == 2.0
    assert low.output_format is OutputFormat.HLS
    assert system_default("system-none") is None


def test_the_hardware_defaults_name_their_hardware() -> None:
    wanted = {default.hardware_acceleration for default in SYSTEM_DEFAULTS}
    assert wanted == {Hardware.NONE, Hardware.NVIDIA, Hardware.VAAPI}


def test_a_copy_is_the_users_own() -> None:
    default = SYSTEM_DEFAULTS[3]
    copy = copy_of(default, "Mine")
    assert (copy.name, copy.is_system_default, copy.ffmpeg_args) == ("Mine", False, default.ffmpeg_args)
    assert str(uuid.UUID(copy.id)) == copy.id and refusals_of(copy) == ()
    assert copy_of(default, "Mine", new_id="mine").id == "mine"
    with pytest.raises(FrozenInstanceError):
        default.name = "changed"  # type: ignore[misc]
