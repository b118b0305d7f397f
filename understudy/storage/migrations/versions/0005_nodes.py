"""Runs go on after their server: attempts at a run, the node that has a thread, tenants, and what agents remember."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and columns."""
    op.add_column("runs", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("progress", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("threads", sa.Column("node", sa.Text()))
    op.add_column("threads", sa.Column("fence", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("users", sa.Column("tenant", sa.Text()))
    op.create_index("ix_users_tenant", "users", ["tenant"])
    op.create_index(
        "ix_steps_call_id",
        "steps",
        ["call_id"],
        sqlite_where=sa.text("call_id IS NOT NULL"),
        postgresql_where=sa.text("call_id IS NOT NULL"),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
    )
    op.create_table(
        "contexts",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "agent", "name", name="pk_contexts"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_contexts_owner_users", ondelete="CASCADE"),
    )
    op.create_index("ix_contexts_expires_at", "contexts", ["expires_at"])


def downgrade() -> None:
    """Remove them, with what they hold."""
    op.drop_table("contexts")
    op.drop_table("nodes")
    op.drop_index("ix_steps_call_id", "steps")
    op.drop_index("ix_users_tenant", "users")
    # Not as copies of the tables: to drop the one of users would remove all that names them.
    op.drop_column("users", "tenant")
    for table, names in (("threads", ("fence", "node")), ("runs", ("progress", "attempts"))):
        for name in names:
            op.drop_column(table, name)
