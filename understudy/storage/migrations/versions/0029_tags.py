"""The tags of threads."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

TAGGED = sa.text("tags <> ''")


def upgrade() -> None:
    """Add the column; no thread has a tag."""
    op.add_column("threads", sa.Column("tags", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_threads_tagged", "threads", ["owner"], sqlite_where=TAGGED, postgresql_where=TAGGED)


def downgrade() -> None:
    """Remove them with all tags."""
    op.drop_index("ix_threads_tagged", "threads")
    op.drop_column("threads", "tags")
