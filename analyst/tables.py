"""`query_table`, and the process that answers each call of a tool for an attached table.

1. Every call has its own process with its own database, so no two users share one.
2. The process is limited (see `understudy.sandbox`) and confined (see `confine`): it can only read the table's file,
   and write in its own folder.
3. A cancelled or late call kills the process, and returns after it has ended.
4. Users take turns (see `FairLimiter`).
"""

import json
import logging
import math
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
import trio

from analyst import queries, table_worker
from analyst.confinement import warn_if_open
from analyst.duckdb_session import THREADS
from understudy import Param, StoredFile, ToolContext, ToolError, ToolResult, tool
from understudy.sandbox import MIB, FairLimiter, Program, QueueFull, RunLocal, process_limiter, run

T = TypeVar("T")

log: Final = logging.getLogger(__name__)

MAX_ROWS: Final = 1_000
LIMIT_S: Final = 10.0
TABLE: Final = Program(
    "analyst.table_worker",
    # DuckDB's own 512 MB, 60 MB for the interpreter, and room for strings that DuckDB does not count.
    memory=1024 * MIB,
    # In addition libraries, stacks and reserves of the allocator: 650 MB as measured with two threads, doubled.
    address_space=1024 * MIB + 1_500_000_000,
    file_bytes=512 * MIB,  # a table that is rewritten in UTF-8 may become three times as long
)

TableId: TypeAlias = Annotated[
    str, Param("Id of an attached CSV, TSV, JSON, JSON Lines or Parquet file.", format="table-id")
]
Aggregate: TypeAlias = Annotated[
    Literal["sum", "mean", "median", "min", "max", "count"] | None, Param("Left out, what suits the values.")
]

table_limiter: Final = RunLocal("analyst.tables", FairLimiter)
"""The limiter of users' processes in the current trio loop: four at a time, two of them of one user."""


async def ask_table(
    file: StoredFile,
    owner: str,
    operation: str,
    arguments: Sequence[Any],
    kind: type[T],
    *,
    other: StoredFile | None = None,
    on: str | None = None,
    limit_s: float = LIMIT_S,
    memory: int = TABLE.memory,
) -> T:
    """Load `file` in a process, and do an operation of `table_worker` on it. Return the answer as a `kind`.

    With `other` the operation is done on both tables, joined on the column `on` (None: the first that both have).

    The time limit starts when `owner` has a permit; `memory` is in bytes. Raises `ToolError`: ``busy`` if too many
    calls of `owner` wait, ``tool_timeout`` after `limit_s` seconds, ``invalid_table`` for a file that is no table,
    ``query_failed`` if memory runs out, ``tool_failed`` for any other fault, and the operation's own errors. When it
    raises or is cancelled, the process has ended.
    """
    files = {table_worker.GIVEN: file.path} | ({} if other is None else {table_worker.OTHER: other.path})
    async with _permit(owner), _folder(files) as folder:
        request = {
            "name": file.name,
            "folder": folder,
            "operation": operation,
            "arguments": list(arguments),
            "other": None if other is None else {"name": other.name, "on": on},
        }
        async with process_limiter().permit(memory):
            await warn_if_open()
            with trio.move_on_after(limit_s):
                ended = await run(
                    TABLE,
                    json.dumps(request).encode(),
                    read=[str(path) for path in files.values()],
                    write=[folder],
                    memory=memory,
                    cpu_s=math.ceil(limit_s) * THREADS + 2,
                )
                return _answer(ended, kind, limit_s)
    raise _late(limit_s)


def _late(limit_s: float) -> ToolError:
    return ToolError("tool_timeout", f"That took longer than {limit_s:g} seconds and was stopped.")


def _answer(ended: "CompletedProcess[bytes]", kind: type[T], limit_s: float) -> T:
    code = ended.returncode
    if code == -signal.SIGXCPU:
        raise _late(limit_s)
    # The system kills a process for lack of memory.
    if code in (table_worker.NO_MEMORY, -signal.SIGKILL) or b"bad_alloc" in ended.stderr:
        raise ToolError("query_failed", "That needs more memory than a query may use.")
    try:
        if code == table_worker.REFUSED:
            raise ToolError(*msgspec.json.decode(ended.stdout, type=tuple[str, str]))
        if code == table_worker.ANSWERED:
            return msgspec.json.decode(ended.stdout, type=kind)
        reason = f"ended with {code}: {ended.stderr.decode(errors='replace')[-500:]}"
    except msgspec.MsgspecError as error:
        reason = f"an answer that cannot be read: {error}"
    log.warning("table.not_read", extra={"reason": reason})
    raise ToolError("tool_failed", "The table could not be worked on.")


@asynccontextmanager
async def _folder(tables: Mapping[str, Path]) -> AsyncIterator[str]:
    """Make a folder for the process, with links to the tables by these names; remove it at the end."""

    def make() -> str:
        folder = tempfile.mkdtemp(prefix="analyst-")
        for name, table in tables.items():
            os.symlink(table.absolute(), os.path.join(folder, name))
        return folder

    folder = await trio.to_thread.run_sync(make)
    try:
        yield folder
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(shutil.rmtree, folder, True)


@asynccontextmanager
async def _permit(owner: str) -> AsyncIterator[None]:
    """Hold a permit of `table_limiter`. Raises `ToolError` ``busy`` if too many calls of `owner` wait."""
    limiter = table_limiter()
    try:
        await limiter.acquire(owner)
    except QueueFull:
        raise ToolError("busy", "You have too many tables at work already; wait for some to end.") from None
    try:
        yield
    finally:
        limiter.release(owner)


async def attached(context: ToolContext, file_id: str) -> StoredFile:
    """Return the user's file of that id. Raises `ToolError` ``not_found``."""
    try:
        return await context.files.get(file_id)
    except LookupError:
        raise ToolError("not_found", "There is no attached file of that id; attach it to the message first.") from None


@tool(retry_safe=True, on_server_loop=True)
async def query_table(
    file_id: TableId,
    sql: Annotated[str, Param("One SELECT, in DuckDB's SQL, over the table called data.", format="multiline")],
    context: ToolContext,
    limit: Annotated[int, Param("The most rows to return, 1 to 1000.")] = MAX_ROWS,
) -> ToolResult:
    """Run one reading SQL query (SELECT, WITH, VALUES, DESCRIBE or SUMMARIZE) over an attached table, which is called
    data."""
    if not 1 <= limit <= MAX_ROWS:
        raise ToolError("invalid_arguments", f"limit must be between 1 and {MAX_ROWS:,}, not {limit:,}.")
    file = await attached(context, file_id)
    answer = await ask_table(file, context.owner, "query", (sql, limit), queries.Answer)
    value = {
        "columns": [{"name": column.name, "type": column.type} for column in answer.columns],
        "rows": answer.rows,
        "row_count": len(answer.rows),
        "truncated": bool(answer.truncated),
        "note": answer.truncated,
    } | ({"notes": list(answer.notes)} if answer.notes else {})
    is_figure = len(answer.rows) == len(answer.columns) == 1
    return ToolResult(value, _sentence(answer), kind="analysis" if is_figure else "drill_down")


def _sentence(answer: queries.Answer) -> str:
    rows, columns = len(answer.rows), len(answer.columns)
    if rows == 1 and columns == 1:
        value = answer.rows[0][0]
        text = "nothing" if value is None else str(value)
        return f"{answer.columns[0].name}: {text if len(text) <= 120 else text[:119] + '…'}"
    size = f"{rows:,} row{'' if rows == 1 else 's'} of {columns:,} column{'' if columns == 1 else 's'}"
    return f"{size}; {answer.truncated}" if answer.truncated else size
