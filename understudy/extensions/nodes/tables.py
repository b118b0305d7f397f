"""The tables of nodes, as the newest migration leaves them."""

from sqlalchemy import DDL, Column, Float, Index, Integer, LargeBinary, Table, Text, event

from understudy.storage.schema import metadata

# The living servers. A server that has not renewed its row before `expires_at`, by the database's clock, is dead.
nodes = Table(
    "nodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("knows_revision", Text),
)

# The counts that nodes share (`understudy.extensions.nodes.shared_counts`). The table is unlogged: after a crash of
# PostgreSQL it is empty, and each server reports its counts anew. `value` was true at the time `at`, by the database's
# clock; the row is deleted after `until`.
shared_counts = Table(
    "shared_counts",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("value", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("until", Float),
)
event.listen(
    shared_counts,
    "after_create",
    DDL("ALTER TABLE shared_counts SET UNLOGGED").execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
)

# Requests between nodes, and the replies (`understudy.extensions.nodes.inbox`).
inbox = Table(
    "inbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("deadline", Float, nullable=False),
    Index(None, "node", "deadline"),
)
