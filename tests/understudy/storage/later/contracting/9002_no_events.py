"""A migration of the release after the next one: it takes away what only code of that next one can do without."""

from alembic import op

revision = "9002"
down_revision = "9001"
branch_labels = None
depends_on = None
oldest_reader = "9001"


def upgrade() -> None:
    op.drop_table("passkey_challenges")
