"""An attacker who reads and writes the nodes' Redis without their secret can neither read nor forge messages."""

import time
from typing import Any

import msgspec
import pytest
import trio

from actors import ChildSpec
from tests.end_to_end.server_pair import eventually
from tests.extensions.nodes.test_bus import SECRET, House, Registry, ask, house, two
from tests.servers.redis import Redis
from transport.wire.events import PartialResult
from understudy.chat import messages as chat
from understudy.chat.placement import Active
from understudy.extensions.nodes import codec, redis_stream
from understudy.extensions.nodes.broker import inbox_name
from understudy.extensions.nodes.conversation_proxy import CheckLog
from understudy.extensions.nodes.messages import Ephemeral, Events, RpcRequest, command_from_message
from understudy.extensions.nodes.peer_monitor import PeerMonitor
from understudy.extensions.nodes.redis_cipher import Cipher
from understudy.storage.errors import BrokerUnavailable
from understudy.wire.events import Envelope

PIECE = Envelope(PartialResult("ab", 0), 1.5, None, "t", "r", "m")
FORGED = RpcRequest("forged", "ann", "t", 30.0, command_from_message(chat.Delete()))


async def add(house: House, node: str, data: bytes) -> None:
    await house.link.call(lambda redis: redis.xadd(inbox_name(node), {redis_stream.FIELD: data}))


async def publish(house: House, channel: str, data: bytes) -> None:
    await house.link.call(lambda redis: redis.publish(channel, data))


async def dealt_with(house: House) -> None:
    name = inbox_name(house.node.id)
    with trio.fail_after(60):
        while await house.link.call(lambda redis: redis.xlen(name)):  # noqa: ASYNC110 - Redis tells nobody
            await trio.sleep(0.01)


def forgeries(sender: str, place: str) -> list[bytes]:
    """Requests to delete a thread in another node's name: unencrypted, and encrypted with another secret."""
    plain = codec.encode_packet(sender, 1, [FORGED])
    return [plain, Cipher("a guess of more than thirty-two bytes").encrypt(plain, place), b"", b"\x01" * 64]


def shown(node: House) -> list[object]:
    """Return what a node has received to show, without the notice that it can read what it missed."""
    return [each for each in node.received if not isinstance(each, CheckLog)]


async def test_a_forged_request_is_not_carried_out(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    async with two(redis) as (a, b):
        assert await ask(a, b) == "CancelRun"
        before = len(b.asked)
        for data in forgeries(a.node.id, inbox_name(b.node.id)):
            await add(a, b.node.id, data)
        await dealt_with(b)
        assert await ask(a, b) == "CancelRun"
        assert len(b.asked) == before + 1
        assert b.refused == {"not_authentic": 4}
    assert ("inbox.dropped", "not_authentic") in [
        (each.message, getattr(each, "reason", "")) for each in caplog.records
    ]


async def test_forged_text_and_news_are_not_shown(redis: Redis) -> None:
    async with two(redis) as (a, b):
        await b.relay(a.node.id)
        await publish(
            a, a.post.ephemeral_channel(b.node.id), codec.encode_packet(a.node.id, 1, [Ephemeral("thread", 0, [b"{}"])])
        )
        await publish(a, a.post.news_channel, codec.encode_news(a.node.id, 1, Active("ann", "t", 1)))
        await eventually(lambda: b.refused == {"not_authentic": 2})
        assert not shown(b)
        assert not b.heard
        a.post.send_ephemeral(b.node.id, Ephemeral("thread", 0, [b"{}"]))
        a.post.broadcast(Active("ann", "t", 1))
        await eventually(lambda: shown(b) and b.heard)


async def test_no_text_is_in_the_clear(redis: Redis) -> None:
    heard: list[bytes] = []
    async with house(redis) as a, house(redis) as b, trio.open_nursery() as nursery:
        joined = trio.Event()
        channels = [a.post.ephemeral_channel(b.node.id), a.post.news_channel]
        nursery.start_soon(a.link.listen, channels, lambda _, data: heard.append(data), joined.set)
        await joined.wait()
        name = inbox_name(b.node.id)
        await a.link.call(lambda redis: redis.xgroup_create(name, redis_stream.GROUP, "0", mkstream=True))
        a.post.send(b.node.id, Events("thread", 1, [b'{"message": "my divorce"}']))
        a.post.broadcast(Active("ann@example.org", "my divorce", 1))
        await eventually(lambda: heard)
        a.post.send_ephemeral(b.node.id, Ephemeral("thread", 0, [b'{"message": "my divorce"}']))
        await eventually(lambda: len(heard) == 2)
        (entry,) = await a.link.call(lambda redis: redis.xrange(name))
        heard += [bytes(each) for each in entry.field_values.values()]
        nursery.cancel_scope.cancel()
    assert len(heard) == 3
    assert not any(word in each for each in heard for word in (b"divorce", b"ann@", a.node.id.encode()))


async def test_what_was_said_once_counts_once(redis: Redis) -> None:
    async with house(redis) as c, two(redis) as (a, b):
        await b.relay(a.node.id)
        said: list[tuple[str, bytes]] = []
        channels = [a.post.ephemeral_channel(b.node.id), a.post.news_channel]
        real = a.link.batch

        async def recorded(fill: Any, **options: Any) -> Any:
            class Pipe:
                def xadd(self, name: str, fields: dict[bytes, bytes], **rest: Any) -> None:
                    said.append((name, fields[redis_stream.FIELD]))
                    self.pipe.xadd(name, fields, **rest)  # type: ignore[arg-type]

                def publish(self, name: str, data: bytes) -> None:
                    said.append((name, data))
                    self.pipe.publish(name, data)

                def __getattr__(self, name: str) -> Any:
                    return getattr(self.pipe, name)

            recorder = Pipe()

            def both(pipe: Any) -> None:
                recorder.pipe = pipe
                fill(recorder)

            return await real(both, **options)

        a.link.batch = recorded  # type: ignore[method-assign]
        assert await ask(a, b) == "CancelRun"
        a.post.send_ephemeral(b.node.id, Ephemeral("thread", 0, [b"{}"]))
        await eventually(lambda: b.received)
        a.post.broadcast(Active("ann", "t", 1))
        await eventually(lambda: b.heard)
        asked, received, news = len(b.asked), len(b.received), len(b.heard)
        once, again = b.refused["replayed"], 0  # a node whose Redis is slow says something twice by itself
        for name, data in tuple(said):
            if name in channels:
                await publish(c, name, data)
                again += 1
            elif name == inbox_name(b.node.id):
                await add(c, b.node.id, data)
                again += 1
        assert again >= 3
        await eventually(lambda: b.refused == {"replayed": once + again})
        await dealt_with(b)
        assert (len(b.asked), len(b.received), len(b.heard)) == (asked, received, news)
        await c.read()
        for name, data in said:
            if name == inbox_name(b.node.id):
                await add(a, c.node.id, data)
        await dealt_with(c)
        assert not c.asked
        assert c.refused.keys() == {"not_authentic"}


async def test_a_request_that_was_given_up_is_not_carried_out_later(redis: Redis) -> None:
    """Added again by somebody it is a new entry, but still the request of a minute ago."""
    async with two(redis) as (a, b):
        assert await ask(a, b) == "CancelRun"
        (asked,) = b.asked
        assert abs(asked.asked_at - time.time()) < 60
        a.post.send(b.node.id, msgspec.structs.replace(asked, id="late", asked_at=asked.asked_at - 2 * asked.within_s))
        assert await ask(a, b) == "CancelRun"  # in a later packet, or later in the same
        assert "late" not in [each.id for each in b.asked]


def nested(levels: int) -> bytes:
    return b"\x91" * levels + b"\x90"


@pytest.mark.parametrize("body", [nested(100_000), b"\xdd\x00\x00\x4e\x20" + b"\x90" * 20_000], ids=["deep", "many"])
async def test_a_packet_that_no_node_sends_is_dropped(redis: Redis, body: bytes) -> None:
    """An intruder on one node has the key. The receiver goes on, and the entry does not come again."""
    async with two(redis) as (a, b):
        assert await ask(a, b) == "CancelRun"
        for number, place in ((8_000, inbox_name(b.node.id)), (8_001, a.post.ephemeral_channel(b.node.id))):
            head = codec.Packet(codec.VERSION, "intruder", number, [], [], body, time.time(), codec.OLDEST)
            sealed = Cipher(SECRET).encrypt(msgspec.msgpack.encode(head), place)
            await (add(a, b.node.id, sealed) if place == inbox_name(b.node.id) else publish(a, place, sealed))
        await eventually(lambda: b.refused == {"unreadable": 1})
        await dealt_with(b)
        assert await ask(a, b) == "CancelRun"


async def test_names_that_are_none_do_not_keep_the_work_of_the_dead(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(redis, 6) as a, house(redis, 6) as dead, house(redis, 6) as asker:
        await dead.read()
        assert dead.inbox is not None
        await dead.inbox.stop()
        asker.post.send(dead.node.id, FORGED)
        name = inbox_name(dead.node.id)
        with trio.fail_after(60):
            while not await a.link.call(lambda client: client.xlen(name)):  # noqa: ASYNC110 - Redis tells nobody
                await trio.sleep(0.01)
        strange = [b"\xff", b"a\x00b", b"x" * 1_000, b"0-first"]
        await a.link.call(lambda client: client.sadd(redis_stream.NODES_WITH_STREAM, strange))
        await a.link.call(lambda client: client.set(inbox_name("0-first"), b"no stream"))
        parts = (a.broker, a.node, a.post, a.relays, a.receiver, a.serve)
        await a.system.spawn(ChildSpec("peers", lambda: PeerMonitor(Registry(a.node.id), *parts, a.hear)))  # type: ignore[arg-type]
        await eventually(lambda: [each.id for each in a.asked] == ["forged"])
        with trio.fail_after(60):
            while set(await a.link.call(lambda c: c.smembers(redis_stream.NODES_WITH_STREAM))) & set(strange[:3]):  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert "inbox.dropped" in caplog.messages
        await a.link.call(lambda client: client.delete([inbox_name("0-first")]))


async def test_nodes_with_two_secrets_do_not_hear_each_other(redis: Redis) -> None:
    """Two installations share a Redis by mistake."""
    async with house(redis) as a, house(redis, secret="another secret of more than 32 bytes") as b:
        await a.read()
        await b.read()
        with pytest.raises(BrokerUnavailable, match="did not answer"):
            await ask(a, b, timeout_s=0.5)
        assert not b.asked


async def test_a_packet_that_was_read_and_not_done_is_done_when_the_inbox_is_back(redis: Redis) -> None:
    """Read again, it has the same number and entry id, so it is no replay."""
    async with house(redis) as a, house(redis) as b:
        started: list[str] = []

        async def serve(sender: str, request: RpcRequest) -> None:
            started.append(request.id)
            if len(started) == 1:
                await trio.sleep_forever()
            await b.serve(sender, request)

        await a.read()
        await b.read(serve)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, a, b)
            await eventually(lambda: started)
            assert b.inbox is not None
            b.inbox.kill()
            await eventually(lambda: len(b.asked) == 1)
        assert len(started) == 2
        assert not b.refused


def test_a_packet_opens_with_the_same_secret_in_its_place_only() -> None:
    one, other = Cipher(SECRET), Cipher(SECRET)
    data = one.encrypt(b"hello", "here")
    assert one.decrypt(data, "here") == other.decrypt(data, "here") == b"hello"
    assert one.encrypt(b"hello", "here") != data
    damaged = [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] for place in range(len(data))]
    for each in [*damaged, data[:-1], data + b"x", b"", data[:40]]:
        with pytest.raises(ValueError, match="not authentic"):
            other.decrypt(each, "here")
    with pytest.raises(ValueError, match="not authentic"):
        other.decrypt(data, "there")
    with pytest.raises(ValueError, match="not authentic"):
        Cipher("x" * 32).decrypt(data, "here")


def test_nodes_understand_each_other_while_their_secret_is_replaced() -> None:
    announced, swapped = Cipher(SECRET, ["n" * 32]), Cipher("n" * 32, [SECRET])
    for one, other in ((announced, swapped), (swapped, announced)):
        for text in (b"first", b"again"):
            assert other.decrypt(one.encrypt(text, "here"), "here") == text
        with pytest.raises(ValueError, match="not authentic"):
            other.decrypt(Cipher("x" * 32).encrypt(b"hello", "here"), "here")
    with pytest.raises(ValueError, match="not authentic"):
        Cipher(SECRET).decrypt(swapped.encrypt(b"hello", "here"), "here")
