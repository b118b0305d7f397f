"""Messages become a tree, runs know the request they came from, answers keep what their user thinks of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A thread was one line until now: each message followed the answer to the one said before it.
_LINE = (
    """
    UPDATE messages SET parent_id = (SELECT runs.message_id FROM runs WHERE runs.id = messages.run_id)
    WHERE role = 'assistant'
    """,
    """
    UPDATE messages SET parent_id = (
        SELECT 'answer-' || said.run_id FROM messages AS said
        WHERE said.owner = messages.owner AND said.thread_id = messages.thread_id
        AND said.number < messages.number AND said.role = 'user'
        ORDER BY said.number DESC LIMIT 1
    )
    WHERE role = 'user'
    """,
    """
    UPDATE threads SET newest_run = (
        SELECT said.run_id FROM messages AS said
        WHERE said.owner = threads.owner AND said.thread_id = threads.id AND said.role = 'user'
        ORDER BY said.number DESC LIMIT 1
    )
    """,
)


def upgrade() -> None:
    """Add the columns, and give the messages of old threads their parents along the line they were said in."""
    for name in ("parent_id", "branch_of", "rating", "note"):
        op.add_column("messages", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("request_id", sa.Text(), nullable=True))
    op.add_column("threads", sa.Column("newest_run", sa.Text(), nullable=True))
    op.create_index("ix_runs_owner_message_id", "runs", ["owner", "message_id"])
    op.create_index(
        "ix_runs_owner_request_id",
        "runs",
        ["owner", "request_id"],
        unique=True,
        sqlite_where=sa.text("request_id IS NOT NULL"),
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    for statement in _LINE:
        op.execute(statement)


def downgrade() -> None:
    """Remove them again: branches become one line in the order they were said, feedback is lost."""
    op.drop_index("ix_runs_owner_request_id", "runs")
    op.drop_index("ix_runs_owner_message_id", "runs")
    op.drop_column("threads", "newest_run")
    op.drop_column("runs", "request_id")
    for name in ("note", "rating", "branch_of", "parent_id"):
        op.drop_column("messages", name)
