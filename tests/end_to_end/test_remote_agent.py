"""Agents of other servers, by AG-UI: another understudy, and a server that speaks it badly."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import new_token, request
from tests.end_to_end.scripted_model import Call, Gate, Say, scripted
from understudy import Agent
from understudy.agents.remote.remote import Remote
from understudy.app.server import Running

pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")


async def remote_of(running: Running) -> Agent:
    """Return an agent here that is the scripted one there."""
    headers = {"Authorization": f"Bearer {await new_token(running)}"}
    return Agent("abroad", remote=Remote(f"{running.address}/api/agui?agent=script", headers=headers))


async def test_an_agent_of_another_server_thinks_asks_and_answers(serve: Any, tmp_path: Any) -> None:
    """Its thoughts and calls are shown, its question is the user's here, and its answer comes once."""
    turns = Call([("echo", {"text": "hi"})]), Call([("send_mail", {"to": "ann"})]), Say("It was sent.")
    there = await serve(scripted(*turns), data_dir=tmp_path / "there")
    here = await serve(await remote_of(there))
    async with connected(here.address, await new_token(here)) as client:
        await client.say("go", agent_type="abroad")
        asked = await client.until("question_asked")
        assert asked["data"]["schema"]["properties"]["decision"]["enum"] == ["allow", "deny"]
        reply = {"question_id": asked["data"]["question_id"], "answer": {"decision": "allow"}}
        await client.send({"type": "answer", "payload": reply})
        final = await client.until("final_response")
    assert final["data"]["message"].strip() == "It was sent."
    thoughts = [each["data"]["thought"] for each in client.seen if each["type"] == "agent_thinking"]
    assert "Calls echo." in thoughts
    assert "Calls send_mail." in thoughts


async def test_an_agent_of_another_server_is_listed_without_a_model_of_this_one(serve: Any) -> None:
    """The page says of the others that a stand-in answers."""
    running = await serve(Agent("abroad", remote=Remote("https://agents.example.org/agui")))
    _, _, body = await request(running.address, "GET", "/api/agents", token=await new_token(running))
    models = {each["name"]: each["model"]["name"] for each in body["agents"]}
    assert (models["abroad"], models["guide"]) == ("", "offline")
    assert body["model"]["name"] == "offline"


async def serve_raw(parts: Sequence[bytes], task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Answer each request with these bytes, and close."""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received or b'"threadId"' not in received:
                received += await stream.receive_some()
            for part in parts:
                await stream.send_all(part)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(listener.socket.getsockname()[1])
    await trio.serve_listeners(answer, [listener])


def stream_of(*events: Any) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    blocks = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in events)
    return head + b"".join(b"data: %s\n\n" % each for each in blocks)


STARTED = {"type": "RUN_STARTED", "threadId": "t", "runId": "r"}
TEXT = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "half an "}
BAD = [
    (stream_of(STARTED, TEXT), "The connection to the remote agent was cut."),
    (stream_of(STARTED, b"{no json"), "The connection to the remote agent was cut."),
    (stream_of({"type": "RUN_ERROR", "message": "The oven is cold."}), "The oven is cold."),
    (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "The remote agent does not accept this server's key."),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "The remote address does not speak AG-UI."),
]


async def test_a_remote_agent_that_fails_is_one_error_with_a_sentence(serve: Any) -> None:
    async with trio.open_nursery() as nursery:
        agents = []
        for number, (answer, _) in enumerate(BAD):
            port = await nursery.start(serve_raw, [answer])
            agents.append(Agent(f"bad{number}", remote=f"http://127.0.0.1:{port}/"))
        agents.append(Agent("nobody", remote="http://127.0.0.1:9/"))
        running = await serve(*agents)
        async with connected(running.address, await new_token(running)) as client:
            expected = [*(each for _, each in BAD), "The remote agent cannot be reached."]
            for agent, sentence in zip(agents, expected, strict=True):
                await client.say("go", agent_type=agent.name, thread_id=agent.name)
                ended = await client.until("error")
                assert ended["data"]["message"].startswith(sentence), (agent.name, ended)
        nursery.cancel_scope.cancel()


def test_a_bad_address_fails_at_once() -> None:
    for bad in ("ftp://x", "example.org", "http://"):
        with pytest.raises(ValueError, match="is no address of an agent"):
            Agent("x", remote=bad)


async def test_a_remote_server_that_is_joined_again_shows_its_text_once(serve: Any, tmp_path: Any) -> None:
    """The connection between the servers is cut in the middle; the answer is whole, and once."""
    gate = Gate(open_after=2)
    there = await serve(scripted(Say("one two three four", gate=gate)), data_dir=tmp_path / "there")
    host, port = there.address.removeprefix("http://").split(":")
    cut = trio.Event()

    async def relay(stream: trio.SocketStream) -> None:
        async with stream, await trio.open_tcp_stream(host, int(port)) as onward, trio.open_nursery() as nursery:

            async def pump(source: Any, target: Any) -> None:
                async for piece in source:
                    await target.send_all(piece)
                    if not cut.is_set() and b"two" in piece:
                        cut.set()
                        break
                nursery.cancel_scope.cancel()

            nursery.start_soon(pump, stream, onward)
            await pump(onward, stream)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay, [listener])
        between = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/api/agui?agent=script"
        headers = {"Authorization": f"Bearer {await new_token(there)}", "Host": f"{host}:{port}"}
        here = await serve(Agent("abroad", remote=Remote(between, headers=headers)))
        async with connected(here.address, await new_token(here)) as client:
            await client.say("go", agent_type="abroad")
            await cut.wait()
            gate.opened.set()
            final = await client.until("final_response")
        nursery.cancel_scope.cancel()
    assert final["data"]["message"].strip() == "one two three four"
