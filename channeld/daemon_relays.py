"""The channels of a daemon: those of its configuration, and one for each relay that the store keeps.

Rule: the registry hears of both together and only from here, one change at a time; a relay that cannot air is named in `refusals`, and
while the store cannot be read, relays stay as they are. Any thread but the control loop's.
"""

import ipaddress
import threading
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

import structlog

from channeld.base.address import is_public
from channeld.base.clock import SystemClock
from channeld.base.errors import StoreError
from channeld.channel import relay_profiles
from channeld.channel.proxy_refresh import Refresh, refresh_once
from channeld.channel.proxy_worker import Attempt
from channeld.channel.registry import Registry
from channeld.channel.relayed import RelayRefused, RelayRules, relayed, url_fault
from channeld.channel.settings import ChannelSettings
from channeld.config_values import Config
from channeld.daemon_settings import fetch_rules, media_url
from channeld.media.list_fetch import ListReader
from channeld.media.pinned import system_addresses
from channeld.relay.arguments import parse
from channeld.relay.effects import device_of
from channeld.relay.hardware import FIRST_DEVICE, Availability
from channeld.relay.machine import Machine
from channeld.relay.profile import Hardware
from channeld.relay.refusal import ProfileRefused
from channeld.store.relay_errors import UnknownRecord
from channeld.store.relay_records import RelayConfig, RelayProfile
from channeld.store.relays import Relays

log = structlog.get_logger()


def relay_rules(config: Config) -> RelayRules:
    """What the configuration says of relays."""
    urls = config.url_rules
    folder = config.folders.state / "relays"
    house = config.profile(config.default_profile)
    relay, taken = config.relay, frozenset(config.channels)
    return RelayRules(house, urls.schemes, urls.private, media_url(config), folder, relay.enabled, taken, relay.default_timeout_s)


def list_fetcher(config: Callable[[], Config], stage: "RelayChannels") -> Attempt:
    """How a list of upstream channels is fetched: by the configuration in force, from files below any channel's media folders."""

    def attempt(proxy_id: str, should_stop: Callable[[], bool]) -> Refresh:
        now = config()
        roots = dict.fromkeys(root for spec in now.channels.values() for root in spec.media_roots)
        reader = ListReader(fetch_rules(now), list(roots), base=now.path.parent)
        schemes, clock = relay_rules(now).allowed, SystemClock()
        return refresh_once(proxy_id, relays=stage.relays, reader=reader, schemes=schemes, clock=clock, should_stop=should_stop)

    return attempt


class RelayChannels:
    """Implements the reloader's `Channels`. `rules` are replaced with the configuration, before it is taken.

    `is_read`: the store was read at least once; until then nobody knows of relays, and `follow` has to be called again. `machine` knows
    which hardware encodes; without one, all does. A relay that is kept is taken to have what it needs until that is found out.
    """

    def __init__(self, relays: Relays, rules: RelayRules, machine: Machine | None = None) -> None:
        self.relays = relays
        self.rules = rules
        self.machine = machine
        self.refusals: Mapping[int, str] = {}
        self.is_read = False
        self._lock = threading.Lock()  # one change at a time: held over reading the store and the registry's change
        self._registry: Registry | None = None
        self._configured: list[ChannelSettings] = []
        self._relayed: list[ChannelSettings] = []

    def start(self, configured: Iterable[ChannelSettings]) -> list[ChannelSettings]:
        """Everything that is to air, before there is a registry. System profiles are brought up to date."""
        try:
            self.relays.keep_system_profiles(relay_profiles.system_drafts())
        except StoreError as error:
            log.error("relay_profiles_not_kept", error=str(error))
        with self._lock:
            self._configured = list(configured)
            self._make()
            return [*self._configured, *self._relayed]

    @property
    def ids(self) -> frozenset[str]:
        """Channels that are relays."""
        return frozenset(each.id for each in self._relayed)

    def fault(self, url: str) -> str | None:
        """Why this upstream may not be connected to; None: it may. Looks its name up.

        FFmpeg looks it up again: a name that answers otherwise then is not stopped by this, only by the network.
        """
        fault = url_fault(url, self.rules)
        if fault is not None or self.rules.private:
            return fault
        host = urlsplit(url).hostname or ""
        try:
            found = [ipaddress.ip_address(each.partition("%")[0]) for each in system_addresses(host)]
        except (OSError, UnicodeError):
            return None  # it cannot be connected to now, and that is told while it is tried
        private = next((each for each in found if not is_public(each)), None)
        return f"host {host} leads to the private address {private} (url_allow.private is off)" if private is not None else None

    def availability(self, profile: RelayProfile, custom_args: str | None = None, *, wait_s: float = 0.0) -> Availability | None:
        """Whether the hardware that a profile needs encodes here; None: nobody knows yet. `wait_s`: for an answer."""
        hardware = Hardware(profile.hardware_acceleration or Hardware.NONE)
        if self.machine is None:
            return Availability(hardware, True)
        try:
            device = device_of(parse(relay_profiles.as_profile(profile, custom_args=custom_args)))
        except ProfileRefused:  # whose arguments are refused when they are used
            device = FIRST_DEVICE
        return self.machine.judged(hardware, device, wait_s=wait_s)

    def _absent(self, hardware: Hardware, device: str) -> str | None:
        found = self.machine.known(hardware, device) if self.machine is not None else None
        return found.reason if found is not None and not found.is_available else None

    def connect(self, registry: Registry) -> None:
        """The registry is there."""
        self._registry = registry

    def present(self) -> dict[str, ChannelSettings]:
        """Settings of every channel."""
        return self._registry.present() if self._registry is not None else {}

    def renew(self, wanted: Iterable[ChannelSettings]) -> list[str]:
        """Have just these channels beside the relays; gives those that restart."""
        with self._lock:
            self._configured = list(wanted)
            return self._renew()

    def follow(self) -> list[str]:
        """Relays, profiles or upstreams changed; gives the channels that restart."""
        with self._lock:
            return self._renew()

    def _renew(self) -> list[str]:
        self._make()
        return self._registry.renew([*self._configured, *self._relayed]) if self._registry is not None else []

    def _make(self) -> None:
        try:
            profiles = {each.id: each for each in self.relays.profiles()}
            configs = self.relays.configs()
            made, refusals = self._judge(configs, profiles)
        except StoreError as error:
            log.error("relays_not_read", error=str(error), consequence="they stay as they are")
            return
        for config_id, reason in refusals.items():
            if self.refusals.get(config_id) != reason:
                log.warning("relay_refused", relay=config_id, reason=reason)
        self._relayed, self.refusals, self.is_read = made, refusals, True

    def _judge(self, configs: Iterable[RelayConfig], profiles: Mapping[int, RelayProfile]) -> tuple[list[ChannelSettings], dict[int, str]]:
        made, refusals = [], {}
        for config in configs:
            try:
                upstream = self.relays.channel(config.proxy_id, config.channel_id)
                made.append(relayed(config, profiles[config.profile_id], upstream, self.rules, absent=self._absent))
            except (RelayRefused, UnknownRecord) as error:
                refusals[config.id] = str(error)
            except KeyError:  # removed between the two questions
                refusals[config.id] = f"there is no profile {config.profile_id} any more"
        return made, refusals
