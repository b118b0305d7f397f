"""An attacker who reads and writes the nodes' Redis without their secret can neither read nor forge messages."""

from typing import Any

import pytest
import trio

from tests.end_to_end.server_pair import eventually
from tests.servers.redis import Redis
from tests.understudy.cluster.test_bus import SECRET, House, ask, house, two
from transport.wire.events import Block, Envelope, PartialResult
from understudy.chat import messages as chat
from understudy.chat.placement import Active
from understudy.cluster import codec, redis_stream
from understudy.cluster.broker import inbox_name
from understudy.cluster.conversation_proxy import CheckLog
from understudy.cluster.messages import Ephemeral, Events, RpcRequest, command_from_message
from understudy.storage.errors import BrokerUnavailable
from understudy.storage.redis_cipher import Cipher

PIECE = Envelope(PartialResult("ab", 0, (Block(0, 2, "<p>ab</p>"),)), 1.5, None, "t", "r", "m")
FORGED = RpcRequest("forged", "ann", "t", 30.0, command_from_message(chat.Delete()))


async def add(house: House, node: str, data: bytes) -> None:
    """Add an entry to a node's stream, as any writer to Redis can."""
    await house.link.call(lambda redis: redis.xadd(inbox_name(node), {redis_stream.FIELD: data}))


async def publish(house: House, channel: str, data: bytes) -> None:
    """Publish on a channel of the nodes."""
    await house.link.call(lambda redis: redis.publish(channel, data))


async def dealt_with(house: House) -> None:
    """Wait until a node's stream is empty."""
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
    """It is counted, logged and dropped; real messages are still handled."""
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
    """Forged HTML in an answer, and a forged notice that a thread was deleted, have no effect."""
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
    """Neither texts nor user names are readable in streams and on channels."""
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
    """A packet that is added or published again is dropped, and so is a packet for another node."""
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
        for name, data in said:
            if name in channels:
                await publish(c, name, data)
            elif name == inbox_name(b.node.id):
                await add(c, b.node.id, data)
        await eventually(lambda: b.refused == {"replayed": 3})
        await dealt_with(b)
        assert (len(b.asked), len(b.received), len(b.heard)) == (asked, received, news)
        await c.read()
        for name, data in said:
            if name == inbox_name(b.node.id):
                await add(a, c.node.id, data)
        await dealt_with(c)
        assert not c.asked
        assert c.refused == {"not_authentic": 1}


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


def test_html_of_another_process_passes_the_cleaner() -> None:
    """A compromised node has the key; HTML from it is sanitized all the same."""
    hostile = '<p onclick="x()">ab</p><script>x()</script><img src="https://example.org/x.png">'
    body = codec.encode_ephemeral(Envelope(PartialResult("ab", 0, (Block(0, 2, hostile),)), 1.5, None, "t", "r", "m"))
    event = codec.decode_ephemeral(body).event
    assert isinstance(event, PartialResult)
    (block,) = event.blocks
    assert (block.start, block.end) == (0, 2)
    assert "<p>ab</p>" in block.html
    assert not any(word in block.html for word in ("onclick", "script", "example.org"))
    assert codec.decode_ephemeral(codec.encode_ephemeral(PIECE)) == PIECE


def test_a_packet_opens_with_the_same_secret_in_its_place_only() -> None:
    """A change of any byte makes it unreadable, and no two ciphertexts are equal."""
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
    """One has the next secret announced, one has swapped them; both decrypt both, and neither takes a third one."""
    announced, swapped = Cipher(SECRET, ["n" * 32]), Cipher("n" * 32, [SECRET])
    for one, other in ((announced, swapped), (swapped, announced)):
        for text in (b"first", b"again"):
            assert other.decrypt(one.encrypt(text, "here"), "here") == text
        with pytest.raises(ValueError, match="not authentic"):
            other.decrypt(Cipher("x" * 32).encrypt(b"hello", "here"), "here")
    with pytest.raises(ValueError, match="not authentic"):
        Cipher(SECRET).decrypt(swapped.encrypt(b"hello", "here"), "here")
