"""Runs a query that a user or a model wrote: policy, result, and errors as sentences."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from understudy.tools.duckdb_session import Column, Table, quote
from understudy.tools.errors import ToolError
from understudy.tools.sql_policy import check_query

if TYPE_CHECKING:
    import duckdb

MAX_CELL: Final = 1_000
MAX_RESULT_CHARS: Final = 150_000

# Types JSON has; every other value is shown as DuckDB writes it.
_PLAIN: Final = frozenset("BOOLEAN TINYINT SMALLINT INTEGER BIGINT UTINYINT USMALLINT UINTEGER FLOAT DOUBLE".split())  # noqa: SIM905 (words read better as words)


@frozen
class Answer:
    """The rows of a query: plain JSON values. `truncated` says why not all of them are here, or is empty."""

    columns: tuple[Column, ...]
    rows: list[list[Any]]
    truncated: str = ""


def run(table: Table, sql: str, limit: int) -> Answer:
    """Run one reading query on `table`, for at most `limit` rows.

    Raises `ToolError`: ``query_refused`` when it is anything but one reading query, or reaches outside the table;
    ``query_failed`` when it is wrong, naming the columns there are when it names one there is not.
    """
    import duckdb  # here: only the worker needs it, and the server starts lighter without

    connection = table.connection
    try:
        check_query(connection, sql)
        relation = connection.sql(sql)
        columns = tuple(Column(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True))
        shown = ", ".join(_shown(place, column) for place, column in enumerate(columns, 1))
        found = relation.limit(limit + 1).project(shown).fetchall()
    except duckdb.Error as error:
        raise _fault(error, table) from None
    cut = f"only the first {limit:,} rows are shown" if len(found) > limit else ""
    return _bounded(columns, [[_plain(cell) for cell in row] for row in found[:limit]], cut)


def _shown(place: int, column: Column) -> str:
    if column.type in _PLAIN:
        return f"#{place} AS c{place}"
    if column.type.startswith("DECIMAL"):
        return f"CAST(#{place} AS DOUBLE) AS c{place}"
    return f"left(CAST(#{place} AS VARCHAR), {MAX_CELL}) AS c{place}"


def _plain(cell: Any) -> Any:
    """Numbers with 15 significant digits, which is what a float holds: sums of cents read as people write them."""
    if not isinstance(cell, float):
        return cell
    return float(f"{cell:.15g}") if math.isfinite(cell) else None


def _bounded(columns: tuple[Column, ...], rows: list[list[Any]], cut: str) -> Answer:
    left = MAX_RESULT_CHARS
    for kept, row in enumerate(rows):
        left -= sum(len(str(cell)) + 3 for cell in row)
        if left < 0:
            return Answer(columns, rows[:kept], f"only the first {kept:,} rows are shown, as they are very long")
    return Answer(columns, rows, cut)


def no_such_column(name: str, columns: Sequence[Column]) -> ToolError:
    """Return the error for an unknown column, with the names of the existing ones, likely ones first."""
    names = [column.name for column in columns]
    near = difflib.get_close_matches(name.lower(), [each.lower() for each in names], n=3, cutoff=0.6)
    likely = [each for each in names if each.lower() in near]
    listed = [*likely, *(each for each in names if each not in likely)]
    shown = ", ".join(f"“{each[:60]}”" for each in listed[:20])
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return ToolError("query_failed", f"There is no column “{name[:60]}”. The table has {shown}{more}.")


def _fault(error: duckdb.Error, table: Table) -> Exception:
    """Return the error for the user, which never reveals a path of this machine."""
    import duckdb  # here: only the worker needs it, and the server starts lighter without

    if isinstance(error, duckdb.OutOfMemoryException):
        return error
    text = str(error)
    if isinstance(error, duckdb.PermissionException) or "read-only mode" in text:
        return ToolError("query_refused", "A query may read the table and nothing else: no files, no network.")
    column = re.search(r'Referenced column "([^\n]{1,1000}?)" not found', text)
    if column:
        return no_such_column(column[1], table.columns)
    missing = re.search(r"Table with name (\S+) does not exist", text)
    if missing:
        return ToolError("query_failed", f"There is no table {quote(missing[1][:60])}; the table is called data.")
    first = text.split("\n", 1)[0].split("Error: ", 1)[-1].strip()
    if re.search(r"extension|/[\w.]+/|\\\\", first):
        return ToolError("query_failed", "The query uses something that is not available here.")
    return ToolError("query_failed", f"The query could not be run: {first[:300].rstrip('.!')}.")
