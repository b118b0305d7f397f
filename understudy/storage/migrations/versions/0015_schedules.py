"""Schedules of users."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "schedules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text()),
        sa.Column("every_s", sa.Integer()),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text()),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("starts_at", sa.Float(), nullable=False),
        sa.Column("next_due_at", sa.Float()),
        sa.Column("version", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("firing_at", sa.Float()),
        sa.Column("wake_at", sa.Float()),
        sa.Column("last_due_at", sa.Float()),
        sa.Column("last_thread_id", sa.Text()),
        sa.Column("last_run_id", sa.Text()),
        sa.Column("last_code", sa.Text()),
        sa.Column("last_message", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_schedules_owner_users", ondelete="CASCADE"),
    )
    op.create_index("ix_schedules_wake_at", "schedules", ["wake_at"])
    op.create_index("ix_schedules_owner_created_at", "schedules", ["owner", "created_at"])


def downgrade() -> None:
    """Remove it: nothing is due any more."""
    op.drop_table("schedules")
