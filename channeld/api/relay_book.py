"""What people make of relays, over the store: profiles, lists of upstream channels, and which of these are relayed.

Rule: an edit is judged before it is written, and what it changes on air follows after it (`changed`); nothing that is told holds a
password: sources, addresses and attributes pass the redactor. Blocking; any thread but the event loop's.

Raises EditRefused, ProfileRefused, StoreError.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from channeld.base.clock import iso_utc
from channeld.channel import relay_profiles
from channeld.relay import arguments
from channeld.relay.hardware import Availability
from channeld.relay.profile import Hardware
from channeld.relay.refusal import Refusal
from channeld.store.relay_records import ProfileDraft, RelayProfile
from channeld.store.relays import Relays


class ProfileBook:
    """Profiles. `changed()`: relays that use one may have to air otherwise; `available(profile)`: whether its hardware encodes here, None
    where nobody knows yet.
    """

    def __init__(self, relays: Relays, changed: Callable[[], object], available: Callable[[RelayProfile], Availability | None]) -> None:
        self._relays, self._changed, self._available = relays, changed, available

    def all(self) -> list[dict[str, Any]]:
        """System defaults first."""
        return [self._described(each) for each in self._relays.profiles()]

    def one(self, profile_id: int) -> dict[str, Any]:
        """By its id."""
        return self._described(self._relays.profile(profile_id))

    def add(self, draft: ProfileDraft) -> dict[str, Any]:
        """A new one."""
        relay_profiles.check(draft)
        return self._described(self._relays.add_profile(draft))

    def change(self, profile_id: int, draft: ProfileDraft) -> dict[str, Any]:
        """All of one anew."""
        if not self._relays.profile(profile_id).is_system_default:  # which nothing can be said about
            relay_profiles.check(draft)
        changed = self._described(self._relays.change_profile(profile_id, draft))
        self._changed()
        return changed

    def remove(self, profile_id: int) -> None:
        """One that no relay uses."""
        self._relays.remove_profile(profile_id)

    def copy(self, profile_id: int, name: str) -> dict[str, Any]:
        """A person's own, of any."""
        found = self._relays.profile(profile_id)
        said = {each: getattr(found, each) for each in ProfileDraft.__dataclass_fields__}
        return self.add(replace(ProfileDraft(**said), name=name, is_active=True))

    def _described(self, profile: RelayProfile) -> dict[str, Any]:
        found = self._available(profile)
        hardware = {"available": found.is_available if found else None, "unavailable_reason": found.reason or None if found else None}
        return {**described(profile), **hardware}


def judged(draft: ProfileDraft) -> dict[str, Any]:
    """Whether a profile could be stored, all that is wrong with it, and what would be taken of its arguments. Pure."""
    profile = relay_profiles.as_profile(draft)
    refusals = arguments.refusals_of(profile)
    if refusals:
        return {"valid": False, "errors": [told(each) for each in refusals], "notices": [], "taken": None}
    said = arguments.parse(profile)
    taken = {
        "output_format": said.output.output_format.value,
        "segment_duration": said.output.segment_duration_s,
        "max_segments": said.output.max_segments,
        "input_timeout": said.input_timeout_s,
        "input_options": list(said.input_options),
        "options": list(said.middle),
    }
    return {"valid": True, "errors": [], "notices": relay_profiles.notices(draft), "taken": taken}


def told(refusal: Refusal) -> dict[str, Any]:
    """One thing that is wrong with a profile, for people and for programs."""
    return {**asdict(refusal), "kind": refusal.kind.value, "at": refusal.field, "message": str(refusal)}


def described(profile: RelayProfile) -> dict[str, Any]:
    """As the API shows it."""
    shown = asdict(profile)
    return {
        **{key: value for key, value in shown.items() if not key.endswith("_at_s")},
        "hardware_acceleration": profile.hardware_acceleration or Hardware.NONE.value,
        "notices": relay_profiles.notices(profile),
        "created_at": iso_utc(profile.created_at_s),
        "updated_at": iso_utc(profile.updated_at_s),
    }
