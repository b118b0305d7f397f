"""The table of the values that agents remember about users, as the newest migration leaves it."""

from sqlalchemy import JSON, Column, Float, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata

contexts = Table(
    "contexts",
    metadata,
    Column("owner", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", JSON, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    PrimaryKeyConstraint("owner", "agent", "name"),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "expires_at"),
)
