"""The table of events that are to be delivered as webhooks, as the newest migration leaves it."""

from sqlalchemy import Column, Float, Index, Integer, Table, Text

from understudy.storage.schema import metadata, of_thread

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    of_thread(),
    Index(None, "due_at"),
    Index(None, "owner", "thread_id"),
)
