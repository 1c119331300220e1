"""Environments of the registry, and what of them is deployed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _environments()
    _deployments()


def _environments() -> None:
    op.create_table(
        "environments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", ARRAY(sa.Text()), nullable=False),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("license", sa.Text(), nullable=True),
        sa.Column("dockerfile", sa.Text(), nullable=True),
        sa.Column("deployment_config", JSONB(), nullable=True),
        sa.Column("token_ref", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("health", sa.Text(), nullable=False),
        sa.Column("health_detail", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("capacity_active", sa.Integer(), nullable=True),
        sa.Column("capacity_maximum", sa.Integer(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
        sa.UniqueConstraint("source", "source_id", "revision", name="uq_environments_source"),
        sa.CheckConstraint("source IN ('bundled', 'hub', 'catalog', 'manual')", name="source"),
        sa.CheckConstraint("source_id <> ''", name="source_id"),
        sa.CheckConstraint("name ~ '^[a-z0-9][a-z0-9_.-]{0,63}$'", name="name"),
        sa.CheckConstraint("token_ref ~ '^(env|file):.'", name="token_ref"),
        sa.CheckConstraint("state IN ('discovered', 'registered')", name="state"),
        sa.CheckConstraint(
            "(state = 'registered') = (registered_at IS NOT NULL)", name="registered_at"
        ),
        sa.CheckConstraint(
            "health IN ('unknown', 'healthy', 'degraded', 'busy', 'failed')", name="health"
        ),
        sa.CheckConstraint("mode IN ('simulation', 'production')", name="mode"),
        sa.CheckConstraint("failures >= 0", name="failures"),
        sa.CheckConstraint(
            "(capacity_active IS NULL) = (capacity_maximum IS NULL) "
            "AND capacity_active >= 0 AND capacity_maximum >= 0",
            name="capacity",
        ),
    )
    op.create_index("ix_environments_name", "environments", ["name", "id"])
    op.create_index(
        "ix_environments_next_check_at",
        "environments",
        ["next_check_at"],
        postgresql_where=sa.text("next_check_at IS NOT NULL"),
    )


def _deployments() -> None:
    op.create_table(
        "environment_deployments",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", JSONB(), nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.Column("resources", JSONB(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("ready", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", name="pk_environment_deployments"),
        sa.CheckConstraint("runtime IN ('local', 'docker', 'kubernetes')", name="runtime"),
        sa.CheckConstraint("replicas >= 1", name="replicas"),
        sa.CheckConstraint("ready >= 0", name="ready"),
        sa.CheckConstraint("status IN ('pending', 'running', 'degraded', 'failed')", name="status"),
    )


def downgrade() -> None:
    op.drop_table("environment_deployments")
    op.drop_table("environments")
