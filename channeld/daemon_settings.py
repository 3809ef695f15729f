"""From the configuration to what each part is told: plain values, made at start and at reload.

Rule: parts below the configuration's floor never see it. Pure, but for a seed drawn for a channel that names none.
"""

import os
from pathlib import Path

from channeld.channel.disk import Marks, built_in_critical, built_in_low
from channeld.channel.hub import MediaListener
from channeld.channel.settings import ChannelSettings, Listing, LiveSettings, PipeTarget, PushedTarget, ServedTarget, Target
from channeld.config_outputs import DashSpec, HlsSpec, OutputSpec, PipeSpec, PushSpec, RtmpSpec, SrtSpec
from channeld.config_values import Access, ChannelSpec, Config
from channeld.media.pinned import FetchRules
from channeld.media.verdict import Tolerance
from channeld.outputs.dash_manifest import MANIFEST_NAME
from channeld.outputs.http_ts import Limits
from channeld.playlist.locate import PathRules
from channeld.readback.subject import WatchSettings


def pushes_of(config: Config) -> list[tuple[str, str]]:
    """Channel and name of every push that may run."""
    return [
        (channel.id, output.name)
        for channel in config.channels.values()
        for output in channel.outputs
        if channel.enabled and output.enabled and isinstance(output, PushSpec)
    ]


def fetch_rules(config: Config) -> FetchRules:
    """Which URLs may be fetched."""
    return FetchRules(config.url_rules.schemes, config.url_rules.private)


def source_limit(config: Config) -> int:
    """How many live sources may be taken in at a time."""
    return config.relay.max_concurrent_processes if config.relay.enabled else 0


def host_arguments(config: Config) -> tuple[str, ...]:
    """What a playout host is started with."""
    return "--log-level", config.log.level.value, "--log-format", config.log.format.value


def disk_marks(config: Config) -> Marks:
    """When little room is told."""
    low, critical = config.disk.low, config.disk.critical
    return Marks(built_in_low if low is None else low.of, built_in_critical if critical is None else critical.of)


def disk_folders(config: Config) -> dict[str, Path]:
    """The folders whose disks are watched, by name."""
    return {"state": config.folders.state, "cache": config.folders.state / "cache", "hls": config.folders.hls}


def tolerance(config: Config) -> Tolerance:
    """What damage a clip may have."""
    return Tolerance(config.prepare.min_duration_ratio, config.prepare.max_error_ratio)


def watch_settings(config: Config) -> WatchSettings:
    """How what is published is looked at."""
    watch = config.watch
    return WatchSettings(watch.is_enabled, watch.cpu_budget, watch.timeout_s, watch.recover_after_s)


def media_listener(config: Config, token: str) -> MediaListener:
    """How media workers listen."""
    media, folders = config.media, config.folders
    return MediaListener(
        listen=str(media.listen),
        workers=media.workers,
        hls_dir=str(folders.hls),
        hls_max_bytes=folders.hls_limit.on(folders.hls),
        access=media.access.value,
        token=token if media.access is Access.TOKEN else None,
        tls={"cert": str(media.tls.cert), "key": str(media.tls.key)} if media.tls is not None else None,
        limits=Limits(media.max_clients_per_channel, media.max_clients_per_address, media.stale_s),
        geoip=str(media.geoip) if media.geoip is not None else None,
    )


def media_url(config: Config) -> str:
    """Where viewers go, without a final slash."""
    scheme = "https" if config.media.tls is not None else "http"
    return f"{scheme}://{config.media.listen}"


def media_url_for_browsers(config: Config) -> str:
    """The same for who came to the admin listener; `{host}`: by the name they came by, where the media listener has every address."""
    url = media_url(config)
    listen = config.media.listen
    return url.replace(str(listen), f"{{host}}:{listen.port}") if listen.host in ("0.0.0.0", "::") else url


def channel_settings(config: Config, spec: ChannelSpec, before: ChannelSettings | None = None) -> ChannelSettings:
    """One channel's settings; `before`, its present ones, give the seed where the configuration names none."""
    drawn = before.shuffle_seed if before is not None else int.from_bytes(os.urandom(4))
    return ChannelSettings(
        id=spec.id,
        name=spec.name,
        playlist=spec.playlist,
        profile=config.profile(spec.profile),
        rules=PathRules(spec.media_roots, config.url_rules.schemes, config.url_rules.private),
        order=spec.order.value,
        shuffle_seed=spec.shuffle_seed if spec.shuffle_seed is not None else drawn,
        filler=spec.filler,
        origin_ticks=spec.timeline_start,
        targets=tuple(_target(spec.id, output, media_url(config)) for output in spec.outputs),
        enabled=spec.enabled,
        resume=spec.resume.value,
        on_outage=spec.on_outage.value,
        listing=Listing(spec.number, spec.logo, spec.group),
        live=_live(spec),
        has_list=spec.has_list,
        timetable=spec.timetable,
        ring_s=spec.ring_s,
    )


def _live(spec: ChannelSpec) -> LiveSettings | None:
    if not spec.sources:
        return None
    rules = spec.failover
    return LiveSettings(
        spec.sources, rules.loss_grace_s, rules.recovery_grace_s, rules.buffer_s, rules.standby, spec.idle_s, picture=rules.picture
    )


def _target(channel: str, output: OutputSpec, base: str) -> Target:
    if isinstance(output, PipeSpec):
        return PipeTarget(output.name, output.paths, output.enabled, output.lag_s, output.stall_s, output.player)
    if isinstance(output, SrtSpec):
        return PushedTarget(output.name, output.url, output.shown_url, output.enabled, srt=output.link)
    if isinstance(output, RtmpSpec):
        tls = output.tls_verify, output.ca_file
        return PushedTarget(output.name, output.url, output.shown_url, output.enabled, output.control, *tls, output.manifest)
    if isinstance(output, HlsSpec):
        url = f"{base}/hls/{channel}/index.m3u8"
        return ServedTarget(output.name, "hls", url, output.enabled, output.segment_s, output.window)
    if isinstance(output, DashSpec):
        url = f"{base}/dash/{channel}/{MANIFEST_NAME}"
        return ServedTarget(output.name, "dash", url, output.enabled, output.segment_s, output.window)
    return ServedTarget(output.name, "ts", f"{base}/ts/{channel}", output.enabled)
