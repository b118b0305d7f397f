"""What the writer commits. A write knows how it is applied to a connection, whose transaction the writer holds."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec

from attrs import field, frozen
from sqlalchemy import Connection, Table

from . import schema
from .owners import tenant_of
from .prepared import Prepared

P = ParamSpec("P")


class Write:
    """Something that is stored completely or not at all; to store it twice is to store it once."""

    __slots__ = ()

    @property
    def of_thread(self) -> tuple[str, str] | None:
        """Owner and id of the thread whose log it touches."""
        return None

    def apply(self, connection: Connection) -> int:
        """Execute it; return the answer that it documents, else True.

        Raises ChangeRefused and the errors of SQLAlchemy; the writer then rolls back to the savepoint before it.
        """
        raise NotImplementedError


@frozen
class Call(Write):
    """A call of `made_by`, a function that is decorated with `write`, which the writer applies."""

    made_by: Callable[..., Write]
    given: Mapping[str, Any] = field(repr=False)  # texts and secrets of users are among the arguments
    of_thread: tuple[str, str] | None
    _function: Callable[..., int] = field(repr=False)

    def apply(self, connection: Connection) -> int:
        """Call the function with its arguments."""
        return self._function(connection, **self.given)


def write(function: Callable[Concatenate[Connection, P], int]) -> Callable[P, Call]:
    """Make a function of a connection and other arguments, which returns what `Write.apply` does, return a write of
    these arguments."""
    return _made(function, of_log=False)


def thread_write(function: Callable[Concatenate[Connection, P], int]) -> Callable[P, Call]:
    """As `write`, for a function that touches the log of the thread that its arguments `owner` and `thread_id` name."""
    return _made(function, of_log=True)


def _made(function: Callable[Concatenate[Connection, P], int], *, of_log: bool) -> Callable[P, Call]:
    parameters = signature(function)
    parameters = parameters.replace(parameters=list(parameters.parameters.values())[1:])

    @wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Call:
        bound = parameters.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        return Call(make, given, (given["owner"], given["thread_id"]) if of_log else None, function)

    return make


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


def add_users(connection: Connection, users: Sequence[tuple[str, float]]) -> None:
    """Insert users that do not exist yet, each with the time of arrival."""
    rows = [{"id": owner, "created_at": created_at, "tenant": tenant_of(owner)} for owner, created_at in users]
    _insert_user(connection.dialect.name).run(connection, rows)


@write
def probe(connection: Connection) -> bool:
    """Write a page and commit, with no other effect: checks that writing works."""
    if connection.dialect.name == "postgresql":
        # A read-only server accepts the message, but refuses to lock rows.
        connection.exec_driver_sql("SELECT FROM alembic_version WHERE false FOR KEY SHARE")
        connection.exec_driver_sql("SELECT pg_logical_emit_message(true, 'understudy', '')")
        return True
    # `user_version` is the one free number in the first page. SQLite writes nothing if the number stays the same.
    number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {0 if number else 1}")
    return True
