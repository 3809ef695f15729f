"""Relays: profiles, proxies with their channels, who is relayed how, what runs and what happened."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIMES = ("created_at_s", "updated_at_s")


def upgrade() -> None:
    """Make the tables."""
    _create_profiles()
    _create_proxies()
    _create_configs()
    _create_runtime()


def _create_profiles() -> None:
    op.create_table(
        "relay_profiles",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("description", "ffmpeg_args")),
        sa.Column("output_format", sa.String(32), nullable=False),
        sa.Column("segment_duration", sa.Double, nullable=False),
        sa.Column("max_segments", sa.Integer, nullable=False),
        sa.Column("input_timeout", sa.Double, nullable=False),
        sa.Column("hardware_acceleration", sa.String(32)),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("is_system_default", "is_active")),
        *(sa.Column(name, sa.Double, nullable=False) for name in _TIMES),
        sa.UniqueConstraint("name", name="relay_profiles_name"),
        sqlite_autoincrement=True,
    )


def _create_proxies() -> None:
    op.create_table(
        "relay_proxies",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double) for name in ("refresh_s", "fetched_at_s")),
        sa.Column("last_error", sa.Text),
        *(sa.Column(name, sa.Double, nullable=False) for name in _TIMES),
        sa.UniqueConstraint("name", name="relay_proxies_name"),
    )
    op.create_table(
        "relay_proxy_channels",
        sa.Column(
            "proxy_id", sa.String(64), sa.ForeignKey("relay_proxies.id", name="relay_channels_proxy", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("channel_id", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("title", "url", "attributes")),
        sa.Column("group", sa.Text),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("is_listed", sa.Boolean, nullable=False),
    )
    op.create_index("relay_channels_position", "relay_proxy_channels", ["proxy_id", "position"])


def _create_configs() -> None:
    op.create_table(
        "channel_relay_configs",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("proxy_id", sa.String(64), sa.ForeignKey("relay_proxies.id", name="relay_configs_proxy"), nullable=False),
        sa.Column("channel_id", sa.String(64), nullable=False),
        sa.Column("profile_id", _BIG, sa.ForeignKey("relay_profiles.id", name="relay_configs_profile"), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("custom_args", sa.Text),
        sa.Column("enabled", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in _TIMES),
        sa.UniqueConstraint("proxy_id", "channel_id", name="relay_configs_channel"),
        sqlite_autoincrement=True,
    )
    op.create_index("relay_configs_by_profile", "channel_relay_configs", ["profile_id"])


def _create_runtime() -> None:
    op.create_table(
        "relay_runtime_status",
        sa.Column(
            "config_id", _BIG, sa.ForeignKey("channel_relay_configs.id", name="relay_status_config", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("pid", sa.Integer),
        *(sa.Column(name, sa.Double) for name in ("started_at_s", "last_seen_s")),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("clients", sa.Integer, nullable=False),
        sa.Column("source", sa.Text),
        sa.Column("restarts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "relay_events",
        sa.Column("id", _BIG, primary_key=True, autoincrement=False),
        sa.Column("config_id", _BIG, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index("relay_events_at", "relay_events", ["at_s"])
    op.create_index("relay_events_config", "relay_events", ["config_id", "id"])


def downgrade() -> None:
    """Remove them, with all that they hold."""
    for table in (
        "relay_events",
        "relay_runtime_status",
        "channel_relay_configs",
        "relay_proxy_channels",
        "relay_proxies",
        "relay_profiles",
    ):
        op.drop_table(table)
