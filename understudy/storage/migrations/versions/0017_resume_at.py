"""When an interrupted run is due to be resumed is kept, so that a restart does not put it off once more."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column."""
    op.add_column("runs", sa.Column("resume_at", sa.Float()))


def downgrade() -> None:
    """Remove it: each restart puts interrupted runs off again."""
    with op.batch_alter_table("runs") as runs:
        runs.drop_column("resume_at")
