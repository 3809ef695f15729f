"""A relay as a channel: what the store keeps of it becomes the settings of a channel with one live source.

Rule: a relay is a channel like every other, by the name `relay-<number>`; what cannot be one is refused with a reason, and nothing else of
the daemon's is touched. Pure, but that no name of a host is looked up here.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from channeld.base.errors import ChannelError
from channeld.base.redact import redact_url
from channeld.base.relay_id import channel_of
from channeld.base.units import parse_frame_rate
from channeld.channel import relay_profiles
from channeld.channel.settings import ChannelSettings, Listing, LiveSettings, ServedTarget, SourceSettings, Target
from channeld.media.profile import Profile
from channeld.media.whitelist import LIVE_PROTOCOLS
from channeld.playlist.locate import PathRules, is_private_host
from channeld.relay.arguments import Arguments, parse
from channeld.relay.refusal import ProfileRefused
from channeld.store.relay_records import ProxyChannel, RelayConfig, RelayProfile

SOURCE = "upstream"
PRESETS = frozenset({"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"})
VIDEO_BITS = (64_000, 100_000_000)
AUDIO_BITS = (32_000, 512_000)
_SIZES = {"hd480": "852x480", "hd720": "1280x720", "hd1080": "1920x1080", "vga": "640x480", "ntsc": "720x480", "pal": "720x576"}
_RATES = {"ntsc": "30000/1001", "pal": "25", "film": "24"}
_UNITS = {"k": 1_000, "K": 1_000, "M": 1_000_000}
_WEB = re.compile(r"https?://[^\s\"'<>\\^`{}|]{1,2000}")


class RelayRefused(ChannelError):
    """This relay cannot air as it is; the others do."""


@dataclass(frozen=True, slots=True)
class RelayRules:
    """What the configuration says of relays.

    `house`: its default profile; `media_url`: where viewers go; `folder`: where their lists would be; `taken`: ids of other channels.
    """

    house: Profile
    schemes: tuple[str, ...]
    private: bool
    media_url: str
    folder: Path
    enabled: bool = True
    taken: Collection[str] = ()

    @property
    def allowed(self) -> tuple[str, ...]:
        """Schemes that an upstream may have."""
        return tuple(scheme for scheme in self.schemes if scheme in LIVE_PROTOCOLS)


def url_fault(url: str, rules: RelayRules) -> str | None:
    """Why this upstream may not be connected to, as it is written; None: it may. Holds nothing of the URL but scheme and host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "its address is no URL"
    if parts.scheme.lower() not in rules.allowed:
        return f"scheme {parts.scheme.lower()[:20]} is refused (url_allow.schemes has {', '.join(rules.allowed) or 'none for relays'})"
    if not rules.private and is_private_host(host):
        return f"host {host} is private (url_allow.private is off)"
    return None


def relayed(config: RelayConfig, profile: RelayProfile, upstream: ProxyChannel, rules: RelayRules) -> ChannelSettings:
    """The channel of a relay. Raises RelayRefused."""
    channel = channel_of(config.id)
    if channel in rules.taken:
        raise RelayRefused(f"the configuration has a channel {channel}. Give that another id")
    if not profile.is_active:
        raise RelayRefused(f"profile {profile.name!r} is inactive. Activate it, or take another one")
    if (fault := url_fault(upstream.url, rules)) is not None:
        raise RelayRefused(fault)
    try:
        said = parse(relay_profiles.as_profile(profile, custom_args=config.custom_args))
    except ProfileRefused as error:
        raise RelayRefused(f"its arguments are refused: {error.refusals[0]}") from None
    mode = "auto" if _last(said.middle, "c", "v") == "copy" else "transcode"
    source = SourceSettings(
        SOURCE, upstream.title, upstream.url, redact_url(upstream.url), "auto", mode, said.input_timeout_s, rules.private
    )
    return ChannelSettings(
        id=channel,
        name=config.name,
        playlist=rules.folder / f"{channel}.m3u",
        profile=house_of(said, rules.house, f"relay-profile-{profile.id}"),
        rules=PathRules((), rules.schemes, rules.private),
        targets=_targets(channel, said, rules.media_url),
        enabled=config.enabled and rules.enabled,
        listing=_listing(upstream),
        live=LiveSettings((source,)),
        has_list=False,
    )


def house_of(said: Arguments, house: Profile, name: str) -> Profile:
    """The house format, with what a relay profile says of size, rate, bit rates and preset. Raises RelayRefused."""
    changes: dict[str, object] = {}
    try:
        if size := _last(said.middle, "s", "v"):
            width, height = map(int, _SIZES.get(size, size).split("x"))
            changes |= {"width": width - width % 2, "height": height - height % 2}
        if rate := _last(said.middle, "r", "v"):
            changes["fps"] = parse_frame_rate(_RATES.get(rate, rate))
        if bits := _last(said.middle, "b", "v"):
            changes["video_bitrate"] = _bits(bits, VIDEO_BITS)
        if bits := _last(said.middle, "b", "a"):
            changes["audio_bitrate"] = _bits(bits, AUDIO_BITS)
        if (preset := _last(said.middle, "preset", "v")) in PRESETS:
            changes["preset"] = preset
        if house.gop_seconds > said.output.segment_duration_s:
            changes["gop_seconds"] = said.output.segment_duration_s
        made = replace(house, **changes)  # type: ignore[arg-type]
        _ = made.level  # raises where no level of H.264 holds it
    except ValueError as error:
        raise RelayRefused(f"its profile cannot be aired: {error}") from None
    return house if made == house else replace(made, name=name)


def _last(middle: tuple[str, ...], option: str, medium: str) -> str | None:
    """What an option is given, the last time, for this medium or for all."""
    names = (f"-{option}", f"-{option}:{medium}", f"-{option}:{medium}:0")
    found = [value for name, value in pairwise(middle) if name in names]
    return found[-1] if found else None


def _bits(written: str, bounds: tuple[int, int]) -> int:
    factor = _UNITS.get(written[-1], 1)
    bits = round(float(written.rstrip("kKM")) * factor)
    return min(max(bits, bounds[0]), bounds[1])


def _targets(channel: str, said: Arguments, base: str) -> tuple[Target, ...]:
    output = said.output
    hls = ServedTarget("hls", "hls", f"{base}/hls/{channel}/index.m3u8", True, output.segment_duration_s, output.max_segments)
    return hls, ServedTarget("ts", "ts", f"{base}/ts/{channel}")


def _listing(upstream: ProxyChannel) -> Listing:
    told: Mapping[str, str] = upstream.attributes
    number, logo = told.get("tvg-chno", ""), told.get("tvg-logo", "")
    return Listing(
        int(number) if re.fullmatch(r"[1-9][0-9]{0,4}", number) else None,
        logo if _WEB.fullmatch(logo) else None,
        (upstream.group or "")[:100].strip() or None,
    )
