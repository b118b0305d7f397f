"""The table of the sessions of users who signed in at the identity provider, as the newest migration leaves it."""

from sqlalchemy import Column, Float, ForeignKeyConstraint, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata

provider_sessions = Table(
    "provider_sessions",
    metadata,
    Column("owner", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("stamp", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("provider_session", Text, nullable=False),
    Column("signed_in_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("claimed_until", Float, nullable=False),
    PrimaryKeyConstraint("owner", "id"),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "subject"),
    Index(None, "provider_session"),
    Index(None, "expires_at"),
)
