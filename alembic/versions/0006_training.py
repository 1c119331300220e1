"""Checkpoints, and schedules of rollouts with their jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "training_checkpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("metrics", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_training_checkpoints"),
        sa.UniqueConstraint(
            "tenant", "kind", "name", "version", name="uq_training_checkpoints_version"
        ),
    )
    _schedules()


def _schedules() -> None:
    op.create_table(
        "training_schedules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("job", JSONB(), nullable=False),
        sa.Column("timing", JSONB(), nullable=False),
        sa.Column("catch_up", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_due", sa.DateTime(timezone=True), nullable=True),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_training_schedules"),
    )
    op.create_index("ix_training_schedules_tenant", "training_schedules", ["tenant", "id"])
    op.create_index(
        "ix_training_schedules_due",
        "training_schedules",
        ["next_due"],
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "training_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("job", JSONB(), nullable=False),
        sa.Column("attempts", JSONB(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        sa.Column("error", JSONB(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_training_jobs"),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["training_schedules.id"],
            name="fk_training_jobs_schedule_id_training_schedules",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("schedule_id", "due_at", name="uq_training_jobs_due"),
    )
    op.create_index("ix_training_jobs_tenant", "training_jobs", ["tenant", "id"])
    op.create_index(
        "ix_training_jobs_open",
        "training_jobs",
        ["not_before", "id"],
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )


def downgrade() -> None:
    op.drop_table("training_jobs")
    op.drop_table("training_schedules")
    op.drop_table("training_checkpoints")
