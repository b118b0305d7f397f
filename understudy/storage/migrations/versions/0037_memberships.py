"""The groups and roles for which a user's spending counts."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; nobody counts for a group yet."""
    op.create_table(
        "memberships",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Integer(), nullable=False),
        sa.Column("last_day", sa.Integer()),
        sa.PrimaryKeyConstraint("owner", "entry", "first_day", name="pk_memberships"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_memberships_owner_users", ondelete="CASCADE"),
    )
    op.create_index("ix_memberships_entry", "memberships", ["entry"])
    op.create_index("ix_memberships_last_day", "memberships", ["last_day"])


def downgrade() -> None:
    """Remove it: what a group may spend together is not counted."""
    op.drop_table("memberships")
