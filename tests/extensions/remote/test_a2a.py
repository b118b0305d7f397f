"""Agents of other servers, by A2A: the stock server on asyncio, another understudy, and servers that do it badly."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from attrs import frozen

from tests.rigs.chat_client import connected
from tests.rigs.http import get, new_token, request
from tests.rigs.process import started
from tests.rigs.resumable_agent import SPOKEN
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.secrets import KEY
from understudy import Agent, AgentTurn
from understudy.extensions.remote import a2a as work
from understudy.extensions.remote import a2a_connection, a2a_task
from understudy.extensions.remote.a2a_connection import connect
from understudy.extensions.remote.remote import Remote

pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


@frozen
class Stock:
    """The stock server: its address, and what it has noted."""

    address: str
    notes: Path
    gate: Path

    @property
    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    async def until(self, line: str) -> None:
        with trio.fail_after(60):
            while not any(note.startswith(line) for note in self.noted):  # noqa: ASYNC110 - a file has no event
                await trio.sleep(0.02)


@asynccontextmanager
async def stock_server(folder: Path, *options: str) -> AsyncIterator[Stock]:
    notes, gate = folder / "notes", folder / "gate"
    command = [sys.executable, "-m", "tests.end_to_end.stock_a2a_server", str(notes), str(gate), *options]
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
        )
        with trio.fail_after(60):
            address = (await process.stdout.receive_some()).decode().strip()
        try:
            yield Stock(address, notes, gate)
        finally:
            process.kill()


def texts(client: Any, kind: str, name: str) -> list[str]:
    return [event["data"][name] for event in client.seen if event["type"] == kind]


@pytest.mark.parametrize("options", [(), ("--no-streams",)])
async def test_the_stock_server_works_asks_and_answers(
    serve_guest: Any, tmp_path: Path, options: Sequence[str]
) -> None:
    async with stock_server(tmp_path, *options) as stock:
        running, token = await serve_guest(Agent("abroad", remote=Remote(stock.address, protocol="a2a")))
        async with connected(running.address, token) as client:
            await client.say("work", agent_type="abroad", thread_id="t")
            answer = (await client.until("final_response"))["data"]["message"]
            assert answer == "one two three work\n\nSaved to your files: table.csv"
            if not options:  # who polls may see the end only
                assert "Looks it up." in texts(client, "agent_thinking", "thought")
            question = (await client.ask("ask", agent_type="abroad", thread_id="t", until="question_asked"))["data"]
            assert question["title"] == "Which colour?"
            reply = {"question_id": question["question_id"], "answer": {"answer": "blue"}}
            await client.send({"type": "answer", "payload": reply})
            answer = (await client.until("final_response"))["data"]["message"]
            assert answer.startswith("one two three blue")
            await client.say("plain", agent_type="abroad", thread_id="t")
            assert (await client.until("final_response"))["data"]["message"] == "no task needed"
            await client.say("fail", agent_type="abroad", thread_id="t")
            assert (await client.until("error"))["data"]["message"] == "The oven is cold."
        assert len({line.split()[1] for line in stock.noted}) == 1, "one conversation, one context"
        assert [line.split()[2] for line in stock.noted] == ["work", "ask", "blue", "plain", "fail"]
        _, context_id, _, message_id = stock.noted[0].split()
        async with connect(Remote(stock.address, protocol="a2a")) as server:
            assert await server.find(context_id, message_id), "a message of before a crash has its task"
            assert await server.find(context_id, "another") is None
        stored = [path for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in stored].count(b"x,y\n1,2\n") == 2


async def test_a_stopped_run_cancels_its_task(serve: Any, tmp_path: Path) -> None:
    async with stock_server(tmp_path) as stock:
        running = await serve(Agent("abroad", remote=Remote(stock.address, protocol="a2a")))
        async with connected(running.address, await new_token(running)) as client:
            run_id = (await client.ask("slow", agent_type="abroad", until="partial_result"))["run_id"]
            await client.send({"type": "cancel", "payload": {"run_id": run_id}})
            assert (await client.until("final_response"))["data"]["status"] == "cancelled"
            await stock.until("cancelled")


async def test_a_killed_server_goes_on_with_its_task(tmp_path: Path) -> None:
    async with stock_server(tmp_path) as stock:
        here = partial(
            started, tmp_path / "data", "tests.extensions.remote.abroad_agent:agent", A2A_TEST_REMOTE=stock.address
        )
        async with here() as server:
            token = await new_token(server)
            async with connected(server.address, token) as client:
                await client.ask("slow", agent_type="abroad", thread_id="slow", until="partial_result")
                await client.say("ask", agent_type="abroad", thread_id="ask")
                question_id = (await client.until("question_asked"))["data"]["question_id"]
            await server.kill()
        stock.gate.touch()
        async with here() as server:
            for thread, answer in (("slow", "one two three slow"), ("ask", "one two three blue")):
                async with connected(server.address, token) as client:
                    await client.send({"type": "resume", "payload": {"threads": {thread: 0}}})
                    if thread == "ask":
                        reply = {"question_id": question_id, "answer": {"answer": "blue"}}
                        await client.send({"type": "answer", "payload": reply})
                    final = await client.until("final_response")
                    assert final["data"]["message"] == f"{answer}\n\nSaved to your files: table.csv"
        assert sorted(line.split()[2] for line in stock.noted) == ["ask", "blue", "slow"]


@pytest.mark.proof("chaos")
async def test_both_servers_are_killed_and_go_on(tmp_path: Path) -> None:
    there = partial(started, tmp_path / "there", "tests.rigs.resumable_agent:agent")
    here = partial(started, tmp_path / "here", "tests.extensions.remote.abroad_agent:agent")
    async with there() as remote:
        _, _, body = await request(remote.address, "POST", "/api/sessions")
        key, port = body["session_token"], int(remote.address.rpartition(":")[2])
        environment = {"A2A_TEST_REMOTE": f"{remote.address}/a2a/resumable", "A2A_TEST_TOKEN": key}
        async with here(**environment) as server:
            token = await new_token(server)
            async with connected(server.address, token) as client:
                await client.ask("again stop", agent_type="abroad", thread_id="t", until="partial_result")
            await remote.kill()
            await server.kill()
    async with here(**environment) as server, there(port=port) as remote:
        async with connected(server.address, token) as client:
            await client.send({"type": "resume", "payload": {"threads": {"t": 0}}})
            with trio.fail_after(120):
                while True:
                    with suppress(trio.TooSlowError):
                        final = await client.until("final_response")
                        break
        assert final["data"]["message"] == SPOKEN
        assert len((await get(remote, "/api/runs", key))["runs"]) == 1


async def test_another_understudy_asks_for_consent(serve: Any, tmp_path: Path) -> None:
    turns = Call([("echo", {"text": "hi"})]), Call([("send_mail", {"to": "ann"})]), Say("It was sent.")
    there = await serve(scripted(*turns), data_dir=tmp_path / "there")
    headers = {"Authorization": f"Bearer {await new_token(there)}"}
    here = await serve(Agent("abroad", remote=Remote(f"{there.address}/a2a/script", "a2a", headers)))
    async with connected(here.address, await new_token(here)) as client:
        question = (await client.ask("go", agent_type="abroad", until="question_asked"))["data"]
        assert question["schema"]["properties"]["decision"]["enum"] == ["allow", "deny"]
        reply = {"question_id": question["question_id"], "answer": {"decision": "allow"}}
        await client.send({"type": "answer", "payload": reply})
        final = await client.until("final_response")
    assert final["data"]["message"].strip() == "It was sent."
    assert len(texts(client, "agent_thinking", "thought")) == len(set(texts(client, "agent_thinking", "thought")))


async def test_a_file_at_another_understudy_becomes_one_of_the_user(serve: Any, tmp_path: Path) -> None:
    async def work(turn: AgentTurn) -> None:
        await turn.files.save("out.csv", "text/csv", b"made there")

    there = await serve(Agent("script", run=work), data_dir=tmp_path / "there")
    headers = {"Authorization": f"Bearer {await new_token(there)}"}
    here = await serve(Agent("abroad", remote=Remote(f"{there.address}/a2a/script", "a2a", headers)))
    async with connected(here.address, await new_token(here)) as client:
        await client.say("go", agent_type="abroad")
        assert (await client.until("final_response"))["data"]["message"] == "Saved to your files: out.csv"
    stored = [path for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in stored] == [b"made there"]


CARD = {
    "name": "bad", "description": "bad", "version": "1", "capabilities": {"streaming": True},
    "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"], "skills": [],
}  # fmt: skip


def frame(**outcome: Any) -> bytes:
    """Return an event of a stream with a response of JSON-RPC."""
    return b"data: %s\n\n" % json.dumps({"jsonrpc": "2.0", "id": "1", **outcome}).encode()


async def serve_badly(events: Sequence[Any], elsewhere: str, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Serve a card, and answer each message with these events; None repeats the last one for ever, `...` waits.

    One without a stream is answered with the last event.
    """

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received or (received.startswith(b"POST") and b"params" not in received):
                received += await stream.receive_some()
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            if received.startswith(b"GET"):
                interface = {"url": elsewhere or address, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
                body = json.dumps(CARD | {"supportedInterfaces": [interface]}).encode()
                await stream.send_all(head % len(body) + body)
                return
            if b'"SendMessage"' in received:
                body = json.dumps({"jsonrpc": "2.0", "id": "1", "result": events[-1]}).encode()
                await stream.send_all(head % len(body) + body)
                return
            await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n")
            block = b""
            with suppress(trio.BrokenResourceError):
                for event in events:
                    if event is ...:
                        await trio.sleep_forever()
                    if event is not None:
                        block = event if isinstance(event, bytes) else frame(result=event)
                    await stream.send_all(block)
                    while event is None:
                        await stream.send_all(block)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    task_status.started(address)
    await trio.serve_listeners(answer, [listener])


def task(name: str = "t", state: str = "WORKING", **more: Any) -> dict[str, Any]:
    return {"task": {"id": name, "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}, **more}}


def status(name: str = "t", state: str = "WORKING", **part: Any) -> dict[str, Any]:
    message = {"messageId": "m", "role": "ROLE_AGENT", "parts": [part]}
    return {"statusUpdate": {"taskId": name, "contextId": "c",
                             "status": {"state": f"TASK_STATE_{state}", "message": message}}}  # fmt: skip


def text(words: str, name: str = "t") -> dict[str, Any]:
    artifact = {"artifactId": "a", "parts": [{"text": words}]}
    return {"artifactUpdate": {"taskId": name, "contextId": "c", "artifact": artifact, "append": True}}


def failed(code: int, message: str | None, data: Any = None) -> bytes:
    return frame(error={"code": code, "message": message, "data": data})


BAD = {
    "forged": ([task(), text("x", "of-another")], "The remote agent answered for another task."),
    "endless": ([task(), text("word " * 20_000), None], "The remote agent does not stop to answer."),
    "megabytes": ([b"data: " + b"x" * 1_000_000, None], "The remote agent sent more than is accepted."),
    "garbage": ([b"data: {no json\n\n"], "The remote agent answered with something that is no A2A."),
    "nothing": ([], "The connection to the remote agent was cut."),
    "rejected": ([task(), status(state="REJECTED", text="Not today.")], "Not today."),
    "unwilling": ([task(state="REJECTED")], "The remote agent did not take the task."),
    "speechless": ([task(state="COMPLETED")], "The remote agent ended without an answer."),
    "unnamed": ([failed(-32000, "No fixture.")], "The remote agent refused: No fixture."),
    "detailed": ([failed(-32602, f"Bad {KEY}", [{"a": 1}])], "The remote agent refused: Bad "),
    "resting": (
        [b'event: error\ndata: {"error": {"code": 500, "message": "It broke."}}\n\n'],
        "The remote agent refused: It broke.",
    ),
    "wordless": ([failed(-32603, None)], "The remote agent refused: Internal error"),
    "within": ([failed(-32603, "Inside", {"reason": "No oven."})], "The remote agent refused: Inside: No oven."),
    "text": (
        [b'data: {"jsonrpc": "2.0", "id": "1", "error": "It is off."}\n\n'],
        "The remote agent refused: It is off.",
    ),
    "bare": ([b'data: {"detail": "It is off."}\n\n'], "The remote agent refused: It is off."),
    "cold": ([task(), status(state="FAILED", data={"reason": "No oven."})], "No oven."),
    "blank": ([{"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": " \u200b"}]}}],
              "The remote agent ended without an answer."),
    "signed": ([task(), status(state="AUTH_REQUIRED", text="Sign in first.")], "Sign in first."),
    "hanging": ([task(), ...], "The remote agent was silent for too long."),
}  # fmt: skip


async def test_a_remote_that_misbehaves_is_one_error_with_a_sentence(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(a2a_task, "MAX_TEXT", 200_000)  # the client of this test takes messages of 1 MiB
    monkeypatch.setattr(a2a_connection, "MAX_LINE", 3_000_000)
    monkeypatch.setattr(work, "JOIN_S", (0.01,))
    async with trio.open_nursery() as nursery:
        agents = []
        for name, (events, _) in BAD.items():
            address = await nursery.start(serve_badly, events, "")
            agents.append(Agent(name, remote=Remote(address, protocol="a2a", idle_s=1.0)))
        other = await nursery.start(serve_badly, [], "http://127.0.0.1:9/")
        agents.append(Agent("elsewhere", remote=Remote(other, protocol="a2a")))
        agents.append(Agent("nobody", remote=Remote("http://127.0.0.1:9/", protocol="a2a")))
        running = await serve(*agents)
        sentences = {name: sentence for name, (_, sentence) in BAD.items()} | {
            "elsewhere": "The card of the remote agent names another server than its own.",
            "nobody": "The remote agent cannot be reached.",
        }
        async with connected(running.address, await new_token(running)) as client:
            for agent in agents:
                ended = await client.ask("go", agent_type=agent.name, thread_id=agent.name, until="error")
                assert ended["data"]["message"].startswith(sentences[agent.name]), (agent.name, ended)
                assert KEY not in str(client.seen)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("before", [[], [failed(-32004, "No streams.")], [failed(-32601, "No such method.")]])
async def test_a_remote_that_refuses_streams_is_asked_without(serve: Any, before: Sequence[Any]) -> None:
    """Its card may promise streams. Numbers in data are shown as they were sent."""
    data = {"artifactId": "a", "parts": [{"data": {"order": 4711, "rate": 0.5}}]}
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve_badly, [*before, task(state="COMPLETED", artifacts=[data])], "")
        running = await serve(Agent("abroad", remote=Remote(address, protocol="a2a")))
        async with connected(running.address, await new_token(running)) as client:
            await client.say("go", agent_type="abroad")
            answer = (await client.until("final_response"))["data"]["message"]
        nursery.cancel_scope.cancel()
    document = answer.removeprefix("```json\n").removesuffix("\n```")
    assert json.loads(document, parse_float=str) == {"order": 4711, "rate": "0.5"}  # protobuf's maps have no order


def test_a_conversation_at_a_remote_is_the_users_own() -> None:
    """Two users' threads of one id are two conversations there: a remote sees both users behind one token."""
    remote = Remote("https://example.org")
    turns: list[Any] = [SimpleNamespace(owner=owner, thread_id=name) for owner, name in ("at", "bt", "au", "at")]
    ann, bob, other, again = map(remote.conversation_id, turns)
    assert len({ann, bob, other}) == 3
    assert ann == again


def test_a_remote_names_its_protocol() -> None:
    with pytest.raises(ValueError, match="one of ag-ui, a2a"):
        Remote("https://example.org", protocol="smtp")
