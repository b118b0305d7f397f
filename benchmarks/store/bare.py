"""The peer: a group commit of the same rows and nothing around it."""

from __future__ import annotations

import time
from pathlib import Path

import trio

from understudy.storage.changes import Change
from understudy.storage.records import Thread
from understudy.storage.sqlite import open_database
from understudy.storage.writer import commit_group
from understudy.wire.events import AgentThinking, Envelope
from understudy.wire.vocabulary import to_log

from .durable import THOUGHT, Rate

_INSERT = "INSERT INTO events (owner, thread_id, seq, type, run_id, body) VALUES (?, ?, ?, ?, ?, ?)"


def bare(data_dir: Path, producers: int, seconds: float) -> Rate:
    """So many tasks, each waiting for its row before it makes the next; all that wait go into one transaction."""
    return trio.run(_measured, data_dir, producers, seconds)


async def _measured(data_dir: Path, producers: int, seconds: float) -> Rate:
    database = open_database(data_dir)
    connection = database.writing.connect()
    try:
        now = time.time()
        for number in range(producers):
            owner, thread_id = f"user-{number}", f"thread-{number}"
            thread = Thread(owner, thread_id, "A thread", "idle", None, now, now)
            commit_group(connection, [Change(owner, thread_id, thread=thread)])
        driver = connection.connection.driver_connection
        assert driver is not None
        around = Envelope(
            AgentThinking("idle", THOUGHT, now),
            now,
            1,
            "thread-1",
            "0" * 32,
            "0" * 32,
            conversation_id="idle_s",
            agent_type="idle",
        )
        body = to_log(around.replace(message=THOUGHT))
        waits: list[float] = []
        waiting: list[tuple[tuple[object, ...], trio.Event]] = []
        wake = trio.Event()
        done = False

        def commit(rows: list[tuple[object, ...]]) -> None:
            driver.execute("BEGIN IMMEDIATE")
            driver.executemany(_INSERT, rows)
            driver.execute("COMMIT")

        async def write() -> None:
            nonlocal wake, waiting
            while not done or waiting:
                if not waiting:
                    await wake.wait()
                wake = trio.Event()
                group, waiting = waiting, []
                await trio.to_thread.run_sync(commit, [row for row, _ in group])
                for _, stored in group:
                    stored.set()

        async def produce(number: int, until: float) -> None:
            seq, at = 0, time.perf_counter()
            while at < until:
                seq += 1
                stored = trio.Event()
                row = (f"user-{number}", f"thread-{number}", seq, "agent_thinking", f"{number:032}", body)
                waiting.append((row, stored))
                wake.set()
                await stored.wait()
                before, at = at, time.perf_counter()
                waits.append(at - before)

        cpu, began = time.process_time(), time.perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            async with trio.open_nursery() as makers:
                for number in range(producers):
                    makers.start_soon(produce, number, began + seconds)
            done = True
            wake.set()
        took, worked = time.perf_counter() - began, time.process_time() - cpu
        ranked = sorted(waits)
        p50, p99 = (1000 * ranked[int(len(ranked) * part)] for part in (0.5, 0.99))
        return Rate(len(waits) / took, p50, p99, len(waits), worked)
    finally:
        connection.close()
        database.close()
