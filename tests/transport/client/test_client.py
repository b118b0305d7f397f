"""The reconnecting client: order, resume and sent messages, against servers that lose frames and break connections."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import trio

from tests.rigs.loopback_server import open_server
from tests.transport.client.scripted import QUICK, event, hear, kinds, next_events, seqs, stay, talking
from transport.server.http import error_body
from transport.server.listener import Upgrade
from transport.server.socket import Socket
from transport.wire.errors import SocketClosed, Unauthenticated
from understudy.client import open_client


async def test_commands_are_as_the_protocol_has_them() -> None:
    """Say, cancel, refresh and resume on one connection; batches are taken apart."""
    heard: list[Any] = []
    three = trio.Event()

    async def step(socket: Socket) -> None:
        await socket.write([event("pong", thread_id=None)])
        for _ in range(3):
            heard.append(await hear(socket))
        three.set()
        heard.append(await hear(socket))
        await socket.write([b"[" + event("agent_thinking", 1) + b"," + event("agent_thinking", 2) + b"]"])
        await socket.receive()

    async with talking(step, token="secret") as (client, script):
        await next_events(client, 1)
        message_id = await client.say("hi", thread_id="t", references=["f"])
        await client.cancel("r")
        client.refresh("newer")
        with trio.fail_after(60):
            await three.wait()
        client.resume({"u": 3})
        assert await seqs(client, 2) == [1, 2]
        assert client.last_seq == {"t": 2, "u": 3}
    assert script.upgrades[0].headers["authorization"] == "Bearer secret"
    assert sorted(command["type"] for command in heard) == ["cancel", "refresh", "resume", "user_message"]
    payloads = {command["type"]: command["payload"] for command in heard}
    payload = {"content": "hi", "message_id": message_id, "thread_id": "t", "references": ["f"]}
    assert payloads["user_message"] == payload
    assert payloads["refresh"] == {"session_token": "newer"}
    assert payloads["cancel"] == {"run_id": "r"}
    assert payloads["resume"] == {"threads": {"u": 3}}


async def test_it_comes_back_and_asks_for_what_it_missed() -> None:
    """The connection is lost: the client resumes after the last event, and delivers no event twice."""
    heard: list[Any] = []

    async def break_off(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (1, 2)])
        await socket.close(1013)

    async def replay(socket: Socket) -> None:
        heard.append(await hear(socket))
        await socket.write([event("agent_thinking", seq) for seq in (2, 3)])
        await socket.receive()

    async with talking(break_off, replay) as (client, _):
        assert await seqs(client, 3) == [1, 2, 3]
    assert heard == [{"type": "resume", "payload": {"threads": {"t": 2}}}]


async def test_a_message_that_was_not_accepted_is_sent_again() -> None:
    """Under its own id, until it is accepted; then no more."""
    heard: list[str] = []

    async def lose(socket: Socket) -> None:
        heard.append((await hear(socket))["payload"]["message_id"])
        await socket.close(1011)

    async def accept(socket: Socket) -> None:
        heard.append((await hear(socket))["payload"]["message_id"])
        await socket.write([event("message_accepted", 1, message_id="mine", run_id="r", content="hi")])
        await socket.close(1001)

    async def listen(socket: Socket) -> None:
        heard.append((await hear(socket))["type"])
        await socket.write([event("pong", thread_id=None)])
        heard.append((await hear(socket))["type"])
        await socket.write([event("pong", thread_id=None)])
        await socket.receive()

    async with talking(lose, accept, listen) as (client, _):
        assert await client.say("hi", message_id="mine") == "mine"
        assert await kinds(client, 2) == ["message_accepted", "pong"]
        await client.cancel("r")
        await next_events(client, 1)
    assert heard == ["mine", "mine", "resume", "cancel"]


async def test_a_message_that_was_refused_for_good_is_not_sent_again() -> None:
    """The refusal names it; another message, and an error that ends a run, change nothing."""
    heard: list[str] = []

    async def refuse(socket: Socket) -> None:
        names = [(await hear(socket))["payload"]["message_id"] for _ in range(2)]
        ended = json.loads(event("error", 1, code="agent_failed")) | {"run_id": "r", "message_id": names[1]}
        refused = json.loads(event("error", code="content_blocked")) | {"message_id": names[0]}
        await socket.write([json.dumps(told).encode() for told in (ended, refused)])
        await socket.close(1001)

    async def listen(socket: Socket) -> None:
        heard.append((await hear(socket))["type"])
        heard.append((await hear(socket))["payload"]["message_id"])
        await socket.write([event("pong", thread_id=None)])
        await socket.receive()

    async with talking(refuse, listen) as (client, _):
        await client.say("hi", message_id="refused")
        await client.say("hi", message_id="other")
        assert await kinds(client, 3) == ["error", "error", "pong"]
    assert heard == ["resume", "other"]


async def test_the_token_of_an_anonymous_session_is_kept() -> None:
    """The token of `welcome` is presented at the next handshake."""

    async def welcome(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None, session_token="given")])
        await socket.close(1001)

    async with talking(welcome) as (client, script):
        await next_events(client, 2)
    assert "authorization" not in script.upgrades[0].headers
    assert script.upgrades[1].headers["authorization"] == "Bearer given"


async def test_a_resync_moves_the_place() -> None:
    """Events before the place that the server names are not waited for."""

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
    heard: list[Any] = []

    async def break_off(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (1, 2)])
        await socket.close(1011)

    async def overtake(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (5, 6)])
        heard.append(await hear(socket))
        await socket.write([event("agent_thinking", 7)])
        await socket.write(replay(heard[0]["payload"]["threads"], 8))
        await socket.receive()

    async with talking(break_off, overtake) as (client, _):
        assert await seqs(client, 8) == list(range(1, 9))
    assert heard == [{"type": "resume", "payload": {"threads": {"t": 2}}}]


async def test_a_hole_in_a_connection_is_asked_for() -> None:
    """One event is missing: one resume from the last event before it; later events wait for it."""
    heard: list[Any] = []

    async def skip(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (1, 2, 5, 6)])
        heard.append(await hear(socket))
        await socket.write([event("agent_thinking", 7)])
        await socket.write(replay(heard[0]["payload"]["threads"], 7))
        heard.append(await hear(socket))

    async with talking(skip) as (client, _):
        assert await seqs(client, 7) == list(range(1, 8))
        await client.cancel("r")
        with trio.fail_after(60):
            while len(heard) < 2:
                await trio.lowlevel.checkpoint()
    assert [command["type"] for command in heard] == ["resume", "cancel"]
    assert heard[0]["payload"] == {"threads": {"t": 2}}


async def test_a_resume_that_is_not_answered_is_said_again(autojump_clock: trio.testing.MockClock) -> None:
    heard: list[Any] = []

    async def forget(socket: Socket) -> None:
        await socket.write([event("agent_thinking", seq) for seq in (1, 3)])
        heard.extend([await hear(socket), await hear(socket)])
        await socket.write(replay(heard[1]["payload"]["threads"], 3))
        await socket.receive()

    async with talking(forget) as (client, _):
        assert await seqs(client, 3) == [1, 2, 3]
    assert heard == [{"type": "resume", "payload": {"threads": {"t": 1}}}] * 2


async def test_a_resume_that_was_refused_is_said_again(autojump_clock: trio.testing.MockClock) -> None:
    """A new connection's resume, of more threads than go into one, while the server cannot read its log."""
    heard: list[Any] = []

    async def refuse(socket: Socket) -> None:
        heard.extend([await hear(socket), await hear(socket)])
        await socket.write([event("error", thread_id=None, code="storage_unavailable", retryable=True)])
        heard.extend([await hear(socket), await hear(socket)])
        await socket.write([event("agent_thinking", 3)])
        await socket.receive()

    places = {"t": 2} | {f"t{number}": number for number in range(130)}
    async with talking(refuse, threads=places) as (client, _):
        assert await kinds(client, 2) == ["error", "agent_thinking"]
    assert [len(command["payload"]["threads"]) for command in heard] == [100, 31, 100, 31]
    assert heard[0]["payload"]["threads"] | heard[1]["payload"]["threads"] == places


@pytest.mark.parametrize("thread_id", ["t", None])
@pytest.mark.parametrize("early", [[4], []])
async def test_a_message_that_was_lost_on_the_way_brings_its_whole_story(
    early: list[int], thread_id: str | None
) -> None:
    """The server had taken it before it died: of a thread never heard of before, the end comes before the beginning."""
    heard: list[Any] = []

    async def die(socket: Socket) -> None:
        await hear(socket)
        await socket.close(1011)

    async def go_on(socket: Socket) -> None:
        await hear(socket)
        await socket.write([event("agent_thinking", seq) for seq in early])
        await socket.write([event("message_accepted", 1, message_id="mine", run_id="r", content="hi")])
        heard.append(await hear(socket))
        await socket.write(replay(heard[0]["payload"]["threads"], 4))
        await socket.receive()

    async with talking(die, go_on) as (client, _):
        thread = {} if thread_id is None else {"thread_id": thread_id}
        await client.say("hi", message_id="mine", **thread)
        assert await seqs(client, 4) == [1, 2, 3, 4]
    assert heard == [{"type": "resume", "payload": {"threads": {"t": 1}}}]


@pytest.mark.parametrize("code", [1000, 1008, 4401, 4403])
async def test_a_final_close_ends_the_iteration(code: int) -> None:
    """Where the registry says that a client must not come back, it does not."""

    async def close(socket: Socket) -> None:
        await socket.write([event("pong", thread_id=None)])
        await socket.close(code, "over")

    async with talking(close) as (client, script):
        await next_events(client, 1)
        with trio.fail_after(60), pytest.raises(SocketClosed) as closed:
            await client.__anext__()
    assert (closed.value.code, closed.value.reason) == (code, "over")
    assert len(script.upgrades) == 1


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


async def test_a_server_that_falls_silent_is_left(autojump_clock: trio.testing.MockClock) -> None:
    """A connection whose pings are not answered is dropped, and another one made."""
    accepted = trio.Event()

    async def answer(socket: Socket) -> None:
        accepted.set()
        await socket.receive()

    async def hang(socket: Socket) -> None:
        await trio.sleep_forever()

    async with talking(hang, answer) as (_, script):
        with trio.fail_after(60):
            await accepted.wait()
    assert len(script.upgrades) == 2


async def test_closing_ends_the_iteration() -> None:
    """After the block, iterating stops without an error."""
    async with talking(stay) as (client, _):
        pass
    assert [event async for event in client] == []
