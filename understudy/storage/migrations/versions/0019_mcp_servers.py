"""MCP servers that a user has switched off in a thread; and the definition of a tool to which consent was given."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column; consents of before are to tools of this server, which have no definition."""
    op.add_column("consents", sa.Column("definition", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "servers_off",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "thread_id", "server", name="pk_servers_off"),
        sa.ForeignKeyConstraint(
            ["owner", "thread_id"],
            ["threads.owner", "threads.id"],
            name="fk_servers_off_owner_thread_id_threads",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Remove both: all servers are on again, and users are asked again."""
    op.drop_table("servers_off")
    op.drop_column("consents", "definition")
