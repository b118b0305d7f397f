"""Local accounts, and the attempts to sign in to them."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; nobody has an account."""
    op.create_table(
        "accounts",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("invite", sa.Text(), nullable=False),
        sa.Column("invite_expires_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("disabled_at", sa.Float()),
        sa.PrimaryKeyConstraint("owner", name="pk_accounts"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_accounts_owner_users", ondelete="CASCADE"),
    )
    op.create_index("ix_accounts_invite", "accounts", ["invite"])
    op.create_table(
        "sign_in_attempts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.Float(), nullable=False),
        sa.Column("forget_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_sign_in_attempts"),
    )
    op.create_index("ix_sign_in_attempts_forget_at", "sign_in_attempts", ["forget_at"])


def downgrade() -> None:
    """Remove them: nobody can sign in with a password."""
    op.drop_table("sign_in_attempts")
    op.drop_table("accounts")
