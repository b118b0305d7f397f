"""Loads one table and answers one question about it: a program of `understudy.sandbox`.

It runs in a process, which can be bounded and killed. DuckDB's own memory limit does not cover the strings that an
expression builds (20 GB were reached with nested replace), and its interrupt does not reach a single long function.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

# Exit codes: an answer, the code and sentence of a `ToolError`, or out of memory.
ANSWERED: Final = 0
REFUSED: Final = 3
NO_MEMORY: Final = 4

GIVEN: Final = "given"
"""The name of the table in the folder of the call."""
OTHER: Final = "other"
"""The name of the table to join it with."""
MAX_ANSWER: Final = 4_000_000


def prepare() -> None:
    """Load DuckDB and the modules of the operations while libraries can still be read."""
    for name in ("chart_data", "questions.answer", "profiling", "queries", "table_analysis"):
        importlib.import_module(f"understudy.tools.{name}")
    importlib.import_module("duckdb")


def answer(request: dict[str, Any]) -> Any:
    """Load the file and do the operation. Raises `ToolError`, MemoryError and errors of DuckDB."""
    from understudy.tools import chart_data, duckdb_session, profiling, queries, table_analysis
    from understudy.tools.questions import answer as questions

    operations: dict[str, Callable[..., Any]] = {
        "profile": profiling.profile,
        "query": queries.run,
        "chart": chart_data.collect,
        "question": questions.answer,
        "group": table_analysis.group,
        "costs": table_analysis.costs,
        "trend": table_analysis.trend,
        "outliers": table_analysis.outliers,
        "overview": table_analysis.overview,
        "joined": table_analysis.joined,
    }
    # A plain name in this folder: DuckDB reads `[` in a path as a pattern, and would list folders it may not read.
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
            return REFUSED
    except MemoryError:
        return NO_MEMORY
    sys.stdout.write(body)
    return ANSWERED
