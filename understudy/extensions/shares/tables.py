"""The table of links, as the newest migration leaves it."""

from sqlalchemy import BigInteger, Column, Float, Index, Table, Text

from understudy.storage.schema import metadata, of_thread

shares = Table(
    "shares",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("last_message", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    of_thread(),
    Index(None, "owner", "thread_id"),
    Index(None, "expires_at"),
)
