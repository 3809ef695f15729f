"""Which channels of a list are relayed, and how, over the store.

Rule: what is ordered is judged whole before it is written, and airs (or is refused, with the reason) before it is answered. Blocking; any
thread but the event loop's.

Raises EditRefused, ProfileRefused, StoreError.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from channeld.base.clock import iso_utc
from channeld.base.relay_id import channel_of
from channeld.channel import relay_profiles
from channeld.channel.relayed import absent_fault
from channeld.relay.hardware import Availability
from channeld.relay.refusal import ProfileRefused
from channeld.store.relay_errors import UnknownRecord, UnknownReference, ValueRefused
from channeld.store.relay_records import FALLBACKS, LIFECYCLES, ConfigDraft, RelayConfig, RelayProfile
from channeld.store.relays import Relays

MAX_NAME = 100
HARDWARE_S = 10.0
"""So long an assignment waits for hardware that is being tried; later it airs, or is refused, as with every other."""


class Stage(Protocol):
    """Who has relays air."""

    @property
    def refusals(self) -> Mapping[int, str]:
        """Why some cannot."""
        ...

    def follow(self) -> list[str]:
        """What is kept changed."""
        ...

    def availability(self, profile: RelayProfile, custom_args: str | None = None, *, wait_s: float = 0.0) -> Availability | None:
        """Whether a profile's hardware encodes here; None: nobody knows yet."""
        ...


@dataclass(frozen=True, slots=True)
class Assignment:
    """How a channel is to be relayed. `name` None: as it is titled; `custom_args`: in place of the profile's own; the rest as a relay's."""

    profile_id: int
    name: str | None = None
    custom_args: str | None = None
    enabled: bool = True
    lifecycle: str = LIFECYCLES[0]
    idle_seconds: float | None = None
    hardware_fallback: str = FALLBACKS[0]


class AssignBook:
    """`fault(url)`: why an upstream may not be connected to, None where it may; it may look names up."""

    def __init__(self, relays: Relays, stage: Stage, fault: Callable[[str], str | None]) -> None:
        self._relays, self._stage, self._fault = relays, stage, fault

    def one(self, proxy_id: str, channel_id: str) -> dict[str, Any]:
        """How a channel is relayed. Raises UnknownRecord where it is not."""
        return self.described(self._find(proxy_id, channel_id))

    def assign(self, proxy_id: str, channel_id: str, wanted: Assignment) -> tuple[dict[str, Any], bool]:
        """Have a channel relayed, or relayed otherwise; and whether it was not before."""
        upstream = self._relays.channel(proxy_id, channel_id)
        if (fault := self._fault(upstream.url)) is not None:
            raise ValueRefused("channel_id", fault)
        if wanted.custom_args is not None:
            self._check_arguments(wanted.profile_id, wanted.custom_args)
        self._check_hardware(wanted)
        name = wanted.name if wanted.name is not None else _name_of(upstream.title, channel_id)
        draft = ConfigDraft(proxy_id, channel_id, **(asdict(wanted) | {"name": name}))
        before = self._relays.config_of(proxy_id, channel_id)
        config = self._relays.add_config(draft) if before is None else self._relays.change_config(before.id, draft)
        self._stage.follow()
        return self.described(config), before is None

    def remove(self, proxy_id: str, channel_id: str) -> None:
        """Relay it no more."""
        self._relays.remove_config(self._find(proxy_id, channel_id).id)
        self._stage.follow()

    def described(self, config: RelayConfig) -> dict[str, Any]:
        """As the API shows it."""
        place = f"/api/v1/relay/{config.id}"
        return {
            "id": config.id,
            "proxy_id": config.proxy_id,
            "channel_id": config.channel_id,
            "profile_id": config.profile_id,
            "name": config.name,
            "custom_args": config.custom_args,
            "enabled": config.enabled,
            "lifecycle": config.lifecycle,
            "idle_seconds": config.idle_seconds,
            "hardware_fallback": config.hardware_fallback,
            "notices": self._notices(config),
            "channel": channel_of(config.id),
            "refused": self._stage.refusals.get(config.id),
            "playlist": f"{place}/playlist.m3u8",
            "stream": f"{place}/stream.ts",
            "created_at": iso_utc(config.created_at_s),
            "updated_at": iso_utc(config.updated_at_s),
        }

    def _find(self, proxy_id: str, channel_id: str) -> RelayConfig:
        self._relays.channel(proxy_id, channel_id)
        found = self._relays.config_of(proxy_id, channel_id)
        if found is None:
            raise UnknownRecord("id", f"{channel_id} of {proxy_id} is not relayed")
        return found

    def _notices(self, config: RelayConfig) -> list[dict[str, str]]:
        """What of its arguments has no effect, in software too where that encodes in place of hardware."""
        try:
            profile = self._relays.profile(config.profile_id)
        except UnknownRecord:  # removed just now
            return []
        found = self._stage.availability(profile, config.custom_args)
        uses_hardware = found is None or found.is_available
        return relay_profiles.notices(profile, custom_args=config.custom_args, uses_hardware=uses_hardware)

    def _check_hardware(self, wanted: Assignment) -> None:
        try:
            profile = self._relays.profile(wanted.profile_id)
        except UnknownRecord as error:
            raise UnknownReference("profile_id", error.message) from None
        if wanted.hardware_fallback == "software":
            return
        found = self._stage.availability(profile, wanted.custom_args, wait_s=HARDWARE_S)
        if found is not None and not found.is_available:
            raise ValueRefused("profile_id", absent_fault(found.hardware, found.reason))

    def _check_arguments(self, profile_id: int, custom_args: str) -> None:
        try:
            relay_profiles.check(self._relays.profile(profile_id), custom_args=custom_args)
        except UnknownRecord as error:
            raise UnknownReference("profile_id", error.message) from None
        except ProfileRefused as error:
            places = {"ffmpeg_args": "custom_args"}
            raise ProfileRefused(replace(each, field=places.get(each.field, each.field)) for each in error.refusals) from None


def _name_of(title: str, channel_id: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in title)
    return plain.strip()[:MAX_NAME].strip() or channel_id
