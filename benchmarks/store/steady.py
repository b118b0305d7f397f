"""Whether a database that has taken events for a day commits as fast as an empty one."""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path

import trio

from benchmarks.million import OWNER, build
from understudy.app.build import build_app
from understudy.app.settings import Settings
from understudy.storage.changes import Change
from understudy.storage.records import LoggedEvent, Thread

from .grown import Times

A_DAY = 8_640_000
"""Events of 24 hours at 100 a second."""
_BODY = b"x" * 300


def committed(folder: Path, events: int, commits: int) -> tuple[Times, Times]:
    """How long a commit takes in an empty database, and in one with so many events; the two take turns.

    One commit after the other, each on a thread drawn from all there are: what is measured is the database, and not
    how well commits go along.
    """
    logging.disable(logging.CRITICAL)
    try:
        return trio.run(_measured, folder, events, commits)
    finally:
        logging.disable(logging.NOTSET)


async def _measured(folder: Path, events: int, commits: int) -> tuple[Times, Times]:
    built = build(folder / "full", events)
    new = Thread(OWNER, "new", "A thread", "guide", None, time.time(), time.time())
    async with (
        build_app(Settings(data_dir=folder / "empty", log_level="error")) as empty,
        build_app(Settings(data_dir=folder / "full", log_level="error")) as full,
    ):
        await empty.store.commit(Change(OWNER, new.id, thread=new))
        last = {"full": dict.fromkeys(built.threads, 0), "empty": {new.id: 0}}
        last["full"] = await full.store.last_seqs(OWNER, built.threads)
        took: dict[str, list[float]] = {"full": [], "empty": []}
        chosen = random.Random(3)
        for number in range(2 * commits):
            name, house = ("full", full) if number % 2 else ("empty", empty)
            thread = chosen.choice(list(last[name]))
            seq = last[name][thread] = last[name][thread] + 1
            change = Change(OWNER, thread, events=(LoggedEvent(seq, "agent_thinking", None, _BODY),))
            began = time.perf_counter()
            await house.store.commit(change)
            took[name].append(time.perf_counter() - began)
        for house in (empty, full):
            await house.system.stop(grace_s=1.0)
    return Times.of(took["empty"]), Times.of(took["full"])
