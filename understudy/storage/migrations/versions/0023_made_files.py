"""The files that were made for an answer stay with it when the events of its run are gone."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column; answers of before have none."""
    op.add_column("messages", sa.Column("files", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    """Remove it, with what it holds."""
    op.drop_column("messages", "files")
