"""DuckDB over one file of one user, for the time of one call.

1. Every call has a database of its own, in memory. No two users, and no two calls, ever share one.
2. The file is read by `table_file.load`. Then, before any query that a user wrote, access to files and the network
   is switched off, the configuration locked and a read-only transaction begun.
3. DuckDB runs in a worker thread. A cancelled or late call interrupts it, and returns only after it has ended.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import duckdb
import trio
from attrs import define, field, frozen

from understudy.tools import table_file
from understudy.tools.errors import ToolError
from understudy.tools.tool import StoredFile, ToolContext

T = TypeVar("T")

LIMIT_S: Final = 10.0
MEMORY: Final = "512MB"
# Databases at once, each with THREADS threads and up to MEMORY: the rest of the calls wait for their turn.
SLOTS: Final = 4
THREADS: Final = 2
# How often a query is told again to stop: an interrupt that arrives between two queries is lost.
_AGAIN_S: Final = 0.01

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "memory_limit": MEMORY,
    "threads": THREADS,
    "temp_directory": "",  # DuckDB would create one, and allow queries to read in it
    "max_temp_directory_size": "0B",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,  # or a query could name a variable of this program as its table
}
_LOCK: Final = (
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
    "BEGIN TRANSACTION READ ONLY",
)


@frozen
class Column:
    """A column of the table: its name and DuckDB's name of its type."""

    name: str
    type: str

    @property
    def quoted(self) -> str:
        """The name as SQL takes it."""
        return quote(self.name)

    @property
    def kind(self) -> str:
        """``number``, ``date`` (also with a time of day), ``boolean``, ``text`` or ``nested``."""
        if self.type.startswith(("DATE", "TIMESTAMP")):
            return "date"
        if self.type.endswith("]") or self.type.startswith(("STRUCT", "MAP", "UNION", "JSON", "VARIANT")):
            return "nested"
        if self.type == "BOOLEAN":
            return "boolean"
        return "number" if self.type.split("(")[0] in _NUMBERS else "text"


_NUMBERS: Final = frozenset(
    "TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT DOUBLE DECIMAL".split()  # noqa: SIM905 (words read better as words)
)


def quote(name: str) -> str:
    """A name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


class Table:
    """A loaded, locked table called ``data``. Lives in its worker thread and is never used outside it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, check: Callable[[], None]) -> None:
        self.connection = connection
        self._check = check
        described = self.rows("SELECT column_name, column_type FROM (DESCRIBE data)")
        self.columns = tuple(Column(name, kind) for name, kind in described)
        self.row_count: int = self.rows("SELECT count(*) FROM data")[0][0]

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query of our own. Raises `Stopped` once the call is over."""
        self._check()
        return self.connection.execute(sql, list(parameters)).fetchall()


class Stopped(Exception):
    """The call was cancelled or is late; the thread must end."""


@define(eq=False)
class _Work(Generic[T]):
    """What one thread does, and how another one stops it."""

    file: StoredFile
    job: Callable[[Table], T]
    _connection: duckdb.DuckDBPyConnection | None = None
    _running: bool = False
    _stopping: bool = False
    _lock: threading.Lock = field(factory=threading.Lock)

    def run(self) -> T:
        """In the worker thread: load, lock, do the job."""
        with self._lock:
            if self._stopping:
                raise Stopped
            self._running = True
        try:
            connection = self._connection = duckdb.connect(":memory:", config=_CONFIG)
            table_file.load(connection, self.file, self.check)
            for statement in _LOCK:
                connection.execute(statement).fetchall()
            return self.job(Table(connection, self.check))
        except duckdb.OutOfMemoryException:
            raise ToolError("query_failed", f"That needs more memory than the {MEMORY} a table may use here.") from None
        finally:
            self._close()

    def check(self) -> None:
        """Between two steps: raises `Stopped` once nobody waits for the result."""
        if self._stopping:
            raise Stopped

    def stop(self) -> bool:
        """From outside: end soon. Returns whether the thread still runs."""
        with self._lock:
            self._stopping = True
            if self._connection is not None:
                self._connection.interrupt()
            return self._running

    def _close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        with self._lock:
            self._running = False


_slots: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("understudy.duck_slots")


def _limiter() -> trio.CapacityLimiter:
    try:
        return _slots.get()
    except LookupError:
        limiter = trio.CapacityLimiter(SLOTS)
        _slots.set(limiter)
        return limiter


async def with_table(file: StoredFile, job: Callable[[Table], T], *, limit_s: float = LIMIT_S) -> T:
    """Load `file` as the table ``data`` and give it to `job`, in a worker thread.

    The time limit counts from the moment there is a free slot. Raises `ToolError`: ``tool_timeout`` after `limit_s`
    seconds, ``invalid_table`` for a file that is no table, ``query_failed`` when memory runs out, and whatever `job`
    raises. When it raises or is cancelled, the thread has ended.
    """
    async with _limiter():
        with trio.move_on_after(limit_s) as limit:
            return await _in_thread(_Work(file, job))
    if limit.cancelled_caught:
        raise ToolError("tool_timeout", f"That took longer than {limit_s:g} seconds and was stopped.")
    raise AssertionError("a scope that was not cancelled has returned")


async def _in_thread(work: _Work[T]) -> T:
    try:
        # A limiter of its own: the slot it waits for has been taken already.
        return await trio.to_thread.run_sync(work.run, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1))
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            while work.stop():  # noqa: ASYNC110 (a thread that nobody waits for any more can set no trio event)
                await trio.sleep(_AGAIN_S)
        raise


async def attached(context: ToolContext, file_id: str) -> StoredFile:
    """The user's file of that id. Raises `ToolError` ``not_found``."""
    try:
        return await context.files.get(file_id)
    except LookupError:
        raise ToolError("not_found", "There is no attached file of that id; attach it to the message first.") from None
