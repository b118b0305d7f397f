"""Agents of other servers, by AG-UI: another understudy, and a server that speaks it badly."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.http import get, new_token
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from tests.rigs.secrets import KEY
from understudy import Agent
from understudy.app.server import Running
from understudy.extensions.remote import wording
from understudy.extensions.remote.agui import MAX_LINE
from understudy.extensions.remote.remote import Remote

pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")


async def remote_of(running: Running) -> Agent:
    headers = {"Authorization": f"Bearer {await new_token(running)}"}
    return Agent("abroad", remote=Remote(f"{running.address}/api/agui?agent=script", headers=headers))


async def test_an_agent_of_another_server_thinks_asks_and_answers(serve: Any, tmp_path: Any) -> None:
    turns = Call([("echo", {"text": "hi"})]), Call([("send_mail", {"to": "ann"})]), Say("It was sent.")
    there = await serve(scripted(*turns), data_dir=tmp_path / "there")
    here = await serve(await remote_of(there))
    async with connected(here.address, await new_token(here)) as client:
        question = await client.ask("go", agent_type="abroad", until="question_asked")
        assert question["data"]["schema"]["properties"]["decision"]["enum"] == ["allow", "deny"]
        reply = {"question_id": question["data"]["question_id"], "answer": {"decision": "allow"}}
        await client.send({"type": "answer", "payload": reply})
        final = await client.until("final_response")
    assert final["data"]["message"].strip() == "It was sent."
    thoughts = [event["data"]["thought"] for event in client.seen if event["type"] == "agent_thinking"]
    assert "Calls echo." in thoughts
    assert "Calls send_mail." in thoughts


async def test_an_agent_of_another_server_is_listed_without_a_model_of_this_one(serve: Any) -> None:
    running = await serve(Agent("abroad", remote=Remote("https://agents.example.org/agui")))
    body = await get(running, "/api/agents", await new_token(running))
    models = {agent["name"]: agent["model"]["name"] for agent in body["agents"]}
    assert (models["abroad"], models["guide"]) == ("", "offline")
    assert body["model"]["name"] == "offline"


async def serve_raw(
    parts: Sequence[bytes], resumed: Sequence[bytes] = (), task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer each request with these parts, but one that says yes by a command with those that follow it."""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received or b'"threadId"' not in received:
                received += await stream.receive_some()
            for part in resumed if b'{"command": {"resume": "yes"}}' in received else parts:
                await stream.send_all(part)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(listener.socket.getsockname()[1])
    await trio.serve_listeners(answer, [listener])


def stream_of(*events: Any) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    blocks = (event if isinstance(event, bytes) else json.dumps(event).encode() for event in events)
    return head + b"".join(b"data: %s\n\n" % block for block in blocks)


def refused(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d No\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


STARTED = {"type": "RUN_STARTED", "threadId": "t", "runId": "r"}
FINISHED = {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}
TEXT = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "half an "}
THOUGHT = {"type": "REASONING_MESSAGE_CONTENT", "messageId": "m"}


def snapshot(*messages: tuple[str, str, Any]) -> dict[str, Any]:
    history = [{"id": name, "role": role, "content": content} for name, role, content in messages]
    return {"type": "MESSAGES_SNAPSHOT", "messages": history}


BAD = [
    (stream_of(STARTED, TEXT), "The connection to the remote agent was cut."),
    (stream_of(STARTED, b"{no json"), "The connection to the remote agent was cut."),
    (stream_of({"type": "RUN_ERROR", "message": "The oven is cold."}), "The oven is cold."),
    (stream_of({"type": "RUN_ERROR", "message": f"Bad key {KEY}"}), "Bad key "),
    (stream_of(STARTED, {"type": "RUN_ERROR"}), "The remote agent failed."),
    (stream_of(STARTED, FINISHED), "The remote agent ended without an answer."),
    (refused(422, b'{"detail": "No such tool."}'), "The remote agent answered with the status 422: No such tool."),
    (refused(500, b'{"error": {"message": "It is late."}}'), "The remote agent answered with the status 500: It is"),
    (refused(502, b"<html><b>Bad Gateway</b></html>"), "The remote agent answered with the status 502."),
    (refused(422, b'{"detail": [{"loc": ["body", "state"], "msg": "Field required"}]}'),
     "The remote agent answered with the status 422: body.state: Field required"),
    (refused(200, b'{"error": "It is off."}'), "The remote agent refused: It is off."),
    (stream_of(STARTED, TEXT | {"delta": " \u200b\n"}, FINISHED), "The remote agent ended without an answer."),
    (stream_of(STARTED, b"[" * 100_000), "The remote agent sent more than is accepted."),
    (stream_of(STARTED, b"[\ndata: " * 1_000_000), "The remote agent sent more than is accepted."),
    (stream_of(STARTED, b" " * (MAX_LINE + 1)), "The remote agent sent more than is accepted."),
    (stream_of().replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1), "The remote agent sent more than is"),
    (stream_of(STARTED, snapshot(*[("a", "assistant", "x")] * 10_001)), "The remote agent does not stop to answer."),
    (stream_of(STARTED, *[THOUGHT | {"delta": "x" * 600}] * 2), "The remote agent does not stop to answer."),
    (stream_of(STARTED, *[THOUGHT | {"delta": "x" * 600}, {"type": "REASONING_END"}] * 2),
     "The remote agent does not stop to answer."),
    (stream_of({"type": "RUN_ERROR", "message": {"detail": "The oven is cold."}}), "The oven is cold."),
    (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "The remote agent does not accept this server's key."),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "The remote address does not speak AG-UI."),
]  # fmt: skip


def piece(kind: str, delta: str = "", **more: Any) -> dict[str, Any]:
    return {"type": kind, "delta": delta, **more}


def delta(kind: str, path: str, value: Any = None) -> dict[str, Any]:
    return {"type": "STATE_DELTA", "delta": [{"op": kind, "path": path, "value": value}]}


USER, CONTENT, CHUNK = ("u", "user", "go"), "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK"
ANSWERS: list[tuple[list[Any], str]] = [
    ([snapshot(("a0", "assistant", "before"), USER, ("a", "assistant", "whole"))], "whole"),
    ([snapshot(("a", "assistant", [{"type": "text", "text": "in parts"}]))], "in parts"),
    ([piece(CONTENT, "one", messageId="a"), snapshot(USER, ("a", "assistant", "one two"))], "one two"),
    ([piece(CONTENT, "one", messageId="a"), snapshot(USER, ("b", "assistant", "one"))], "one"),
    ([piece(CONTENT, "draft", messageId="a"), snapshot(USER, ("b", "assistant", "more"))], "draft\n\nmore"),
    ([piece(CONTENT, "draft", messageId="a"), snapshot(USER, ("a", "assistant", "final"))], "draft\n\nfinal"),
    ([b'{"type": "TEXT_MESSAGE_CONTENT",\ndata: "messageId": "a", "delta": "in lines"}', b""], "in lines"),
    ([piece(CHUNK, "one ", messageId="a"), piece(CHUNK, "two"), piece(CHUNK, "x", messageId="b")], "one two\n\nx"),
    ([piece(CONTENT, "go", messageId="u", role="user"), piece(CONTENT, "one", messageId="a")], "one"),
    ([{"type": "STATE_SNAPSHOT", "snapshot": {"a": 1}}], '```json\n{\n  "a": 1\n}\n```'),
    ([{"type": "STATE_SNAPSHOT", "snapshot": {"a": 1}}, piece(CONTENT, "one", messageId="a")], "one"),
    ([{"type": "STATE_SNAPSHOT", "snapshot": {"a": [1]}}, delta("add", "/a/-", 2), delta("remove", "/a/0"),
      delta("replace", "/b", {}), delta("add", "/b/c~1d", 0), delta("add", "/x/y", 0), delta("remove", "/b")],
     '```json\n{\n  "a": [\n    2\n  ]\n}\n```'),
    ([{"type": "RUN_FINISHED", "result": "It is done."}], "It is done."),
    ([{"type": "RUN_FINISHED", "result": {"n": 5}}], '```json\n{\n  "n": 5\n}\n```'),
]  # fmt: skip


async def test_a_remote_agent_answers_in_each_form_of_the_protocol(serve: Any) -> None:
    async with trio.open_nursery() as nursery:
        agents = []
        for number, (events, _) in enumerate(ANSWERS):
            stream = stream_of(STARTED, *events, FINISHED)
            forms = stream, stream.replace(b"\n\n", b"\r\r"), stream.replace(b"text/event", b"Text/Event").rstrip()
            port = await nursery.start(serve_raw, [forms[number % 3]])
            agents.append(Agent(f"abroad{number}", remote=Remote(f"http://127.0.0.1:{port}/")))
        running = await serve(*agents)
        async with connected(running.address, await new_token(running)) as client:
            for agent, (events, answer) in zip(agents, ANSWERS, strict=True):
                await client.say("go", agent_type=agent.name, thread_id=agent.name)
                assert (await client.until("final_response"))["data"]["message"] == answer, events
        nursery.cancel_scope.cancel()


async def test_a_remote_agent_asks_as_langgraph_does(serve: Any) -> None:
    interrupt = {"type": "CUSTOM", "name": "on_interrupt", "value": "Shall I pay?"}
    paid = stream_of(STARTED, piece(CONTENT, "It is paid.", messageId="a"), FINISHED)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_raw, [stream_of(STARTED, interrupt, FINISHED)], [paid])
        running = await serve(Agent("abroad", remote=Remote(f"http://127.0.0.1:{port}/")))
        async with connected(running.address, await new_token(running)) as client:
            await client.say("go", agent_type="abroad")
            question = (await client.until("question_asked"))["data"]
            assert question["title"] == "Shall I pay?"
            reply = {"question_id": question["question_id"], "answer": {"answer": "yes"}}
            await client.send({"type": "answer", "payload": reply})
            assert (await client.until("final_response"))["data"]["message"] == "It is paid."
        nursery.cancel_scope.cancel()


async def test_a_remote_agent_that_fails_is_one_error_with_a_sentence(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wording, "MAX_TEXT", 1000)
    async with trio.open_nursery() as nursery:
        agents = []
        for number, (answer, _) in enumerate(BAD):
            port = await nursery.start(serve_raw, [answer])
            agents.append(Agent(f"bad{number}", remote=Remote(f"http://127.0.0.1:{port}/")))
        agents.append(Agent("nobody", remote=Remote("http://127.0.0.1:9/")))
        running = await serve(*agents)
        async with connected(running.address, await new_token(running)) as client:
            expected = [*(words for _, words in BAD), "The remote agent cannot be reached."]
            for agent, sentence in zip(agents, expected, strict=True):
                ended = await client.ask("go", agent_type=agent.name, thread_id=agent.name, until="error")
                assert ended["data"]["message"].startswith(sentence), (agent.name, ended)
                assert KEY not in str(client.seen)
        nursery.cancel_scope.cancel()


def test_a_bad_address_fails_at_once() -> None:
    with pytest.raises(TypeError, match="is no agent of another server"):
        Agent("x", remote="https://example.org")  # type: ignore[arg-type]
    for bad in ("ftp://x", "example.org", "http://"):
        with pytest.raises(ValueError, match="is no address of an agent"):
            Remote(bad)


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
