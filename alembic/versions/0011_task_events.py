"""Tasks as a log: events, messages and artifacts in rows of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

JOIN = """
UPDATE tasks SET body = body || jsonb_build_object('{member}',
  (SELECT jsonb_agg(rows.body::jsonb ORDER BY seq) FROM {table} AS rows
    WHERE rows.task_id = tasks.task_id))
 WHERE EXISTS (SELECT 1 FROM {table} AS rows WHERE rows.task_id = tasks.task_id)
"""


def upgrade() -> None:
    op.create_table(
        "task_events",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "seq", name="pk_task_events"),
    )
    op.create_table(
        "task_messages",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "seq", name="pk_task_messages"),
    )
    op.create_index(
        "uq_task_messages_key",
        "task_messages",
        ["key"],
        unique=True,
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_table(
        "task_artifacts",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("artifact_id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "seq", name="pk_task_artifacts"),
    )
    op.create_index("ix_tasks_updated_at", "tasks", ["updated_at"])
    _split()


def _split() -> None:
    """Move what was kept inside the tasks; their past events are not known, their state is.

    The numbers of their messages and artifacts are below those of any event to come.
    """
    op.execute(
        "INSERT INTO task_messages (task_id, seq, body) "
        "SELECT task_id, number - 1000000, message::text FROM tasks, "
        "jsonb_array_elements(body -> 'history') WITH ORDINALITY AS each(message, number)"
    )
    op.execute(
        "INSERT INTO task_messages (task_id, seq, body) "
        "SELECT task_id, 0, (body -> 'status' -> 'message')::text FROM tasks "
        "WHERE body -> 'status' ? 'message'"
    )
    op.execute(
        "INSERT INTO task_artifacts (task_id, seq, artifact_id, body) "
        "SELECT task_id, number - 1000000, COALESCE(artifact ->> 'artifactId', ''), "
        "artifact::text FROM tasks, "
        "jsonb_array_elements(body -> 'artifacts') WITH ORDINALITY AS each(artifact, number)"
    )
    op.execute("UPDATE tasks SET body = body - 'history' - 'artifacts'")


def downgrade() -> None:
    op.execute(JOIN.format(table="task_messages", member="history"))
    op.execute(JOIN.format(table="task_artifacts", member="artifacts"))
    op.drop_index("ix_tasks_updated_at", table_name="tasks")
    op.drop_table("task_artifacts")
    op.drop_table("task_messages")
    op.drop_table("task_events")
