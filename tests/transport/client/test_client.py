"""The reconnecting client: order, resume and sent messages, against servers that lose frames and break connections."""

from collections.abc import Mapping
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.rigs.loopback_server import open_server
from tests.transport.client.scripted import QUICK, event, hear, kinds, next_events, seqs, stay, talking
from transport.server.http import error_body
from transport.server.listener import Upgrade
from transport.server.socket import Socket
from transport.wire.errors import SocketClosed, Unauthenticated
from understudy.client import open_client


async def test_it_comes_back_and_asks_for_what_it_missed() -> None:
    """The connection is lost: the client resumes after the last event, and delivers no event twice."""
    received: list[Any] = []

    async def break_off(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (1, 2)])
        await socket.close(1013)

    async def replay(socket: Socket) -> None:
        received.append(await hear(socket))
        await socket.write([event("agent_thinking", seq) for seq in (2, 3)])
        await socket.receive()

    async with talking(break_off, replay) as (client, _):
        assert await seqs(client, 3) == [1, 2, 3]
    assert received == [{"type": "resume", "payload": {"threads": {"t": 2}}}]


async def test_the_token_of_an_anonymous_session_is_kept() -> None:
    async def welcome(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None, session_token="given")])
        await socket.close(1001)

    async with talking(welcome) as (client, script):
        await next_events(client, 2)
    assert "authorization" not in script.upgrades[0].headers
    assert script.upgrades[1].headers["authorization"] == "Bearer given"


async def test_a_resync_moves_the_place() -> None:
    async def resync(socket: Socket) -> None:
        await socket.write([event("resync", last_seq=40), event("agent_thinking", 41)])
        await socket.receive()

    async with talking(resync) as (client, _):
        assert await kinds(client, 2) == ["resync", "agent_thinking"]
        assert client.last_seq == {"t": 41}


def replay(threads: Mapping[str, int], head: int) -> list[bytes]:
    """The frames that a server sends after a resume of the thread `t`."""
    return [event("agent_thinking", seq) for seq in range(threads["t"] + 1, head + 1)]


async def test_events_that_overtake_the_replay_do_not_move_the_place() -> None:
    """Live events come before the replay: each event is delivered once, in order."""
    received: list[Any] = []

    async def break_off(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (1, 2)])
        await socket.close(1011)

    async def overtake(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (5, 6)])
        received.append(await hear(socket))
        await socket.write([event("agent_thinking", 7)])
        await socket.write(replay(received[0]["payload"]["threads"], 8))
        await socket.receive()

    async with talking(break_off, overtake) as (client, _):
        assert await seqs(client, 8) == list(range(1, 9))
    assert received == [{"type": "resume", "payload": {"threads": {"t": 2}}}]


async def test_a_hole_in_a_connection_is_asked_for_at_once() -> None:
    """One event is missing: one resume from the last event before it; later events wait for it."""
    received: list[Any] = []

    async def skip(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (1, 2, 5, 6)])
        received.append(await hear(socket))
        await socket.write([event("agent_thinking", 7), *replay(received[0]["payload"]["threads"], 7)])
        received.append(await hear(socket))

    async with talking(skip, reconnect=evolve(QUICK, resume_s=1000.0, ping_s=1000.0)) as (client, _):
        assert await seqs(client, 7) == list(range(1, 8))
        await client.cancel("r")
        with trio.fail_after(60):
            while len(received) < 2:
                await trio.lowlevel.checkpoint()
    assert [command["type"] for command in received] == ["resume", "cancel"]
    assert received[0]["payload"] == {"threads": {"t": 2}}


async def test_a_resume_that_is_not_answered_is_said_again(autojump_clock: trio.testing.MockClock) -> None:
    received: list[Any] = []

    async def forget(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (1, 3)])
        received.extend([await hear(socket), await hear(socket)])
        await socket.write(replay(received[1]["payload"]["threads"], 3))
        await socket.receive()

    async with talking(forget) as (client, _):
        assert await seqs(client, 3) == [1, 2, 3]
    assert received == [{"type": "resume", "payload": {"threads": {"t": 1}}}] * 2


async def test_a_resume_that_was_refused_is_said_again(autojump_clock: trio.testing.MockClock) -> None:
    """A new connection's resume, of more threads than go into one, while the server cannot read its log."""
    received: list[Any] = []

    async def refuse(socket: Socket) -> None:
        received.extend([await hear(socket), await hear(socket)])
        await socket.write([event("error", thread_id=None, code="storage_unavailable", retryable=True)])
        received.extend([await hear(socket), await hear(socket)])
        await socket.write([event("agent_thinking", 3)])
        await socket.receive()

    places = {"t": 2} | {f"t{number}": number for number in range(130)}
    async with talking(refuse, threads=places) as (client, _):
        assert await kinds(client, 2) == ["error", "agent_thinking"]
    assert [len(command["payload"]["threads"]) for command in received] == [100, 31, 100, 31]
    assert received[0]["payload"]["threads"] | received[1]["payload"]["threads"] == places


@pytest.mark.parametrize("thread_id", ["t", None])
@pytest.mark.parametrize("early", [[4], []])
async def test_a_message_that_was_lost_on_the_way_brings_its_whole_story(
    early: list[int], thread_id: str | None
) -> None:
    """The server had taken it before it died: of a thread never heard of before, the end comes before the beginning."""
    received: list[Any] = []

    async def die(socket: Socket) -> None:
        await hear(socket)
        await socket.close(1011)

    async def go_on(socket: Socket) -> None:
        await hear(socket)
        await socket.write([event("agent_thinking", seq) for seq in early])
        await socket.write([event("message_accepted", 1, message_id="mine", run_id="r", content="hi")])
        received.append(await hear(socket))
        await socket.write(replay(received[0]["payload"]["threads"], 4))
        await socket.receive()

    async with talking(die, go_on) as (client, _):
        thread = {} if thread_id is None else {"thread_id": thread_id}
        await client.say("hi", message_id="mine", **thread)
        assert await seqs(client, 4) == [1, 2, 3, 4]
    assert received == [{"type": "resume", "payload": {"threads": {"t": 1}}}]


async def test_a_refused_token_is_not_tried_again() -> None:
    """401 before the upgrade ends it at once; 503 is worth another try, up to the last."""
    refused: list[int] = []

    async def refuse(upgrade: Upgrade) -> None:
        status = 401 if upgrade.path == "/ws" else 503
        refused.append(status)
        await upgrade.refuse(status, error_body("unauthenticated" if status == 401 else "busy"))

    async with open_server(refuse) as port:
        for path, error in (("ws", Unauthenticated), ("other", SocketClosed)):
            async with open_client(f"ws://127.0.0.1:{port}/{path}", reconnect=QUICK) as client:
                with trio.fail_after(60), pytest.raises(error):
                    await client.__anext__()
    assert refused == [401, *[503] * QUICK.attempts]


async def test_a_server_that_is_gone_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    """All attempts fail: iteration raises. Commands are queued meanwhile, up to the limit.

    The clock stands while they are, so that the attempts are not over before.
    """
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    async with open_client(f"ws://127.0.0.1:{port}/ws", reconnect=QUICK) as client:
        for _ in range(100):
            await client.say("anybody?")
        with pytest.raises(trio.WouldBlock):
            await client.say("one too many")
        with trio.fail_after(60), pytest.raises(SocketClosed) as closed:
            await client.__anext__()
    assert closed.value.code == 1006


async def test_closing_ends_the_iteration() -> None:
    async with talking(stay) as (client, _):
        pass
    assert [event async for event in client] == []
