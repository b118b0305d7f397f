"""The tables, as the newest migration leaves them (a test compares the two), and the clock of the database."""

import re
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from understudy.extension import Extension
from understudy.installed import ExtensionFault, brought, installed, is_ours

REVISIONS: Final = ("0037",)
"""Every revision of the schema this code knows, oldest first. Start-up reads it in place of Alembic's scripts."""
HEAD: Final = REVISIONS[-1]

UNSETTLED: Final = "status = 'unsettled'"
"""Condition on a step: it is a call of an ended run whose tool is being asked whether it took effect."""
PINNED: Final = "pinned_at IS NOT NULL"
ARCHIVED: Final = "archived_at IS NOT NULL"
TAGGED: Final = "tags <> ''"
UNREAD: Final = "answered_seq > read_seq"
"""Condition on a thread: an answer in it has ended that its user has not seen."""
OPEN_UNDO: Final = "kind = 'undo' AND ended_at IS NULL"
"""Condition on a step: it is an undo whose outcome is not known. Written out, so that both databases use its index."""
SAID: Final = "role = 'user'"
"""Condition on a message: it is the user's. Written out, so that both databases use its index."""


def is_revision(name: str) -> bool:
    """Return whether a name has the form of our revisions: those of other programs with Alembic look different."""
    return len(name) == len(HEAD) and name.isdecimal()


def is_behind(revision: str | None) -> bool:
    """Return whether a schema of this revision, None for no schema, is to be migrated by this code."""
    return revision is None or revision < HEAD


def is_usable(revision: str, oldest: str | None) -> bool:
    """Return whether this code can use a schema: it knows it, or a later release wrote that `oldest` still can."""
    return revision in REVISIONS or (revision > HEAD and oldest is not None and is_revision(oldest) and oldest <= HEAD)


_DEFINED: Final = re.compile(r"Table '(\w+)' is already defined")
"""SQLAlchemy's words for a second table of a name."""
metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


@cache
def whole() -> MetaData:
    """Return the tables of the server with those of its extensions, on or off. Raises ExtensionFault."""
    for extension in installed().values():
        try:
            brought(extension.tables)
        except ExtensionFault as fault:
            if isinstance(fault.__cause__, InvalidRequestError) and (name := _DEFINED.search(str(fault.__cause__))):
                claimed = f"claims the table {name[1]}, which there is already: uninstall it, or rename its table"
                raise ExtensionFault(f"the extension {extension.name} {claimed}") from fault
            raise
    return metadata


def of_others() -> list[Table]:
    """Return the tables of extensions of other distributions, which no migration makes. What these keep of users is
    asked for, too, as exports and erasures will. Raises ExtensionFault."""
    foreign = [extension for extension in installed().values() if not is_ours(extension)]
    for extension in foreign:
        brought(extension.user_data)
    if all(type(extension).tables is Extension.tables for extension in foreign):
        return []
    order = whole().sorted_tables
    names = {table.name for extension in foreign for table in brought(extension.tables)}
    return [table for table in order if table.name in names]


def of_thread() -> ForeignKeyConstraint:
    """Return the constraint by which rows with `owner` and `thread_id` go with their thread."""
    return ForeignKeyConstraint(["owner", "thread_id"], ["threads.owner", "threads.id"], ondelete="CASCADE")


def _where(condition: str) -> Any:
    """Return the options of a partial index for SQLite; `understudy.storage.postgresql` adds those for PostgreSQL.

    Here they would import its dialect.
    """
    return {"sqlite_where": text(condition)}


users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Float, nullable=False),
    Column("tenant", Text),
    Index(None, "tenant"),
)

# `node` and `fence` are the lease of a thread: only their holder may append to its log. `stored_bytes` counts the bytes
# of its events and messages, since the column exists. `answered_seq` is the number of the event that ended its newest
# answer, `read_seq` that up to which its user has seen it. `tags` are its tags, each between two spaces: " home work ".
threads = Table(
    "threads",
    metadata,
    Column("owner", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("agent_type", Text, nullable=False),
    Column("pillar", Text),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("newest_run", Text),
    Column("node", Text),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("stored_bytes", BigInteger, nullable=False, server_default="0"),
    Column("answered_seq", Integer, nullable=False, server_default="0"),
    Column("read_seq", Integer, nullable=False, server_default="0"),
    Column("pinned_at", Float),
    Column("archived_at", Float),
    Column("tags", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("owner", "id"),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "owner", "updated_at", "id"),
    Index("ix_threads_pinned", "owner", "updated_at", "id", **_where(PINNED)),
    Index("ix_threads_archived", "owner", "updated_at", "id", **_where(ARCHIVED)),
    Index("ix_threads_tagged", "owner", **_where(TAGGED)),
    Index("ix_threads_unread", "owner", **_where(UNREAD)),
)

# `number` keeps messages in the order they were stored, which clocks do not.
messages = Table(
    "messages",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("agent_type", Text, nullable=False),
    Column("pillar", Text),
    Column("status", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("references", JSON, nullable=False),
    Column("visualization", JSON(none_as_null=True)),
    Column("parent_id", Text),
    Column("branch_of", Text),
    Column("rating", Text),
    Column("note", Text),
    Column("next_steps", JSON(none_as_null=True)),
    Column("files", JSON(none_as_null=True)),
    UniqueConstraint("owner", "id"),
    of_thread(),
    Index(None, "owner", "thread_id", "number"),
    Index("ix_messages_branches", "owner", "thread_id", "parent_id", **_where(SAID)),
)

# The words of messages, for search: see `understudy.storage.fulltext`. In SQLite triggers fill a full-text table from
# this one; PostgreSQL has an ordinary index.
words = Table(
    "words",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    UniqueConstraint("owner", "message_id"),
    ForeignKeyConstraint(["owner", "message_id"], ["messages.owner", "messages.id"], ondelete="CASCADE"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("conversation_id", Text),
    Column("agent_type", Text, nullable=False),
    Column("pillar", Text),
    Column("status", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("request_id", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("progress", Integer, nullable=False, server_default="0"),
    Column("found", LargeBinary),
    Column("resume_at", Float),
    Column("continues", Text),
    Column("restarts", Integer, nullable=False, server_default="0"),
    of_thread(),
    Index(None, "owner", "thread_id"),
    Index(None, "owner", "message_id"),
    Index(None, "owner", "started_at", "id"),
    Index("ix_runs_owner_request_id", "owner", "request_id", unique=True, **_where("request_id IS NOT NULL")),
    Index("ix_runs_unfinished", "started_at", **_where("ended_at IS NULL")),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("call_id", Text),
    Column("arguments", JSON, nullable=False),
    Column("result", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    PrimaryKeyConstraint("run_id", "number"),
    ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
    Index("ix_steps_call_id", "call_id", **_where("call_id IS NOT NULL")),
    Index("ix_steps_open_undos", "run_id", **_where(OPEN_UNDO)),
    Index("ix_steps_unsettled", "run_id", **_where(UNSETTLED)),
)

events = Table(
    "events",
    metadata,
    Column("owner", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("run_id", Text),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("owner", "thread_id", "seq"),
    of_thread(),
    Index(None, "run_id", "seq", **_where("run_id IS NOT NULL")),
)

# Revoked sessions and tokens, until these have expired. `name` is a digest, `ended_at` is by the database's clock.
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("until", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Index(None, "until"),
    Index(None, "ended_at"),
)

# What each turn of a model cost: see `understudy.storage.spending`. `day` counts days of UTC from 1970.
spending = Table(
    "spending",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("tenant", Text),
    Column("day", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    PrimaryKeyConstraint("run_id", "number"),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "owner", "day"),
    Index(None, "tenant", "day"),
    Index(None, "day"),
)

# One row: the oldest revision whose code can use this schema, and the release whose migration wrote it.
compatibility = Table(
    "compatibility", metadata, Column("oldest_revision", Text, nullable=False), Column("release", Text)
)


class Now(FunctionElement[float]):
    """The time by the database's clock, in Unix seconds: servers compare times, and their own clocks differ."""

    type = Float()
    inherit_cache = True


@compiles(Now, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)"


@compiles(Now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
