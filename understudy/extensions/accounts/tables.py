"""The tables of accounts, their passkeys, challenges, and attempts to sign in, as the newest migration leaves them."""

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKeyConstraint, Index, Integer, LargeBinary, Table, Text

from understudy.storage.schema import metadata

accounts = Table(
    "accounts",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("roles", JSON, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("password", Text, nullable=False),
    Column("invite", Text, nullable=False),
    Column("invite_expires_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("disabled_at", Float),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "invite"),
)
passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float),
    ForeignKeyConstraint(["owner"], ["accounts.owner"], ondelete="CASCADE"),
    Index(None, "owner"),
)
passkey_challenges = Table(
    "passkey_challenges",
    metadata,
    Column("key", Text, primary_key=True),
    Column("expires_at", Float, nullable=False),
    Index(None, "expires_at"),
)
sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", Float, nullable=False),
    Column("forget_at", Float, nullable=False),
    Index(None, "forget_at"),
)
