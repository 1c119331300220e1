"""What agents are found by, their health and heartbeats, and what has happened to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("handler", sa.Text()),
        sa.Column("changed_at", MOMENT),
        sa.Column("heartbeat_seconds", sa.Double()),
        sa.Column("expires_at", MOMENT),
        sa.Column("health", sa.Text(), nullable=False, server_default="unknown"),
        sa.Column("health_reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("card_url", sa.Text()),
        sa.Column("card_etag", sa.Text(), nullable=False, server_default=""),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("checked_at", MOMENT),
        sa.Column("check_at", MOMENT),
        # Null in rows of earlier versions, until a process of this one has filled it.
        sa.Column("terms", ARRAY(sa.Text())),
    ]


def upgrade() -> None:
    for column in _columns():
        op.add_column("agents", column)
    # The one agent that earlier versions host.
    op.execute(
        "UPDATE agents SET handler = 'playbook-agent' WHERE agent_id = 'playbook-agent.' || tenant"
    )
    op.create_index("ix_agents_terms", "agents", ["terms"], postgresql_using="gin")
    op.create_index("ix_agents_tenant_status", "agents", ["tenant", "status"])
    op.create_index("ix_agents_check_at", "agents", ["check_at"])
    op.create_index(
        "ix_agents_draining",
        "agents",
        ["changed_at"],
        postgresql_where=sa.text("status = 'draining'"),
    )
    op.create_index(
        "ix_agents_without_terms", "agents", ["agent_id"], postgresql_where=sa.text("terms IS NULL")
    )
    op.create_table(
        "agent_events",
        sa.Column("event_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("agent_id", sa.String(255), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("tell_at", MOMENT),
        sa.PrimaryKeyConstraint("event_id", name="pk_agent_events"),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["agents.agent_id"],
            name="fk_agent_events_agent_id_agents",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_agent_events_agent_id", "agent_events", ["agent_id", "event_id"])
    op.create_index("ix_agent_events_at", "agent_events", ["at"])
    op.create_index(
        "ix_agent_events_tell_at",
        "agent_events",
        ["tell_at"],
        postgresql_where=sa.text("tell_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("agent_events")
    for column in _columns():
        op.drop_column("agents", column.name)
    op.drop_index("ix_agents_tenant_status", "agents")
