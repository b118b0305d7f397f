"""The database says which release migrated it, and nodes up to which revision they know the schema."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; nodes that run do not say it."""
    op.add_column("compatibility", sa.Column("release", sa.Text()))
    op.add_column("nodes", sa.Column("knows_revision", sa.Text()))


def downgrade() -> None:
    """Take them away."""
    op.drop_column("nodes", "knows_revision")
    op.drop_column("compatibility", "release")
