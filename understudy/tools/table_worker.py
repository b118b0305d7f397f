"""Loads one table and answers one question about it: a program of `understudy.sandbox`.

A process, because it can be bounded and killed. DuckDB's own memory limit does not hold for the strings that an
expression builds (20 GB were reached with nested replace), and its interrupt does not reach a single long function.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

# How the process ends: with an answer, with the code and sentence of a `ToolError`, or out of memory.
ANSWERED: Final = 0
TOLD: Final = 3
NO_MEMORY: Final = 4

GIVEN: Final = "given"
"""The name of the table in the folder of the call."""
MAX_ANSWER: Final = 4_000_000


def prepare() -> None:
    """Load DuckDB and what works on tables, while libraries can still be read; the server itself starts without."""
    for name in ("duckdb", "understudy.tools.chart_data", "understudy.tools.profiling", "understudy.tools.queries"):
        importlib.import_module(name)


def answer(request: dict[str, Any]) -> Any:
    """Load the file, do the operation. Raises `ToolError`, MemoryError and errors of DuckDB."""
    from understudy.tools import chart_data, duckdb_session, profiling, queries
    from understudy.tools.table_file import TableFile

    operations: dict[str, Callable[..., Any]] = {
        "profile": profiling.profile,
        "query": queries.run,
        "chart": chart_data.collect,
    }
    # By a plain name in this folder: in a path DuckDB would take `[` for a pattern, and list folders it may not read.
    os.chdir(request["folder"])
    table = duckdb_session.open_table(TableFile(request["name"], Path(GIVEN)), Path())
    return operations[request["operation"]](table, *request["arguments"])


def main() -> int:
    """Answer the request on standard input; return the exit code."""
    request = json.load(sys.stdin.buffer)
    try:
        import attrs
        import duckdb

        from understudy.tools.errors import ToolError

        try:
            found = answer(request)
            body = json.dumps(found, default=lambda each: attrs.asdict(each, recurse=False), allow_nan=False)
            if len(body) > MAX_ANSWER:
                raise ToolError("query_failed", "The answer is too large to be shown.")
        except duckdb.OutOfMemoryException:
            return NO_MEMORY
        except ToolError as error:
            sys.stdout.write(json.dumps([error.code, error.message]))
            return TOLD
    except MemoryError:
        return NO_MEMORY
    sys.stdout.write(body)
    return ANSWERED
