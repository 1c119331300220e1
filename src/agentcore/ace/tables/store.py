"""The four tables of the context layer: columns, defaults, constraints and indexes are the
specification's. ``agents`` belongs to the A2A side.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from agentcore.kit.db import metadata

context_playbooks = Table(
    "context_playbooks",
    metadata,
    Column(
        "playbook_id",
        Uuid,
        primary_key=True,
        server_default=text("gen_random_uuid()"),
    ),
    Column(
        "agent_id",
        String(255),
        ForeignKey("agents.agent_id", ondelete="CASCADE"),
        unique=True,
        nullable=False,
    ),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("content", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), server_default=text("now()")),
    Column("updated_at", DateTime(timezone=True), server_default=text("now()")),
    Column("metadata", JSONB, server_default=text("'{}'::jsonb")),
    Index("idx_playbooks_agent", "agent_id"),
    Index("idx_playbooks_updated", text("updated_at DESC")),
)

context_deltas = Table(
    "context_deltas",
    metadata,
    Column("delta_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column(
        "playbook_id",
        Uuid,
        ForeignKey("context_playbooks.playbook_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("changes", JSONB, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("reasoning", Text, nullable=False),
    Column("generated_at", DateTime(timezone=True), server_default=text("now()")),
    Column("applied", Boolean, server_default=text("false")),
    Column("applied_at", DateTime(timezone=True)),
    CheckConstraint("confidence >= 0.0 AND confidence <= 1.0", name="confidence"),
    Index("idx_deltas_playbook", "playbook_id"),
    Index("idx_deltas_confidence", text("confidence DESC")),
    Index("idx_deltas_applied", "applied", text("applied_at DESC")),
)

execution_traces = Table(
    "execution_traces",
    metadata,
    Column("trace_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column(
        "agent_id", String(255), ForeignKey("agents.agent_id", ondelete="CASCADE"), nullable=False
    ),
    Column("task_id", String(255)),
    Column("execution_time", Float, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("output_quality", Float),
    Column("error_message", Text),
    Column("metadata", JSONB, server_default=text("'{}'::jsonb")),
    Column("captured_at", DateTime(timezone=True), server_default=text("now()")),
    CheckConstraint("output_quality >= 0.0 AND output_quality <= 1.0", name="output_quality"),
    Index("idx_traces_agent", "agent_id", text("captured_at DESC")),
    Index("idx_traces_success", "success", text("captured_at DESC")),
)

evolution_status = Table(
    "evolution_status",
    metadata,
    Column(
        "agent_id", String(255), ForeignKey("agents.agent_id", ondelete="CASCADE"), primary_key=True
    ),
    Column("last_evolution", DateTime(timezone=True)),
    Column("pending_traces", Integer, server_default=text("0")),
    Column("deltas_generated", Integer, server_default=text("0")),
    Column("deltas_applied", Integer, server_default=text("0")),
    Column("total_cost", Float, server_default=text("0.0")),
    Column("status", String(50), server_default=text("'idle'")),
    CheckConstraint("status IN ('idle', 'processing', 'failed')", name="status"),
    Index("idx_evolution_status", "status", text("last_evolution DESC")),
)
