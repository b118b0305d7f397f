"""The tools that a user has allowed always in a thread."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "consents",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("tool_name", sa.Text(), nullable=False),
        sa.Column("given_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "thread_id", "tool_name", name="pk_consents"),
        sa.ForeignKeyConstraint(
            ["owner", "thread_id"],
            ["threads.owner", "threads.id"],
            name="fk_consents_owner_thread_id_threads",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Remove it: users are asked again."""
    op.drop_table("consents")
