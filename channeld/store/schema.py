"""The tables. Changed only together with a migration in `migrations/versions`.

Rule: nothing of one database's dialect; values that are no numbers or texts are JSON texts of ASCII, so that any file name fits.
"""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

REVISION = "0005"
"""The newest migration."""

metadata = MetaData()
# A primary key of SQLite's own rows must be its INTEGER, which has 64 bits.
Big = BigInteger().with_variant(Integer, "sqlite")


class CleanText(TypeDecorator[str]):
    """Text that every database takes: file names of other encodings and NULs are written with escapes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return None if value is None else value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class JsonText(TypeDecorator[Any]):
    """A value as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        return json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))

positions = Table(
    "positions",
    metadata,
    Column("channel", String(64), primary_key=True),
    Column("memory", JsonText, nullable=False),
    Column("tag", CleanText),
    Column("path", CleanText),
    Column("frame", BigInteger, nullable=False),
    Column("clip_frames", BigInteger),
    Column("saved_wall_s", Double, nullable=False),
    Column("ticks", BigInteger, nullable=False),
)

places = Table(
    "places",
    metadata,
    Column("channel", String(64), primary_key=True),
    Column("tag", CleanText),
    Column("path", CleanText),
    Column("frame", BigInteger, nullable=False),
    Column("clip_frames", BigInteger),
    Column("saved_wall_s", Double, nullable=False),
    Column("ticks", BigInteger, nullable=False),
)
"""The newest of what `positions` has beside the memory, which is up to 64 KiB and stays the same for as long as an entry airs."""

hls = Table(
    "hls",
    metadata,
    Column("channel", String(64), primary_key=True),
    Column("output", String(64), primary_key=True),
    Column("media_sequence", BigInteger, nullable=False),
    Column("discontinuity_sequence", BigInteger, nullable=False),
)

clips = Table(
    "clips",
    metadata,
    Column("clip", CleanText, primary_key=True),
    Column("profile", String(64), nullable=False),
    Column("source", CleanText, nullable=False),
    Column("key", String(128)),
    Column("duration_s", Double),
    Column("bytes", BigInteger),
    Column("gain_db", Double),
    Column("prepared_at_s", Double),
    Column("warnings", JsonText, nullable=False),
    Column("refusal", CleanText),
)

events = Table(
    "events",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("at_s", Double, nullable=False),
    Column("event", JsonText, nullable=False),
    Index("events_at", "at_s"),
)

airings = Table(
    "airings",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("channel", String(64), nullable=False),
    Column("at_s", Double, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("timeline", String(128)),
    Column("serial", BigInteger),
    Column("entry", CleanText),
    Column("path", CleanText),
    Column("title", CleanText),
    Column("planned_at_s", Double),
    Column("ended_at_s", Double),
    Column("ticks", BigInteger),
    Column("frames_planned", BigInteger),
    Column("frames", BigInteger),
    Column("reason", CleanText),
    UniqueConstraint("channel", "timeline", "serial", name="airings_serial"),
    Index("airings_channel", "channel", "id"),
    Index("airings_at", "at_s"),
    Index("airings_open", "outcome", "channel"),
)

audience = Table(
    "audience",
    metadata,
    Column("channel", String(64), primary_key=True),
    Column("span_s", Integer, primary_key=True, autoincrement=False),
    Column("at_s", BigInteger, primary_key=True, autoincrement=False),
    Column("life", BigInteger, primary_key=True, autoincrement=False),
    Column("peak", Integer, nullable=False),
    Column("viewer_s", Double, nullable=False),
    Column("stays", JsonText, nullable=False),
    Column("stayed_s", Double, nullable=False),
    *(Column(name, JsonText, nullable=False) for name in ("protocols", "agents", "places")),
    Index("audience_at", "span_s", "at_s"),
)

relay_profiles = Table(
    "relay_profiles",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("description", CleanText, nullable=False),
    Column("ffmpeg_args", CleanText, nullable=False),
    Column("output_format", String(32), nullable=False),
    Column("segment_duration", Double, nullable=False),
    Column("max_segments", Integer, nullable=False),
    Column("input_timeout", Double, nullable=False),
    Column("hardware_acceleration", String(32)),
    Column("is_system_default", Boolean, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("updated_at_s", Double, nullable=False),
    UniqueConstraint("name", name="relay_profiles_name"),
    sqlite_autoincrement=True,
)
"""Ids are never given twice: an address that was of one relay must not become that of another."""

relay_proxies = Table(
    "relay_proxies",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("source", CleanText, nullable=False),
    Column("refresh_s", Double),
    Column("fetched_at_s", Double),
    Column("last_error", CleanText),
    Column("created_at_s", Double, nullable=False),
    Column("updated_at_s", Double, nullable=False),
    UniqueConstraint("name", name="relay_proxies_name"),
)

relay_proxy_channels = Table(
    "relay_proxy_channels",
    metadata,
    Column("proxy_id", String(64), ForeignKey("relay_proxies.id", name="relay_channels_proxy", ondelete="CASCADE"), primary_key=True),
    Column("channel_id", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("title", CleanText, nullable=False),
    Column("url", CleanText, nullable=False),
    Column("attributes", JsonText, nullable=False),
    Column("group", CleanText),
    Column("options", JsonText, nullable=False),
    Column("is_listed", Boolean, nullable=False),
    Index("relay_channels_position", "proxy_id", "position"),
)

channel_relay_configs = Table(
    "channel_relay_configs",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("proxy_id", String(64), ForeignKey("relay_proxies.id", name="relay_configs_proxy"), nullable=False),
    # No foreign key: channels are replaced by the thousand, and whether one is relayed is looked at beforehand.
    Column("channel_id", String(64), nullable=False),
    Column("profile_id", Big, ForeignKey("relay_profiles.id", name="relay_configs_profile"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("custom_args", CleanText),
    Column("enabled", Boolean, nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("updated_at_s", Double, nullable=False),
    Column("lifecycle", String(16), nullable=False, server_default="always"),
    Column("idle_seconds", Double),
    Column("hardware_fallback", String(16), nullable=False, server_default="refuse"),
    UniqueConstraint("proxy_id", "channel_id", name="relay_configs_channel"),
    Index("relay_configs_by_profile", "profile_id"),
    sqlite_autoincrement=True,
)

relay_runtime_status = Table(
    "relay_runtime_status",
    metadata,
    Column("config_id", Big, ForeignKey("channel_relay_configs.id", name="relay_status_config", ondelete="CASCADE"), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("pid", Integer),
    Column("started_at_s", Double),
    Column("last_seen_s", Double),
    Column("bytes", BigInteger, nullable=False),
    Column("clients", Integer, nullable=False),
    Column("source", CleanText),
    Column("restarts", Integer, nullable=False),
    Column("error", CleanText),
)

relay_events = Table(
    "relay_events",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("config_id", Big, nullable=False),
    Column("at_s", Double, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("details", JsonText, nullable=False),
    Index("relay_events_at", "at_s"),
    Index("relay_events_config", "config_id", "id"),
)
"""History outlives what it tells of: no foreign key."""
