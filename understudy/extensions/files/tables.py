"""The tables of files and, in PostgreSQL, which several servers share, of their bytes: a part per row."""

from sqlalchemy import Column, Float, ForeignKeyConstraint, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata

files = Table(
    "files",
    metadata,
    Column("owner", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    PrimaryKeyConstraint("owner", "id"),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
)
file_parts = Table(
    "file_parts",
    metadata,
    Column("owner", Text, nullable=False),
    Column("file_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("owner", "file_id", "number"),
    ForeignKeyConstraint(["owner", "file_id"], ["files.owner", "files.id"], ondelete="CASCADE"),
)
