"""The tables of users' sign-ins at MCP servers, unfinished sign-ins, registered clients, and servers switched off in a
thread, as the newest migration leaves them."""

from sqlalchemy import Column, Float, ForeignKeyConstraint, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata, of_thread

servers_off = Table(
    "servers_off",
    metadata,
    Column("owner", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("server", Text, nullable=False),
    PrimaryKeyConstraint("owner", "thread_id", "server"),
    of_thread(),
)
sign_ins = Table(
    "sign_ins",
    metadata,
    Column("owner", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("stamp", Text, nullable=False),
    Column("signed_in_at", Float, nullable=False),
    Column("claimed_until", Float, nullable=False),
    Column("keep_at", Float),
    PrimaryKeyConstraint("owner", "server"),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "keep_at"),
)
sign_in_starts = Table(
    "sign_in_starts",
    metadata,
    Column("state", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Float, nullable=False),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "owner"),
    Index(None, "expires_at"),
)
oauth_clients = Table(
    "oauth_clients", metadata, Column("id", Text, primary_key=True), Column("sealed", LargeBinary, nullable=False)
)
