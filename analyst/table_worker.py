"""Loads one table and does one operation on it: a program of `understudy.sandbox`.

It runs in a process, because a process can be limited and killed. DuckDB's own memory limit does not cover the strings
that an expression builds (nested replace took 20 GB), and its interrupt does not stop a single long function.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from analyst.confine import confine as confine

# Exit codes: an answer, the code and sentence of a `Refusal`, or out of memory.
ANSWERED: Final = 0
REFUSED: Final = 3
NO_MEMORY: Final = 4

GIVEN: Final = "given"
"""The file name of the table in the folder of the call."""
OTHER: Final = "other"
"""The file name of the table to join it with."""
MAX_ANSWER: Final = 4_000_000  # characters; a larger answer is refused


def prepare() -> None:
    """Load DuckDB and the modules of the operations while libraries can still be read."""
    for name in ("duckdb", "analyst.chart_data", "analyst.queries", "analyst.table_analysis"):
        importlib.import_module(name)


def answer(request: dict[str, Any]) -> Any:
    """Load the file and do the operation. Raises `Refusal`, MemoryError and errors of DuckDB."""
    from analyst import chart_data, duckdb_session, queries, table_analysis

    operations: dict[str, Callable[..., Any]] = {
        "profile": table_analysis.first_look,
        "query": queries.query,
        "chart": chart_data.collect,
        "trend": table_analysis.trend,
        "outliers": table_analysis.outliers,
        "overview": table_analysis.overview,
        "joined": table_analysis.joined,
    }
    # Files have plain names in this folder, because DuckDB takes `[` in a path for a pattern, and lists other folders.
    os.chdir(request["folder"])
    other = request.get("other")
    joined = None if other is None else (other["name"], Path(OTHER), other["on"])
    table = duckdb_session.open_table(request["name"], Path(GIVEN), Path(), joined)
    return operations[request["operation"]](table, *request["arguments"])


def main() -> int:
    """Answer the request on standard input; return the exit code."""
    request = json.load(sys.stdin.buffer)
    try:
        import attrs
        import duckdb

        from analyst.refusal import Refusal

        try:
            result = answer(request)
            body = json.dumps(result, default=lambda value: attrs.asdict(value, recurse=False), allow_nan=False)
            if len(body) > MAX_ANSWER:
                raise Refusal("query_failed", "The answer is too large to be shown.")
        except duckdb.OutOfMemoryException:
            return NO_MEMORY
        except Refusal as error:
            sys.stdout.write(json.dumps([error.code, error.message]))
            return REFUSED
    except MemoryError:
        return NO_MEMORY
    sys.stdout.write(body)
    return ANSWERED
