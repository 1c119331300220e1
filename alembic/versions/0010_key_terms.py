"""What keys and tenants may use: models, rates, priority, until when."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEYS, RATES = "api_keys", "llm_tenant_rates"
ADDED = (
    ("expires_at", sa.DateTime(timezone=True)),
    ("models", ARRAY(sa.Text())),
    ("requests_per_minute", sa.Integer()),
    ("tokens_per_minute", sa.Integer()),
    ("priority", sa.Text()),
)


def upgrade() -> None:
    for name, kind in ADDED:
        op.add_column(KEYS, sa.Column(name, kind, nullable=True))
    op.create_table(
        RATES,
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("tokens_per_minute", sa.Integer(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=f"pk_{RATES}"),
    )


def downgrade() -> None:
    op.drop_table(RATES)
    for name, _ in ADDED:
        op.drop_column(KEYS, name)
