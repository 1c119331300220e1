"""Context playbooks, their deltas, execution traces and the status of evolution."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OF_AGENT = {"refcolumns": ["agents.agent_id"], "ondelete": "CASCADE"}


def upgrade() -> None:
    _create_playbooks()
    _create_deltas()
    _create_traces()
    _create_status()


def downgrade() -> None:
    op.drop_table("evolution_status")
    op.drop_table("execution_traces")
    op.drop_table("context_deltas")
    op.drop_table("context_playbooks")


def _create_playbooks() -> None:
    op.create_table(
        "context_playbooks",
        sa.Column(
            "playbook_id", UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("agent_id", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("metadata", JSONB(), server_default=sa.text("'{}'::jsonb")),
        sa.PrimaryKeyConstraint("playbook_id", name="pk_context_playbooks"),
        sa.UniqueConstraint("agent_id", name="uq_context_playbooks_agent_id"),
        sa.ForeignKeyConstraint(
            ["agent_id"], name="fk_context_playbooks_agent_id_agents", **OF_AGENT
        ),
    )
    op.create_index("idx_playbooks_agent", "context_playbooks", ["agent_id"])
    op.create_index("idx_playbooks_updated", "context_playbooks", [sa.text("updated_at DESC")])


def _create_deltas() -> None:
    op.create_table(
        "context_deltas",
        sa.Column("delta_id", UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("playbook_id", UUID(), nullable=False),
        sa.Column("changes", JSONB(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("reasoning", sa.Text(), nullable=False),
        sa.Column("generated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("applied", sa.Boolean(), server_default=sa.text("false")),
        sa.Column("applied_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("delta_id", name="pk_context_deltas"),
        sa.ForeignKeyConstraint(
            ["playbook_id"],
            ["context_playbooks.playbook_id"],
            name="fk_context_deltas_playbook_id_context_playbooks",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "confidence >= 0.0 AND confidence <= 1.0", name=op.f("ck_context_deltas_confidence")
        ),
    )
    op.create_index("idx_deltas_playbook", "context_deltas", ["playbook_id"])
    op.create_index("idx_deltas_confidence", "context_deltas", [sa.text("confidence DESC")])
    op.create_index("idx_deltas_applied", "context_deltas", ["applied", sa.text("applied_at DESC")])


def _create_traces() -> None:
    op.create_table(
        "execution_traces",
        sa.Column("trace_id", UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("agent_id", sa.String(255), nullable=False),
        sa.Column("task_id", sa.String(255)),
        sa.Column("execution_time", sa.Float(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("output_quality", sa.Float()),
        sa.Column("error_message", sa.Text()),
        sa.Column("metadata", JSONB(), server_default=sa.text("'{}'::jsonb")),
        sa.Column("captured_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("trace_id", name="pk_execution_traces"),
        sa.ForeignKeyConstraint(
            ["agent_id"], name="fk_execution_traces_agent_id_agents", **OF_AGENT
        ),
        sa.CheckConstraint(
            "output_quality >= 0.0 AND output_quality <= 1.0",
            name=op.f("ck_execution_traces_output_quality"),
        ),
    )
    op.create_index(
        "idx_traces_agent", "execution_traces", ["agent_id", sa.text("captured_at DESC")]
    )
    op.create_index(
        "idx_traces_success", "execution_traces", ["success", sa.text("captured_at DESC")]
    )


def _create_status() -> None:
    op.create_table(
        "evolution_status",
        sa.Column("agent_id", sa.String(255), nullable=False),
        sa.Column("last_evolution", sa.DateTime(timezone=True)),
        sa.Column("pending_traces", sa.Integer(), server_default=sa.text("0")),
        sa.Column("deltas_generated", sa.Integer(), server_default=sa.text("0")),
        sa.Column("deltas_applied", sa.Integer(), server_default=sa.text("0")),
        sa.Column("total_cost", sa.Float(), server_default=sa.text("0.0")),
        sa.Column("status", sa.String(50), server_default=sa.text("'idle'")),
        sa.PrimaryKeyConstraint("agent_id", name="pk_evolution_status"),
        sa.ForeignKeyConstraint(
            ["agent_id"], name="fk_evolution_status_agent_id_agents", **OF_AGENT
        ),
        sa.CheckConstraint(
            "status IN ('idle', 'processing', 'failed')", name=op.f("ck_evolution_status_status")
        ),
    )
    op.create_index(
        "idx_evolution_status", "evolution_status", ["status", sa.text("last_evolution DESC")]
    )
