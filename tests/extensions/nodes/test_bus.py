"""Messaging between two nodes over a real PostgreSQL, their wakeups by it or by Redis."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import msgspec
import psycopg
import pytest
import trio
from attrs import define, evolve, field

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context
from tests.extensions.nodes.carriers import until
from tests.extensions.nodes.envelopes import passing, thought
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from transport.wire.errors import CommandRejected
from understudy.chat.messages import CancelRun, RequestSnapshot
from understudy.chat.placement import Active, Missed, Moved, News, RemoteNodes
from understudy.extensions.nodes import bus as bus_module
from understudy.extensions.nodes import bus_receiver, codec, inbox
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.bus_receiver import BusReceiver
from understudy.extensions.nodes.inbox import Letter, deliver
from understudy.extensions.nodes.membership import LOOK_S, Member, Membership, join
from understudy.extensions.nodes.messages import Advanced, Passing, RpcReply, RpcRequest
from understudy.extensions.nodes.notify import NotifyWakeups
from understudy.extensions.nodes.peers import Peers
from understudy.extensions.nodes.proxy_table import LogChecked, OwnerDown, ProxyTable
from understudy.extensions.nodes.redis import RedisLink
from understudy.extensions.nodes.redis_wakeups import RedisWakeups
from understudy.extensions.nodes.wakeups import Wakeups, channel_of
from understudy.storage.errors import StorageUnavailable, WakeupsUnavailable
from understudy.storage.postgresql import PostgresDatabase, alone, connect_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter
from understudy.wire.events import AgentProgress, Envelope
from understudy.wire.vocabulary import from_log

LEASE_S = nodes.LEASE_S


class Noting(Actor):
    """Stands for the proxy of a thread, or its conversation: keeps what it receives."""

    def __init__(self, received: list[object]) -> None:
        self.received = received

    async def receive(self, message: object, context: Context) -> None:
        self.received.append(message)


@define(eq=False)
class Node:
    """One node. `execute` answers its requests, and `news` is kept.

    `received` are the messages to the proxy of the thread `t`, `requests` those to its conversation.
    """

    name: str
    address: str
    redis: Redis | None
    store: Store
    member: Member
    bus: MessageBus
    wakeups: Wakeups
    proxies: ProxyTable
    system: ActorSystem
    executed: list[RpcRequest] = field(factory=list)
    news: list[News] = field(factory=list)
    received: list[object] = field(factory=list)
    requests: list[object] = field(factory=list)
    dropped: list[str] = field(factory=list)
    answer: Callable[[RpcRequest], Any] = lambda _: "done"

    @property
    def id(self) -> str:
        return self.member.id

    async def execute(self, sender: str, request: RpcRequest, within_s: float) -> None:
        self.executed.append(request)
        try:
            self.bus.reply(sender, RpcReply(request.id, self.answer(request)))
        except Exception as error:
            self.bus.reply(sender, RpcReply(request.id, fault=codec.fault_from_error(error)))

    async def hear(self, news: News) -> None:
        self.news.append(news)

    async def ask(self, other: "Node", timeout_s: float = 20.0) -> Any:
        return await self.bus.ask(other.id, "ann", "t", CancelRun("r1"), timeout_s=timeout_s)

    def peek(self, owner: str, thread_id: str) -> ActorRef | None:
        """Return the conversation of the thread `t`, as `ConversationRegistry.peek` does."""
        assert (owner, thread_id) == ("ann", "t")
        return self.system.find(f"/{self.name}/conversation")

    async def follow(self, other: "Node") -> None:
        """Have a proxy of the thread `t` here, and wait until the other node has heard of it."""
        proxy = await self.system.spawn(ChildSpec("p", partial(Noting, self.received)))
        self.proxies.add(("ann", "t"), proxy, other.id)
        self.proxies.check()
        await until(lambda: other.bus.announcer.is_followed("ann", "t") and other.requests)

    def append(self, *envelopes: Envelope) -> None:
        self.bus.announcer.deliver("ann", "t", 1.0, envelopes)

    def thread_news(self) -> list[object]:
        """Return what the proxy received, but for the checks of its log."""
        return [message for message in self.received if not isinstance(message, LogChecked)]

    async def cut_off(self) -> None:
        if self.redis is not None:
            await trio.to_thread.run_sync(self.redis.command, "CLIENT", "KILL", "TYPE", "pubsub")
            return
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'understudy-%%'"
        await trio.to_thread.run_sync(execute, self.address, cut)

    async def rows(self) -> int:
        return await self.store.read(
            lambda connection: connection.exec_driver_sql("SELECT count(*) FROM inbox").scalar_one()
        )

    async def stop(self, *names: str) -> None:
        for name in names:
            ref = self.system.find(f"/{self.name}/{name}")
            await ref.stop()

    async def leave(self) -> None:
        """Stop reading and answering, and give up the lease."""
        await self.stop("membership", "receiver")
        await self.store.commit_urgent(nodes.leave_nodes(self.id))


@contextlib.asynccontextmanager
async def started(address: str, name: str, redis: Redis | None = None, lease_s: float = LEASE_S) -> AsyncIterator[Node]:
    database: PostgresDatabase = await trio.to_thread.run_sync(connect_database, address)
    async with ActorSystem(name, [ChildSpec("writer", lambda: StoreWriter(database))], intensity=10) as system:
        store = Store(database, partial(system.find, f"/{name}/writer"))
        member, proxies = Member(store), ProxyTable()
        await join(member, lease_s=lease_s)
        listening, wakeups = trio.Event(), await carried_by(redis, address, system)
        node = Node(name, address, redis, store, member, MessageBus(store, member, wakeups), wakeups, proxies, system)
        node.bus._dropped = node.dropped.append
        peers = Peers(store, member, node.bus, proxies, node.hear, lambda _: None, wakeups.cut_off)
        times = {"lease_s": lease_s, "every_s": LEASE_S / 6}
        parts = (wakeups, store, member, node.bus, proxies, node, node.execute, node.hear, listening)
        specs = [
            ChildSpec("conversation", partial(Noting, node.requests)),
            ChildSpec("membership", partial(Membership, member, lambda: None, peers, **times)),
            *node.bus.children(),
            ChildSpec("receiver", partial(BusReceiver, *parts)),
        ]
        for spec in specs:
            await system.spawn(spec)
        with trio.fail_after(60):
            await listening.wait()
        yield node
    await trio.to_thread.run_sync(database.close)


async def carried_by(redis: Redis | None, address: str, system: ActorSystem) -> Wakeups:
    if redis is None:
        return NotifyWakeups(alone(address))
    link = RedisLink(redis.url)
    await system.spawn(link.connector_spec())
    with trio.fail_after(60):
        await link.wait_up()
    return RedisWakeups(link)


async def kill_when(event: trio.Event, victim: Any) -> None:
    await event.wait()
    victim.kill()


def execute(address: str, statement: str, *values: object) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement, values)


@pytest.fixture(params=["postgresql", "redis"])
async def pair(
    postgres: Postgres, template: str, redis: Redis, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Node, Node]]:
    address, by = postgres.create(template), redis if request.param == "redis" else None
    async with started(address, "one", by) as first, started(address, "other", by) as second:
        await until(lambda: first.bus.peers and second.bus.peers)
        yield first, second


async def test_requests_are_executed_once_answered_and_leave_nothing(pair: tuple[Node, Node]) -> None:
    first, second = pair
    answers: list[object] = []

    async def ask() -> None:
        answers.append(await first.ask(second))

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(ask)
    assert answers == ["done"] * 300
    assert len({request.id for request in second.executed}) == len(second.executed) == 300

    async def empty() -> bool:
        return not await first.rows()

    await until(empty)


@pytest.mark.parametrize("error", [CommandRejected("busy", "Wait.", 5.0), Moved("it is another server's")])
async def test_errors_come_back_as_they_were(pair: tuple[Node, Node], error: Exception) -> None:
    first, second = pair

    def fail(_: RpcRequest) -> None:
        raise error

    second.answer = fail
    with pytest.raises(type(error), match=str(error)):
        await first.ask(second)


async def test_numbers_and_text_reach_the_proxy_in_order_and_news_all_others(pair: tuple[Node, Node]) -> None:
    first, second = pair
    await second.follow(first)
    first.append(thought(3), thought(4))
    first.append(passing(AgentProgress(1.0, "half", 2.0)))
    first.bus.tell(second.id, Passing("former", "ann", "t", 4, msgspec.Raw(b"{}")))
    first.bus.broadcast(Active("ann", "t", 3))
    await until(lambda: len(second.thread_news()) >= 2)
    number, text = second.thread_news()
    assert number == Advanced(first.id, "ann", "t", 4, 1.0)
    assert from_log(bytes(text.body)) == passing(AgentProgress(1.0, "half", 2.0))
    await until(lambda: Active("ann", "t", 3) in second.news)
    assert Active("ann", "t", 3) not in first.news


async def test_a_node_whose_connections_are_cut_hears_again_and_looks_for_what_it_missed(
    pair: tuple[Node, Node],
) -> None:
    first, second = pair
    await second.follow(first)
    for number in range(3):
        second.received.clear()
        second.news.clear()
        await first.cut_off()
        first.bus.broadcast(Active("ann", "t", number))
        assert await first.ask(second) == "done"
        await until(lambda: first.bus.hears and second.bus.hears and LogChecked(None) in second.received)
        await until(lambda: any(isinstance(news, Missed) for news in second.news))


async def test_a_conversation_is_asked_for_its_end_and_text_when_a_node_begins_to_follow_and_hears_again(
    pair: tuple[Node, Node],
) -> None:
    first, second = pair
    await second.follow(first)
    for _ in range(2):
        assert all(isinstance(ask, RequestSnapshot) and isinstance(ask.outbox, RemoteNodes) for ask in first.requests)
        first.requests.clear()
        await second.cut_off()
        await until(lambda: first.requests)


async def test_what_was_being_sent_when_its_actor_was_killed_is_sent(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    await second.follow(first)
    sending = trio.Event()

    async def hang(*_: object) -> None:
        sending.set()
        await trio.sleep_forever()

    with monkeypatch.context() as patched:
        patched.setattr(type(first.wakeups), "publish", hang)
        first.append(thought(7))
        first.bus.broadcast(Active("ann", "t", 7))
        first.bus.follow(second.id, "ann", "t", snapshot=True)
        second.news.clear()
        await kill_when(sending, first.system.find("/one/bus"))
    await until(lambda: any(isinstance(message, Advanced) and message.last == 7 for message in second.received), 5.0)
    await until(lambda: any(isinstance(news, Missed) for news in second.news), 5.0)
    await until(lambda: second.requests, 5.0)


async def test_a_request_that_was_being_stored_when_its_actor_was_killed_fails_at_once(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its letter is deleted later."""
    first, second = pair
    storing, commit = trio.Event(), Store.commit

    async def hang(store: Store, write: Any, *more: Any, **others: Any) -> int:
        if store is not first.store or getattr(write, "made_by", None) is not deliver:
            return await commit(store, write, *more, **others)
        storing.set()
        return await trio.sleep_forever()

    first.bus._done.add("done")
    async with trio.open_nursery() as nursery:
        with monkeypatch.context() as patched:
            patched.setattr(Store, "commit", hang)
            nursery.start_soon(kill_when, storing, first.system.find("/one/letters"))
            with pytest.raises(StorageUnavailable), trio.fail_after(10):
                await first.ask(second)
    assert "done" in first.bus._done
    assert await first.ask(second) == "done"
    assert "done" not in first.bus._done


async def test_a_request_whose_commit_is_repeated_after_it_was_executed_is_not_executed_again(
    pair: tuple[Node, Node],
) -> None:
    first, second = pair
    request = codec.encode_letter(RpcRequest("w", "ann", "t", "CancelRun"))
    letter = Letter("w", second.id, first.id, codec.VERSION, request, 60.0)

    async def executed() -> bool:
        return bool(second.executed) and not await first.rows()

    for _ in range(3):
        await first.store.commit(deliver([letter], ()))
        await until(executed)
    assert len(second.executed) == 1


async def test_a_listener_that_dies_in_silence_is_noticed_within_five_seconds(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays open, but nothing that the node sends to itself arrives any more."""
    first, second = pair
    receiver: Any = second.system.find("/other/receiver")
    silent, on_hello = True, BusReceiver._on_hello

    def lose(receiver: BusReceiver) -> None:
        if not silent or receiver.bus is not second.bus:
            on_hello(receiver)

    monkeypatch.setattr(BusReceiver, "_on_hello", lose)
    began = trio.current_time()
    await until(lambda: not second.bus.hears)
    assert trio.current_time() - began < bus_receiver.BEAT_S + bus_receiver.SILENT_S + 1.0
    assert await first.ask(second) == "done"
    second.news.clear()
    silent = False
    await until(lambda: second.bus.hears)
    await until(lambda: any(isinstance(news, Missed) for news in second.news))
    assert receiver.alive


async def test_a_node_that_hears_nothing_still_answers_and_looks(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler of transactions keeps notifications from it."""
    first, second = pair

    async def deaf(*_: object) -> None:
        raise WakeupsUnavailable("behind a pooler")

    monkeypatch.setattr(type(first.wakeups), "listen", deaf)
    monkeypatch.setattr(bus_receiver, "DEAF_S", 0.1)
    await first.cut_off()
    await until(lambda: not first.bus.hears and not second.bus.hears)
    began = trio.current_time()
    assert await first.ask(second) == "done"
    assert trio.current_time() - began < 5
    second.news.clear()
    await until(lambda: len(second.news) > 1)


async def test_letters_and_messages_that_cannot_be_read_are_dropped_and_refused(pair: tuple[Node, Node]) -> None:
    first, second = pair
    torn = Letter("x", second.id, first.id, codec.VERSION, b"\x91", 20.0)
    later = evolve(torn, id="y", version=codec.VERSION + 1)
    await first.store.commit(deliver([torn, later], ()))
    await until(lambda: len(second.dropped) == 2)
    await first.wakeups.publish([(channel_of(second.id), '[{"type":"Odd"}]'), (channel_of(second.id), "no JSON")])
    await until(lambda: len(second.dropped) == 4)
    assert not second.executed
    assert await first.ask(second) == "done"

    async def empty() -> bool:
        return not await first.rows()

    await until(empty)


async def test_a_node_of_another_release_refuses_politely(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    monkeypatch.setattr(bus_module, "VERSION", codec.VERSION + 1)
    with pytest.raises(StorageUnavailable), trio.fail_after(60):
        await first.ask(second, 0.5)
    await until(lambda: second.dropped)
    assert not second.executed


async def test_requests_to_a_node_that_dies_fail_and_its_proxies_stop(pair: tuple[Node, Node]) -> None:
    first, second = pair
    await first.follow(second)
    await second.leave()
    with pytest.raises(Moved):
        await first.ask(second, 30.0)
    await until(lambda: OwnerDown() in first.received and any(isinstance(news, Missed) for news in first.news))


@pytest.mark.parametrize("hears", [True, False])
async def test_a_node_whose_process_ended_is_dead_before_its_lease_ends_for_those_that_hear(
    postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch, hears: bool
) -> None:
    """A node that renews its lease is alive, and a node whose own session ended declares nobody dead."""
    monkeypatch.setattr(nodes, "LEASE_S", 60.0)
    monkeypatch.setattr(nodes, "SILENT_S", 2.5)  # a busy machine renews late

    async def renew(*_: object) -> int:
        raise StorageUnavailable("it has ended")

    address = postgres.create(template)
    async with started(address, "one", lease_s=60.0) as first, started(address, "other", lease_s=60.0) as second:
        await first.follow(second)
        await trio.sleep(2 * LOOK_S)  # one has seen that the other listens
        await second.stop("receiver")
        await trio.sleep(nodes.SILENT_S + 2 * LOOK_S)
        assert OwnerDown() not in first.received
        await first.stop(*[] if hears else ["receiver"])
        monkeypatch.setattr(second.store, "commit_urgent", renew)
        if hears:
            await until(lambda: OwnerDown() in first.received, 30.0)
        else:
            await trio.sleep(nodes.SILENT_S + 2 * LOOK_S)
            assert OwnerDown() not in first.received
            assert set(await first.store.read(nodes.living)) == {first.id, second.id}


async def test_a_request_without_an_answer_times_out(pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = pair
    monkeypatch.setattr(second.bus, "reply", lambda *_: None)
    with pytest.raises(StorageUnavailable, match=r"did not answer within 0\.01 s"):
        await first.ask(second, 0.01)


async def test_the_work_of_the_dead_is_done_by_one_survivor(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests of a living node, which it repeats itself, and requests that are too late are not executed."""
    first, second = pair
    monkeypatch.setattr("understudy.extensions.nodes.peers.SCAN_EVERY_S", 0.1)
    letter = codec.encode_letter(RpcRequest("w", "ann", "t", "CancelRun"))
    orphan = Letter("w", "dead", "died", codec.VERSION, letter, 60.0)
    others = [evolve(orphan, id="v", sender=first.id), evolve(orphan, id="u", within_s=-1.0)]
    await first.store.commit(deliver([orphan, *others], ()))
    await until(lambda: first.executed or second.executed)

    async def empty() -> bool:
        return not await first.store.read(inbox.letters_for, "dead", ())

    await until(empty)
    assert [request.id for request in first.executed + second.executed] == ["w"]


async def test_news_that_comes_too_fast_is_handled_as_missed(pair: tuple[Node, Node]) -> None:
    first, second = pair
    receiver: Any = second.system.find("/other/receiver")
    actor = receiver._cell.incarnation.actor
    room, actor.to_handle = actor.to_handle, trio.open_memory_channel[News](0)[0]
    second.news.clear()
    first.bus.broadcast(Active("ann", "t", 3))
    await until(lambda: actor.dropped_at is not None)
    assert Active("ann", "t", 3) not in second.news
    actor.to_handle = room
    first.bus.broadcast(Active("ann", "t", 4))
    await until(lambda: any(isinstance(news, Missed) and news.since <= time.time() for news in second.news))


async def test_a_node_that_was_taken_for_dead_is_reached_by_its_new_id(pair: tuple[Node, Node]) -> None:
    first, second = pair
    before = second.id
    await second.store.commit_urgent(nodes.leave_nodes(before))
    await until(lambda: second.id != before and second.bus.hears)
    assert await first.ask(second) == "done"


async def test_the_database_restarted_loses_no_letter(own_postgres: Postgres) -> None:
    address = own_postgres.create()
    async with started(address, "one") as first, started(address, "other") as second:
        for mode in ("fast", "immediate"):
            await trio.to_thread.run_sync(own_postgres.stop, mode)
            await until(lambda: not first.bus.hears and not second.bus.hears)
            with pytest.raises(StorageUnavailable):
                await first.ask(second, 0.5)
            await trio.to_thread.run_sync(own_postgres.start)
            await until(lambda: first.bus.hears and second.bus.hears)
            with trio.fail_after(60):
                while True:
                    with contextlib.suppress(StorageUnavailable):
                        assert await first.ask(second) == "done"
                        break


async def test_what_has_no_room_is_refused_in_a_sentence(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    with monkeypatch.context() as patched:
        patched.setattr(bus_module, "PENDING", 0)
        with pytest.raises(StorageUnavailable, match="too many requests wait"):
            await first.ask(second)
    assert await first.ask(second) == "done"
    assert len(second.executed) == 1


async def ask_on(first: Node, second: Node) -> None:
    """Ask until it fails: sessions adopt a setting one after the other."""
    while True:
        await first.ask(second, 0.5)


async def test_a_database_that_takes_no_writes_refuses_requests_until_it_does(own_postgres: Postgres) -> None:
    address = own_postgres.create()
    async with started(address, "one") as first, started(address, "other") as second:
        assert await first.ask(second) == "done"
        for state in ("on", "off"):
            change = f"ALTER SYSTEM SET default_transaction_read_only = {state}"
            await trio.to_thread.run_sync(execute, address, change)
            await trio.to_thread.run_sync(execute, address, "SELECT pg_reload_conf()")
            if state == "on":
                with pytest.raises(StorageUnavailable), trio.fail_after(60):
                    await ask_on(first, second)
        with trio.fail_after(60):
            while True:
                with contextlib.suppress(StorageUnavailable, Moved):
                    assert await first.ask(second, 5.0) == "done"
                    break
    ids = [request.id for request in second.executed]
    assert len(ids) == len(set(ids))


async def test_a_node_that_gets_no_connection_to_listen_polls_until_there_is_one(own_postgres: Postgres) -> None:
    address = own_postgres.create()
    async with started(address, "one") as first, started(address, "other") as second:
        connections: list[psycopg.Connection[Any]] = []

        def take_all() -> None:
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    connections.append(psycopg.connect(address, autocommit=True))

        await trio.to_thread.run_sync(take_all)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%-listener-%'"
        connections[0].execute(cut)
        await until(lambda: not first.bus.hears and not second.bus.hears)
        await trio.to_thread.run_sync(take_all)
        assert await first.ask(second) == "done"
        for line in connections:
            line.close()
        await until(lambda: first.bus.hears and second.bus.hears)
        assert await first.ask(second) == "done"
