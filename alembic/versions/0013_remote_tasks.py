"""Which task elsewhere works for which task here."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "remote_tasks",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("context_id", sa.Text(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("task_id", name="pk_remote_tasks"),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.task_id"], name="fk_remote_tasks_task_id_tasks", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_remote_tasks_open", "remote_tasks", ["next_at"], postgresql_where=sa.text("NOT ended")
    )


def downgrade() -> None:
    op.drop_table("remote_tasks")
