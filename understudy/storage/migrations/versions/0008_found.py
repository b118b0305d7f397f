"""What was found in a message stays with its run until the user is told of it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column."""
    op.add_column("runs", sa.Column("found", sa.LargeBinary()))


def downgrade() -> None:
    """Remove it, with what it holds."""
    with op.batch_alter_table("runs") as runs:
        runs.drop_column("found")
