"""Retention deletes old threads, logs and files, but none that is in use or referenced."""

import contextlib
import os
import sys
import time
from pathlib import Path

import pytest
import trio

from actors import ActorSystem, ChildSpec
from understudy.privacy import retention
from understudy.privacy.erasure import Eraser
from understudy.privacy.retention import ONCE, Retention, RetentionPeriods, is_oldest_node
from understudy.storage import archive_queries, thread_writes
from understudy.storage.archive_queries import Archive
from understudy.storage.audit import PAGE, AuditEntry, record
from understudy.storage.file_writes import AddFile
from understudy.storage.files import FolderFiles
from understudy.storage.nodes import living
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter

DAY = 24 * 3600.0
NOW = 1000 * DAY


class Counts:
    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def removed(self, what: str, count: int) -> None:
        self.seen[what] = self.seen.get(what, 0) + count


@pytest.fixture(autouse=True)
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not pause: there are no other writes."""
    monkeypatch.setattr(retention, "RESTS", 0.0)


@contextlib.asynccontextmanager
async def house(database, folder: Path):
    with trio.fail_after(60):
        async with ActorSystem("test") as system:
            writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
            store = Store(database, lambda: writer)
            archive = Archive(database)
            files = FolderFiles(folder, store.commit)
            yield system, store, archive, Eraser(store, archive, files, store.delete_thread)


async def looked(system, kept: RetentionPeriods, store, archive, eraser, *, charge: bool = True) -> dict[str, int]:
    counts, asked = Counts(), 0
    done = trio.Event()

    async def is_in_charge() -> bool:
        nonlocal asked
        asked += 1
        return charge

    def make() -> Retention:
        actor = Retention(kept, store, archive, eraser, is_in_charge, counts, clock=lambda: NOW, first_s=0.0)
        receive = actor.receive

        async def receive_and_tell(message: object, context) -> None:
            await receive(message, context)
            done.set()

        actor.receive = receive_and_tell
        return actor

    ref = await system.spawn(ChildSpec("retention", make))
    await done.wait()
    assert asked >= 1
    await ref.stop()
    return counts.seen


async def talk(store, make, owner: str, thread_id: str, run_id: str, at: float, *, ended: bool = True, events: int = 5):
    """Store a thread with one run at the time `at`, and `events` events; `ended`: the run has ended."""
    first = make.opening(owner, thread_id, run_id, created_at=at, updated_at=at)
    await store.commit(first)
    change = make.change(owner, thread_id, events=make.events(2, events, run_id))
    await store.commit(change)
    if ended:
        await store.commit(make.change(owner, thread_id, run_end=make.ending(run_id, ended_at=at)))


async def test_only_threads_that_are_old_and_at_rest_go(database, make, tmp_path_factory) -> None:
    async with house(database, tmp_path_factory.mktemp("files")) as (system, store, archive, eraser):
        await talk(store, make, "ann", "old", "r1", NOW - 31 * DAY)
        await talk(store, make, "ann", "open", "r2", NOW - 31 * DAY, ended=False)
        await talk(store, make, "ann", "young", "r3", NOW - 29 * DAY)
        await talk(store, make, "bob", "old", "r4", NOW - 300 * DAY)
        assert await looked(system, RetentionPeriods(), store, archive, eraser) == {}
        assert await looked(system, RetentionPeriods(threads_days=30), store, archive, eraser, charge=False) == {}
        assert await looked(system, RetentionPeriods(threads_days=30), store, archive, eraser) == {"threads": 2}
        users = await archive.read(archive_queries.users, "", None)
        left = [
            (user.id, [thread.id for thread in await archive.read(archive_queries.threads, user.id, "")])
            for user in users
        ]
        assert left == [("ann", ["open", "young"]), ("bob", [])]
        assert await looked(system, RetentionPeriods(threads_days=30), store, archive, eraser) == {}


async def test_threads_for_one_answer_go_after_an_hour(database, make, tmp_path_factory) -> None:
    async with house(database, tmp_path_factory.mktemp("files")) as (system, store, archive, eraser):
        await talk(store, make, "ann", f"{ONCE}1", "r1", NOW - 3601)
        await talk(store, make, "ann", f"{ONCE}2", "r2", NOW - 3601, ended=False)
        await talk(store, make, "bob", f"{ONCE}3", "r3", NOW - 3599)
        await talk(store, make, "bob", "onceX4", "r4", NOW - 300 * DAY)
        assert await looked(system, RetentionPeriods(), store, archive, eraser) == {"threads": 1}
        assert await store.thread("ann", f"{ONCE}1") is None
        assert await looked(system, RetentionPeriods(), store, archive, eraser) == {}


async def test_who_comes_back_to_an_old_thread_while_it_is_removed_keeps_it(
    database, make, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_writes, "TRIMMED", 10)
    async with house(database, tmp_path_factory.mktemp("files")) as (system, store, archive, eraser):
        await talk(store, make, "ann", "old", "r1", NOW - 20 * DAY, events=35)
        trim = store.trim

        async def trim_while_ann_is_back(*args, **rests) -> None:
            await trim(*args, **rests)
            said = make.message("ann", "old", "m2", run_id="r2", created_at=NOW)
            run = make.run("ann", "old", "r2", message_id="m2", started_at=NOW)
            change = make.change("ann", "old", events=make.events(36, 36, "r2"), messages=(said,), run=run)
            await store.commit(change)
            await store.commit(make.change("ann", "old", events=make.events(37, 37, "r2"), run_end=make.ending("r2")))

        monkeypatch.setattr(store, "trim", trim_while_ann_is_back)
        assert await looked(system, RetentionPeriods(threads_days=10), store, archive, eraser) == {}
        assert [each.id for each in (await store.messages("ann", "old")).items] == ["m-old", "m2"]
        assert [each.seq for each in await store.events("ann", "old", 0)] == [36, 37]


async def test_a_log_is_trimmed_up_to_its_first_run_that_is_not_old(
    database, make, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_writes, "TRIMMED", 4)
    monkeypatch.setattr(archive_queries, "THREADS", 1)
    async with house(database, tmp_path_factory.mktemp("files")) as (system, store, archive, eraser):
        await talk(store, make, "ann", "t1", "r1", NOW - 9 * DAY, events=10)
        message = make.message("ann", "t1", "m2", created_at=NOW - 2 * DAY)
        run = make.run("ann", "t1", "r2", message_id="m2", started_at=NOW - 2 * DAY)
        await store.commit(make.change("ann", "t1", events=make.events(11, 14, "r2"), messages=[message], run=run))
        await talk(store, make, "ann", "t2", "r3", NOW - 9 * DAY, events=10)
        await talk(store, make, "ann", "t3", "r4", NOW - 9 * DAY, events=10, ended=False)
        await talk(store, make, "ann", "t4", "r5", NOW - 6 * DAY, events=10)
        assert await looked(system, RetentionPeriods(events_days=7), store, archive, eraser) == {"events": 20}
        first = [[event.seq for event in await store.events("ann", name, 0)][:1] for name in ("t1", "t2", "t3", "t4")]
        assert first == [[11], [], [1], [1]]
        assert (await store.thread("ann", "t2")).last_seq == 10
        assert len((await store.messages("ann", "t1")).items) == 2
        assert await looked(system, RetentionPeriods(events_days=7), store, archive, eraser) == {}
        assert await looked(system, RetentionPeriods(events_days=1), store, archive, eraser) == {"events": 10}


async def test_files_that_nothing_names_go_after_a_day(
    database, make, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message, a text or the result of a tool may name one; another user's message does not count."""
    monkeypatch.setattr(archive_queries, "FILES", 2)
    folder = tmp_path_factory.mktemp("files")
    async with house(database, folder) as (system, store, archive, eraser):
        names = {
            what: f"{number:032x}" for number, what in enumerate(("orphan", "said", "text", "made", "new", "other"))
        }
        for what, name in names.items():
            (folder / name).write_bytes(b"content")
            at = NOW - (0.5 if what == "new" else 2) * DAY
            await store.commit(AddFile(make.file("ann", name, created_at=at)))
        await store.commit(make.opening("ann", "t1", "r1"))
        said = [
            make.message("ann", "t1", "m1", references=(names["said"],)),
            make.message("ann", "t1", "m2", content=f"see {names['text']}.", role="assistant"),
        ]
        steps = [make.step(1, "r1", result={"file_id": names["made"]})]
        await store.commit(make.change("ann", "t1", messages=said, steps=steps))
        await store.commit(make.opening("bob", "t1", "r2"))
        theirs = [make.message("bob", "t1", "m1", run_id="r2", references=(names["other"],))]
        await store.commit(make.change("bob", "t1", messages=theirs))
        for name, days in (("e" * 32, 2), ("d" * 32, 0.5), ("notes.txt", 2)):  # of these nobody knows
            (folder / name).write_bytes(b"stray")
            os.utime(folder / name, (NOW - days * DAY, NOW - days * DAY))
        os.utime(folder / names["said"], (0, 0))
        assert await looked(system, RetentionPeriods(), store, archive, eraser) == {"files": 3}
        assert [(folder / name).exists() for name in ("e" * 32, "d" * 32, "notes.txt")] == [False, True, True]
        left = {what for what, name in names.items() if (folder / name).exists()}
        assert left == {"said", "text", "made", "new"}
        assert {file.id for file in await archive.read(archive_queries.files, "ann", "")} == {
            names[what] for what in left
        }


@pytest.mark.parametrize(("ids", "own", "is_it"), [(["a", "b"], "a", True), (["a", "b"], "b", False), ([], "a", False)])
async def test_the_server_that_is_alive_the_longest_does_it(ids: list[str], own: str, is_it: bool) -> None:
    class Nodes:
        async def read(self, query: object) -> list[str]:
            assert query is living
            return ids

    class Own:
        id = own

    assert await is_oldest_node(Nodes(), Own()) is is_it
    assert await is_oldest_node(Nodes(), None) is True


async def test_entries_of_the_audit_log_expire_if_the_operator_says_so(
    database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "NOW", time.time() + 3 * DAY)
    async with house(database, tmp_path) as parts:
        for _ in range(3):
            await record(parts[1], AuditEntry("alert.sent", "ann", PAGE))
        found = [await looked(parts[0], RetentionPeriods(audit_days=days), *parts[1:]) for days in (0.0, 4.0, 2.0, 2.0)]
        assert found == [{}, {}, {"audit_entries": 2}, {}]
