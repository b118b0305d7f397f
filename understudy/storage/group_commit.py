"""Commits many writes in one transaction, each stored or refused on its own.

1. Each write has a savepoint, so a refused one does not affect the others.
2. Changes that only append events, maybe with steps, are stored together first, which is several times faster. If one
   of them does not fit, they are rolled back and each is retried with a savepoint. A locked row is waited for once.
3. Changes of one thread keep their order.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, IntegrityError, InternalError, OperationalError

from .agent_memory import Forget, ForgetExpired, Remember
from .bulk_append import append_all
from .deletion import MergeFulltext, RemoveFiles, RemoveUser
from .errors import ChangeRefused, StorageUnavailable, Unstorable, driver_words
from .revocations import RevokeSession
from .write_statements import add_users, apply, put_steps
from .writes import AddFile, Change, GiveFeedback, JoinNodes, LeaveNodes, ProbeWrite, RenewNode, Write

Outcome: TypeAlias = int | ChangeRefused | StorageUnavailable
"""The result of one write: the answer that its class documents, or the error that refused it."""
LOCKED: Final = "55P03"
"""PostgreSQL `lock_not_available`: another server held the row for longer than `lock_timeout`."""
ELSEWHERE: Final = "another server is writing the same"
IMPATIENT: Final = "SET LOCAL lock_timeout = '10ms'"
CONFLICTS: Final = ("40001", "40P01")
"""PostgreSQL `serialization_failure`, `deadlock_detected`: the transaction may succeed if repeated."""
_OF_NO_LOG: Final = (
    GiveFeedback, AddFile, ProbeWrite, Remember, Forget, ForgetExpired, JoinNodes, RenewNode, LeaveNodes, RemoveFiles,
    RemoveUser, MergeFulltext, RevokeSession,
)  # fmt: skip
"""Writes that touch no thread's log."""


def commit_group(connection: Connection, group: Sequence[Write]) -> list[Outcome]:
    """Commit a group of writes in one transaction. Return the outcome of each: the result of `apply`, or its error.

    Raises the errors of `DriverErrors` if the transaction as a whole fails; then nothing was stored.
    """
    outcomes: list[Outcome | None] = [None] * len(group)
    with connection.begin():
        if connection.dialect.name == "postgresql":
            _add_users(connection, group)
        together = _appends(group)
        if together and _together(connection, lambda: _append(connection, [work for _, work in together])):
            for place, _ in together:
                outcomes[place] = True
        return [
            outcome if outcome is not None else _attempt(connection, work)
            for outcome, work in zip(outcomes, group, strict=True)
        ]


def is_conflict(error: Exception) -> bool:
    """Return whether a transaction failed because of a concurrent one, and can be retried at once."""
    return _state(error) in CONFLICTS


def _add_users(connection: Connection, group: Sequence[Write]) -> None:
    """Insert the users of new threads first, sorted by name, so that two servers cannot deadlock.

    If one of the names cannot be stored, each user is inserted with its change instead.
    """
    new = {work.owner: work.thread.created_at for work in group if isinstance(work, Change) and work.thread is not None}
    if new:
        _together(connection, lambda: add_users(connection, sorted(new.items())))


def _appends(group: Sequence[Write]) -> list[tuple[int, Change]]:
    """Return the append-only changes with their positions, except those of threads that other writes touch too."""
    plain = [(place, work) for place, work in enumerate(group) if isinstance(work, Change) and work.only_appends]
    if len(plain) == len(group):
        return plain
    places = {place for place, _ in plain}
    touched = {
        (work.owner, work.thread_id)
        for place, work in enumerate(group)
        if place not in places and not isinstance(work, _OF_NO_LOG)
    }
    return [(place, work) for place, work in plain if (work.owner, work.thread_id) not in touched]


def _append(connection: Connection, changes: Sequence[Change]) -> bool:
    if not append_all(connection, changes):
        return False
    put_steps(connection, [step for change in changes for step in change.steps])
    return True


def _together(connection: Connection, write: Callable[[], bool]) -> bool:
    """Run `write` in a savepoint. Return False, with nothing written, if it returns False or fails."""
    driver = _driver(connection)
    driver.execute("SAVEPOINT together")
    stored = locked = False
    try:
        stored = write()
    except Exception as error:
        if _is_of_the_database(error):
            raise
        locked = _state(error) == LOCKED  # other errors are assigned to a write when each is retried alone
    if not stored:
        driver.execute("ROLLBACK TO together")
    if locked:
        driver.execute(IMPATIENT)  # one lock timeout per group is enough
    return stored  # the savepoint ends with the transaction; RELEASE would be another round trip


def _attempt(connection: Connection, work: Write, *, again: bool = False) -> Outcome:
    driver = _driver(connection)
    driver.execute("SAVEPOINT change")
    try:
        outcome: Outcome = apply(connection, work)
    except ChangeRefused as error:
        outcome = error
    except Exception as error:
        if _is_of_the_database(error):
            raise
        locked = _state(error) == LOCKED
        outcome = StorageUnavailable(ELSEWHERE) if locked else Unstorable(driver_words(error))
        outcome.__cause__ = error
    if isinstance(outcome, Exception):
        driver.execute("ROLLBACK TO change")
    driver.execute("RELEASE change")
    if isinstance(outcome, StorageUnavailable):
        driver.execute(IMPATIENT)  # other writes of the group may need rows of the same server
    elif isinstance(outcome, Unstorable) and isinstance(outcome.__cause__, IntegrityError) and not again:
        return _attempt(connection, work, again=True)  # a row that another server inserted meanwhile is visible now
    return outcome


def _driver(connection: Connection) -> Any:
    """Return the driver's connection: savepoints through SQLAlchemy cost as much as the rest of a small change."""
    return connection.connection.driver_connection


def _is_of_the_database(error: Exception) -> bool:
    """Return whether an error is of the database (full, locked, damaged), so that the whole group fails."""
    if _state(error) == LOCKED:
        return False
    return isinstance(error, OperationalError | InternalError) or type(error) is DatabaseError


def _state(error: Exception) -> str | None:
    """Return the SQLSTATE of a PostgreSQL error; None for SQLite."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)
