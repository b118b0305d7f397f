"""The writer: groups, restarts, full and locked disks. What is acknowledged is stored, and stored once."""

import contextlib
import random
import sqlite3

import pytest
import trio
from sqlalchemy import event

from actors import ActorSystem, ChildSpec, StopMode, Supervisor
from understudy.storage import ChangeRefused, SequenceConflict, StorageUnavailable, Store, StoreWriter, open_database
from understudy.storage.sqlite import FILE_NAME
from understudy.storage.writer import ReadStatistics, Write


@contextlib.asynccontextmanager
async def running(database, make_writer=None, deadline_s: float = 10.0):
    """A store and its writer, under a supervisor that restarts it as often as a test kills it."""
    writer = ChildSpec("writer", make_writer or (lambda: StoreWriter(database)))
    storage = ChildSpec("storage", lambda: Supervisor(children=[writer], intensity=100_000, period_s=1.0))
    with trio.fail_after(30):
        async with ActorSystem("test", children=[storage]) as system:
            ref = system.find("test/storage/writer") or system.find("/storage/writer") or system.find("storage/writer")
            assert ref is not None
            yield Store(database, lambda: ref, deadline_s=deadline_s), ref


def stored(folder, owner="ann"):
    """The seqs of each of the owner's threads, read past all of storage's code."""
    connection = sqlite3.connect(folder / FILE_NAME)
    rows = connection.execute("SELECT thread_id, seq FROM events WHERE owner = ? ORDER BY seq", [owner]).fetchall()
    connection.close()
    seqs: dict[str, list[int]] = {}
    for thread_id, seq in rows:
        seqs.setdefault(thread_id, []).append(seq)
    return seqs


async def test_waiting_changes_share_a_transaction(database, make) -> None:
    """Two hundred at once are a handful of commits, and each is acknowledged."""
    commits = []
    event.listen(database.writing, "commit", lambda connection: commits.append(1))
    async with running(database) as (store, ref):
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(store.commit, make.opening("ann", f"t{number}", f"r{number}"))
        statistics = await ref.ask(ReadStatistics())
        assert statistics.changes == 200
        assert len(commits) == statistics.groups <= 10
        assert len((await store.threads("ann", limit=1000)).items) == 200


async def test_a_refused_change_does_not_hurt_its_group(database, folder, make) -> None:
    """Good and bad ones asked at the same moment: the bad ones alone are refused."""
    outcomes = {}
    async with running(database) as (store, ref):

        async def commit(number: int) -> None:
            first = 1 if number % 3 else 5
            change = make.change(
                "ann", f"t{number}", thread=make.thread("ann", f"t{number}"), events=make.events(first, first)
            )
            try:
                await store.commit(change)
                outcomes[number] = True
            except ChangeRefused as refusal:
                outcomes[number] = type(refusal)

        async with trio.open_nursery() as nursery:
            for number in range(90):
                nursery.start_soon(commit, number)
        assert (await ref.ask(ReadStatistics())).groups < 20
    assert outcomes == {number: True if number % 3 else SequenceConflict for number in range(90)}
    assert stored(folder) == {f"t{number}": [1] for number in range(90) if number % 3}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_killed_in_the_middle_nothing_is_lost_and_nothing_is_twice(database, folder, make, seed) -> None:
    """Producers commit event after event while the writer is killed at random; every acknowledgement holds."""
    dice = random.Random(seed)
    acknowledged = {}
    kills = 0
    async with running(database) as (store, ref):
        progress = trio.lowlevel.ParkingLot()

        async def produce(number: int) -> None:
            thread_id = f"t{number}"
            await store.commit(make.opening("ann", thread_id, f"r{number}"))
            for seq in range(2, 21):
                await store.commit(make.change("ann", thread_id, events=make.events(seq, seq)))
                acknowledged[thread_id] = seq
                progress.unpark_all()

        async def kill() -> None:
            nonlocal kills
            while True:
                for _ in range(dice.randrange(1, 4)):
                    await progress.park()
                for _ in range(dice.randrange(0, 30)):
                    await trio.lowlevel.checkpoint()
                ref.kill()
                kills += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            async with trio.open_nursery() as producers:
                for number in range(12):
                    producers.start_soon(produce, number)
            nursery.cancel_scope.cancel()
    assert kills > 5
    assert acknowledged == {f"t{number}": 20 for number in range(12)}
    assert stored(folder) == {f"t{number}": list(range(1, 21)) for number in range(12)}


class LosesItsAnswer(StoreWriter):
    """Commits its first group and falls over before anybody is told."""

    lives = 0

    def _commit(self, group):
        outcomes = super()._commit(group)
        type(self).lives += 1
        if type(self).lives == 1:
            raise RuntimeError("fell over after the commit")
        return outcomes


async def test_a_change_whose_answer_was_lost_is_a_success(database, folder, make) -> None:
    """The store asks again, the new writer finds it stored, the caller never knows."""
    async with running(database, lambda: LosesItsAnswer(database)) as (store, _):
        await store.commit(make.opening())
        await store.commit(make.change(events=make.events(2, 2)))
    assert LosesItsAnswer.lives > 1
    assert stored(folder) == {"t1": [1, 2]}


async def test_a_cancelled_writer_finishes_its_commit(database, folder, make) -> None:
    """The thread is never left behind: when a killed writer is dead, its transaction is over."""
    async with running(database) as (_, ref):
        group = [Write(make.opening("ann", f"t{number}", f"r{number}")) for number in range(50)]
        for write in group:
            ref.tell(write)
        await trio.testing.wait_all_tasks_blocked()
        await ref.stop()
        connection = sqlite3.connect(folder / FILE_NAME, timeout=0)
        connection.execute("BEGIN IMMEDIATE")
        connection.close()
    assert len(stored(folder)) in (0, 50)


async def test_stopping_after_draining_stores_what_was_sent(database, folder, make) -> None:
    """An orderly end loses nothing that was in the mailbox."""
    async with running(database) as (_, ref):
        for number in range(50):
            ref.tell(Write(make.opening("ann", f"t{number}", f"r{number}")))
        await ref.stop(StopMode.AFTER_DRAIN)
        assert len(stored(folder)) == 50


async def test_a_locked_database_is_unavailable_and_then_again_available(folder, make) -> None:
    """Another process holds the lock: the askers hear it, the writer lives on, and goes on when the lock is gone."""
    database = open_database(folder, busy_timeout_ms=5)
    other = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    async with running(database, deadline_s=0.1) as (store, ref):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="locked"):
            await store.commit(make.opening())
        with pytest.raises(StorageUnavailable, match="locked"):
            await store.check()
        other.execute("ROLLBACK")
        await store.commit(make.opening())
        await store.check()
        assert (await ref.ask(ReadStatistics())).failed_groups >= 2
    other.close()
    database.close()


async def test_a_full_disk_takes_nothing_of_the_group(folder, make) -> None:
    """SQLite's own full error, in the middle of a group: nothing of it is stored; with room again it all is."""
    database = open_database(folder)
    pages = [60]
    event.listen(
        database.writing, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count={pages[0]}")
    )
    big = make.change(events=make.events(2, 9, note="x" * 100_000))
    async with running(database, deadline_s=0.1) as (store, _):
        await store.commit(make.opening())
        with pytest.raises(StorageUnavailable, match="full"):
            await store.commit(big)
        assert stored(folder) == {"t1": [1]}
        pages[0] = 10_000
        await store.commit(big)
        assert stored(folder) == {"t1": list(range(1, 10))}
    database.close()


async def test_more_writes_than_the_mailbox_holds_wait_their_turn(database, make) -> None:
    """A flood is slowed down, not refused."""
    async with running(database) as (store, _):
        await store.commit(make.opening())
        async with trio.open_nursery() as nursery:
            for number in range(3000):
                nursery.start_soon(store.rename_thread, "ann", "t1", f"title {number}")
