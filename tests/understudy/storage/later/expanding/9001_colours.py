"""A migration of the next release, which only expands: a column that may be left out, and a table."""

import sqlalchemy as sa
from alembic import op

from understudy.storage import schema

revision = "9001"
down_revision = schema.REVISIONS[schema.REVISIONS.index(revision) - 1]
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("threads", sa.Column("colour", sa.Text()))
    op.create_table("palettes", sa.Column("id", sa.Text(), primary_key=True))
