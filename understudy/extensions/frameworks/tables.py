"""The table of the states of runs, as the newest migration leaves it."""

from sqlalchemy import Column, Float, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata, of_thread

# `size` is the length of `body` in bytes.
agent_states = Table(
    "agent_states",
    metadata,
    Column("owner", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("updated_at", Float, nullable=False),
    PrimaryKeyConstraint("owner", "thread_id", "run_id", "key"),
    of_thread(),
)
