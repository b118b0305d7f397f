"""An index of the user's messages by the answer that they follow, for the pages of a branch."""

from alembic import op
from sqlalchemy import text

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    said = text("role = 'user'")
    op.create_index(
        "ix_messages_branches",
        "messages",
        ["owner", "thread_id", "parent_id"],
        sqlite_where=said,
        postgresql_where=said,
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_messages_branches", "messages")
