"""Runs a query that a user or a model wrote: policy, result, and errors as sentences.

The policy is an allow list, checked in DuckDB's own syntax tree: one read-only query over the table ``data``. It
refuses system tables about the server, statements with effects, and functions that cannot be interrupted. Access to
files is switched off independently (see `duckdb_session`).
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from analyst.column_types import quote
from analyst.duckdb_session import Column, Table
from analyst.profiling import whole
from analyst.refusal import Refusal

if TYPE_CHECKING:
    import duckdb

MAX_CELL: Final = 1_000  # characters; the rest is cut off
MAX_RESULT_CHARS: Final = 150_000

MAX_LENGTH: Final = 20_000
MAX_LEVELS: Final = 900
"""Levels of a query's syntax tree: some 300 nested subqueries. Python 3.12 would read deeper trees than 3.11."""

_TOO_DEEP: Final = "The query is nested too deeply."
_ONLY_READING: Final = "Only a single reading query is allowed: SELECT, WITH, VALUES, DESCRIBE or SUMMARIZE."

# The only functions in FROM that access nothing outside the query; they generate rows one by one.
_SOURCES: Final = frozenset({"range", "generate_series", "unnest"})

# Functions that wait, write, or reveal something about the server.
_CLOSED: Final = frozenset(
    "sleep_ms pg_sleep write_log current_setting getvariable getenv setval nextval currval parse_duckdb_log_message "  # noqa: SIM905 (words read better as words)
    "json_execute_serialized_sql index_key stats".split()
)

# Functions that build a value of a given size in one step that cannot be interrupted: 100 s for range(1000000000). The
# size must be a constant of at most `MAX_GROWTH`.
_GROWING: Final = frozenset(
    "repeat lpad rpad range generate_series bitstring list_resize array_resize printf format".split()  # noqa: SIM905 (words read better as words)
)
MAX_GROWTH: Final = 10_000

# Types that JSON has; values of other types are shown in DuckDB's notation.
_PLAIN: Final = frozenset("BOOLEAN FLOAT DOUBLE".split())  # noqa: SIM905 (words read better as words)


@frozen
class Answer:
    """The rows of a query as plain JSON values. `truncated` says why rows are missing; empty if none is.

    `notes` say how the file was read, if it could be read in several ways.
    """

    columns: tuple[Column, ...]
    rows: list[list[Any]]
    truncated: str = ""
    notes: tuple[str, ...] = ()


def query(table: Table, sql: str, limit: int) -> Answer:
    """Run one reading query of a user on a table, for at most `limit` rows.

    Raises `Refusal`: ``query_refused`` for any other statement, or a query that reaches outside the table;
    ``query_failed`` for a faulty query, with the existing columns if it names an unknown one.
    """
    import duckdb  # here: only the worker needs it, and the server starts lighter without

    try:
        _check_query(table.connection, sql)
        return run(table, sql, limit)
    except duckdb.Error as error:
        raise _fault(error, table) from None


def run(table: Table, sql: str, limit: int) -> Answer:
    """Run a trusted query, for at most `limit` rows."""
    relation = table.connection.sql(sql)
    columns = tuple(Column(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True))
    cells = ", ".join(f"{_cell(place, column)} AS c{place}" for place, column in enumerate(columns, 1))
    fetched = relation.limit(limit + 1).project(cells).fetchall()
    rows = [[_plain(cell) for cell in row] for row in fetched[:limit]]
    room = MAX_RESULT_CHARS
    for count, row in enumerate(rows):
        room -= sum(len(str(cell)) + 3 for cell in row)
        if room < 0:
            truncated = f"only the first {count:,} rows are shown, as they are very long"
            return Answer(columns, rows[:count], truncated, table.notes)
    truncated = f"only the first {limit:,} rows are shown" if len(fetched) > limit else ""
    return Answer(columns, rows, truncated, table.notes)


def _cell(place: int, column: Column) -> str:
    if column.type in _PLAIN or column.is_whole:
        return f"#{place}"
    return (
        f"CAST(#{place} AS DOUBLE)"
        if column.type.startswith("DECIMAL")
        else f"left(CAST(#{place} AS VARCHAR), {MAX_CELL})"
    )


def _plain(cell: Any) -> Any:
    """Convert a cell to JSON. A float is rounded to the 15 significant digits that it holds, as for sums of cents."""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return whole(cell)
    if not isinstance(cell, float):
        return cell
    return float(f"{cell:.15g}") if math.isfinite(cell) else None


def squeezed(name: str) -> str:
    """Return a name in lower case without spaces, underscores and punctuation."""
    return re.sub(r"[\W_]+", "", name).lower()


def find_column(columns: Sequence[Column], name: str) -> Column | None:
    """Return the column of that name: the exact spelling first, then any case, then any spacing."""
    for normalise in (str, str.lower, squeezed):
        for column in columns:
            if normalise(column.name) == normalise(name.strip()) != "":
                return column
    return None


def no_such_column(name: str, columns: Sequence[Column]) -> Refusal:
    """Return the error for an unknown column, with the names of the existing ones, similar ones first."""
    names = [column.name for column in columns]
    near = difflib.get_close_matches(name.lower(), [known.lower() for known in names], n=3, cutoff=0.6)
    similar = [known for known in names if known.lower() in near]
    names = [*similar, *(known for known in names if known not in similar)]
    shown = ", ".join(f"“{known[:60]}”" for known in names[:20])
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return Refusal("query_failed", f"There is no column “{name[:60]}”. The table has {shown}{more}.")


def _fault(error: duckdb.Error, table: Table) -> Exception:
    """Return the error for the user, which never reveals a path of this machine."""
    import duckdb  # here: only the worker needs it, and the server starts lighter without

    if isinstance(error, duckdb.OutOfMemoryException):
        return error
    text = str(error)
    if isinstance(error, duckdb.PermissionException) or "read-only mode" in text:
        return Refusal("query_refused", "A query may read the table and nothing else: no files, no network.")
    column = re.search(r'Referenced column "([^\n]{1,1000}?)" not found', text)
    if column:
        return no_such_column(column[1], table.columns)
    missing = re.search(r"Table with name (\S+) does not exist", text)
    if missing:
        return Refusal("query_failed", f"There is no table {quote(missing[1][:60])}; the table is called data.")
    first = text.split("\n", 1)[0].split("Error: ", 1)[-1].strip()
    if re.search(r"extension|/[\w.]+/|\\\\", first):
        return Refusal("query_failed", "The query uses something that is not available here.")
    return Refusal("query_failed", f"The query could not be run: {first[:300].rstrip('.!')}.")


def _check_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Accept exactly one SELECT, WITH, VALUES, FROM, DESCRIBE or SUMMARIZE over the table ``data``."""
    import duckdb  # here: only the worker needs it, and the server starts lighter without

    if len(sql) > MAX_LENGTH:
        raise _refused(f"The query is longer than {MAX_LENGTH:,} characters.")
    if "\0" in sql:
        raise _refused("The query has a character in it that SQL does not know.")
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise _refused("There is no query." if not statements else "Only one query at a time is allowed.")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise _refused(_ONLY_READING)
    serialized = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0]
    try:
        tree = json.loads(serialized)
    except RecursionError:
        raise _refused(_TOO_DEEP) from None
    if tree.get("error"):
        raise _refused(_ONLY_READING)
    with_names = [(node.get("cte_map") or {}).get("map", []) for node in _nodes(tree)]
    named = {str(entry.get("key")).lower() for entries in with_names for entry in entries if isinstance(entry, dict)}
    for node in _nodes(tree):
        _check_node(node, {"data", *named})


def _refused(sentence: str) -> Refusal:
    return Refusal("query_refused", sentence)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a syntax tree. Raises Refusal if it has more than `MAX_LEVELS`."""
    waiting = [(tree, 0)]
    while waiting:
        node, level = waiting.pop()
        if level > MAX_LEVELS:
            raise _refused(_TOO_DEEP)
        if isinstance(node, dict):
            yield node
            waiting.extend((child, level + 1) for child in node.values())
        elif isinstance(node, list):
            waiting.extend((child, level + 1) for child in node)


def _check_node(node: dict[str, Any], tables: set[str]) -> None:
    kind = str(node.get("type"))
    if re.fullmatch(r"(INSERT|UPDATE|DELETE|MERGE\w*)_QUERY_NODE", kind):
        raise _refused("Only reading is allowed: the query would change the table.")
    if kind == "BASE_TABLE":
        name = str(node.get("table_name"))
        other_schema = str(node.get("schema_name") or "main").lower() != "main" or node.get("catalog_name")
        if other_schema or name.lower() not in tables:
            raise _refused(f"There is no table “{name[:60]}” to read; the table is called data.")
    if kind == "SHOW_REF" and node.get("show_type") == "SHOW_SPECIAL" and "tables" not in str(node.get("table_name")):
        raise _refused(_ONLY_READING)
    if kind == "TABLE_FUNCTION":
        function = node["function"]
        if str(function.get("function_name")).lower() not in _SOURCES:
            raise _refused("A query may read the table and nothing else: no files, no network, no settings.")
        function["class"] = "SOURCE"  # it generates rows one by one and can be interrupted, so its size is not checked
    if node.get("class") == "FUNCTION":
        name = str(node.get("function_name")).lower()
        if name in _CLOSED:
            raise _refused(f"{name} may not be used here.")
        if name in _GROWING and _may_grow(name, node):
            raise _refused(f"{name} may only be used with a size, written as a number, of at most {MAX_GROWTH:,}.")


def _may_grow(name: str, function: dict[str, Any]) -> bool:
    """Return whether a size is large, or not a literal and therefore unknown before the query runs."""
    nodes = function.get("arguments") or function.get("children") or []
    arguments = [node.get("expression", node) for node in nodes]
    if name in ("printf", "format"):
        pattern = _literal(arguments[0]) if arguments else None
        widths = re.findall(r"\d+", pattern or "")
        return pattern is None or "*" in pattern or "{:{" in pattern or any(not _is_small(width) for width in widths)
    sizes = arguments if name in ("range", "generate_series") else arguments[1:2]
    return any(not _is_small(_literal(size)) for size in sizes)


def _is_small(digits: str | None) -> bool:
    return digits is not None and re.fullmatch(r"\d{1,6}", digits) is not None and int(digits) <= MAX_GROWTH


def _literal(argument: dict[str, Any]) -> str | None:
    if argument.get("class") != "CONSTANT":
        return None
    literal = argument.get("literal") or {}
    return str(literal["text"]) if "text" in literal else None
