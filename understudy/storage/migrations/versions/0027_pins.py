"""When a user pinned and archived a thread."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

MARKS = ("pinned", "archived")


def upgrade() -> None:
    """Add the columns; no thread is pinned or archived."""
    for mark in MARKS:
        op.add_column("threads", sa.Column(f"{mark}_at", sa.Float()))
        marked = sa.text(f"{mark}_at IS NOT NULL")
        op.create_index(
            f"ix_threads_{mark}",
            "threads",
            ["owner", "updated_at", "id"],
            sqlite_where=marked,
            postgresql_where=marked,
        )


def downgrade() -> None:
    """Remove them: archived threads are listed again."""
    for mark in MARKS:
        op.drop_index(f"ix_threads_{mark}", "threads")
        op.drop_column("threads", f"{mark}_at")
