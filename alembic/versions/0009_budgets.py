"""Budgets, and what each process holds of them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BUDGETS, HOLDINGS, CHANGES = "llm_budgets", "llm_budget_holdings", "llm_budget_changes"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        BUDGETS,
        sa.Column("budget_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("limit_usd", sa.Numeric(), nullable=False),
        sa.Column("hard", sa.Boolean(), nullable=False),
        sa.Column("alert_share", sa.Numeric(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("period_start", MOMENT, nullable=False),
        sa.Column("settled_usd", sa.Numeric(), nullable=False),
        sa.Column("alerted_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("budget_id", name="pk_llm_budgets"),
    )
    op.create_index(
        "uq_llm_budgets_target",
        BUDGETS,
        ["tenant", "scope", "target", "period"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_llm_budgets_revision", BUDGETS, ["revision"])
    op.create_table(
        HOLDINGS,
        sa.Column("budget_id", sa.Uuid(), nullable=False),
        sa.Column("period_start", MOMENT, nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("granted_usd", sa.Numeric(), nullable=False),
        sa.Column("spent_usd", sa.Numeric(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("budget_id", "period_start", "holder", name=f"pk_{HOLDINGS}"),
    )
    op.create_table(
        CHANGES,
        sa.Column("one", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one", name=f"pk_{CHANGES}"),
    )


def downgrade() -> None:
    for table in (CHANGES, HOLDINGS, BUDGETS):
        op.drop_table(table)
