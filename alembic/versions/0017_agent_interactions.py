"""Who handed which task on to whom, and how it ended."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "agent_interactions",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("source_agent", sa.Text(), nullable=False),
        sa.Column("source_task", sa.Text(), nullable=False),
        sa.Column("source_installation", sa.Text(), nullable=False),
        sa.Column("target_agent", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("budget_usd", sa.Numeric(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column("cost_usd", sa.Numeric(), nullable=True),
        sa.PrimaryKeyConstraint("task_id", name="pk_agent_interactions"),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["tasks.task_id"],
            name="fk_agent_interactions_task_id_tasks",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_agent_interactions_owner",
        "agent_interactions",
        ["tenant", "owner", "created_at", "task_id"],
    )
    op.create_index("ix_agent_interactions_source_task", "agent_interactions", ["source_task"])


def downgrade() -> None:
    op.drop_table("agent_interactions")
