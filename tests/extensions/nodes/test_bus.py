"""Messages between nodes over a real Redis: requests and replies, lost packets, and takeover of a dead node's
requests."""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing
from attrs import define, field
from coredis.tokens import PureToken

from actors import Actor, ActorSystem, ChildSpec, Context, open_system
from tests.end_to_end.server_pair import eventually
from tests.servers.redis import Redis
from transport.wire.errors import CommandRejected
from understudy.chat import messages as chat
from understudy.chat.placement import Active, Deleted, Missed, Moved, News, TypingIn
from understudy.extensions.nodes import bus_receiver, codec, redis_stream
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.broker import inbox_name
from understudy.extensions.nodes.bus import QUEUE_BYTES, MessageBus
from understudy.extensions.nodes.bus_receiver import BusReceiver, PacketReader
from understudy.extensions.nodes.conversation_proxy import CheckLog, OwnerDown, ProxyTable
from understudy.extensions.nodes.membership import Member
from understudy.extensions.nodes.messages import (
    Ephemeral,
    Events,
    ForwardingEnded,
    RpcReply,
    RpcRequest,
    Subscribe,
    command_from_message,
)
from understudy.extensions.nodes.peer_monitor import PeerMonitor
from understudy.extensions.nodes.redis import RedisLink
from understudy.extensions.nodes.redis_broker import RedisBroker
from understudy.extensions.nodes.redis_cipher import Cipher
from understudy.storage.errors import BrokerUnavailable, RedisUnavailable

SECRET = "two-nodes-with-one-secret-of-32-bytes"
Serve = Callable[["House", str, RpcRequest], Awaitable[None]]


class Standing(Actor):
    def __init__(self, received: list[object]) -> None:
        self.received = received

    async def receive(self, message: object, context: Context) -> None:
        self.received.append(message)


@define
class Refused:
    reasons: Counter[str] = field(factory=Counter)

    def node_message_dropped(self, reason: str) -> None:
        self.reasons[reason] += 1


@define(eq=False)
class House:
    """A node with its bus; `asked` are the requests it handled, `heard` the news, `received` the messages to its proxy,
    and `refused` counts its dropped packets by reason."""

    link: RedisLink
    broker: RedisBroker
    node: Member
    post: MessageBus
    relays: ProxyTable
    receiver: PacketReader
    system: ActorSystem
    asked: list[RpcRequest] = field(factory=list)
    heard: list[News] = field(factory=list)
    received: list[object] = field(factory=list)
    refused: Counter[str] = field(factory=Counter)
    inbox: Any = None

    async def serve(self, sender: str, request: RpcRequest) -> None:
        self.asked.append(request)
        self.post.send(sender, RpcReply(request.id, type(request.command).__name__))

    async def hear(self, news: News) -> None:
        self.heard.append(news)

    async def relay(self, holder: str) -> None:
        ref = await self.system.spawn(ChildSpec("relay", lambda: Standing(self.received)))
        self.relays.add("thread", ref, holder)

    async def watch(self, registry: "Registry") -> None:
        """Start the monitor of the other nodes."""
        parts = (RedisBroker(self.link), self.node, self.post, self.relays, self.receiver, self.serve, self.hear)
        await self.system.spawn(ChildSpec("peers", lambda: PeerMonitor(registry, *parts)))  # type: ignore[arg-type]

    async def read(self, serve: Any = None) -> None:
        parts = (RedisBroker(self.link), self.node, self.post, self.relays, self.receiver)
        listening = trio.Event()
        make = ChildSpec("receiver", lambda: BusReceiver(*parts, serve or self.serve, self.hear, listening))
        self.inbox = await self.system.spawn(make)
        with trio.fail_after(60):
            await listening.wait()
            name = inbox_name(self.node.id)
            while True:
                with suppress(RedisUnavailable):  # on a busy machine a connection may take too long
                    if await self.link.call(lambda client: client.exists([name])):
                        return
                await trio.sleep(0.005)


@asynccontextmanager
async def house(redis: Redis, number: int = 9, secret: str = SECRET) -> AsyncIterator[House]:
    """A node that does not read yet."""
    link, node, cipher = RedisLink(f"{redis.url}/{number}"), Member(cast(Any, None)), Cipher(secret)
    node.joined = True
    broker, refused = RedisBroker(link), Refused()
    post = MessageBus(broker, node, cipher)
    async with open_system("system", [link.connector_spec(), post.sender_spec()]) as system:
        with trio.fail_after(60):
            await link.wait_up()
        yield House(
            link, broker, node, post, ProxyTable(), PacketReader(cipher, refused), system, refused=refused.reasons
        )


@asynccontextmanager
async def two_of(redis: Redis, number: int = 9) -> AsyncIterator[tuple[House, House]]:
    async with house(redis, number) as a, house(redis, number) as b:
        yield a, b


@asynccontextmanager
async def two(redis: Redis) -> AsyncIterator[tuple[House, House]]:
    async with two_of(redis) as (a, b):
        await a.read()
        await b.read()
        yield a, b


def cancel(name: str, timeout_s: float = 30.0) -> RpcRequest:
    return RpcRequest(name, "ann", "t", timeout_s, command_from_message(chat.CancelRun(name)))


async def ask(a: House, b: House, timeout_s: float = 60.0) -> Any:
    return await a.post.ask(b.node.id, "ann", "t", command_from_message(chat.CancelRun("r1")), timeout_s=timeout_s)


async def answered(a: House, b: House) -> None:
    """Ask until there is an answer."""
    with trio.fail_after(60):
        while True:
            with suppress(BrokerUnavailable):
                assert await ask(a, b) == "CancelRun"
                return
            await trio.sleep(0.05)


async def test_requests_are_answered_and_acknowledged(redis: Redis) -> None:
    async with two(redis) as (a, b):
        answers: list[Any] = []

        async def one() -> None:
            answers.append(await ask(a, b))

        async with trio.open_nursery() as nursery:
            for _ in range(300):
                nursery.start_soon(one)
        assert answers == ["CancelRun"] * 300
        assert len(b.asked) == 300
        for each in (a, b):
            name = inbox_name(each.node.id)
            with trio.fail_after(60):
                while await each.link.call(lambda client, name=name: client.xlen(name)):  # noqa: ASYNC110
                    await trio.sleep(0.01)


async def test_a_node_that_stops_while_requests_arrive_leaves_them_to_others(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read_new, arrived = redis_stream.read_new, trio.Event()

    async def read_late(*arguments: Any, **options: Any) -> Any:
        entries = await read_new(*arguments, **options)
        if entries:
            arrived.set()
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked(0.1)
        return entries

    async with two_of(redis) as (a, b):
        monkeypatch.setattr(redis_stream, "read_new", read_late)
        await b.read()
        a.post.send(b.node.id, cancel("1"))
        with trio.fail_after(60):
            await arrived.wait()
            await b.inbox.stop()
        assert not b.asked
    assert not [each for each in caplog.records if "actor.crashed" in each.getMessage()]


async def test_a_node_whose_first_subscription_is_late_has_missed_news(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server may serve by then: it waits a second for the subscription."""
    monkeypatch.setattr(bus_receiver, "LATE_S", 0.0)
    began = time.time()
    async with house(redis) as b:
        await b.read()
        await eventually(lambda: bool(b.heard))
    (missed,) = b.heard
    assert isinstance(missed, Missed)
    assert began <= missed.since <= time.time()


async def test_errors_come_back_as_they_were(redis: Redis) -> None:
    async with two_of(redis) as (a, b):

        async def refuse(sender: str, request: RpcRequest) -> None:
            b.post.send(
                sender, RpcReply(request.id, fault=codec.fault_from_error(CommandRejected("busy", "Wait.", 5.0)))
            )

        await a.read()
        await b.read(refuse)
        with pytest.raises(CommandRejected, match=r"Wait\.") as refused:
            await ask(a, b)
        assert refused.value.retry_after == 5.0


async def test_events_reach_the_proxy_and_news_all_other_nodes(redis: Redis) -> None:
    async with two(redis) as (a, b):
        await b.relay(a.node.id)
        a.post.send(b.node.id, Events("thread", 1, [b"{}"]))
        a.post.send_ephemeral(b.node.id, Ephemeral("thread", 1, [b"{}"]))
        a.post.broadcast(Active("ann", "t", 0))
        b.post.broadcast(Deleted("ann", "t"))
        await eventually(lambda: {type(each) for each in b.received} >= {Events, Ephemeral})
        assert {type(each) for each in b.received} <= {Events, Ephemeral, CheckLog}
        await eventually(lambda: a.heard and b.heard)
        a.post.broadcast(Active("ann", "u", 1))  # on each channel, what a node's own news would have come before
        b.post.broadcast(Deleted("ann", "u"))
        await eventually(lambda: len(a.heard) > 1 and len(b.heard) > 1)
        assert a.heard == [Deleted("ann", "t"), Deleted("ann", "u")]
        assert b.heard == [Active("ann", "t", 0), Active("ann", "u", 1)]


async def test_nodes_are_told_that_they_missed_news(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    async with two(redis) as (a, b):
        send, fails = RedisBroker.send, True
        tried = trio.Event()

        async def refuse(*args: Any, **options: Any) -> Any:
            if fails and args[0] is a.broker:
                tried.set()
                raise BrokerUnavailable("down")
            return await send(*args, **options)

        monkeypatch.setattr(RedisBroker, "send", refuse)
        began = time.time()
        a.post.broadcast(Active("ann", "t", 0))
        with trio.fail_after(60):
            await tried.wait()
        fails = False
        await eventually(lambda: b.heard)
        (missed,) = b.heard
        assert isinstance(missed, Missed)
        assert began <= missed.since <= time.time()
        a.post.broadcast(Deleted("ann", "t"))
        await eventually(lambda: b.heard[1:] == [Deleted("ann", "t")])


async def test_news_that_comes_too_fast_is_handled_as_missed(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_receiver, "NEWS_AT_ONCE", 1)
    async with two_of(redis) as (a, b):
        await a.read()
        busy, goes_on = trio.Event(), trio.Event()

        async def slowly(self: House, news: News) -> None:
            busy.set()
            await goes_on.wait()
            self.heard.append(news)

        monkeypatch.setattr(House, "hear", slowly)
        await b.read()
        for news in (Active("ann", "1", 0), TypingIn("ann", "1"), Active("ann", "2", 0)):
            a.post.broadcast(news)
        with trio.fail_after(60):
            await busy.wait()
            assert await ask(a, b) == "CancelRun"  # sent after the news
        goes_on.set()
        await eventually(lambda: [type(each) for each in b.heard] == [Active, Missed])


async def test_events_of_a_former_owner_are_ignored(redis: Redis) -> None:
    async with two(redis) as (a, b), house(redis) as stale:
        await b.relay(a.node.id)
        for item in (Events("thread", 2, [b"{}"]), ForwardingEnded("thread"), Events("thread", 3, [b"{}"])):
            stale.post.send(b.node.id, item)
        stale.post.send_ephemeral(b.node.id, Ephemeral("thread", 1, [b"{}"]))
        stale.post.send(b.node.id, cancel("r"))
        await eventually(lambda: b.asked)  # what was sent before has arrived by then
        a.post.send(b.node.id, Events("thread", 1, [b"{}"]))
        await eventually(lambda: b.received)
        assert b.received == [Events("thread", 1, [b"{}"])]


@pytest.mark.parametrize("when", ["before", "in the middle"])
async def test_the_queue_is_sent_although_the_sender_is_killed(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async with two(redis) as (a, b):
        await b.relay(a.node.id)
        reached, away = trio.Event(), True
        name = "wait_up" if when == "before" else "batch"
        real = getattr(a.link, name)

        async def never(*args: Any, **options: Any) -> Any:
            if away:
                reached.set()
                await trio.sleep_forever()
            return await real(*args, **options)

        monkeypatch.setattr(a.link, name, never)
        carrier = a.system.find("/system/bus")
        assert carrier is not None

        async def kill() -> None:
            nonlocal away
            await reached.wait()
            away = False
            carrier.kill()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            with trio.fail_after(60):
                if when == "before":
                    assert await ask(a, b) == "CancelRun"
                else:
                    with pytest.raises(BrokerUnavailable, match="was killed"):
                        await ask(a, b)
        if when != "before":
            await eventually(lambda: any(isinstance(each, CheckLog) for each in b.received))


async def test_a_request_to_an_unknown_node_fails_at_once(redis: Redis) -> None:
    async with two_of(redis) as (a, b):
        await a.read()
        with pytest.raises(BrokerUnavailable) as failed:
            await ask(a, b)
        assert "within" not in str(failed.value)
        name = inbox_name(b.node.id)
        assert not await a.link.call(lambda client: client.exists([name]))


async def test_requests_to_a_node_that_dies_fail(redis: Redis) -> None:
    async with two_of(redis) as (a, b):

        async def ignore(sender: str, request: RpcRequest) -> None:
            a.post.drop_peer(b.node.id)

        await a.read()
        await b.read(ignore)
        with pytest.raises(Moved):
            await ask(a, b)


@pytest.mark.parametrize("grown", [False, True])
async def test_a_killed_receiver_goes_on_with_unacknowledged_entries(redis: Redis, grown: bool) -> None:
    async with two_of(redis) as (a, b):
        started: list[RpcRequest] = []

        async def first(sender: str, request: RpcRequest) -> None:
            started.append(request)
            if len(started) == 1:
                await trio.sleep_forever()
            await b.serve(sender, request)

        await a.read()
        await b.read(first)
        a.post.send(b.node.id, cancel("begun"))
        await eventually(lambda: started)
        if grown:
            name = inbox_name(b.node.id)
            assert await a.link.call(lambda client: client.xtrim(name, PureToken.MAXLEN, 0)) == 1
        b.inbox.kill()
        assert await ask(a, b) == "CancelRun"
        assert [each.id for each in started].count("begun") == (1 if grown else 2)


async def test_a_request_without_a_reply_times_out(redis: Redis) -> None:
    async with two_of(redis) as (a, b):

        async def ignore(sender: str, request: RpcRequest) -> None:
            pass

        await a.read()
        await b.read(ignore)
        with pytest.raises(BrokerUnavailable, match=r"within 0\.2 s"):
            await ask(a, b, timeout_s=0.2)
        assert not a.post._pending


async def test_a_node_of_another_release_refuses_politely(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The asking node's requests fail at once; events it cannot decode are read from the log, as lost ones are."""
    async with two(redis) as (a, b):
        real = codec.encode_packet

        def encode_packet(sender: str, *rest: Any, **more: Any) -> bytes:
            data = real(sender, *rest, **more)
            if sender != a.node.id:
                return data
            packet = codec.decode_packet(data)
            later = msgspec.structs.replace(packet, version=99, body=b"\xc1")
            return codec._ENCODER.encode(later)

        monkeypatch.setattr("understudy.extensions.nodes.bus.encode_packet", encode_packet)
        with pytest.raises(BrokerUnavailable, match="another release"):
            await ask(a, b)
        assert not b.asked


async def test_lost_packets_are_noticed(own_redis: Redis) -> None:
    async with two(own_redis) as (a, b):
        await b.relay(a.node.id)
        a.post.send(b.node.id, Events("thread", 1, [b"{}"]))
        await eventually(lambda: b.received)
        b.received.clear()
        assert not a.post.send(b.node.id, Events("thread", 2, [b"x" * (QUEUE_BYTES + 1)]))
        await eventually(lambda: any(isinstance(each, CheckLog) for each in b.received))
        b.received.clear()
        await trio.to_thread.run_sync(own_redis.flush)
        await eventually(lambda: any(isinstance(each, CheckLog) for each in b.received))
        assert await ask(b, a) == "CancelRun"
        assert await ask(a, b) == "CancelRun"


async def test_while_redis_is_away_nothing_waits(own_redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    async with two(own_redis) as (a, b):
        with caplog.at_level(logging.WARNING):
            await trio.to_thread.run_sync(own_redis.kill)
            await eventually(lambda: not a.link.up)
            for _ in range(20):
                with pytest.raises(BrokerUnavailable) as failed:
                    await ask(a, b)
                assert "within" not in str(failed.value)
            assert not a.post.send(b.node.id, Events("thread", 1, [b"{}"]))
            await trio.to_thread.run_sync(own_redis.start)
            await eventually(lambda: a.link.up and b.link.up)
            await answered(a, b)


async def test_a_reply_that_found_no_inbox_is_not_waited_for(redis: Redis) -> None:
    """The inbox is deleted before the reply, as if Redis had lost all it had: the request fails at the next."""
    async with two_of(redis) as (a, b):

        async def lose(sender: str, request: RpcRequest) -> None:
            if not b.asked:
                await b.link.call(lambda client: client.delete([inbox_name(sender)]))
            await b.serve(sender, request)

        await a.read()
        await b.read(lose)
        with pytest.raises(BrokerUnavailable, match="replies to this server were lost"):
            await ask(a, b, timeout_s=60)
        assert await ask(a, b) == "CancelRun"


async def test_what_is_queued_while_a_packet_finds_no_inbox_is_sent(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node opens its inbox after that packet, and is asked before the sender knows that it had none."""
    send, refused, go_on = RedisBroker.send, trio.Event(), trio.Event()

    async def slowly(self: RedisBroker, packets: Any, published: Any, acks: Any, **options: Any) -> Any:
        results = await send(self, packets, published, acks, **options)
        if self is a.broker and None in results:
            refused.set()
            await go_on.wait()
        return results

    monkeypatch.setattr(RedisBroker, "send", slowly)
    async with two_of(redis) as (a, b):
        await a.read()
        assert a.post.send(b.node.id, Events("thread", 1, [b"{}"]))
        with trio.fail_after(60):
            await refused.wait()
        await b.read()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, a, b)
            await trio.testing.wait_all_tasks_blocked(0.01)
            go_on.set()
        assert len(b.asked) == 1


async def test_a_reply_that_could_not_be_sent_is_not_waited_for(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its packet may not have arrived, and is never sent twice: the next one says which request it leaves open."""
    send = RedisBroker.send
    lost: list[object] = []

    async def lose_one(self: RedisBroker, packets: Any, published: Any, acks: Any, **options: Any) -> Any:
        if self is b.broker and packets and not lost:
            lost.append(packets)
            raise BrokerUnavailable("lost")
        return await send(self, packets, published, acks, **options)

    monkeypatch.setattr(RedisBroker, "send", lose_one)
    async with two(redis) as (a, b):
        with pytest.raises(BrokerUnavailable, match="its reply was lost"):
            await ask(a, b)
        assert len(b.asked) == len(lost) == 1
        assert await ask(a, b) == "CancelRun"


async def test_a_node_that_has_just_got_another_id_asks_once_replies_can_arrive(redis: Redis) -> None:
    """It was taken for dead and joined again; its receiver still waits for entries of the old inbox."""
    async with two(redis) as (a, b):
        assert await ask(a, b) == "CancelRun"
        a.node.rename()
        assert await ask(a, b, timeout_s=60) == "CancelRun"
        assert len(b.asked) == 2


async def test_a_node_without_an_inbox_does_not_ask(redis: Redis) -> None:
    async with two_of(redis) as (a, b):
        await b.read()
        with pytest.raises(BrokerUnavailable, match="has no inbox"):
            await ask(a, b, timeout_s=0.2)
        await a.read()
        assert await ask(a, b) == "CancelRun"
        assert len(b.asked) == 1, "the first request was never sent"


async def test_a_request_outlives_the_receiver_if_its_inbox_is_still_there(redis: Redis) -> None:
    async with two(redis) as (a, b), trio.open_nursery() as nursery:
        answer, serve = trio.Event(), b.serve
        await b.inbox.stop()

        async def late(sender: str, request: RpcRequest) -> None:
            b.asked.append(request)
            await answer.wait()
            await serve(sender, request)

        await b.read(late)

        async def kill_when_asked() -> None:
            await eventually(lambda: b.asked)
            a.inbox.kill()
            assert await ask(b, a) == "CancelRun"  # it reads again
            answer.set()

        nursery.start_soon(kill_when_asked)
        assert await ask(a, b) == "CancelRun"


async def test_a_redis_that_comes_back_with_all_it_had_is_heard_again(own_redis: Redis) -> None:
    async with two(own_redis) as (a, b):
        assert await ask(a, b) == "CancelRun"
        await trio.to_thread.run_sync(own_redis.pause)
        await eventually(lambda: not a.link.up and not b.link.up)
        await trio.to_thread.run_sync(own_redis.resume)
        await eventually(lambda: a.link.up and b.link.up)
        await answered(a, b)
        await answered(b, a)


class Registry:
    def __init__(self, *alive: str) -> None:
        self.alive = list(alive)
        self.asked = 0

    async def read(self, query: object) -> list[str]:
        assert query is nodes.living
        self.asked += 1
        return self.alive


async def test_the_work_of_the_dead_is_done_by_one_survivor(redis: Redis) -> None:
    async with house(redis, 8) as dead, house(redis, 8) as asker, two_of(redis, 8) as (a, b):
        started: list[RpcRequest] = []

        async def never(sender: str, request: RpcRequest) -> None:
            started.append(request)
            await trio.sleep_forever()

        await dead.read(never)
        asker.post.send(dead.node.id, cancel("begun"))
        await eventually(lambda: started)
        await dead.inbox.stop()
        for request in (cancel("late", -10.0), cancel("unread")):
            asker.post.send(dead.node.id, request)
        a.post.send(dead.node.id, RpcRequest("alive", "ann", "t", 30.0, Subscribe()))
        registry = Registry(a.node.id, b.node.id)
        for each in (a, b):
            await each.relay(dead.node.id)
            await each.watch(registry)
        await eventually(lambda: len(a.asked) + len(b.asked) == 2)
        name = inbox_name(dead.node.id)
        with trio.fail_after(60):
            while await a.link.call(lambda client: client.exists([name])):  # noqa: ASYNC110
                await trio.sleep(0.1)
        assert sorted(request.id for request in [*a.asked, *b.asked]) == ["begun", "unread"]


async def test_proxies_to_a_node_that_dies_are_stopped(redis: Redis) -> None:
    async with house(redis) as a:
        registry = Registry(a.node.id, "other")
        await a.relay("other")
        await a.watch(registry)
        await eventually(lambda: registry.asked > 1)
        assert not a.heard
        registry.alive.remove("other")
        await eventually(lambda: any(isinstance(each, OwnerDown) for each in a.received))
        await eventually(lambda: [type(each) for each in a.heard] == [Missed])  # it may not have sent its last news


async def test_a_node_that_died_while_the_monitor_was_dead_is_detected(redis: Redis) -> None:
    async with house(redis) as a:
        await a.relay("other")
        await a.watch(Registry(a.node.id))
        await eventually(lambda: a.received)
        assert [type(each) for each in a.received] == [OwnerDown]


async def test_a_node_that_has_just_joined_keeps_its_stream(redis: Redis) -> None:
    """The list of living nodes was read before it joined."""
    async with house(redis, 7) as a, house(redis, 7) as old:
        registry, born = Registry(a.node.id), inbox_name("0-born")
        await a.link.batch(
            lambda pipe: (
                pipe.sadd(redis_stream.NODES_WITH_STREAM, ["0-born", old.node.id]),
                pipe.xgroup_create(born, redis_stream.GROUP, "0", mkstream=True),
                pipe.xgroup_create(inbox_name(old.node.id), redis_stream.GROUP, "0", mkstream=True),
            )
        )

        async def living(_: object) -> list[str]:
            alive = list(registry.alive)
            registry.alive[:] = [a.node.id, "0-born"]
            return alive

        registry.read = living  # type: ignore[method-assign]
        await a.watch(registry)
        with trio.fail_after(60):
            while await a.link.call(lambda client: client.sismember(redis_stream.NODES_WITH_STREAM, old.node.id)):  # noqa: ASYNC110
                await trio.sleep(0.05)
        assert await a.link.call(lambda client: client.exists([born]))
        await redis_stream.remove_if_empty(a.link, "0-born")
