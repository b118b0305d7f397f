"""The database says which releases can use its schema, so that one can go back to an older release."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; what stands in it is written after all migrations."""
    op.create_table("compatibility", sa.Column("oldest_revision", sa.Text(), nullable=False))


def downgrade() -> None:
    """Remove it: releases before this one do not ask."""
    op.drop_table("compatibility")
