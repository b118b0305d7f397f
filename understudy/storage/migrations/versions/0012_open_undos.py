"""Undos that lost their server are found by an index of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OPEN = sa.text("kind = 'undo' AND ended_at IS NULL")


def upgrade() -> None:
    """Make the index, which is empty until calls are undone."""
    op.create_index("ix_steps_open_undos", "steps", ["run_id"], sqlite_where=OPEN, postgresql_where=OPEN)


def downgrade() -> None:
    """Remove it; undos that are open stay so."""
    op.drop_index("ix_steps_open_undos", "steps")
