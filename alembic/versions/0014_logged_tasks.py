"""Which ended tasks still have a log, so that letting old logs go reads no others."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ENDED = (
    "logged AND state IN ('TASK_STATE_COMPLETED', 'TASK_STATE_FAILED', "
    "'TASK_STATE_CANCELED', 'TASK_STATE_REJECTED')"
)


def upgrade() -> None:
    op.add_column(
        "tasks", sa.Column("logged", sa.Boolean(), server_default=sa.true(), nullable=False)
    )
    op.create_index(
        "ix_tasks_ended_logged", "tasks", ["updated_at"], postgresql_where=sa.text(ENDED)
    )


def downgrade() -> None:
    op.drop_index("ix_tasks_ended_logged", table_name="tasks")
    op.drop_column("tasks", "logged")
