"""How far a channel is, apart from what its queue remembers: the one changes each second, the other with each entry."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table; what stands in `positions` counts for channels that have no row in it yet."""
    op.create_table(
        "places",
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("tag", sa.Text),
        sa.Column("path", sa.Text),
        sa.Column("frame", sa.BigInteger, nullable=False),
        sa.Column("clip_frames", sa.BigInteger),
        sa.Column("saved_wall_s", sa.Double, nullable=False),
        sa.Column("ticks", sa.BigInteger, nullable=False),
    )
