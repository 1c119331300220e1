"""What sessions play on deployed environments."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE = "environment_deployments"


def upgrade() -> None:
    for name, kind in (
        ("requests", sa.BigInteger()),
        ("episodes", sa.BigInteger()),
        ("episode_seconds", sa.Double()),
    ):
        column = sa.Column(name, kind, server_default=sa.text("0"), nullable=False)
        op.add_column(TABLE, column)


def downgrade() -> None:
    for name in ("episode_seconds", "episodes", "requests"):
        op.drop_column(TABLE, name)
