"""What differs between two configurations, and which of it a running daemon can take.

Rule: a difference is told by the key that has to be read to see it, and a key that cannot change while the daemon runs is
named, never half applied. Pure; used at reload.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from channeld.config_outputs import OutputSpec
from channeld.config_told import keep_told
from channeld.config_values import AdminSpec, ChannelSpec, Config

Read = Callable[[Config], Any]

LIVE: tuple[tuple[str, Read], ...] = (
    ("hls_max_bytes", lambda config: config.folders.hls_limit),
    ("media.access", lambda config: config.media.access),
    ("media.max_clients_per_channel", lambda config: config.media.max_clients_per_channel),
    ("media.max_clients_per_address", lambda config: config.media.max_clients_per_address),
    ("media.stale_seconds", lambda config: config.media.stale_s),
    ("media.geoip", lambda config: config.media.geoip),
    ("media.tls", lambda config: config.media.tls),
    ("url_allow", lambda config: config.url_rules),
    ("uploads", lambda config: config.uploads),
    ("prepare", lambda config: config.prepare),
    ("relay", lambda config: config.relay),
    ("log", lambda config: config.log),
    ("disk", lambda config: config.disk),
    ("watch", lambda config: config.watch),
    ("webhooks", lambda config: config.webhooks),
    ("alerts", lambda config: config.alerts),
    ("attach", lambda config: config.attach),
    ("reload_on_change", lambda config: config.reload_on_change),
)
"""Keys that a running daemon takes."""

FIXED: tuple[tuple[str, Read], ...] = (
    ("state_dir", lambda config: config.folders.state),
    ("runtime_dir", lambda config: config.folders.runtime),
    ("hls_dir", lambda config: config.folders.hls),
    ("hosts", lambda config: config.hosts),
    *((f"admin.{field.name}", lambda config, name=field.name: getattr(config.admin, name)) for field in fields(AdminSpec)),
    ("media.listen", lambda config: config.media.listen),
    ("media.workers", lambda config: config.media.workers),
    # A listener cannot begin or cease to speak TLS; another certificate is no more than a renewed one.
    ("media.tls", lambda config: config.media.tls is None),
)
"""Keys that count from the next start."""

_TOLD_ELSEWHERE = {"path", "told", "folders", "admin", "media", "channels", "profiles", "default_profile"}
_CHANNEL_KEYS = (
    *("name", "number", "logo", "group", "enabled", "playlist", "order", "shuffle_seed", "filler", "resume", "on_outage"),
    *("media_roots", "uploads", "timeline_start", "sources", "failover"),
)


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """`changed` holds, for each channel in both, the keys that differ; `needs_restart` the keys that keep their old values."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: dict[str, tuple[str, ...]]
    daemon: tuple[str, ...]
    needs_restart: tuple[str, ...]


def compare(running: Config, wanted: Config) -> ConfigDiff:
    """What taking `wanted` means for a daemon that runs on `running`."""
    fixed = tuple(key for key, read in _fixed() if read(running) != read(wanted))
    before, after = running.channels, wanted.channels
    changed = {channel: _channel_keys(running, wanted, channel) for channel in after if channel in before}
    return ConfigDiff(
        added=tuple(channel for channel in after if channel not in before),
        removed=tuple(channel for channel in before if channel not in after),
        changed={channel: keys for channel, keys in changed.items() if keys},
        daemon=tuple(key for key, read in LIVE if read(running) != read(wanted) and key not in fixed),
        needs_restart=fixed,
    )


def merge(running: Config, wanted: Config) -> Config:
    """`wanted`, with the running values of all that counts only from the next start."""
    tls = running.media.tls if (running.media.tls is None) != (wanted.media.tls is None) else wanted.media.tls
    kept = compare(running, wanted).needs_restart
    return replace(
        wanted,
        told=keep_told(running.told, wanted.told, kept),
        folders=replace(running.folders, hls_limit=wanted.folders.hls_limit),
        admin=running.admin,
        media=replace(wanted.media, listen=running.media.listen, workers=running.media.workers, tls=tls),
        **{name: getattr(running, name) for name, _ in _fixed() if name in _field_names()},
    )


def _field_names() -> set[str]:
    return {field.name for field in fields(Config)}


def _fixed() -> tuple[tuple[str, Read], ...]:
    """FIXED, and every key of the whole file of which nothing stands in either table."""
    told = {key.partition(".")[0] for key, _ in (*LIVE, *FIXED)} | _TOLD_ELSEWHERE | {"url_rules"}
    rest = sorted(_field_names() - told)
    return (*FIXED, *((name, lambda config, name=name: getattr(config, name)) for name in rest))


def _channel_keys(running: Config, wanted: Config, channel: str) -> tuple[str, ...]:
    before, after = running.channels[channel], wanted.channels[channel]
    keys = [key for key in _CHANNEL_KEYS if getattr(before, key) != getattr(after, key)]
    if before.has_list != after.has_list and "playlist" not in keys:
        keys.append("playlist")
    if before.idle_s != after.idle_s:
        keys.append("lifecycle")
    if before.ring_s != after.ring_s:
        keys.append("ring_seconds")
    if running.profile(before.profile) != wanted.profile(after.profile):
        keys.append("profile")
    return (*keys, *_output_keys(before, after))


def _output_keys(before: ChannelSpec, after: ChannelSpec) -> tuple[str, ...]:
    old, new = _by_name(before), _by_name(after)
    return tuple(f"outputs.{name}" for name in (*new, *(old.keys() - new.keys())) if old.get(name) != new.get(name))


def _by_name(channel: ChannelSpec) -> dict[str, OutputSpec]:
    return {output.name: output for output in channel.outputs}
