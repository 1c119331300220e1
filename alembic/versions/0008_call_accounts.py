"""Calls by key, agent, conversation and day."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CALLS, DAILY = "llm_calls", "llm_usage_daily"
ADDED = (
    ("key_id", sa.Text()),
    ("agent", sa.Text()),
    ("conversation", sa.Text()),
    ("dialect", sa.Text()),
    ("reasoning_tokens", sa.Integer()),
    ("cache_write_tokens", sa.Integer()),
    ("price_source", sa.Text()),
    ("attempts", sa.Integer()),
)
COUNTS = (
    "calls",
    "failed",
    "priced",
    "unpriced",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
SUMS = ("cost_usd", "api_equivalent_usd", "saved_usd")
KEY = ("tenant", "day", "key_id", "agent", "model", "provider", "kind")
FILL = """
INSERT INTO llm_usage_daily
SELECT
    tenant, (at AT TIME ZONE 'UTC')::date, '', '', model, provider, kind,
    count(*),
    count(*) FILTER (WHERE status NOT IN ('success', 'cancelled')),
    count(cost_usd),
    count(*) FILTER (WHERE cost_usd IS NULL AND (
        status = 'success' OR prompt_tokens IS NOT NULL OR ttft_ms IS NOT NULL
    )),
    coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
    coalesce(sum(cached_tokens), 0), 0, 0, coalesce(sum(cost_usd), 0),
    coalesce(sum(api_equivalent_usd), 0),
    coalesce(sum(api_equivalent_usd - coalesce(cost_usd, 0)), 0)
FROM llm_calls GROUP BY 1, 2, 5, 6, 7
"""


def upgrade() -> None:
    for name, kind in ADDED:
        op.add_column(CALLS, sa.Column(name, kind, nullable=True))
    op.create_index(
        "ix_llm_calls_conversation",
        CALLS,
        ["tenant", "conversation", "at"],
        postgresql_where=sa.text("conversation IS NOT NULL"),
    )
    op.create_table(
        DAILY,
        *(
            sa.Column(name, sa.Date() if name == "day" else sa.Text(), nullable=False)
            for name in KEY
        ),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Numeric(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint(*KEY, name="pk_llm_usage_daily"),
    )
    op.create_index("ix_llm_usage_daily_day", DAILY, ["day"])
    op.execute(FILL)


def downgrade() -> None:
    op.drop_table(DAILY)
    op.drop_index("ix_llm_calls_conversation", CALLS)
    for name, _ in ADDED:
        op.drop_column(CALLS, name)
