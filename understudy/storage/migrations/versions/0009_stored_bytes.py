"""How many bytes a thread has stored is counted with it, so that what one user fills can be bounded."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column. What was stored before counts as nothing: to add it up would read the whole database."""
    op.add_column("threads", sa.Column("stored_bytes", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("threads", "stored_bytes")
