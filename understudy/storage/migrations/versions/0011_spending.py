"""What each turn of a model cost, so that a user's or a tenant's day can be bounded."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "spending",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text()),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_spending"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_spending_owner_users", ondelete="CASCADE"),
    )
    op.create_index("ix_spending_owner_day", "spending", ["owner", "day"])
    op.create_index("ix_spending_tenant_day", "spending", ["tenant", "day"])
    op.create_index("ix_spending_day", "spending", ["day"])


def downgrade() -> None:
    """Remove it."""
    op.drop_table("spending")
