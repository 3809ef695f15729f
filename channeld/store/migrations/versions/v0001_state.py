"""Positions, HLS numbering, clips, events and the as-run log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the first tables."""
    op.create_table("meta", sa.Column("key", sa.String(64), primary_key=True), sa.Column("value", sa.Text, nullable=False))
    op.create_table(
        "positions",
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("memory", sa.Text, nullable=False),
        sa.Column("tag", sa.Text),
        sa.Column("path", sa.Text),
        sa.Column("frame", sa.BigInteger, nullable=False),
        sa.Column("clip_frames", sa.BigInteger),
        sa.Column("saved_wall_s", sa.Double, nullable=False),
        sa.Column("ticks", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "hls",
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("output", sa.String(64), primary_key=True),
        sa.Column("media_sequence", sa.BigInteger, nullable=False),
        sa.Column("discontinuity_sequence", sa.BigInteger, nullable=False),
    )
    _create_clips()
    _create_history()


def _create_clips() -> None:
    op.create_table(
        "clips",
        sa.Column("clip", sa.Text, primary_key=True),
        sa.Column("profile", sa.String(64), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.String(128)),
        sa.Column("duration_s", sa.Double),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("gain_db", sa.Double),
        sa.Column("prepared_at_s", sa.Double),
        sa.Column("warnings", sa.Text, nullable=False),
        sa.Column("refusal", sa.Text),
    )


def _create_history() -> None:
    op.create_table(
        "events",
        sa.Column("id", _BIG, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
    )
    op.create_index("events_at", "events", ["at_s"])
    op.create_table(
        "airings",
        sa.Column("id", _BIG, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("timeline", sa.String(128)),
        sa.Column("serial", sa.BigInteger),
        *(sa.Column(name, sa.Text) for name in ("entry", "path", "title")),
        *(sa.Column(name, sa.Double) for name in ("planned_at_s", "ended_at_s")),
        *(sa.Column(name, sa.BigInteger) for name in ("ticks", "frames_planned", "frames")),
        sa.Column("reason", sa.Text),
        sa.UniqueConstraint("channel", "timeline", "serial", name="airings_serial"),
    )
    op.create_index("airings_channel", "airings", ["channel", "id"])
    op.create_index("airings_at", "airings", ["at_s"])
    op.create_index("airings_open", "airings", ["outcome", "channel"])


def downgrade() -> None:
    """Remove them, with all that they hold."""
    for table in ("airings", "events", "clips", "hls", "positions", "meta"):
        op.drop_table(table)
