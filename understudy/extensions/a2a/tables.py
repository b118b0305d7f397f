"""The table of the receivers of push notifications about runs, as the newest migration leaves it."""

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata, of_thread

pushes = Table(
    "pushes",
    metadata,
    Column("owner", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failing_since", Float),
    PrimaryKeyConstraint("owner", "run_id", "id"),
    of_thread(),
    Index(None, "due_at"),
    Index(None, "owner", "thread_id"),
)
