"""An allow-list for SQL: one read-only query over the table ``data``, checked in DuckDB's own syntax tree.

Access to files is switched off independently of this (see `duckdb_session`). The policy refuses the rest: system tables
about the server, statements with effects, functions that cannot be interrupted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from understudy.tools.errors import ToolError

if TYPE_CHECKING:
    import duckdb

MAX_LENGTH: Final = 20_000

_ONLY_READING: Final = "Only a single reading query is allowed: SELECT, WITH, VALUES, DESCRIBE or SUMMARIZE."

# They generate rows one by one: the only functions in FROM that reach nothing outside the query.
_SOURCES: Final = frozenset({"range", "generate_series", "unnest"})

# They wait, write, or reveal something about the server.
_CLOSED: Final = frozenset(
    "sleep_ms pg_sleep write_log current_setting getvariable getenv setval nextval currval parse_duckdb_log_message "  # noqa: SIM905 (words read better as words)
    "json_execute_serialized_sql index_key stats".split()
)

# They build a value of the given size in one step that cannot be interrupted: 100 s for range(1000000000). The size
# must be a constant of at most `MAX_GROWTH`.
_GROWING: Final = frozenset(
    "repeat lpad rpad range generate_series bitstring list_resize array_resize printf format".split()  # noqa: SIM905 (words read better as words)
)
MAX_GROWTH: Final = 10_000


def check_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Accept exactly one SELECT, WITH, VALUES, FROM, DESCRIBE or SUMMARIZE.

    Raises `ToolError`: ``query_refused`` for anything else, for a table other than ``data`` and for functions that
    users may not call; DuckDB's own error for invalid SQL.
    """
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
    written = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0]
    try:
        tree = json.loads(written)
    except RecursionError:
        raise _refused("The query is nested too deeply.") from None
    if tree.get("error"):
        raise _refused(_ONLY_READING)
    named = {str(entry.get("key")).lower() for node in _nodes(tree) for entry in _named(node)}
    for node in _nodes(tree):
        _check_node(node, {"data", *named})


def _refused(why: str) -> ToolError:
    return ToolError("query_refused", why)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a syntax tree, outer ones first."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _named(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The queries a WITH gives names to."""
    entries = (node.get("cte_map") or {}).get("map", [])
    return [entry for entry in entries if isinstance(entry, dict)]


def _check_node(node: dict[str, Any], tables: set[str]) -> None:
    kind = str(node.get("type"))
    if re.fullmatch(r"(INSERT|UPDATE|DELETE|MERGE\w*)_QUERY_NODE", kind):
        raise _refused("Only reading is allowed: the query would change the table.")
    if kind == "BASE_TABLE" and (str(node.get("table_name")).lower() not in tables or _in_other_schema(node)):
        name = str(node.get("table_name"))[:60]
        raise _refused(f"There is no table “{name}” to read; the table is called data.")
    if kind == "SHOW_REF" and node.get("show_type") == "SHOW_SPECIAL" and "tables" not in str(node.get("table_name")):
        raise _refused(_ONLY_READING)
    if kind == "TABLE_FUNCTION":
        function = node["function"]
        if str(function.get("function_name")).lower() not in _SOURCES:
            raise _refused("A query may read the table and nothing else: no files, no network, no settings.")
        function["class"] = "SOURCE"  # gives rows one by one and can be interrupted, so its size does not matter
    if node.get("class") == "FUNCTION":
        _check_function(node)


def _in_other_schema(node: dict[str, Any]) -> bool:
    return str(node.get("schema_name") or "main").lower() != "main" or bool(node.get("catalog_name"))


def _check_function(node: dict[str, Any]) -> None:
    name = str(node.get("function_name")).lower()
    if name in _CLOSED:
        raise _refused(f"{name} may not be used here.")
    if name in _GROWING and _may_grow(name, node):
        raise _refused(f"{name} may only be used with a size, written as a number, of at most {MAX_GROWTH:,}.")


def _may_grow(name: str, function: dict[str, Any]) -> bool:
    """Whether a size is large, or not a literal: then it is known only when the query runs."""
    given = function.get("arguments") or function.get("children") or []
    arguments = [each.get("expression", each) for each in given]
    if name in ("printf", "format"):
        pattern = _literal(arguments[0]) if arguments else None
        widths = re.findall(r"\d+", pattern or "")
        return pattern is None or "*" in pattern or "{:{" in pattern or any(not _is_small(each) for each in widths)
    sizes = arguments if name in ("range", "generate_series") else arguments[1:2]
    return any(not _is_small(_literal(each)) for each in sizes)


def _is_small(digits: str | None) -> bool:
    return digits is not None and re.fullmatch(r"\d{1,6}", digits) is not None and int(digits) <= MAX_GROWTH


def _literal(argument: dict[str, Any]) -> str | None:
    if argument.get("class") != "CONSTANT":
        return None
    literal = argument.get("literal") or {}
    return str(literal["text"]) if "text" in literal else None
