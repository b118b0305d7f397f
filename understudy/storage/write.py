"""What the writer commits. A write knows how it is applied to a connection, whose transaction the writer holds."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Table

from . import schema
from .owners import tenant_of
from .prepared import Prepared


class Write:
    """Something that is stored completely or not at all; to store it twice is to store it once."""

    __slots__ = ()

    def apply(self, connection: Connection) -> int:
        """Execute it; return the answer that the class documents, else True.

        Raises ChangeRefused and the errors of SQLAlchemy; the writer then rolls back to the savepoint before it.
        """
        raise NotImplementedError


class ThreadWrite(Write):
    """One that touches the log of a thread."""

    __slots__ = ()

    owner: str
    thread_id: str


def put(connection: Connection, table: Table) -> Any:
    """Build the database's own INSERT into a table, with its upsert clauses. It reports how many rows were added."""
    return insert_into(connection.dialect.name)(table)


@cache
def insert_into(database: str) -> Callable[[Table], Any]:
    """Return what builds the INSERTs of a database. No other dialect is imported: that of PostgreSQL takes 2 MB."""
    if database == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    # inline: return whether a row was added, but not its number
    return lambda table: insert(table).inline().execution_options(preserve_rowcount=True)


@cache
def _insert_user(database: str) -> Prepared:
    return Prepared(insert_into(database)(schema.users).on_conflict_do_nothing(index_elements=["id"]))


def add_users(connection: Connection, users: Sequence[tuple[str, float]]) -> bool:
    """Insert users that do not exist yet, each with the time of arrival. Return True."""
    rows = [{"id": owner, "created_at": created_at, "tenant": tenant_of(owner)} for owner, created_at in users]
    _insert_user(connection.dialect.name).run(connection, rows)
    return True


@frozen
class ProbeWrite(Write):
    """Write a page and commit, with no other effect: checks that writing works."""

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        if connection.dialect.name == "postgresql":
            # A read-only server accepts the message, but refuses to lock rows.
            connection.exec_driver_sql("SELECT FROM alembic_version WHERE false FOR KEY SHARE")
            connection.exec_driver_sql("SELECT pg_logical_emit_message(true, 'understudy', '')")
            return True
        # `user_version` is the one free number in the first page. SQLite writes nothing if the number stays the same.
        number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {0 if number else 1}")
        return True
