"""Long operations on environments."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "environment_operations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("arguments", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("result", JSONB(), nullable=True),
        sa.Column("error", JSONB(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_environment_operations"),
        sa.CheckConstraint("kind IN ('discover', 'deploy', 'undeploy')", name="kind"),
        sa.CheckConstraint("state IN ('pending', 'running', 'succeeded', 'failed')", name="state"),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed')) = (finished_at IS NOT NULL)", name="finished_at"
        ),
        sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="error"),
    )
    op.create_index(
        "ix_environment_operations_target",
        "environment_operations",
        ["namespace", "target"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL AND target <> ''"),
    )
    op.create_index(
        "ix_environment_operations_created_at",
        "environment_operations",
        ["namespace", "created_at"],
    )


def downgrade() -> None:
    op.drop_table("environment_operations")
