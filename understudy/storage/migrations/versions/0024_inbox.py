"""Which answers a user has seen, the browsers that are notified, and the notices that wait to be sent."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

UNREAD = sa.text("answered_seq > read_seq")


def upgrade() -> None:
    """Add the columns and tables. All answers until now count as read."""
    for name in ("answered_seq", "read_seq"):
        op.add_column("threads", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_threads_unread", "threads", ["owner"], sqlite_where=UNREAD, postgresql_where=UNREAD)
    op.create_table(
        "browsers",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("answers", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "id", name="pk_browsers"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_browsers_owner_users", ondelete="CASCADE"),
    )
    op.create_table(
        "notices",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "thread_id", "seq", "browser", name="pk_notices"),
        sa.ForeignKeyConstraint(
            ["owner", "browser"],
            ["browsers.owner", "browsers.id"],
            name="fk_notices_owner_browser_browsers",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner", "thread_id"],
            ["threads.owner", "threads.id"],
            name="fk_notices_owner_thread_id_threads",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_notices_due_at", "notices", ["due_at"])
    op.create_index("ix_notices_owner_browser", "notices", ["owner", "browser"])


def downgrade() -> None:
    """Remove them: nothing is marked, and no browser is notified."""
    op.drop_table("notices")
    op.drop_table("browsers")
    op.drop_index("ix_threads_unread", "threads")
    for name in ("read_seq", "answered_seq"):
        op.drop_column("threads", name)
