"""The tables. Changed only together with a migration in `migrations/versions`.

Rule: nothing of one database's dialect; values that are no numbers or texts are JSON texts of ASCII, so that any file name fits.
"""

import json
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Double, Index, Integer, MetaData, String, Table, Text, TypeDecorator, UniqueConstraint

REVISION = "0002"
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
