"""DuckDB over one file of one user, for the time of one question. Lives in the process of `table_worker`.

The file is read by `table_file.load`. Then, before any query that a user wrote, access to files and the network is
switched off, the configuration locked and a read-only transaction begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from understudy.tools import table_file

if TYPE_CHECKING:
    import duckdb

MEMORY: Final = "512MB"
THREADS: Final = 2

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
        """The name as an SQL identifier."""
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
    """Return a name as an SQL identifier, with any characters in it."""
    return '"' + name.replace('"', '""') + '"'


class Table:
    """A loaded, locked table called ``data``."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        described = self.rows("SELECT column_name, column_type FROM (DESCRIBE data)")
        self.columns = tuple(Column(name, kind) for name, kind in described)
        self.row_count: int = self.rows("SELECT count(*) FROM data")[0][0]

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a trusted query."""
        return self.connection.execute(sql, list(parameters)).fetchall()


def open_table(file: table_file.TableFile, folder: Path) -> Table:
    """Load a file and lock what it was loaded into; `folder` is where it may be rewritten in another encoding.

    Raises `ToolError` ``invalid_table`` for a file that is no table, and DuckDB's own error when memory runs out.
    """
    import duckdb  # here: only the worker needs it, and the server starts lighter without

    connection = duckdb.connect(":memory:", config=_CONFIG)
    table_file.load(connection, file, folder)
    for statement in _LOCK:
        connection.execute(statement).fetchall()
    return Table(connection)
