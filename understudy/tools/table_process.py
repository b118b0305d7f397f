"""One question about one attached table, answered by a process of its own.

1. Every call has a process and in it a database of its own. No two users, and no two calls, ever share one.
2. The process is bounded in memory and processor time (see `table_worker`) and knows nothing of this one: its
   environment is empty.
3. A cancelled or late call kills it, and returns only after it has ended.
4. Users take turns (see `turns`).
"""

import json
import logging
import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from subprocess import CompletedProcess
from typing import Any, Final, TypeVar

import msgspec
import trio

from understudy.tools import table_worker
from understudy.tools.duck import THREADS
from understudy.tools.errors import ToolError
from understudy.tools.tool import StoredFile, ToolContext
from understudy.tools.turns import Turns

T = TypeVar("T")

log: Final = logging.getLogger(__name__)

LIMIT_S: Final = 10.0
# DuckDB's own 512 MB, 60 MB for the interpreter, and room for the strings that DuckDB does not count.
MEMORY: Final = 1024 * 1024 * 1024

# What the loader of an interpreter outside the usual places needs; nothing else of the environment is passed on.
_LOADER: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

_turns: trio.lowlevel.RunVar[Turns] = trio.lowlevel.RunVar("understudy.table_turns")


def turns() -> Turns:
    """The places for tables of this run of trio."""
    try:
        return _turns.get()
    except LookupError:
        places = Turns()
        _turns.set(places)
        return places


async def ask_table(
    file: StoredFile,
    owner: str,
    operation: str,
    arguments: Sequence[Any],
    kind: type[T],
    *,
    limit_s: float = LIMIT_S,
    memory: int = MEMORY,
) -> T:
    """Load `file` and do an operation of `table_worker` on it; the answer is made a `kind`.

    The time limit counts from the moment there is a place for `owner`; `memory` is in bytes. Raises `ToolError`:
    ``tool_timeout`` after `limit_s` seconds, ``invalid_table`` for a file that is no table, ``query_failed`` when
    memory runs out, ``tool_failed`` when something else goes wrong, and whatever the operation raises. When it
    raises or is cancelled, the process has ended.
    """
    async with turns().place(owner), _folder() as folder:
        request = {
            "path": str(file.path),
            "name": file.name,
            "folder": folder,
            "operation": operation,
            "arguments": list(arguments),
            "memory": memory,
            "cpu_s": math.ceil(limit_s) * THREADS + 2,
        }
        with trio.move_on_after(limit_s):
            return _answer(await _run(json.dumps(request).encode()), kind, limit_s)
    raise _late(limit_s)


def _late(limit_s: float) -> ToolError:
    return ToolError("tool_timeout", f"That took longer than {limit_s:g} seconds and was stopped.")


async def _run(request: bytes) -> "CompletedProcess[bytes]":
    return await trio.run_process(
        [sys.executable, "-I", table_worker.__file__],
        stdin=request,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        deliver_cancel=_kill,
        env={name: os.environ[name] for name in _LOADER if name in os.environ},
        start_new_session=True,  # a Ctrl-C in the server's terminal is the server's
    )


async def _kill(process: trio.Process) -> None:
    """At once: there is nothing in it to be saved, and nothing gentler reaches a long function of DuckDB."""
    process.kill()


def _answer(ended: "CompletedProcess[bytes]", kind: type[T], limit_s: float) -> T:
    code = ended.returncode
    if code == -signal.SIGXCPU:
        raise _late(limit_s)
    # A kill that is not ours is the system's, for want of memory; so ends what cannot even say so.
    if code in (table_worker.NO_MEMORY, -signal.SIGKILL) or b"bad_alloc" in ended.stderr:
        raise ToolError("query_failed", "That needs more memory than a query may use.")
    try:
        if code == table_worker.TOLD:
            raise ToolError(*msgspec.json.decode(ended.stdout, type=tuple[str, str]))
        if code == table_worker.ANSWERED:
            return msgspec.json.decode(ended.stdout, type=kind)
        reason = f"ended with {code}: {ended.stderr.decode(errors='replace')[-500:]}"
    except msgspec.MsgspecError as error:
        reason = f"an answer that cannot be read: {error}"
    log.warning("table.not_read", extra={"reason": reason})
    raise ToolError("tool_failed", "The table could not be worked on.")


@asynccontextmanager
async def _folder() -> AsyncIterator[str]:
    """A folder for what the process writes; whoever kills a process has to clear up after it."""
    folder = await trio.to_thread.run_sync(tempfile.mkdtemp, None, "understudy-table-")
    try:
        yield folder
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(shutil.rmtree, folder, True)


async def attached(context: ToolContext, file_id: str) -> StoredFile:
    """The user's file of that id. Raises `ToolError` ``not_found``."""
    try:
        return await context.files.get(file_id)
    except LookupError:
        raise ToolError("not_found", "There is no attached file of that id; attach it to the message first.") from None
