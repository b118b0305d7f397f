"""One transaction of many changes: each is stored or refused on its own.

1. Each change has a savepoint, so one that is refused takes nothing with it.
2. What only appends events, maybe with steps, is stored together first, which is several times faster. When one of them
   does not fit, nothing of that is kept, and each gets a savepoint after all. A row that is locked is waited for once.
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
"""What came of one work: its answer, which is a number for a claim and true or false for all else, or why not."""
LOCKED: Final = "55P03"
"""PostgreSQL: another server wrote to the same row for too long."""
ELSEWHERE: Final = "another server is writing the same"
IMPATIENT: Final = "SET LOCAL lock_timeout = '10ms'"
CONFLICTS: Final = ("40001", "40P01")
"""PostgreSQL: the transaction and another one's could not both be; the same again may well be."""
_OF_NO_LOG: Final = (
    GiveFeedback, AddFile, ProbeWrite, Remember, Forget, ForgetExpired, JoinNodes, RenewNode, LeaveNodes, RemoveFiles,
    RemoveUser, MergeFulltext, RevokeSession,
)  # fmt: skip
"""Works that touch no thread's log."""


def commit_group(connection: Connection, group: Sequence[Write]) -> list[Outcome]:
    """Store the group in one transaction, which has returned from its commit when this does.

    The outcome of each is what `apply` returned, or why it was refused. Raises what `DriverErrors` names when
    the transaction as a whole fails; then nothing was stored.
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
    """Whether a transaction failed for another server's sake, and is to be tried again at once."""
    return _state(error) in CONFLICTS


def _add_users(connection: Connection, group: Sequence[Write]) -> None:
    """Add whoever is new to begin with, in the order of their names, so that two servers never wait for each other.

    Where one of the names cannot be stored, each is added with its change.
    """
    new = {work.owner: work.thread.created_at for work in group if isinstance(work, Change) and work.thread is not None}
    if new:
        _together(connection, lambda: add_users(connection, sorted(new.items())))


def _appends(group: Sequence[Write]) -> list[tuple[int, Change]]:
    """The changes that only append, with their places; without those of threads that others touch too."""
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
    """Write something for many works, all or nothing of it; whether it was."""
    driver = _driver(connection)
    driver.execute("SAVEPOINT together")
    stored = locked = False
    try:
        stored = write()
    except Exception as error:
        if _is_of_the_database(error):
            raise
        locked = _state(error) == LOCKED  # whose fault anything else was shows when each is tried alone
    if not stored:
        driver.execute("ROLLBACK TO together")
    if locked:
        driver.execute(IMPATIENT)  # that row was waited for
    return stored  # the savepoint ends with the transaction: to end it here would be one more trip to a server


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
        driver.execute(IMPATIENT)  # others of the group may need the same server's rows
    elif isinstance(outcome, Unstorable) and isinstance(outcome.__cause__, IntegrityError) and not again:
        return _attempt(connection, work, again=True)  # what another server stored at this moment is seen now
    return outcome


def _driver(connection: Connection) -> Any:
    """The driver's connection: SQLAlchemy's own savepoints cost as much as all the rest of a small change."""
    return connection.connection.driver_connection


def _is_of_the_database(error: Exception) -> bool:
    """Whether the database is at fault (full, locked, broken) and with it the whole group, and not this change."""
    if _state(error) == LOCKED:
        return False
    return isinstance(error, OperationalError | InternalError) or type(error) is DatabaseError


def _state(error: Exception) -> str | None:
    """What PostgreSQL calls an error; nothing that SQLite says has such a name."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)
