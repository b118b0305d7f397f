"""The state of runs whose agent is of another framework."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "agent_states",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "thread_id", "run_id", "key", name="pk_agent_states"),
        sa.ForeignKeyConstraint(
            ["owner", "thread_id"],
            ["threads.owner", "threads.id"],
            name="fk_agent_states_owner_thread_id_threads",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Remove the table: unfinished runs of such agents start again."""
    op.drop_table("agent_states")
