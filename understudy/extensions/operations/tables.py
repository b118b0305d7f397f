"""The table of stops, as the newest migration leaves it."""

from sqlalchemy import Column, Float, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata

stops = Table(
    "stops",
    metadata,
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
    PrimaryKeyConstraint("kind", "name"),
)
