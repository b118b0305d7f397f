"""A migration two releases ahead. It drops a table that no run uses, so releases before 9001 must be refused."""

from alembic import op

revision = "9002"
down_revision = "9001"
branch_labels = None
depends_on = None
oldest_reader = "9001"


def upgrade() -> None:
    op.drop_table("passkey_challenges")
