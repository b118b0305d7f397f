"""Which run a run goes on with, and how often its agent went on after its server had died."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the columns; earlier runs go on with none, and say nothing of their restarts."""
    op.add_column("runs", sa.Column("continues", sa.Text()))
    op.add_column("runs", sa.Column("restarts", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Remove them: a continuation is another answer to its message."""
    with op.batch_alter_table("runs") as runs:
        runs.drop_column("continues")
        runs.drop_column("restarts")
