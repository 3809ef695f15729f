"""A relay as a channel: what the store keeps of it becomes the settings of a channel with one live source.

Rule: a relay is a channel like every other, by the name `relay-<number>`; what cannot be one is refused with a reason, and nothing else of
the daemon's is touched. Pure, but that no name of a host is looked up here.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from channeld.base.errors import ChannelError
from channeld.base.redact import has_credentials, redact_url
from channeld.base.relay_id import channel_of
from channeld.base.units import parse_frame_rate
from channeld.channel import relay_profiles
from channeld.channel.settings import ChannelSettings, Listing, LiveSettings, ServedTarget, SourceSettings, Target
from channeld.media.profile import DECODER_BUFFER_S, PEAK_RATIO, Profile
from channeld.media.treatment import Treatment
from channeld.media.whitelist import LIVE_PROTOCOLS
from channeld.outputs.dash_manifest import MANIFEST_NAME as DASH_MANIFEST
from channeld.playlist.locate import PathRules, is_private_host
from channeld.relay.arguments import Arguments, parse
from channeld.relay.effects import Effect, device_of, effect_of
from channeld.relay.profile import Hardware, OutputFormat
from channeld.relay.refusal import ProfileRefused
from channeld.store.relay_records import ProxyChannel, RelayConfig, RelayProfile
from channeld.ts.nal import VideoCodec

SOURCE = "upstream"
VIDEO_BITS = (64_000, 100_000_000)
AUDIO_BITS = (32_000, 512_000)
GOP_S = (0.2, 20.0)
_SIZES = {"hd480": "852x480", "hd720": "1280x720", "hd1080": "1920x1080", "vga": "640x480", "ntsc": "720x480", "pal": "720x576"}
_RATES = {"ntsc": "30000/1001", "pal": "25", "film": "24"}
_UNITS = {"k": 1_000, "K": 1_000, "M": 1_000_000}
_WEB = re.compile(r"https?://[^\s\"'<>\\^`{}|]{1,2000}")


Absent = Callable[[Hardware, str], str | None]
"""Why a kind of hardware does not encode here, by the device that is named; None: it does, or nobody knows yet."""


class RelayRefused(ChannelError):
    """This relay cannot air as it is; the others do."""


@dataclass(frozen=True, slots=True)
class RelayRules:
    """What the configuration says of relays.

    `house`: its default profile; `media_url`: where viewers go; `folder`: where their lists would be; `taken`: ids of other channels.
    `idle_s`: of relays that run on demand and say none.
    """

    house: Profile
    schemes: tuple[str, ...]
    private: bool
    media_url: str
    folder: Path
    enabled: bool = True
    taken: Collection[str] = ()
    idle_s: float = 300.0

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


def relayed(
    config: RelayConfig, profile: RelayProfile, upstream: ProxyChannel, rules: RelayRules, *, absent: Absent = lambda hardware, device: None
) -> ChannelSettings:
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
    hardware = Hardware(profile.hardware_acceleration or Hardware.NONE)
    reason = absent(hardware, device_of(said))
    if reason is not None and config.hardware_fallback != "software":
        raise RelayRefused(absent_fault(hardware, reason))
    effect = effect_of(said, hardware, url=upstream.url, uses_hardware=reason is None)
    house = house_of(effect, said, rules.house, f"relay-profile-{profile.id}")
    mode = "auto" if effect.copies and effect.has_sound else "transcode"
    source = SourceSettings(
        SOURCE,
        upstream.title,
        upstream.url,
        redact_url(upstream.url),
        mode=mode,
        timeout_s=said.input_timeout_s,
        allows_private=rules.private,
        treatment=treatment_of(effect, house),
    )
    idle_s = config.idle_seconds if config.idle_seconds is not None else rules.idle_s
    return ChannelSettings(
        id=channel,
        name=config.name,
        playlist=rules.folder / f"{channel}.m3u",
        profile=house,
        rules=PathRules((), rules.schemes, rules.private),
        targets=_targets(channel, said, rules.media_url),
        enabled=config.enabled and rules.enabled,
        listing=_listing(upstream),
        live=LiveSettings((source,), idle_s=idle_s if config.lifecycle == "on_demand" else None),
        has_list=False,
    )


def absent_fault(hardware: Hardware, reason: str) -> str:
    """What is told of a relay whose hardware is not there."""
    return f"{hardware} does not encode here: {reason}. Take another profile, or set hardware_fallback to software"


def house_of(effect: Effect, said: Arguments, house: Profile, name: str) -> Profile:
    """The house format, with what a relay profile says of size, rate, bit rates, GOP, preset and tune. Raises RelayRefused."""
    changes: dict[str, object] = {}
    if not effect.copies:
        changes["codec"] = VideoCodec.H264  # what relay profiles say of encoders is of H.264
    try:
        if effect.size:
            width, height = map(int, _SIZES.get(effect.size, effect.size).split("x"))
            changes |= {"width": width - width % 2, "height": height - height % 2}
        if effect.rate:
            changes["fps"] = parse_frame_rate(_RATES.get(effect.rate, effect.rate))
        if effect.bits:
            changes["video_bitrate"] = _bits(effect.bits, VIDEO_BITS)
        elif effect.max_bits:
            changes["video_bitrate"] = round(_bits(effect.max_bits, VIDEO_BITS) / PEAK_RATIO)
        if effect.sound_bits:
            changes["audio_bitrate"] = _bits(effect.sound_bits, AUDIO_BITS)
        changes |= {key: value for key, value in (("preset", effect.preset), ("tune", effect.tune)) if value}
        made = replace(house, **changes)  # type: ignore[arg-type]
        made = replace(made, gop_seconds=_gop_s(effect, made, said.output.segment_duration_s))
        _ = made.level  # raises where no level holds it
    except ValueError as error:
        raise RelayRefused(f"its profile cannot be aired: {error}") from None
    return house if made == house else replace(made, name=name)


def _gop_s(effect: Effect, house: Profile, segment_s: float) -> float:
    """Seconds of a GOP: the shortest of what is said, or the house's; never longer than a segment."""
    said = [] if effect.gop_s is None else [effect.gop_s]
    if effect.gop_frames is not None:
        said.append(effect.gop_frames * house.fps.den / house.fps.num)
    wanted = min(said) if said else house.gop_seconds
    return min(max(min(wanted, GOP_S[1]), GOP_S[0]) if said else wanted, segment_s)


def treatment_of(effect: Effect, house: Profile) -> Treatment:
    """What FFmpeg is given, with peak and buffer within what the house format promises its decoders."""
    encoding = dict(effect.encoding)
    peak, buffer = round(house.video_bitrate * PEAK_RATIO), round(house.video_bitrate * DECODER_BUFFER_S)
    for name, said, most in (("maxrate", effect.max_bits, peak), ("bufsize", effect.buffer_bits, buffer)):
        if said and (bits := _bits(said, VIDEO_BITS)) < most:
            encoding[name] = str(bits)
    plain = {each.name: getattr(effect, each.name) for each in fields(Treatment)}
    return Treatment(**{**plain, "encoding": tuple(encoding.items())})


def _bits(written: str, bounds: tuple[int, int]) -> int:
    factor = _UNITS.get(written[-1], 1)
    bits = round(float(written.rstrip("kKM")) * factor)
    return min(max(bits, bounds[0]), bounds[1])


def _targets(channel: str, said: Arguments, base: str) -> tuple[Target, ...]:
    """HLS and an endless stream, which a relay's own addresses lead to; DASH beside them where the profile says so."""
    output = said.output
    numbers = True, output.segment_duration_s, output.max_segments
    hls = ServedTarget("hls", "hls", f"{base}/hls/{channel}/index.m3u8", *numbers)
    dash = ServedTarget("dash", "dash", f"{base}/dash/{channel}/{DASH_MANIFEST}", *numbers)
    ts = ServedTarget("ts", "ts", f"{base}/ts/{channel}")
    return (hls, dash, ts) if output.output_format == OutputFormat.DASH else (hls, ts)


def _listing(upstream: ProxyChannel) -> Listing:
    told: Mapping[str, str] = upstream.attributes
    number, logo = told.get("tvg-chno", ""), told.get("tvg-logo", "")
    return Listing(
        int(number) if re.fullmatch(r"[1-9][0-9]{0,4}", number) else None,
        logo if _WEB.fullmatch(logo) and not has_credentials(logo) else None,  # every viewer's guide has it
        (upstream.group or "")[:100].strip() or None,
    )
