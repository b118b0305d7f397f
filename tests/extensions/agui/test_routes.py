"""AG-UI over real sockets: runs as its clients expect them, also on failures."""

import base64
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import trio
from ag_ui.core import AgentCapabilities
from attrs import evolve

from tests.extensions.agui.checker import Checker, check_run
from tests.rigs.cross_origin import LISTED, readable
from tests.rigs.documented_server import served
from tests.rigs.http import get, new_token, request
from tests.rigs.questions import PEARS, order
from tests.rigs.scripted_model import Call, Gate, Hand, Raise, Say, scripted
from tests.rigs.server_pair import post, token_of, two_servers
from tests.rigs.sse import Stream, streaming
from tests.rigs.thread_stream import gone, say
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy import Agent, AgentTurn
from understudy.app.server import Running
from understudy.chat import routing
from understudy.installed import chosen, installed, missing
from understudy.storage.limits import Limits
from understudy.wire.events import ANSWER


def run_input(content: Any = "go", thread: str = "t", message: str | None = None, **more: Any) -> dict[str, Any]:
    user_message = {"id": message or uuid.uuid4().hex, "role": "user", "content": content}
    return {
        "threadId": thread,
        "runId": "run-1",
        "messages": [user_message],
        "forwardedProps": {"agent_type": "script"},
    } | more


def post_run(running: Running, token: str | None, content: Any, query: str = "") -> Any:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return streaming(running.address, f"/api/agui{query}", token, method="POST", body=body)


async def read_run(stream: Stream) -> Checker:
    assert stream.status == 200, stream.body
    await stream.until_end()
    return check_run([event.body for event in stream.seen])


async def run_through(running: Running, token: str | None, content: Any, query: str = "") -> tuple[Stream, Checker]:
    """Post a run, read it to its end and check it."""
    async with post_run(running, token, content, query) as stream:
        return stream, await read_run(stream)


async def refused(stream: Stream) -> dict[str, Any]:
    await read_run(stream)
    assert [event.body["type"] for event in stream.seen] == ["RUN_ERROR"]
    return last(stream)


def last(stream: Stream) -> dict[str, Any]:
    return stream.seen[-1].body


def of(stream: Stream, kind: str) -> list[dict[str, Any]]:
    return [event.body for event in stream.seen if event.body["type"] == kind]


def test_without_the_extra_it_is_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.installed.find_spec", lambda name: None if name == "ag_ui" else name)
    assert "agui" not in chosen([])
    assert missing(installed()["agui"]) == "ag_ui is missing: pip install 'understudy-server[agui]'"


@pytest.mark.promise("wire.agui")
async def test_a_message_is_answered_in_agui(serve: Any) -> None:
    running = await serve(scripted(Call([("echo", {"text": "hi"})]), Say("one two three")))
    async with post_run(running, await new_token(running), run_input()) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert (await read_run(stream)).text == "one two three "
        assert (last(stream)["type"], last(stream)["runId"]) == ("RUN_FINISHED", "run-1")
        assert last(stream)["result"]["message"] == "one two three "
        assert [event["toolCallName"] for event in of(stream, "TOOL_CALL_START")] == ["echo"]
        assert json.loads(of(stream, "TOOL_CALL_ARGS")[0]["delta"]) == {"text": "hi"}
        assert json.loads(of(stream, "TOOL_CALL_RESULT")[0]["content"]) == "hi"
        assert of(stream, "REASONING_MESSAGE_CONTENT")
        assert {event.kind for event in stream.seen} == {"message"}
    await gone(running)


async def test_the_conversation_is_the_users_own_and_goes_on(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    stream, _ = await run_through(running, token, run_input("first", message="m1"))
    answer = of(stream, "TEXT_MESSAGE_START")[0]["messageId"]
    history = await get(running, "/api/threads/t/messages", token)
    assert [row["id"] for row in history["messages"]] == ["m1", answer]
    assert routing.ANSWER == ANSWER
    earlier = [{"id": "m1", "role": "user", "content": "first"}, {"id": "a", "role": "assistant", "content": "one"}]
    second = run_input("second", message="m2")
    await run_through(running, token, second | {"messages": earlier + second["messages"]})
    history = await get(running, "/api/threads/t/messages", token)
    assert [row["content"] for row in history["messages"] if row["role"] == "user"] == ["first", "second"]
    await run_through(running, await new_token(running), run_input("mine", message="m1"))
    history = await get(running, "/api/threads/t/messages", token)
    assert len(history["messages"]) == 4


@pytest.mark.promise("wire.cors")
async def test_a_page_of_an_allowed_origin_may_read_a_run(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")), allowed_origins=[LISTED])
    body = json.dumps(run_input()).encode()
    async with streaming(
        running.address, "/api/agui", token, method="POST", body=body, headers={"Origin": LISTED}
    ) as stream:
        readable(stream.headers)
        assert (await read_run(stream)).text == "one "


@pytest.mark.promise("wire.agui-repeat")
async def test_the_same_message_again_is_the_same_run(serve: Any) -> None:
    gate = Gate(open_after=1)
    running = await serve(scripted(Say("one two", gate)))
    token, body = await new_token(running), run_input(message="m")
    async with post_run(running, token, body) as first:
        await first.read()
        await gate.reached.wait()
        async with post_run(running, token, body) as second:
            await second.read()
            gate.opened.set()
            texts = [(await read_run(stream)).text for stream in (first, second)]
    async with post_run(running, token, body) as third:
        texts.append((await read_run(third)).text)
    assert texts == ["one two "] * 3
    names = {stream.seen[0].body["metadata"]["understudy"]["run_id"] for stream in (first, second, third)}
    assert len(names) == 1


async def test_a_message_is_answered_again_and_edited_as_its_client_shows_it(serve_guest: Any) -> None:
    """A run of its own follows from the last message once more, another text under its id, or a shorter history."""

    async def read(turn: AgentTurn) -> None:
        await turn.say(" ".join(item.content for item in turn.items))

    running, token = await serve_guest(Agent("script", run=read))

    async def answer_to(run: str, *messages: tuple[str, str]) -> str:
        sent = [
            {"id": name, "role": "user" if name[0] == "m" else "assistant", "content": text} for name, text in messages
        ]
        async with post_run(running, token, run_input(runId=run) | {"messages": sent}) as stream:
            return (await read_run(stream)).text.replace("\n", " ")

    user, answer = ("m1", "one"), ("a1", "-")
    for run in ("r1", "r1", "r2"):
        assert await answer_to(run, user) == "one"
    assert await answer_to("r3", user, answer, ("m2", "two")) == "one one two"
    assert await answer_to("r4", user, answer, ("m2", "TWO")) == "one one TWO"
    assert await answer_to("r5", user, answer, ("m3", "three")) == "one one three"
    for run in ("r6", "r6", "r7"):
        assert await answer_to(run, ("m1", "ONE")) == "ONE"
    assert await answer_to("r8", ("m1", "ONE"), answer, ("m4", "four")) == "ONE ONE four"
    _, _, listed = await request(running.address, "GET", "/api/runs", token=token)
    assert len(listed["runs"]) == 8


@pytest.mark.promise("wire.agui-repeat")
async def test_an_id_that_is_taken_never_gives_another_conversation(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one two")))
    await run_through(running, token, run_input("a secret", "one", "1"))
    async with post_run(running, token, run_input("hello", "two", "1")) as stream:
        assert (await refused(stream))["code"] == "message_id_reused"
        assert b"secret" not in b"".join(json.dumps(event.body).encode() for event in stream.seen)
    async with post_run(running, token, run_input("a secret", "one", "1")) as again:
        assert (await read_run(again)).text == "one two "


def shape(checker: Checker) -> list[Any]:
    """Return what a client shows of a conversation, but the user's own messages."""
    texts = sorted(
        (message["role"], message["content"])
        for message in checker.messages
        if message["role"] in ("assistant", "reasoning") and "content" in message
    )
    return [texts, checker.calls_made]


@pytest.mark.promise("wire.agui-repeat")
async def test_a_run_joined_after_its_conversation_stopped_is_told_whole(tmp_path: Path) -> None:
    script, body = scripted(Call([("echo", {"text": "hi"}), ("refuse", {})]), Say("one two")), run_input(message="m")
    async with served(tmp_path, [script]) as running:
        token = await new_token(running)
        _, before = await run_through(running, token, body)
    async with served(tmp_path, [script]) as running, post_run(running, token, body) as stream:
        assert shape(await read_run(stream)) == shape(before)
    assert sorted(name for name, _, result in before.calls_made if result) == ["echo", "refuse"]


@pytest.mark.promise("wire.agui-repeat")
async def test_a_run_joined_after_its_server_died_is_told_whole(tmp_path: Path) -> None:
    calls = Call([("echo", {"text": "hi"})]), Call([("send_mail", {"to": "anna@example.org"})]), Say("one two")
    script, body = scripted(*calls), run_input(message="m")
    async with served(tmp_path, [script]) as running:
        token = await new_token(running)
        async with post_run(running, token, body) as stream:
            await until_asked(stream)
    async with served(tmp_path, [script]) as running, post_run(running, token, body) as stream:
        call_id = await until_asked(stream)
        assert (await post(running, token, "approve", call_id=call_id, decision="allow"))[0] == 202
        run = await read_run(stream)
    assert run.text == "one two "
    assert [(name, result) for name, _, result in run.calls_made] == [
        ("echo", '"hi"'),
        ("send_mail", '"sent to anna@example.org"'),
    ]


@pytest.mark.promise("wire.agui-repeat")
async def test_a_run_joined_on_another_server_is_told_whole(
    serve: Any, tmp_path: Path, postgres: Postgres, template: str, redis: Redis
) -> None:
    redis.flush()
    script = scripted(Call([("echo", {"text": "hi"})]), Say("one two"))
    two = await two_servers(serve, tmp_path, postgres.create(template), redis.url, script)
    token, body = token_of(), run_input(message="m")
    runs = []
    for running in (two.a, two.b, two.b):
        async with post_run(running, token, body) as stream:
            runs.append(shape(await read_run(stream)))
    assert runs == [runs[0]] * 3
    assert runs[0][1] == [("echo", '{"text":"hi"}', '"hi"')]


async def until_asked(stream: Stream) -> str:
    """Read up to a request for approval. Return its call id."""
    while (event := (await stream.read()).body).get("name") != "approval_required":
        assert event["type"] != "RUN_FINISHED"
    return str(event["value"]["call_id"])


async def test_the_agent_is_chosen_by_the_application(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    props = {"agent_type": "liaison", "pillar": "content"}
    for body, query, step in (
        ({"forwardedProps": props}, "", "liaison/content"), ({"forwardedProps": None}, "?agent=script", "script"),
        ({"forwardedProps": props}, "?agent=guide", "guide"), ({"forwardedProps": [1]}, "", "guide"),
        ({"forwardedProps": {}}, "?agent=content", "liaison/content"),
    ):  # fmt: skip
        stream, _ = await run_through(running, token, run_input("What is 2 + 2?", uuid.uuid4().hex) | body, query)
        assert of(stream, "STEP_STARTED")[0]["stepName"] == step


@pytest.mark.promise("wire.agui")
@pytest.mark.parametrize(
    ("turns", "code"),
    [
        ([Raise(RuntimeError("secret-detail"))], "agent_failed"),
        ([Call([("crash", {}), ("hang", {}), ("refuse", {})]), Raise(RuntimeError("x"))], "agent_failed"),
        ([Say("one")], None),
        ([Call([("crash", {}), ("hang", {})]), Say("one")], None),
        ([Hand("guide")], None),
    ],
)
async def test_whatever_dies_the_run_is_whole_and_ends_once(serve: Any, turns: list[Any], code: str | None) -> None:
    script = scripted(*turns)
    running = await serve(script)
    stream, _ = await run_through(running, await new_token(running), run_input())
    assert last(stream).get("code") == code
    assert "secret-detail" not in json.dumps([event.data for event in stream.seen])


async def test_a_run_that_is_stopped_says_so(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Call([("wait", {})])))
    async with post_run(running, token, run_input()) as stream:
        names = (await stream.read()).body["metadata"]["understudy"]
        assert (await post(running, token, "cancel", run_id=names["run_id"]))[0] == 202
        await read_run(stream)
        assert last(stream)["outcome"] == {"type": "cancelled"}


@pytest.mark.promise("wire.agui-repeat")
async def test_a_client_that_leaves_does_not_stop_its_run(serve: Any) -> None:
    gate = Gate()
    running = await serve(scripted(Say("one two", gate)))
    token, body = await new_token(running), run_input()
    async with post_run(running, token, body) as stream:
        await stream.read()
    await gone(running)
    gate.opened.set()
    async with post_run(running, token, body) as stream:
        assert (await read_run(stream)).text == "one two "


@pytest.mark.promise("wire.agui")
async def test_a_server_that_goes_away_ends_the_stream_as_a_run(serve: Any) -> None:
    gate = Gate(open_after=1)
    running = await serve(scripted(Say("one two", gate)))
    async with post_run(running, await new_token(running), run_input()) as stream:
        await gate.reached.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.stop)
            await read_run(stream)
    assert (last(stream)["type"], last(stream)["code"]) == ("RUN_ERROR", "busy")


async def test_two_runs_in_one_thread_are_told_apart(serve_guest: Any) -> None:
    gate = Gate()
    running, token = await serve_guest(scripted(Say("one", gate)))
    async with post_run(running, token, run_input("first")) as first:
        await first.read()
        async with post_run(running, token, run_input("second")) as second:
            await second.read()
            gate.opened.set()
            assert [(await read_run(stream)).text for stream in (first, second)] == ["one ", "one "]
    assert any(event["name"] == "agent_progress" for event in of(second, "CUSTOM"))


def image(kind: str, value: str, **more: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": kind, "value": value, "mimeType": "image/png"} | more}


@pytest.mark.promise("wire.agui-parts")
async def test_files_in_parts_are_the_messages_files(serve: Any) -> None:
    running = await serve(scripted(Say("one")))
    token, data = await new_token(running), base64.b64encode(b"PNG of a pear").decode()
    texts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    body = run_input([*texts, image("data", data) | {"metadata": {"filename": "pear.png"}}], message="m")
    for _ in range(2):
        _, run = await run_through(running, token, body)
    assert run.messages[0] == body["messages"][0]
    history = await get(running, "/api/threads/t/messages", token)
    (file_id,) = history["messages"][0]["references"]
    assert history["messages"][0]["content"] == "one\ntwo"
    assert (await request(running.address, "GET", f"/api/files/{file_id}", token=token))[2] == b"PNG of a pear"
    sources = [
        image("file", file_id), image("url", f"/api/files/{file_id}"),
        image("url", f"{running.address}/api/files/{file_id}"), image("url", f"data:image/png;base64,{data}"),
    ]  # fmt: skip
    await run_through(running, token, run_input(sources, message="n"))
    async with post_run(running, token, run_input(message="n") | {"messages": []}) as stream:
        (parts,) = [message["content"] for message in (await read_run(stream)).messages if message["id"] == "n"]
    assert [part["type"] for part in parts] == ["text", "image", "image"]
    assert parts[1]["source"] == {"type": "url", "value": f"/api/files/{file_id}", "mimeType": "image/png"}


@pytest.mark.promise("wire.agui-parts")
@pytest.mark.parametrize(
    ("part", "code"),
    [
        (image("url", "https://example.org/a.png"), "invalid_command"),
        (image("url", "http://127.0.0.1/metrics"), "invalid_command"),
        (image("file", "0" * 32), "not_found"),
        (image("file", "file-1", provider="openai"), "invalid_command"),
        (image("data", "no base64!"), "invalid_command"),
    ],
)
async def test_parts_that_cannot_be_taken_are_refused(serve_guest: Any, part: Any, code: str) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    async with post_run(running, token, run_input([{"type": "text", "text": "see"}, part])) as stream:
        assert (await refused(stream))["code"] == code
    assert (await request(running.address, "GET", "/api/threads", token=token))[2]["threads"] == []


@pytest.mark.promise("wire.agui-state")
async def test_the_state_is_shared(serve: Any) -> None:
    script = scripted(Call([("echo", {"text": "hi"})]), Say("one"))
    running = await serve(script)
    state = {"recipe": {"title": "Soup"}, "understudy": {"run": {"status": "old"}}}
    body = run_input() | {"state": state, "context": [{"description": "page", "value": "recipes"}]}
    _, run = await run_through(running, await new_token(running), body)
    of_server = run.state.pop("understudy")
    assert run.state == {"recipe": {"title": "Soup"}}
    assert of_server["run"]["status"] == "success"
    assert [(call["tool"], call["status"]) for call in of_server["calls"].values()] == [("echo", "ok")]
    note = script.model.inputs[0].notes[0].content
    assert ('"Soup"' in note, '"recipes"' in note, '"old"' in note) == (True, True, False)


PLACE = {"type": "object", "properties": {"place": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "The weather of a place.", "parameters": PLACE}
ASK_WEATHER = Call([("weather", {"place": "Bonn"}), ("echo", {"text": "hi"})])


def result(call_id: str, content: Any, name: str = "r1") -> dict[str, Any]:
    return {"id": name, "role": "tool", "toolCallId": call_id, "content": content}


@pytest.mark.promise("wire.agui-client-tools")
async def test_a_tool_of_the_client_is_called_and_the_run_goes_on(tmp_path: Path) -> None:
    script, body = scripted(ASK_WEATHER, Say("sunny")), run_input(message="m") | {"tools": [WEATHER]}
    async with served(tmp_path, [script]) as running:
        token = await new_token(running)
        for _ in range(2):
            stream, _ = await run_through(running, token, body)
            (call_id,) = last(stream)["outcome"]["pendingToolCallIds"]
            assert last(stream)["metadata"]["understudy"]["expires_at"] > 0
    assert [tool.name for tool in script.model.inputs[0].tools][-1] == "weather"
    body["messages"].append(result(call_id, "20 °C"))
    async with served(tmp_path, [script]) as running:
        for _ in range(2):
            stream, run = await run_through(running, token, body)
            assert (last(stream)["outcome"], run.text) == ({"type": "success"}, "sunny ")
            assert sorted(run.calls_made) == [
                ("echo", '{"text":"hi"}', '"hi"'),
                ("weather", '{"place":"Bonn"}', "20 °C"),
            ]
            assert [message["id"] for message in run.messages if message.get("toolCallId") == call_id] == ["r1"]
    assert len(script.model.inputs) == 2


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("20 °C", "20 °C"),
        ({"temp": 20}, '{"temp": 20}'),
        (20, "20"),
        (None, "null"),
        ([{"type": "text", "text": "x"}], "x"),
    ],
)
async def test_a_hand_written_agent_calls_a_tool_of_the_client(tmp_path: Path, sent: Any, text: str) -> None:
    async def work(turn: AgentTurn) -> None:
        (name,) = turn.client_tools
        await turn.say(f"It has {await turn.call(name, place='Bonn')}.")

    agent, body = Agent("script", run=work), run_input(message="m") | {"tools": [WEATHER]}
    async with served(tmp_path, [agent]) as running:
        token = await new_token(running)
        stream, _ = await run_through(running, token, body)
        (call_id,) = last(stream)["outcome"]["pendingToolCallIds"]
    body["messages"].append(result(call_id, sent))
    async with served(tmp_path, [agent]) as running, post_run(running, token, body) as stream:
        run = await read_run(stream)
    assert (last(stream)["outcome"], run.text) == ({"type": "success"}, f"It has {text}.")
    assert run.calls_made == [("weather", '{"place":"Bonn"}', text)]


@pytest.mark.promise("wire.agui-client-tools")
async def test_a_message_gives_up_the_calls_before_it(serve: Any) -> None:
    """A user who says something else does not wait until the call's time is over. A name that is taken is refused."""
    script = scripted(ASK_WEATHER, Say("sunny"))
    running = await serve(script)
    token, body = await new_token(running), run_input(message="m") | {"tools": [WEATHER]}
    await run_through(running, token, body)
    stream, _ = await run_through(running, token, run_input(message="n"))
    assert last(stream)["type"] == "RUN_FINISHED"
    _, run = await run_through(running, token, run_input() | {"messages": []})
    assert None not in [result for *_, result in run.calls_made]
    async with post_run(running, token, run_input() | {"tools": [WEATHER | {"name": "echo"}]}) as stream:
        assert (await refused(stream))["code"] == "invalid_command"


@pytest.mark.promise("wire.agui-repeat")
async def test_a_client_without_messages_joins_its_thread(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Call([("echo", {"text": "hi"})]), Say("one")))
    for name in ("m1", "m2"):
        await run_through(running, token, run_input(name, message=name))
    stream, run = await run_through(running, token, run_input() | {"messages": []})
    assert (last(stream)["type"], last(stream)["outcome"]) == ("RUN_FINISHED", {"type": "success"})
    roles = [message["role"] for message in run.messages if message["role"] != "reasoning"]
    assert roles == ["user", "assistant", "tool", "assistant"] * 2
    assert [message["content"] for message in run.messages if message["role"] == "user"] == ["m1", "m2"]


@pytest.mark.promise("wire.agui-capabilities")
async def test_capabilities_are_told(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    capabilities = await get(running, "/api/agui/capabilities?agent=script", token)
    AgentCapabilities.model_validate(capabilities)
    assert capabilities["identity"]["name"] == "script"
    assert "echo" in [tool["name"] for tool in capabilities["tools"]["items"]]
    assert capabilities["humanInTheLoop"]["interrupts"] is True
    assert (await request(running.address, "GET", "/api/agui/capabilities?agent=nobody", token=token))[0] == 404
    assert (await request(running.address, "GET", "/api/agui/capabilities"))[0] == 401


@pytest.mark.promise("wire.agui-refused")
@pytest.mark.parametrize(
    ("content", "query", "code"),
    [
        (b"{", "", "bad_json"),
        (b"", "", "bad_json"),
        ({}, "", "invalid_command"),
        ([], "", "invalid_command"),
        (run_input() | {"messages": []}, "", "empty_message"),
        (run_input(" "), "", "empty_message"),
        (run_input(thread="a/b"), "", "invalid_command"),
        (run_input(message="answer-1"), "", "invalid_command"),
        (run_input() | {"messages": [{"id": "m", "role": "user"}]}, "", "empty_message"),
        (run_input([{"type": "hologram"}]), "", "empty_message"),
        (run_input() | {"forwardedProps": {"agent_type": "nobody"}}, "", "unknown_agent_type"),
        (run_input() | {"forwardedProps": {"agent_type": "liaison"}}, "", "pillar_required"),
        (run_input() | {"forwardedProps": {"references": ["none"]}}, "", "not_found"),
        (run_input(), "?agent=nobody", "unknown_agent_type"),
        (run_input() | {"resume": [{"interruptId": "c", "status": "resolved"}]}, "", "invalid_command"),
        (run_input() | {"resume": [{"interruptId": "c", "status": "cancelled"}]}, "", "not_found"),
        (run_input("x" * 9_000_000), "", "message_too_large"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_is_refused_is_a_run_that_failed(serve: Any, content: Any, query: str, code: str) -> None:
    running = await serve(scripted(Say("one")))
    async with post_run(running, await new_token(running), content, query) as stream:
        error = await refused(stream)
        assert error["code"] == code
        about = error["metadata"]["understudy"]
        assert about["retryable"] is False
        assert int(about["error_id"], 16)
    await gone(running)


@pytest.mark.promise("wire.agui-interrupts")
async def test_a_run_is_interrupted_and_resumed_by_its_client(serve: Any) -> None:
    calls = Call([("send_mail", {"to": "anna@example.org"})]), Call([("order", {})]), Say("done")
    script = scripted(*calls)
    running = await serve(evolve(script, tools=(*script.tools, order)))
    token, body = await new_token(running), run_input(message="m") | {"protocolVersion": "1.0"}
    interrupts, results = [], []
    for payload in ({"decision": "allow", "parameters": {"to": "eve@example.org"}}, PEARS, None):
        for _ in range(2):
            stream, run = await run_through(running, token, body)
            assert last(stream)["type"] == "RUN_FINISHED"
        results.append([json.loads(event["content"]) for event in of(stream, "TOOL_CALL_RESULT")])
        if payload is not None:
            (interrupt,) = last(stream)["outcome"]["interrupts"]
            interrupts.append(interrupt)
            entry = {"interruptId": interrupt["id"], "status": "resolved", "payload": payload}
            body = body | {"runId": f"run-{len(interrupts) + 1}", "resume": [entry]}
    assert [interrupt["reason"] for interrupt in interrupts] == ["approval", "question"]
    assert interrupts[0]["responseSchema"]["properties"]["parameters"]["required"] == ["to"]
    assert interrupts[1]["responseSchema"]["required"] == ["fruit", "count"]
    assert interrupts[1]["toolCallId"]
    assert (last(stream)["outcome"], last(stream)["result"]["message"]) == ({"type": "success"}, "done ")
    assert results == [[], [], []]  # of the second requests: what was there before is in their snapshots
    assert [json.loads(result or "") for *_, result in run.calls_made] == [
        "sent to eve@example.org",
        PEARS | {"express": False},
    ]
    log = await get(running, "/api/threads/t/events", token)
    assert [event["data"]["door"] for event in log["events"] if "door" in event["data"]] == ["agui", "agui"]
    over = {"interruptId": interrupts[0]["id"], "status": "resolved", "payload": {"decision": "deny"}}
    stream, _ = await run_through(running, token, body | {"resume": [over | {"payload": {"decision": "allow"}}]})
    assert last(stream)["type"] == "RUN_FINISHED"
    stream, _ = await run_through(running, token, body | {"resume": [over | {"status": "cancelled"}]})
    assert last(stream)["type"] == "RUN_FINISHED"


async def test_runs_are_counted_with_other_messages(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")), limits=Limits(messages_per_minute=2))
    await say(running, token)
    await run_through(running, token, run_input())
    async with post_run(running, token, run_input()) as stream:
        error = await refused(stream)
        assert error["code"] == "rate_limited"
        assert error["metadata"]["understudy"]["retry_after"] > 0
