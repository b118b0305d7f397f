"""The sessions of users who signed in at the identity provider."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; nobody is signed in."""
    op.create_table(
        "provider_sessions",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("provider_session", sa.Text(), nullable=False),
        sa.Column("signed_in_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("claimed_until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "id", name="pk_provider_sessions"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_provider_sessions_owner_users", ondelete="CASCADE"),
    )
    for column in ("subject", "provider_session", "expires_at"):
        op.create_index(f"ix_provider_sessions_{column}", "provider_sessions", [column])


def downgrade() -> None:
    """Remove it: users sign in again."""
    op.drop_table("provider_sessions")
