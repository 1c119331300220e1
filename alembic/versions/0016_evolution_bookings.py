"""What evolution has booked, apart from the playbooks, which may be deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# Until now bookings were entries of playbooks' logs alone.
CARRY_OVER = """
INSERT INTO evolution_bookings (booking_id, booked_at, cost_usd)
SELECT delta_id, applied_at, COALESCE((changes->>'cost_usd')::numeric, 0)
  FROM context_deltas
 WHERE applied IS FALSE AND applied_at IS NOT NULL AND changes->>'kind' = 'call'
"""


def upgrade() -> None:
    op.create_table(
        "evolution_bookings",
        sa.Column("booking_id", sa.Uuid(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cost_usd", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("booking_id", name="pk_evolution_bookings"),
    )
    op.create_index("ix_evolution_bookings_booked_at", "evolution_bookings", ["booked_at"])
    op.execute(CARRY_OVER)


def downgrade() -> None:
    op.drop_table("evolution_bookings")
