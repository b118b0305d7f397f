"""A long run in a long conversation: what it stores, and how soon it goes on after its server was killed.

long_run_stored_mb     size of the database after the conversation, as a new server leaves it, without unused pages
long_run_rows_mb       of these, the bytes of the values in the rows of its messages, events and steps
long_run_resume_s      from the SIGKILL of the server to the next stored event of the run, with the start of a new
                       server, which is started at once
long_run_ready_s       of these, the start of the new server up to its ready line

The conversation has 300 KB of messages; then one run makes 100 calls, each with a result of 5 KB: 200,000 tokens in all
at four bytes each. The texts are random words and numbers. The server is killed after half of the calls.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import trio
from attrs import define

from benchmarks.agents.killing import DATABASE, READY, RECONNECT, started
from benchmarks.agents.progress import Extent, Progress
from benchmarks.figure import Figure
from transport.client import Client, open_client
from transport.wire.events import Error, ToolCompleted
from understudy import Agent, tool
from understudy.models.model import Emit, ModelLimits, Reply, ResultItem, TextDelta, ToolRequest, Turn

CALLS, RESULT_BYTES = 100, 5_000
MESSAGES, MESSAGE_BYTES = 3, 100_000
SMALL_CALLS, SMALL_MESSAGE_BYTES = 8, 10_000
MB = 1e6
_WORDS = random.Random(5)
WORDS = tuple("".join(_WORDS.choices("etaoinshrdlucmfwyp", k=_WORDS.randint(2, 10))) for _ in range(3_000))


def text(seed: int, size: int) -> str:
    """Return random words of `size` bytes, the same for the same seed."""
    words = random.Random(seed)
    return " ".join(words.choices(WORDS, k=size // 3))[:size]


@tool(retry_safe=True)
async def read_shelf(shelf: int) -> dict[str, Any]:
    """Return the rows of a shelf, RESULT_BYTES of JSON."""
    rows, numbers, size = [], random.Random(shelf), 0
    while size < RESULT_BYTES - 100:
        row = {"item": text(numbers.randrange(10**9), 40), "count": numbers.randrange(1000), "price": numbers.random()}
        rows.append(row)
        size += len(repr(row)) + 2
    return {"shelf": shelf, "rows": rows}


class Counter:
    """Reads shelf after shelf, as many as the message says, then says so."""

    name = "counter"
    notice = "A script for benchmarks."
    limits = ModelLimits(window_tokens=400_000)

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Request the next call, or answer."""
        word, _, wanted = turn.request.partition(" ")
        done = sum(isinstance(item, ResultItem) for item in turn.work)
        if word == "read" and done < int(wanted):
            return Reply(calls=(ToolRequest(f"c{done}", "read_shelf", {"shelf": done}),))
        await emit(TextDelta("Read."))
        return Reply("Read.")


agent = Agent("counter", tools=[read_shelf], model=Counter())


@define
class Measured:
    """What was measured: bytes, and seconds."""

    stored: int = 0
    rows: int = 0
    resume_s: float = 0.0
    ready_s: float = 0.0


async def _ask(client: Client, thread_id: str, content: str) -> None:
    message_id = await client.say(content, thread_id=thread_id, agent_type="counter")
    async for received in client.exchange(message_id):
        if isinstance(received.event, Error):
            raise RuntimeError(received.event.message)


def _newest_event(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        return int(newest)


def _sizes(database: Path) -> tuple[int, int]:
    """Return the bytes of the database without unused pages, and of the values in the rows of the conversation."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = 0
        for table in ("messages", "words", "events", "steps"):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            total = " + ".join(f'coalesce(length(CAST("{name}" AS BLOB)), 0)' for name in names)
            rows += connection.execute(f"SELECT coalesce(sum({total}), 0) FROM {table}").fetchone()[0]
    return database.stat().st_size, rows


async def _measure(progress: Progress, message_bytes: int) -> Measured:
    calls = progress.wanted
    measured = Measured()
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with tempfile.TemporaryDirectory() as name:
        folder, thread_id = Path(name) / "data", uuid.uuid4().hex
        database = folder / DATABASE
        serve = ("understudy", "serve", "--port", str(port), "--data-dir", str(folder), f"{__name__}:agent")
        with trio.fail_after(progress.limit_s):
            async with progress.told() as nursery, trio.open_nursery() as servers:
                half = trio.Event()

                async def serving(task_status: trio.TaskStatus[None]) -> None:
                    async with started(*serve, ready=READY) as (server, _):
                        task_status.started()
                        await half.wait()
                        server.kill()
                        await server.wait()
                        killed, newest = trio.current_time(), _newest_event(database)
                    async with started(*serve, ready=READY):
                        measured.ready_s = trio.current_time() - killed
                        while _newest_event(database) == newest:  # noqa: ASYNC110 - written by another process
                            await trio.sleep(0.005)
                        measured.resume_s = trio.current_time() - killed
                        await trio.sleep_forever()

                await servers.start(serving)
                async with open_client(f"ws://127.0.0.1:{port}/ws", reconnect=RECONNECT) as client:

                    async def watch() -> None:
                        async for received in client:
                            progress.done += isinstance(received.event, ToolCompleted)
                            if progress.done == calls // 2:
                                half.set()

                    nursery.start_soon(watch)
                    for number in range(MESSAGES):
                        await _ask(client, thread_id, text(number, message_bytes))
                    await _ask(client, thread_id, f"read {calls}")
                    nursery.cancel_scope.cancel()
                servers.cancel_scope.cancel()
        measured.stored, measured.rows = await trio.to_thread.run_sync(_sizes, database)
    return measured


def figures(extent: Extent) -> Iterator[Figure]:
    """Measure the figures of this module; there are none if it takes longer than its limit."""
    calls, message_bytes = (SMALL_CALLS, SMALL_MESSAGE_BYTES) if extent.small else (CALLS, MESSAGE_BYTES)
    try:
        measured = trio.run(_measure, Progress("long_run", calls, extent.limit_s), message_bytes)
    except trio.TooSlowError:
        raise SystemExit(f"long_run did not end within {extent.limit_s:g} s") from None
    yield Figure("long_run_stored_mb", "MB", measured.stored / MB)
    yield Figure("long_run_rows_mb", "MB", measured.rows / MB)
    yield Figure("long_run_resume_s", "s", measured.resume_s)
    yield Figure("long_run_ready_s", "s", measured.ready_s)
