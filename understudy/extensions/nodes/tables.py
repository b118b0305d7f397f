"""The table of nodes, as the newest migration leaves it."""

from sqlalchemy import Column, Float, Table, Text

from understudy.storage.schema import metadata

# The living servers: one that has not renewed its row before `expires_at`, by the database's clock, is dead.
nodes = Table(
    "nodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("knows_revision", Text),
)
