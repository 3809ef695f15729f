"""Of a relay: whether it runs on demand and how long it waits for viewers, and what it does where its hardware is missing."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_COLUMNS = ("lifecycle", "idle_seconds", "hardware_fallback")


def upgrade() -> None:
    """Relays that are kept run as they did: always, and not in software where they asked for hardware."""
    op.add_column("channel_relay_configs", sa.Column("lifecycle", sa.String(16), nullable=False, server_default="always"))
    op.add_column("channel_relay_configs", sa.Column("idle_seconds", sa.Double))
    op.add_column("channel_relay_configs", sa.Column("hardware_fallback", sa.String(16), nullable=False, server_default="refuse"))


def downgrade() -> None:
    """Forget the choices."""
    with op.batch_alter_table("channel_relay_configs") as table:
        for name in _COLUMNS:
            table.drop_column(name)
