"""Retention deletes old threads and logs, but none that is in use."""

import contextlib
from pathlib import Path

import pytest
import trio

from actors import ActorSystem, ChildSpec
from tests.rigs.retention import DAY, NOW, looked
from tests.rigs.retention import restless as restless
from understudy.app.settings import Settings
from understudy.extensions.privacy import queries as archive_queries
from understudy.extensions.privacy.erasure import Eraser
from understudy.extensions.privacy.retention import ONCE
from understudy.extensions.privacy.settings import KeepSettings
from understudy.storage import thread_writes
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter


@contextlib.asynccontextmanager
async def house(database, folder: Path):
    with trio.fail_after(60):
        async with ActorSystem("test") as system:
            writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
            store = Store(database, lambda: writer)
            yield system, store, Eraser(store, Settings(data_dir=folder), store.delete_thread)


async def talk(store, make, owner: str, thread_id: str, run_id: str, at: float, *, ended: bool = True, events: int = 5):
    """Store a thread with one run at the time `at`, and `events` events; `ended`: the run has ended."""
    first = make.opening(owner, thread_id, run_id, created_at=at, updated_at=at)
    await store.commit(first)
    change = make.change(owner, thread_id, events=make.events(2, events, run_id))
    await store.commit(change)
    if ended:
        await store.commit(make.change(owner, thread_id, run_end=make.ending(run_id, ended_at=at)))


async def test_only_threads_that_are_old_and_at_rest_go(database, make, tmp_path_factory) -> None:
    async with house(database, tmp_path_factory.mktemp("files")) as (system, store, eraser):
        await talk(store, make, "ann", "old", "r1", NOW - 31 * DAY)
        await talk(store, make, "ann", "open", "r2", NOW - 31 * DAY, ended=False)
        await talk(store, make, "ann", "young", "r3", NOW - 29 * DAY)
        await talk(store, make, "bob", "old", "r4", NOW - 300 * DAY)
        assert await looked(system, KeepSettings(), store, eraser) == {}
        assert await looked(system, KeepSettings(threads_days=30), store, eraser, charge=False) == {}
        assert await looked(system, KeepSettings(threads_days=30), store, eraser) == {"threads": 2}
        users = await store.archive.read(archive_queries.users, "", None)
        left = [
            (user.id, [thread.id for thread in await store.archive.read(archive_queries.threads, user.id, "")])
            for user in users
        ]
        assert left == [("ann", ["open", "young"]), ("bob", [])]
        assert await looked(system, KeepSettings(threads_days=30), store, eraser) == {}


async def test_threads_for_one_answer_go_after_an_hour(database, make, tmp_path_factory) -> None:
    async with house(database, tmp_path_factory.mktemp("files")) as (system, store, eraser):
        await talk(store, make, "ann", f"{ONCE}1", "r1", NOW - 3601)
        await talk(store, make, "ann", f"{ONCE}2", "r2", NOW - 3601, ended=False)
        await talk(store, make, "bob", f"{ONCE}3", "r3", NOW - 3599)
        await talk(store, make, "bob", "onceX4", "r4", NOW - 300 * DAY)
        assert await looked(system, KeepSettings(), store, eraser) == {"threads": 1}
        assert await store.thread("ann", f"{ONCE}1") is None
        assert await looked(system, KeepSettings(), store, eraser) == {}


async def test_who_comes_back_to_an_old_thread_while_it_is_removed_keeps_it(
    database, make, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_writes, "TRIMMED", 10)
    async with house(database, tmp_path_factory.mktemp("files")) as (system, store, eraser):
        await talk(store, make, "ann", "old", "r1", NOW - 20 * DAY, events=35)
        trim = store.trim

        async def trim_while_ann_is_back(*args, **rests) -> None:
            await trim(*args, **rests)
            message = make.message("ann", "old", "m2", run_id="r2", created_at=NOW)
            run = make.run("ann", "old", "r2", message_id="m2", started_at=NOW)
            change = make.change("ann", "old", events=make.events(36, 36, "r2"), messages=(message,), run=run)
            await store.commit(change)
            await store.commit(make.change("ann", "old", events=make.events(37, 37, "r2"), run_end=make.ending("r2")))

        monkeypatch.setattr(store, "trim", trim_while_ann_is_back)
        assert await looked(system, KeepSettings(threads_days=10), store, eraser) == {}
        assert [item.id for item in (await store.messages("ann", "old")).items] == ["m-old", "m2"]
        assert [event.seq for event in await store.events("ann", "old", 0)] == [36, 37]


async def test_a_log_is_trimmed_up_to_its_first_run_that_is_not_old(
    database, make, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_writes, "TRIMMED", 4)
    monkeypatch.setattr(archive_queries, "THREADS", 1)
    async with house(database, tmp_path_factory.mktemp("files")) as (system, store, eraser):
        await talk(store, make, "ann", "t1", "r1", NOW - 9 * DAY, events=10)
        message = make.message("ann", "t1", "m2", created_at=NOW - 2 * DAY)
        run = make.run("ann", "t1", "r2", message_id="m2", started_at=NOW - 2 * DAY)
        await store.commit(make.change("ann", "t1", events=make.events(11, 14, "r2"), messages=[message], run=run))
        await talk(store, make, "ann", "t2", "r3", NOW - 9 * DAY, events=10)
        await talk(store, make, "ann", "t3", "r4", NOW - 9 * DAY, events=10, ended=False)
        await talk(store, make, "ann", "t4", "r5", NOW - 6 * DAY, events=10)
        assert await looked(system, KeepSettings(events_days=7), store, eraser) == {"events": 20}
        first = [[event.seq for event in await store.events("ann", name, 0)][:1] for name in ("t1", "t2", "t3", "t4")]
        assert first == [[11], [], [1], [1]]
        assert (await store.thread("ann", "t2")).last_seq == 10
        assert len((await store.messages("ann", "t1")).items) == 2
        assert await looked(system, KeepSettings(events_days=7), store, eraser) == {}
        assert await looked(system, KeepSettings(events_days=1), store, eraser) == {"events": 10}
