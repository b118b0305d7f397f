"""The table of schedules, as the newest migration leaves it."""

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKeyConstraint, Index, Integer, Table, Text

from understudy.storage.schema import metadata

schedules = Table(
    "schedules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("agent", Text),
    Column("message", Text, nullable=False),
    Column("cron", Text),
    Column("every_s", Integer),
    Column("time_zone", Text, nullable=False),
    Column("thread_id", Text),
    Column("policy", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("starts_at", Float, nullable=False),
    Column("next_due_at", Float),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("firing_at", Float),
    Column("wake_at", Float),
    Column("last_due_at", Float),
    Column("last_thread_id", Text),
    Column("last_run_id", Text),
    Column("last_code", Text),
    Column("last_message", Text),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "wake_at"),
    Index(None, "owner", "created_at"),
)
