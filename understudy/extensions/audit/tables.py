"""The tables of the audit log, as the newest migration leaves them. They have no foreign keys, so that entries stay
when their users are erased."""

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, Table, Text, UniqueConstraint

from understudy.storage.schema import metadata

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("tenant", Text),
    Column("detail", JSON, nullable=False),
    UniqueConstraint("id"),
    Index(None, "at"),
    Index(None, "who"),
    Index(None, "target"),
    Index(None, "tenant"),
)
audit_retention = Table("audit_retention", metadata, Column("before", Float, nullable=False))
