"""Nodes join, renew their leases, are declared dead, and leave; survivors take over the threads of dead nodes."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
import trio
from attrs import define, field

from actors import (
    Actor,
    ActorRef,
    ActorSystem,
    ChildSpec,
    Context,
    Killed,
    MailboxFull,
    MailboxSpec,
    Normal,
    Restart,
    StartChild,
    Supervisor,
)
from tests.extensions.nodes.carriers import until
from tests.servers.postgresql import Postgres
from understudy.chat.conversation.recovery import BATCH, CheckNow, Recovery
from understudy.chat.messages import OwnershipLost
from understudy.chat.registry import ConversationRegistry
from understudy.chat.run_limiter import RunLimiter
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.membership import Member, Membership, join, stop_conversations
from understudy.extensions.nodes.storage import join_nodes, leave_nodes, renew_node
from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.errors import Fenced, StorageUnavailable
from understudy.storage.postgresql import connect_database
from understudy.storage.records import Fence, LoggedEvent, RunRecord, Thread
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter

LEASE_S = 1.0
EVERY_S = 0.1


@define
class Server:
    """One server's store and node, and access to its actors."""

    store: Store
    node: Member
    system: ActorSystem
    lapses: list[str] = field(factory=list)

    async def join(self) -> "Server":
        await join(self.node, lease_s=LEASE_S)
        return self

    async def start_membership(self) -> ActorRef:
        membership = partial(
            Membership,
            self.node,
            lambda: self.lapses.append(self.node.id),
            lease_s=LEASE_S,
            every_s=EVERY_S,
        )
        return await self.system.spawn(ChildSpec("membership", membership))


@asynccontextmanager
async def server(address: str) -> AsyncIterator[Server]:
    """A server that has not joined yet; it leaves in order if its membership is alive."""
    database = await trio.to_thread.run_sync(connect_database, address)
    try:
        async with ActorSystem("s", [ChildSpec("writer", lambda: StoreWriter(database))], intensity=10) as system:
            store = Store(database, partial(system.find, "/s/writer"), deadline_s=10.0)
            yield Server(store, Member(store), system)
    finally:
        database.close()


def execute(address: str, statement: str) -> Any:
    with psycopg.connect(address, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


async def test_those_that_work_together_join(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    async with server(address) as first:
        await (await first.join()).start_membership()
        async with server(address) as second:
            await (await second.join()).start_membership()
            since = trio.current_time() + 1.5 * LEASE_S
            await until(lambda: min(first.node.renewed_at, second.node.renewed_at) > since)
            await until(partial(_alive, first.store, first.node.id, second.node.id))
        assert await first.store.read(nodes.living) == [first.node.id]
        assert (first.lapses, second.lapses) == ([], [])


async def test_a_membership_that_dies_goes_on(
    postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres.create(template)
    async with server(address) as first:
        ref = await (await first.join()).start_membership()
        before, renew, crashes = first.node.id, first.store.commit_urgent, [RuntimeError("broken")]

        async def fails_once(*args: Any, **options: Any) -> bool:
            if crashes:
                raise crashes.pop()
            return await renew(*args, **options)

        ref.kill()
        since = trio.current_time() + LEASE_S / 2
        await until(lambda: first.node.renewed_at > since)
        monkeypatch.setattr(first.store, "commit_urgent", fails_once)
        await until(lambda: not crashes)
        since = trio.current_time() + LEASE_S / 2
        await until(lambda: first.node.renewed_at > since)
        await until(partial(_alive, first.store, before))
        assert first.lapses == []


@pytest.mark.parametrize("cause", ["taken", "gone"])
async def test_a_node_that_was_taken_for_dead_takes_a_new_id(postgres: Postgres, template: str, cause: str) -> None:
    address = postgres.create(template)
    async with server(address) as first, server(address) as second:
        await first.join()
        before = first.node.id
        if cause == "taken":
            await first.store.commit(_running(before, "t1", "r1"))
            execute(address, "UPDATE nodes SET expires_at = 1")
            assert await second.store.commit_urgent(join_nodes(second.node.id, lease_s=60.0))
            assert await nodes.claim(second.store, "ann", "t1", second.node.id) == Fence(second.node.id, 2)
            await second.store.commit_urgent(leave_nodes(second.node.id))
        else:
            execute(address, "DELETE FROM nodes")
        await first.start_membership()
        await until(lambda: first.node.joined and first.node.id != before)
        assert first.lapses == [before]
        since = trio.current_time() + 2 * EVERY_S
        await until(lambda: first.node.renewed_at > since)
        await until(partial(_alive, first.store, first.node.id))
        assert first.node.lapses == 1


async def test_a_node_whose_threads_were_not_claimed_goes_on(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    async with server(address) as first, server(address) as second:
        await first.join()
        await (await second.join()).start_membership()
        await first.store.commit(_running(first.node.id, "t1", "r1"))
        await until(partial(_free, second.store))
        ref = await first.start_membership()
        await until(partial(_held, first.store, first.node.id))
        assert (first.lapses, first.node.lapses) == ([], 0)
        ref.kill()


async def test_a_server_that_was_silent_keeps_its_threads(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    async with server(address) as first:
        await first.join()
        before = first.node.id
        execute(address, "UPDATE nodes SET expires_at = 1")
        first.node.renewed_at -= 2 * LEASE_S
        since = trio.current_time() + EVERY_S
        await first.start_membership()
        await until(lambda: first.node.renewed_at > since)
        await until(partial(_alive, first.store, before))
        assert first.lapses == []


class Deaf(Actor):
    mailbox = MailboxSpec(capacity=1)

    async def receive(self, message: object, context: Context) -> None:
        await trio.sleep_forever()


class Obedient(Actor):
    async def receive(self, message: object, context: Context) -> None:
        assert isinstance(message, OwnershipLost)
        context.stop()


async def test_all_conversations_stand_down() -> None:
    async with ActorSystem("s", [ChildSpec("conversations", Supervisor)]) as system:
        conversations = system.find("/s/conversations")
        refs = []
        for kind in (Deaf, Obedient):
            refs.append(await conversations.ask(StartChild(ChildSpec(kind.__name__, kind, restart=Restart.TEMPORARY))))
        with suppress(MailboxFull):
            while True:
                refs[0].tell("more")
        stop_conversations(conversations)
        with trio.fail_after(60):
            assert [await ref.wait_stopped() for ref in refs] == [Killed(), Normal()]


async def test_a_server_that_is_held_has_nothing_when_it_goes_on(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    command = [sys.executable, str(Path(__file__).with_name("held_node.py")), address, str(LEASE_S)]
    async with server(address) as survivor, trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
        )
        lines = Lines(process.stdout)
        with trio.fail_after(60):
            _, held_id, token = (await lines.next()).split()
            assert await survivor.store.commit_urgent(join_nodes(survivor.node.id, lease_s=60.0))
            await until(partial(_longer, survivor.store, 5))
            assert await nodes.claim(survivor.store, "ann", "t1", survivor.node.id) == held_id
            process.send_signal(signal.SIGSTOP)
            stopped = trio.current_time()
            await until(partial(_free, survivor.store))
            fence = await nodes.claim(survivor.store, "ann", "t1", survivor.node.id)
            assert trio.current_time() < stopped + LEASE_S + 2.0
            assert fence == Fence(survivor.node.id, int(token) + 1)
            at = (await survivor.store.read(queries.last_seqs, "ann", ["t1"]))["t1"]
            await survivor.store.commit(Change("ann", "t1", (LoggedEvent(at + 1, "note", None, b"mine"),), fence=fence))
            process.send_signal(signal.SIGCONT)
            printed: dict[str, str] = {}
            while not printed.keys() >= {"stood", "lapsed"}:
                word, _, detail = (await lines.next()).partition(" ")
                printed[word] = detail
            new_id = printed["lapsed"]
            assert new_id != held_id
            assert set(await survivor.store.read(nodes.living)) == {survivor.node.id, new_id}
            late = Change("ann", "t1", (LoggedEvent(at + 2, "note", None, b"late"),), fence=Fence(held_id, int(token)))
            with pytest.raises(Fenced):
                await survivor.store.commit(late)
            assert [event.body for event in await survivor.store.events("ann", "t1", at - 1)] == [b"held", b"mine"]
            process.kill()


async def _longer(store: Store, seq: int) -> bool:
    return (await store.read(queries.last_seqs, "ann", ["t1"])).get("t1", 0) >= seq


async def _free(store: Store) -> bool:
    return await store.read(nodes.owner_node, "ann", "t1") is None


async def _held(store: Store, node: str) -> bool:
    return await store.read(nodes.owner_node, "ann", "t1") == node


class Lines:
    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._rest = b""

    async def next(self) -> str:
        while b"\n" not in self._rest:
            more = await self._stream.receive_some()
            assert more, "the process has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()


@pytest.mark.proof("chaos")
async def test_the_database_restarted_killed_and_away(own_postgres: Postgres) -> None:
    shared_at = own_postgres.create()
    async with server(shared_at) as first, server(shared_at) as second:
        servers = (first, second)
        for member in servers:
            await (await member.join()).start_membership()
        before = [peer.node.id for peer in servers]
        thread = Thread("ann", "t1", "Title", "guide", None, 1.0, 1.0)
        fence = await nodes.claim(first.store, "ann", "t1", first.node.id)
        event = LoggedEvent(1, "note", None, b"before")
        await first.store.commit(Change("ann", "t1", (event,), thread, fence=fence))
        for leave, come in (
            (partial(own_postgres.stop, "fast"), own_postgres.start),
            (partial(own_postgres.stop, "immediate"), own_postgres.start),
            (own_postgres.pause, own_postgres.resume),
        ):
            await trio.to_thread.run_sync(leave)
            await trio.sleep(1.2 * LEASE_S)
            began = trio.current_time()
            await trio.to_thread.run_sync(come)
            for member in servers:
                await until(partial(_back, member, began))
        assert [peer.node.id for peer in servers] == before
        assert [peer.lapses for peer in servers] == [[], []]
        assert await nodes.claim(second.store, "ann", "t1", second.node.id) == first.node.id
        after = LoggedEvent(2, "note", None, b"after")
        await first.store.commit(Change("ann", "t1", (after,), fence=fence))
        assert [event.body for event in await second.store.events("ann", "t1", 0)] == [b"before", b"after"]


async def _alive(store: Store, *names: str) -> bool:
    return await store.read(nodes.living) == list(names)


async def _back(server: Server, since: float) -> bool:
    """Return whether the node is alive and has renewed its lease since."""
    try:
        return server.node.renewed_at > since and server.node.id in await server.store.read(nodes.living)
    except StorageUnavailable:
        return False


@define
class Finder:
    """A stand-in for the registry: claims the threads it is asked to run."""

    server: Server
    claimed: list[str] = field(factory=list)
    refused: int = 0
    moved: list[tuple[tuple[str, str], ActorRef]] = field(factory=list)
    followed: list[str] = field(factory=list)
    fails: int = 0
    missed: tuple[str, ...] = ()
    looks: int = 0
    parts: tuple[()] = ()

    @property
    def node(self) -> Member:
        return self.server.node

    async def ensure_running(self, owner: str, thread_id: str, run_id: str) -> None:
        if run_id in self.claimed:  # this node works on it already
            return
        claim = await nodes.claim(self.server.store, owner, thread_id, self.server.node.id)
        if isinstance(claim, Fence):
            self.claimed.append(run_id)
        else:
            self.refused += 1

    async def dead_with_subscribers(self) -> list[tuple[str, str]]:
        return []

    def remind(self, owner: str, thread_id: str, run_id: str) -> bool:
        return False

    @property
    def relocated(self) -> list[tuple[tuple[str, str], ActorRef]]:
        self.looks += 1
        return list(self.moved)

    async def subscribe_missed(self, owner: str) -> None:
        """Record the call, or fail for a while: the user comes last then."""
        self.missed = tuple(name for name in self.missed if name != owner)
        self.fails -= 1
        if self.fails >= 0:
            self.missed += (owner,)
            raise StorageUnavailable("not yet")
        self.followed.append(owner)

    async def resubscribe(self, key: tuple[str, str], ending: ActorRef) -> None:
        await ending.wait_stopped()
        self.fails -= 1
        if self.fails >= 0:
            raise StorageUnavailable("not yet")
        self.followed.append(key[1])
        self.moved.remove((key, ending))


async def recovering(server: Server, finder: Finder) -> ActorRef:
    recovery = partial(Recovery, server.store, cast(ConversationRegistry, finder), RunLimiter(2, 4))
    return await server.system.spawn(ChildSpec("recovery", recovery))


async def test_what_a_dead_node_had_is_shared_among_those_that_are_left(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    count = 3 * BATCH
    async with server(address) as dead, server(address) as first, server(address) as second:
        finders = [Finder(first), Finder(second)]
        assert await dead.store.commit_urgent(join_nodes(dead.node.id, lease_s=60.0))
        for finder in finders:
            await (await finder.server.join()).start_membership()
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(dead.store.commit, _running(dead.node.id, f"t{number}", f"r{number}"))
        assert await dead.store.commit_urgent(renew_node(dead.node.id, LEASE_S))
        survivors = [await recovering(finder.server, finder) for finder in finders]
        await trio.sleep(LEASE_S * 0.8)
        assert not any(finder.claimed for finder in finders)
        await trio.sleep(LEASE_S * 0.4)
        for recovery in survivors:
            recovery.tell(CheckNow())
        await until(lambda: sum(len(finder.claimed) for finder in finders) >= count)
        runs = [run for finder in finders for run in finder.claimed]
        assert sorted(runs) == sorted(f"r{number}" for number in range(count))
        assert sum(finder.refused for finder in finders) <= count // 2


async def test_own_runs_are_woken_now_and_then(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    async with server(address) as first, server(address) as second:
        for member in (first, second):
            await (await member.join()).start_membership()
            await member.store.commit(_running(member.node.id, f"t-{member.node.id}", f"r-{member.node.id}"))
        finder = Finder(first)
        await recovering(first, finder)
        await until(lambda: finder.claimed)
        assert finder.claimed == [f"r-{first.node.id}"]


async def test_followers_of_threads_that_moved_come_before_those_who_may_lack_one(
    postgres: Postgres, template: str
) -> None:
    async with server(postgres.create(template)) as first:
        await (await first.join()).start_membership()
        ending = await first.system.spawn(ChildSpec("conversation", Obedient, restart=Restart.TEMPORARY))
        ending.tell(OwnershipLost())
        finder = Finder(first, moved=[(("ann", f"t{number}"), ending) for number in range(2 * BATCH)], missed=("bob",))
        await recovering(first, finder)
        await until(lambda: len(finder.followed) > 2 * BATCH)
        assert finder.followed[-1] == "bob"


async def test_followers_of_a_thread_that_moved_find_it(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    async with server(address) as first:
        await (await first.join()).start_membership()
        finder = Finder(first)
        recovery = await recovering(first, finder)
        ending = await first.system.spawn(ChildSpec("conversation", Obedient, restart=Restart.TEMPORARY))
        finder.moved.append((("ann", "t1"), ending))
        recovery.tell(CheckNow())
        await until(lambda: finder.looks)
        assert finder.followed == []
        finder.fails = 1
        recovery.kill()
        ending.tell(OwnershipLost())
        await until(lambda: finder.followed)
        looks = finder.looks
        recovery.tell(CheckNow())
        await until(lambda: finder.looks > looks)
        assert finder.followed == ["t1"]


async def test_users_that_may_lack_threads_are_seen_to(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    async with server(address) as first:
        await (await first.join()).start_membership()
        finder = Finder(first, fails=3, missed=tuple(f"user-{number}" for number in range(2 * BATCH + 1)))
        users = set(finder.missed)
        await recovering(first, finder)
        await until(lambda: not finder.missed)
        assert set(finder.followed) == users
        assert len(finder.followed) == len(users)


def _running(node: str, thread_id: str, run_id: str) -> Change:
    thread = Thread("ann", thread_id, "Title", "guide", None, 1.0, 1.0)
    run = RunRecord(run_id, "ann", thread_id, "m1", None, "guide", None, "running", 1.0)
    return Change("ann", thread_id, (LoggedEvent(1, "note", run_id, b"x"),), thread, run=run, fence=Fence(node, 1))


async def test_the_node_that_is_alive_the_longest_is_the_oldest(postgres: Postgres, template: str) -> None:
    address = postgres.create(template)
    async with server(address) as first, server(address) as second:
        assert not await first.node.is_oldest()
        for member in (first, second):
            await member.join()
        assert [await peer.node.is_oldest() for peer in (first, second)] == [True, False]
