"""A place for what users sent before anything was taken out of it, encrypted; empty unless the operator wants it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "raw_texts",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "message_id", name="pk_raw_texts"),
        sa.ForeignKeyConstraint(
            ["owner", "thread_id"],
            ["threads.owner", "threads.id"],
            name="fk_raw_texts_owner_thread_id_threads",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_raw_texts_owner_thread_id", "raw_texts", ["owner", "thread_id"])


def downgrade() -> None:
    """Remove it, with what it holds."""
    op.drop_table("raw_texts")
