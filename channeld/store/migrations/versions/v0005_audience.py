"""How many watched a channel, by minute and by hour."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "audience",
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("span_s", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False) for name in ("at_s", "life")),
        sa.Column("peak", sa.Integer, nullable=False),
        sa.Column("viewer_s", sa.Double, nullable=False),
        sa.Column("stays", sa.Text, nullable=False),
        sa.Column("stayed_s", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("protocols", "agents", "places")),
    )
    op.create_index("audience_at", "audience", ["span_s", "at_s"])
