"""Loads one table and answers one question about it: from standard input to standard output, in a process of its own.

    python -I understudy/tools/table_worker.py < request.json > answer.json

A process, because it can be bounded and killed. DuckDB's own memory limit does not hold for the strings that an
expression builds (20 GB were reached with nested replace), and its interrupt does not reach a single long function.
It is run as a file, and takes the package's modules without the package's ``__init__``: 0.11 s instead of 0.27 s, as
measured, most of it DuckDB's own.
"""

import contextlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

# How the process ends: with an answer, with the code and sentence of a `ToolError`, or out of memory.
ANSWERED: Final = 0
TOLD: Final = 3
NO_MEMORY: Final = 4

MAX_ANSWER: Final = 4_000_000
# Libraries, stacks and reserves of the allocator: 650 MB as measured with two threads, and as much again.
_RESERVED: Final = 1_500_000_000


def limit(memory: int, cpu_s: int) -> None:
    """Bound this process: `memory` bytes of data, `cpu_s` seconds of all its threads, no core file, low priority.

    Where the system knows no such bound (macOS does not hold processes to one of memory), the others stand.
    """
    for kind, soft, hard in (
        (resource.RLIMIT_DATA, memory, memory),
        (resource.RLIMIT_AS, memory + _RESERVED, memory + _RESERVED),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),  # at the hard one the kill would look like one for want of memory
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))
    os.nice(5)
    # Should the whole machine run out of memory, this process goes first.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def answer(request: dict[str, Any]) -> Any:
    """Load the file, do the operation. Raises `ToolError`, MemoryError and whatever else goes wrong in DuckDB."""
    from understudy.tools import chart_data, duck, profiling, queries
    from understudy.tools.table_file import TableFile

    operations: dict[str, Callable[..., Any]] = {
        "profile": profiling.profile,
        "query": queries.run,
        "chart": chart_data.collect,
    }
    table = duck.open_table(TableFile(request["name"], Path(request["path"])), Path(request["folder"]))
    return operations[request["operation"]](table, *request["arguments"])


def main() -> int:
    """Answer the request on standard input; gives how the process ends."""
    request = json.load(sys.stdin.buffer)
    limit(request["memory"], request["cpu_s"])
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


def _without_package() -> None:
    """Make the two packages known by their folders alone, so that nothing of the server is imported."""
    tools = Path(__file__).resolve().parent
    for name, folder in (("understudy", tools.parent), ("understudy.tools", tools)):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package


if __name__ == "__main__":
    _without_package()
    code = main()
    sys.stdout.flush()
    os._exit(code)  # nothing is left to tidy, and DuckDB's memory is given back faster so
