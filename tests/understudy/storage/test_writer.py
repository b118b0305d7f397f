"""The writer: groups, restarts, full and locked disks. An acknowledged change is stored, and stored once."""

import random
import resource
import sqlite3
import subprocess
import sys
import time

import pytest
import trio
from sqlalchemy import event

from actors import ActorSystem, Ask, ChildSpec, Restart, StopMode, UnhandledMessage
from tests.rigs.store import running
from understudy.storage import writer
from understudy.storage.errors import StorageUnavailable, Unstorable
from understudy.storage.sqlite import FILE_NAME, open_database
from understudy.storage.store import COMMIT_DEADLINE_S
from understudy.storage.thread_writes import rename_thread
from understudy.storage.write import probe, thread_write
from understudy.storage.writer import ReadStatistics, StoreWriter, WriteRequest


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Runs at a tenth of the usual speed: a busy machine may take long for a commit that is to succeed in its time."""
    return trio.testing.MockClock(rate=0.1)


class PassingDeadlines(StoreWriter):
    """A writer after each of whose failed commits `passes_s` pass at once. So callers hear why their write failed,
    however long that takes, and do not try for the rest of their time."""

    def __init__(self, database, clock, passes_s: float) -> None:
        super().__init__(database)
        self.clock = clock
        self.passes_s = passes_s

    def _failed(self, group, later, error):
        super()._failed(group, later, error)
        self.clock.jump(self.passes_s)


def impatient(database, clock, passes_s: float = COMMIT_DEADLINE_S):
    """A store and its writer; `passes_s` pass after each commit that fails."""
    return running(database, lambda: PassingDeadlines(database, clock, passes_s), COMMIT_DEADLINE_S)


def stored(folder, owner="ann"):
    connection = sqlite3.connect(folder / FILE_NAME)
    rows = connection.execute("SELECT thread_id, seq FROM events WHERE owner = ? ORDER BY seq", [owner]).fetchall()
    connection.close()
    seqs: dict[str, list[int]] = {}
    for thread_id, seq in rows:
        seqs.setdefault(thread_id, []).append(seq)
    return seqs


@pytest.mark.usefixtures("one_batch")
async def test_a_group_that_takes_long_is_committed_in_parts(database, make, monkeypatch: pytest.MonkeyPatch) -> None:
    @thread_write
    def rename_slowly(connection, owner: str, thread_id: str, title: str) -> int:
        answer = rename_thread(owner, thread_id, title).apply(connection)
        time.sleep(0.002)
        return answer

    monkeypatch.setattr(writer, "GROUP_S", 0.001)
    commits, answered = [], list[str]()
    event.listen(database.writing, "commit", lambda connection: commits.append(1))
    async with running(database) as (store, _):
        await store.commit(make.opening())
        commits.clear()

        async def commit(title: str, write) -> None:
            await store.commit(write)
            answered.append(title)

        async with trio.open_nursery() as nursery:
            for title in "abcdef":
                nursery.start_soon(commit, title, rename_slowly("ann", "t1", title))
                await trio.lowlevel.checkpoint()
            nursery.start_soon(commit, "probe", probe())
        assert answered.index("probe") <= 2
        assert len(commits) >= 4
        titles = [answer for answer in answered if answer != "probe"]
        assert (await store.thread("ann", "t1")).title == titles[-1]
        assert sorted(titles) == list("abcdef")


@pytest.mark.usefixtures("one_batch")
async def test_waiting_changes_share_a_transaction(database, make) -> None:
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


@pytest.mark.usefixtures("one_batch")
async def test_a_group_has_a_largest_size(database, make, monkeypatch) -> None:
    monkeypatch.setattr(writer, "LARGEST_GROUP", largest := 60)
    async with running(database) as (_, ref):
        for number in range(largest + 1):
            ref.tell(WriteRequest(make.opening("ann", f"t{number}", f"r{number}")))
        assert await ref.ask(WriteRequest(probe()), timeout_s=60) is True
        statistics = await ref.ask(ReadStatistics())
    assert (statistics.groups, statistics.changes) == (2, largest + 2)


@pytest.mark.parametrize("seed", range(4))
async def test_killed_in_the_middle_nothing_is_lost_and_nothing_is_twice(database, folder, make, seed) -> None:
    dice = random.Random(seed)
    acknowledged = {}
    kills = 0
    async with running(database) as (store, ref):
        progress = trio.lowlevel.ParkingLot()

        async def produce(number: int) -> None:
            thread_id = f"t{number}"
            await store.commit(make.opening("ann", thread_id, f"r{number}"))
            for seq in range(2, 401):
                await store.commit(make.change("ann", thread_id, events=make.events(seq, seq)))
                acknowledged[thread_id] = seq
                progress.unpark_all()
                if seq >= 20 and kills > 5:  # a writer that was held up may commit many changes at once
                    break

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
    assert len(acknowledged) == 12
    assert min(acknowledged.values()) >= 20
    assert stored(folder) == {thread_id: list(range(1, last + 1)) for thread_id, last in acknowledged.items()}


class LosesItsAnswer(StoreWriter):
    """A writer that commits its first group and crashes before it acknowledges it."""

    lives = 0

    def _commit(self, group, least):
        outcomes = super()._commit(group, least)
        type(self).lives += 1
        if type(self).lives == 1:
            raise RuntimeError("fell over after the commit")
        return outcomes


async def test_a_change_whose_answer_was_lost_is_a_success(database, folder, make) -> None:
    async with running(database, lambda: LosesItsAnswer(database)) as (store, _):
        await store.commit(make.opening())
        await store.commit(make.change(events=make.events(2, 2)))
    assert LosesItsAnswer.lives > 1
    assert stored(folder) == {"t1": [1, 2]}


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_cancelled_writer_finishes_its_commit(database, folder, make, end) -> None:
    writes = make.change(thread=make.thread(), events=make.events(1, 5000, note="x" * 1000))
    async with ActorSystem("test") as system:
        spec = ChildSpec("writer", lambda: StoreWriter(database), restart=Restart.TEMPORARY)
        ref = await system.spawn(spec)
        ref.tell(WriteRequest(writes))
        await trio.testing.wait_all_tasks_blocked()
        if end == "kill":
            ref.kill()
            await ref.wait_stopped()
        else:
            await ref.stop()
        other = sqlite3.connect(folder / FILE_NAME, timeout=0)
        other.execute("BEGIN IMMEDIATE")
        other.close()
        assert len(stored(folder)["t1"]) == 5000


async def test_stopping_after_draining_stores_what_was_sent(database, folder, make) -> None:
    async with running(database) as (_, ref):
        for number in range(50):
            ref.tell(WriteRequest(make.opening("ann", f"t{number}", f"r{number}")))
        await ref.stop(StopMode.AFTER_DRAIN)
        assert len(stored(folder)) == 50


async def test_a_locked_database_is_unavailable_and_then_again_available(folder, make, clock) -> None:
    database = open_database(folder, busy_timeout_ms=5)
    other = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    async with impatient(database, clock) as (store, ref):
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


async def test_a_full_disk_takes_nothing_of_the_group(folder, make, clock) -> None:
    database = open_database(folder)
    pages = [60]
    event.listen(
        database.writing, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count={pages[0]}")
    )
    big = make.change(events=make.events(2, 9, note="x" * 100_000))
    async with impatient(database, clock) as (store, _):
        await store.commit(make.opening())
        with pytest.raises(StorageUnavailable, match="full"):
            await store.commit(big)
        assert stored(folder) == {"t1": [1]}
        pages[0] = 10_000
        await store.commit(big)
        assert stored(folder) == {"t1": list(range(1, 10))}
    database.close()


def failures(caplog):
    """Return the logged failures of commits as (level, reason)."""
    warnings = [record for record in caplog.records if record.message == "storage.commit_failed"]
    return [(record.levelname, record.reason) for record in warnings]


async def test_a_failed_commit_is_logged_once_a_second(folder, make, clock, caplog, monkeypatch) -> None:
    monkeypatch.setattr(writer, "LOG_EVERY_S", 1000.0)
    database = open_database(folder)
    event.listen(database.writing, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count=60"))
    big = make.change(thread=make.thread(), events=make.events(1, 9, note="x" * 100_000))
    async with impatient(database, clock, 0.6 * COMMIT_DEADLINE_S) as (store, ref):
        with pytest.raises(StorageUnavailable, match="full"):
            await store.commit(big)
        failed_groups = (await ref.ask(ReadStatistics())).failed_groups
        assert failed_groups > 1
        assert failures(caplog) == [("ERROR", "database or disk is full")]
        monkeypatch.setattr(writer, "LOG_EVERY_S", 0.0)
        with pytest.raises(StorageUnavailable, match="full"):
            await store.commit(big)
        assert len(failures(caplog)) == 1 + (await ref.ask(ReadStatistics())).failed_groups - failed_groups
    assert all("xxx" not in repr(record.__dict__) for record in caplog.records)
    database.close()


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_database_file_that_was_taken_away(folder, make, clock, caplog, how) -> None:
    database = open_database(folder)
    path, aside = folder / FILE_NAME, folder / "aside"
    async with impatient(database, clock) as (store, _):
        await store.commit(make.opening())
        path.rename(aside)
        if how == "replaced":
            path.write_bytes(aside.read_bytes())
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="removed or replaced"):
                await store.commit(make.change(events=make.events(2, 2)))
        with pytest.raises(StorageUnavailable, match="removed or replaced"):
            await store.check()
        assert path.exists() == (how == "replaced")
        assert failures(caplog) == [("ERROR", "the database file was removed or replaced")]
        aside.rename(path)
        await store.commit(make.change(events=make.events(2, 2)))
        await store.check()
        path.rename(aside)
        with pytest.raises(StorageUnavailable):
            await store.check()
        assert len(failures(caplog)) == 2
        aside.rename(path)
    assert stored(folder) == {"t1": [1, 2]}
    database.close()


async def test_a_writer_that_comes_after_the_file_went(folder, make, clock) -> None:
    """Its first connection does not make an empty database in the old one's place, and neither do readers."""
    database = open_database(folder)
    (folder / FILE_NAME).unlink()
    async with impatient(database, clock) as (store, _):
        with pytest.raises(StorageUnavailable, match="removed"):
            await store.commit(make.opening())
        with pytest.raises(StorageUnavailable, match="unable to open"):
            await store.thread("ann", "t1")
    assert not (folder / FILE_NAME).exists()
    database.close()


@pytest.mark.usefixtures("on_sqlite")
async def test_checking_writes(database, make, clock) -> None:
    async with impatient(database, clock) as (store, _):
        await store.commit(make.opening())
        await store.check()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises(StorageUnavailable, match="disk I/O error"):
                await store.check()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await store.check()


async def test_checking_reads(database, folder, clock) -> None:
    """A file whose pages were overwritten where it lies is found, though its name and inode are the same."""
    async with impatient(database, clock) as (store, _):
        await store.check()
        with (folder / FILE_NAME).open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * ((folder / FILE_NAME).stat().st_size - 4096))
        with pytest.raises(StorageUnavailable, match="malformed"):
            await store.check()


@pytest.mark.parametrize("passes_s", [0.3, COMMIT_DEADLINE_S])
async def test_a_check_says_why_within_its_second(database, folder, clock, passes_s) -> None:
    async with impatient(database, clock, passes_s) as (store, ref):
        (folder / FILE_NAME).rename(folder / "aside")
        began = trio.current_time()
        with pytest.raises(StorageUnavailable, match="removed or replaced"):
            await store.check()
        assert trio.current_time() - began < max(1.5, passes_s + 0.5)
        assert ((await ref.ask(ReadStatistics())).failed_groups > 1) == (passes_s < 1)


async def test_more_writes_than_the_mailbox_holds_wait_their_turn(database, make) -> None:
    renamed: list[bool] = []

    async with running(database) as (store, _):
        await store.commit(make.opening())

        async def rename(number: int) -> None:
            renamed.append(await store.commit(rename_thread("ann", "t1", f"title {number}")))

        async with trio.open_nursery() as nursery:
            for number in range(1500):
                nursery.start_soon(rename, number)
    assert renamed == [True] * 1500


async def test_a_message_it_does_not_know(database) -> None:
    class Dance(Ask[None]):
        """Nothing a writer does."""

    async with running(database) as (store, ref):
        with pytest.raises(UnhandledMessage):
            await ref.ask(Dance())
        await store.check()


PRODUCER = """
import sys, trio
from pathlib import Path
from actors import ActorSystem, ChildSpec
from understudy.storage.changes import Change
from understudy.storage.records import LoggedEvent, Thread
from understudy.storage.sqlite import open_database
from understudy.storage.store import COMMIT_DEADLINE_S, Store
from understudy.storage.writer import StoreWriter

async def produce(store, name):
    await store.commit(Change("ann", name, thread=Thread("ann", name, "", "guide", None, 1.0, 1.0)))
    for seq in range(1, 1_000_000):
        await store.commit(Change("ann", name, (LoggedEvent(seq, "note", None, b"x" * 300),)))
        print(name, seq, flush=True)

async def main():
    database = open_database(Path(sys.argv[1]))
    async with ActorSystem("test") as system, trio.open_nursery() as nursery:
        writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
        for number in range(8):
            nursery.start_soon(produce, Store(database, lambda: writer), f"t{number}")

trio.run(main)
"""


def test_a_killed_process_keeps_its_word(folder) -> None:
    acknowledged: dict[str, int] = {}
    with subprocess.Popen([sys.executable, "-c", PRODUCER, folder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line, _ in zip(process.stdout, range(500), strict=False):
            name, seq = line.split()
            acknowledged[name] = int(seq)
        process.kill()
        for line in process.stdout:
            if line.endswith("\n"):
                name, seq = line.split()
                acknowledged[name] = int(seq)
    open_database(folder).close()
    logs = stored(folder)
    assert len(acknowledged) == 8
    for name, seq in acknowledged.items():
        assert logs[name] == list(range(1, len(logs[name]) + 1))
        assert len(logs[name]) >= seq


def unwanted(error: Exception) -> None:
    """Fail: no later write of the test should be refused."""
    raise AssertionError(error)


async def test_a_later_write_shares_the_next_transaction_and_precedes_what_it_was_sent_before(
    database, make, monkeypatch
) -> None:
    monkeypatch.setattr(writer, "LATER_S", 1000.0)
    commits = []
    async with running(database) as (store, _):
        await store.commit(make.opening("ann", "t1", "r1"))
        event.listen(database.writing, "commit", lambda connection: commits.append(1))
        for text in ("so", "so far"):
            store.commit_later("r1", make.change(steps=(make.step(1, result=text, status="started"),)), unwanted)
        await store.commit(make.change(events=make.events(2, 2), steps=(make.step(1, result="whole"),)))
        assert [(step.result, step.status) for step in await store.steps("r1")] == [("whole", "ok")]
        assert len(commits) == 1


async def test_a_later_write_alone_is_stored_soon_and_before_a_flush_returns(database, make) -> None:
    async with running(database) as (store, ref):
        await store.commit(make.opening("ann", "t1", "r1"))
        for text in ("so", "so far"):
            store.commit_later("r1", make.change(steps=(make.step(1, result=text),)), unwanted)
        while not (stored := await store.steps("r1")):  # noqa: ASYNC110 - in the database, which tells nobody
            await trio.sleep(writer.LATER_S / 10)
        assert [step.result for step in stored] == ["so far"]
        store.commit_later("r1", make.change(steps=(make.step(1, result="more"),)), unwanted)
        await store.flush()
        assert [step.result for step in await store.steps("r1")] == ["more"]
        assert (await ref.ask(ReadStatistics())).groups == 3


async def test_a_later_write_is_stored_when_the_writer_is_stopped(database, make, monkeypatch) -> None:
    monkeypatch.setattr(writer, "LATER_S", 1000.0)
    async with running(database) as (store, _):
        await store.commit(make.opening("ann", "t1", "r1"))
        store.commit_later("r1", make.change(steps=(make.step(1, result="so far"),)), unwanted)
    async with running(database) as (store, _):
        assert [step.result for step in await store.steps("r1")] == ["so far"]


async def test_a_later_write_that_is_refused_says_so_and_hurts_nobody(database, make, monkeypatch) -> None:
    monkeypatch.setattr(writer, "LATER_S", 1000.0)
    refused: list[Exception] = []
    async with running(database) as (store, _):
        await store.commit(make.opening("ann", "t1", "r1"))
        store.commit_later("gone", make.change(steps=(make.step(1, "gone"),)), refused.append)
        await store.commit(make.change(events=make.events(2, 2)))
        assert [type(error) for error in refused] == [Unstorable]
        assert (await store.thread("ann", "t1")).last_seq == 2
