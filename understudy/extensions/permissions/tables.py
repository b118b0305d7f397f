"""The table of the tools that users have allowed always in a thread, as the newest migration leaves it."""

from sqlalchemy import Column, Float, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata, of_thread

consents = Table(
    "consents",
    metadata,
    Column("owner", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("tool_name", Text, nullable=False),
    Column("given_at", Float, nullable=False),
    Column("definition", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("owner", "thread_id", "tool_name"),
    of_thread(),
)
