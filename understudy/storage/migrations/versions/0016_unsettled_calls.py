"""Calls of unknown effect that are being settled after their run are found by an index of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
oldest_reader = "0016"  # code from here on reads threads with events and steps of kinds that it does not know

OPEN = sa.text("status = 'unsettled'")


def upgrade() -> None:
    """Make the index, which is empty but for some seconds after a run that was cancelled."""
    op.create_index("ix_steps_unsettled", "steps", ["run_id"], sqlite_where=OPEN, postgresql_where=OPEN)


def downgrade() -> None:
    """Remove it; calls that are unsettled stay so."""
    op.drop_index("ix_steps_unsettled", "steps")
