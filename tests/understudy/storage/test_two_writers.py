"""Two servers that write to one PostgreSQL at once: nothing is lost or stored twice, and no write waits for long."""

import contextlib
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import trio
import trio.testing
from attrs import evolve

from actors import ActorRef
from tests.rigs.store import running
from tests.servers.postgresql import Postgres, execute
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.storage import claim_thread, join_nodes, leave_nodes, renew_node
from understudy.storage import postgresql, queries, store
from understudy.storage.errors import AlreadyStored, Fenced, NotStored, StorageUnavailable
from understudy.storage.postgresql import connect_database
from understudy.storage.records import Fence
from understudy.storage.store import Store
from understudy.storage.thread_writes import rename_thread
from understudy.storage.writer import ReadStatistics, commit_group


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions have a minute for each step, also where a busy machine stops their thread between two."""
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    writing = "; ".join(["BEGIN", *(f"SET LOCAL {limit} = '60s'" for limit in limits)])
    monkeypatch.setattr(postgresql, "WRITING", writing)
    monkeypatch.setattr("understudy.storage.changes.LOCK_S", 60.0)


@contextlib.asynccontextmanager
async def two(address: str) -> AsyncIterator[list[tuple[Store, ActorRef]]]:
    databases = [connect_database(address) for _ in range(2)]
    try:
        async with running(databases[0]) as first, running(databases[1]) as second:
            yield [first, second]
    finally:
        for database in databases:
            database.close()


async def at_once(*calls: Callable[[], Any]) -> list[Any]:
    results: list[Any] = [None] * len(calls)

    async def call(place: int) -> None:
        try:
            results[place] = await calls[place]()
        except Exception as error:
            results[place] = error

    async with trio.open_nursery() as nursery:
        for place in range(len(calls)):
            nursery.start_soon(call, place)
    return results


async def failed(*writers: ActorRef) -> int:
    """How many of their transactions failed as a whole."""
    return sum([(await ref.ask(ReadStatistics())).failed_groups for ref in writers])


def opening(make: Any, owner: str, thread_id: str) -> Any:
    return make.opening(owner, thread_id, f"r-{owner}-{thread_id}")


@pytest.mark.usefixtures("patient")
def test_the_same_new_users_on_both_never_wait_in_a_circle(postgres: Postgres, template: str, make: Any) -> None:
    address, owners, rounds = postgres.create(template), [f"u{number}" for number in range(150)], 4
    execute(address, f"ALTER DATABASE {address.rpartition('/')[2]} SET deadlock_timeout TO '50ms'")
    databases = [connect_database(address) for _ in range(2)]
    together = threading.Barrier(2, timeout=60)

    def store(number: int) -> list[Any]:
        outcomes = []
        with databases[number].writing.connect() as connection:
            for turn in range(rounds):
                names = [f"{owner}-{turn}" for owner in owners[:: -1 if number else 1]]
                threads = [make.thread(name, f"t{number}") for name in names]
                together.wait()
                outcomes += commit_group(connection, [make.change(t.owner, t.id, thread=t) for t in threads])
        return outcomes

    with ThreadPoolExecutor(2) as pool:
        stored = list(pool.map(store, (0, 1)))
    for database in databases:
        database.close()
    assert stored == [[True] * len(owners) * rounds] * 2


def test_a_claim_does_not_wait_for_a_row(address: str, make: Any) -> None:
    database = connect_database(address)
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening(), join_nodes("a")])
        with held(address, "UPDATE threads SET title = 'x' WHERE id = 't1'"):
            assert commit_group(connection, [claim_thread("ann", "t1", "a")]) == [0]
        assert commit_group(connection, [claim_thread("ann", "t1", "a")]) == [1]
    database.close()


@pytest.mark.usefixtures("patient")
async def test_a_message_is_one_threads_wherever_it_came_in(address: str, make: Any) -> None:
    async with two(address) as [(first, _), (second, _)]:
        for turn in range(10):
            threads = (f"a{turn}", f"b{turn}")
            changes = [
                evolve(change, messages=(make.message(thread_id=change.thread_id, message_id=f"m{turn}"),))
                for change in (opening(make, "ann", name) for name in threads)
            ]
            results = await at_once(lambda c=changes[0]: first.commit(c), lambda c=changes[1]: second.commit(c))
            assert [type(result) for result in results if result is not True] == [AlreadyStored]
        for turn in range(10):
            threads = (f"c{turn}", f"d{turn}")
            changes = [opening(make, "ann", name) for name in threads]
            changes = [evolve(change, run=evolve(change.run, request_id=f"q{turn}")) for change in changes]
            results = await at_once(lambda c=changes[0]: first.commit(c), lambda c=changes[1]: second.commit(c))
            assert [(type(result), result.kind) for result in results if result is not True] == [
                (AlreadyStored, "request")
            ]


@pytest.mark.usefixtures("patient")
async def test_deleting_meets_appending(address: str, make: Any) -> None:
    async with two(address) as [(first, ref1), (second, ref2)]:
        for turn in range(12):
            name = f"t{turn}"
            await first.commit(opening(make, "ann", name))

            async def append(name: str = name) -> None:
                for seq in itertools.count(2):
                    message = make.message(thread_id=name, message_id=f"m-{name}-{seq}")
                    await first.commit(make.change("ann", name, events=make.events(seq, seq), messages=(message,)))

            async def delete(name: str = name, after_s: float = 0.002 * turn) -> bool:
                await trio.sleep(after_s)
                return await second.delete_thread("ann", name)

            with trio.fail_after(60):
                appended, deleted = await at_once(append, delete)
            assert isinstance(appended, NotStored)
            assert deleted is True
        assert await failed(ref1, ref2) == 0
    for table in ("threads", "events", "messages", "words", "runs"):
        assert execute(address, f"SELECT count(*) FROM {table}") == [(0,)]


@pytest.mark.usefixtures("patient")
async def test_trimming_leaves_a_run_that_begins_meanwhile(address: str, make: Any) -> None:
    async with two(address) as [(first, _), (second, _)]:
        await first.commit(evolve(opening(make, "ann", "t1"), run=None))
        for seq in range(2, 40):
            run = make.run(run_id=f"r{seq}")
            begins = make.change(events=make.events(seq, seq, run.id), run=run)
            assert await at_once(lambda c=begins: first.commit(c), lambda: second.trim("ann", "t1", 10**9)) == [
                True,
                None,
            ]
            assert [event.seq for event in await first.run_events("ann", "t1", run.id)] == [seq]
            await first.commit(make.change(run_end=make.ending(run.id)))


@pytest.mark.usefixtures("patient")
async def test_each_orphan_is_claimed_by_one(address: str, make: Any) -> None:
    async with two(address) as [(first, _), (second, _)]:
        stores = {"a": first, "b": second}
        names = [f"t{number}" for number in range(30)]
        for name in names:
            await first.commit(evolve(opening(make, "ann", name), fence=Fence("dead", 7)))
        for node, store in stores.items():
            await store.commit_urgent(join_nodes(node, lease_s=60.0))
        claims = [lambda n=name: nodes.claim(first, "ann", n, "a") for name in names]
        claims += [lambda n=name: nodes.claim(second, "ann", n, "b") for name in reversed(names)]
        results = await at_once(*claims)
        for name, here, there in zip(names, results[:30], reversed(results[30:]), strict=True):
            fence, holder = (here, there) if isinstance(here, Fence) else (there, here)
            assert fence == Fence(holder, 8)
            await stores[holder].commit(evolve(make.change("ann", name, events=make.events(2, 2)), fence=fence))


@contextlib.contextmanager
def held(address: str, statement: str) -> Any:
    """Another server's transaction that has done this, and goes on."""
    with psycopg.connect(address) as connection:
        connection.execute(statement)
        yield connection
        connection.rollback()


async def test_a_row_that_is_locked_holds_up_its_change_alone(address: str, make: Any) -> None:
    async with two(address) as [(first, ref), _]:
        for name in ("t1", "t2"):
            await first.commit(opening(make, "ann", name))
        await first.commit_urgent(join_nodes("a"))
        done: set[str] = set()

        async def append(name: str) -> None:
            await first.commit(make.change("ann", name, events=make.events(2, 2)))
            done.add(name)

        async with trio.open_nursery() as nursery:
            with held(address, "UPDATE threads SET title = 'x' WHERE id = 't1'"):
                nursery.start_soon(append, "t1")
                nursery.start_soon(append, "t2")
                assert await first.commit_urgent(renew_node("a"), 30.0)
                while "t2" not in done:
                    assert await first.commit_urgent(renew_node("a"), 30.0)
                    await trio.sleep(0.1)
                assert done == {"t2"}
        assert done == {"t1", "t2"}
        assert (await first.read(queries.last_seqs, "ann", ["t1"])) == {"t1": 2}
        assert await failed(ref) == 0


@pytest.mark.proof("timing")
def test_a_row_that_is_locked_is_waited_for_once(
    postgres: Postgres, template: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.storage.changes.LOCK_S", lock_s := 2.0)
    address = postgres.create(template)
    database = connect_database(address)
    names = [f"t{number}" for number in range(11)]
    with database.writing.connect() as connection:
        commit_group(connection, [opening(make, "ann", name) for name in names])
        appends = [make.change("ann", name, events=make.events(2, 2)) for name in names]
        with held(address, "UPDATE threads SET title = 'x' WHERE id <> 't10'"):
            began = time.monotonic()
            outcomes = commit_group(connection, appends)
            assert lock_s <= time.monotonic() - began < 2 * lock_s
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 10 + [bool]
        assert commit_group(connection, appends) == [True] * 11
    database.close()


async def test_leases_do_not_wait_their_turn(
    postgres: Postgres, template: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WAITING", 1)
    address = postgres.create(template)
    async with two(address) as [(first, _), _]:
        await first.commit(opening(make, "ann", "t1"))
        async with trio.open_nursery() as nursery:
            with held(address, "UPDATE threads SET title = 'x' WHERE id = 't1'"):
                nursery.start_soon(first.commit, make.change("ann", "t1", events=make.events(2, 2)))
                await trio.testing.wait_all_tasks_blocked()
                first.deadline_s = 3.0
                assert await first.commit_urgent(join_nodes("a", lease_s=60.0))
                assert await first.commit_urgent(renew_node("a"), 3.0)
                assert await first.commit_urgent(leave_nodes("a"))
                first.deadline_s = 0.1
                with pytest.raises(StorageUnavailable, match="too many writes"):
                    await first.commit(rename_thread("ann", "t1", "y"))
        assert await first.read(queries.last_seqs, "ann", ["t1"]) == {"t1": 2}


@pytest.mark.usefixtures("one_batch")
async def test_a_deadlock_is_tried_again(address: str, make: Any) -> None:
    execute(address, f"ALTER DATABASE {address.rpartition('/')[2]} SET deadlock_timeout TO '150ms'")
    async with two(address) as [(first, ref), _]:
        for name in ("t1", "t2"):
            await first.commit(opening(make, "ann", name))
        with held(address, "SET LOCAL deadlock_timeout = '20s'; UPDATE threads SET title = 'x' WHERE id = 't2'") as it:
            changes = [make.change("ann", name, events=make.events(2, 2)) for name in ("t1", "t2")]

            def meet() -> None:
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                with psycopg.connect(address, autocommit=True) as observer:
                    while observer.execute(waiting).fetchone() == (0,):
                        time.sleep(0.001)
                it.execute("UPDATE threads SET title = 'x' WHERE id = 't1'")
                it.commit()

            async with trio.open_nursery() as nursery:
                for change in changes:
                    nursery.start_soon(first.commit, change)
                await trio.to_thread.run_sync(meet)
        assert await first.read(queries.last_seqs, "ann", ["t1", "t2"]) == {"t1": 2, "t2": 2}
        assert await failed(ref) == 0
    deadlocks = f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{address.rpartition('/')[2]}'"
    with trio.fail_after(60):  # it is counted a little later
        while execute(address, deadlocks) == [(0,)]:  # noqa: ASYNC110 - what it looks at is no event
            await trio.sleep(0.05)


@pytest.mark.proof("timing")
async def test_a_server_that_is_held_in_a_transaction_lets_go(address: str, make: Any) -> None:
    """A node is paused between its append and its commit: its thread is claimed soon all the same, and what it had
    written by then is not stored when it goes on."""
    paused, reached = threading.Event(), threading.Event()
    database = connect_database(address)
    with database.writing.connect() as connection:
        commit_group(connection, [evolve(opening(make, "ann", "t1"), fence=Fence("gone", 1))])

    def hold() -> None:
        with database.writing.connect() as connection, connection.begin():
            evolve(make.change(events=make.events(2, 2)), fence=Fence("gone", 1)).apply(connection)
            reached.set()
            assert paused.wait(120)
            connection.exec_driver_sql("SELECT 1")

    with ThreadPoolExecutor(1) as pool:
        held_node = pool.submit(hold)
        async with two(address) as [(first, _), _]:
            await trio.to_thread.run_sync(reached.wait)
            await first.commit_urgent(join_nodes("a", lease_s=60.0))
            assert await nodes.claim(first, "ann", "t1", "a") == Fence("a", 2)
            assert not held_node.done()
            await first.commit(evolve(make.change(events=make.events(2, 3)), fence=Fence("a", 2)))
            with pytest.raises(Fenced):
                await first.commit(evolve(make.change(events=make.events(4, 4)), fence=Fence("gone", 1)))
        paused.set()
        assert await trio.to_thread.run_sync(held_node.exception) is not None
    database.close()
