"""Sign-ins of users at MCP servers, those that are begun, and the clients that this server has registered there."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; nobody is signed in."""
    op.create_table(
        "sign_ins",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("signed_in_at", sa.Float(), nullable=False),
        sa.Column("claimed_until", sa.Float(), nullable=False),
        sa.Column("keep_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("owner", "server", name="pk_sign_ins"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_sign_ins_owner_users", ondelete="CASCADE"),
    )
    op.create_index("ix_sign_ins_keep_at", "sign_ins", ["keep_at"])
    op.create_table(
        "sign_in_starts",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("state", name="pk_sign_in_starts"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_sign_in_starts_owner_users", ondelete="CASCADE"),
    )
    op.create_index("ix_sign_in_starts_owner", "sign_in_starts", ["owner"])
    op.create_index("ix_sign_in_starts_expires_at", "sign_in_starts", ["expires_at"])
    op.create_table(
        "oauth_clients",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_oauth_clients"),
    )


def downgrade() -> None:
    """Remove them: users sign in again."""
    op.drop_table("oauth_clients")
    op.drop_table("sign_in_starts")
    op.drop_table("sign_ins")
