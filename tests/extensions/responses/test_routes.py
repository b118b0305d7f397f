"""The Responses API over real sockets, by the stock `openai` client."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import openai
import pytest
import trio
from openai import AsyncOpenAI

from tests.rigs.caller import Caller
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Call, Gate, Raise, Say, ScriptedModel, echo, scripted
from tests.rigs.thread_stream import gone
from understudy import Agent, AgentTurn, Reply, Turn
from understudy.app.server import Running
from understudy.models.model import Emit, TextDelta, ToolRequest
from understudy.storage.limits import Limits

# The stock client leaves generators of its HTTP stack to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning"),
]

TURNS = Call([("echo", {"text": "hi"})]), Say("one two three")
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@asynccontextmanager
async def client(running: Running, token: str | None = None, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    key = await new_token(running) if token is None else token
    settings = {"base_url": f"{running.address}/v1", "api_key": key, "max_retries": 0, "timeout": 20} | options
    async with AsyncOpenAI(**settings) as openai_client:
        yield openai_client


def echoing() -> Agent:
    async def run(turn: AgentTurn) -> None:
        await turn.say(turn.message)

    return Agent("echoing", run=run)


@pytest.mark.promise("wire.responses")
async def test_an_agent_is_a_model_that_answers(serve: Any) -> None:
    running = await serve(scripted(*TURNS))
    async with client(running) as api:
        listed = [model.id async for model in api.models.list()]
        assert "script" in listed
        assert (await api.models.retrieve("script")).owned_by == "understudy"
        answer = await api.responses.create(model="script", input="go", metadata={"why": "test"})
        assert (answer.status, answer.output_text, answer.metadata) == ("completed", "one two three ", {"why": "test"})
        assert [item.type for item in answer.output] == ["reasoning", "message"]
        assert "`echo` (ok): hi" in [part.text for part in answer.output[0].summary]  # type: ignore[union-attr]
        assert answer.usage.output_tokens == 3
        assert await api.responses.retrieve(answer.id) == answer
        items = [item async for item in api.responses.input_items.list(answer.id)]
        assert [item.content[0].text for item in items] == ["go"]  # type: ignore[union-attr]
        await api.responses.delete(answer.id)
        with pytest.raises(openai.NotFoundError):
            await api.responses.retrieve(answer.id)


@pytest.mark.promise("wire.responses-resumed")
async def test_a_stream_has_every_event_in_order_and_can_be_resumed_after_each(serve: Any) -> None:
    running = await serve(scripted(*TURNS))
    async with client(running) as api:
        stream = await api.responses.create(model="script", input="go", stream=True)
        events = [event async for event in stream]
        numbers = [event.sequence_number for event in events]
        assert numbers == sorted(set(numbers))
        kinds = [event.type for event in events]
        assert (kinds[:2], kinds[-1]) == (["response.created", "response.in_progress"], "response.completed")
        assert "response.reasoning_summary_text.done" in kinds
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        final = events[-1].response  # type: ignore[union-attr]
        assert text == final.output_text == "one two three "
        for position in range(0, len(events), 3):
            resumed = await api.responses.retrieve(final.id, stream=True, starting_after=numbers[position])
            remainder = [event async for event in resumed]
            assert all(event.sequence_number > numbers[position] for event in remainder)
            joined = [*events[: position + 1], *remainder]
            assert "".join(event.delta for event in joined if event.type == "response.output_text.delta") == text
            items = {event.output_index: event.item for event in joined if event.type == "response.output_item.done"}
            assert [items[index] for index in sorted(items)] == final.output
            if remainder:
                assert remainder[-1] == events[-1]


async def test_the_streaming_helper_of_the_client_understands_the_stream(serve: Any) -> None:
    running = await serve(scripted(*TURNS))
    async with client(running) as api, api.responses.stream(model="script", input="go") as stream:
        async for _ in stream:
            pass
        assert (await stream.get_final_response()).output_text == "one two three "


async def test_conversations_go_on_and_fork(serve: Any) -> None:
    agent = scripted(Say("yes"))
    running = await serve(agent)
    model = agent.model
    async with client(running) as api:
        first = await api.responses.create(model="script", input="one", instructions="Rhyme.")
        assert any("Rhyme." in note.content for note in model.inputs[-1].notes)
        second = await api.responses.create(model="script", input="two", previous_response_id=first.id)
        assert (second.previous_response_id, second.conversation) == (first.id, first.conversation)
        assert [item.content for item in model.inputs[-1].items] == ["one", "yes ", "two"]
        assert not any("Rhyme." in note.content for note in model.inputs[-1].notes)
        forked = await api.responses.create(model="script", input="other", previous_response_id=first.id)
        assert forked.status == "completed"
        assert [item.content for item in model.inputs[-1].items] == ["one", "yes ", "other"]
        await api.responses.create(model="script", input="three", conversation=first.conversation.id)
        assert [item.content for item in model.inputs[-1].items] == ["one", "yes ", "other", "yes ", "three"]
        with pytest.raises(openai.PermissionDeniedError):
            await api.responses.delete(first.id)


@pytest.mark.promise("wire.responses")
async def test_a_background_response_is_polled_and_cancelled(serve: Any) -> None:
    gate = Gate(open_after=1)
    running = await serve(scripted(Say("one two", gate)))
    async with client(running) as api:
        begun = await api.responses.create(model="script", input="go", background=True)
        assert (begun.status, begun.background) == ("in_progress", True)
        await gate.reached.wait()
        assert (await api.responses.retrieve(begun.id)).status == "in_progress"
        with pytest.raises(openai.BadRequestError, match="has not ended"):
            await api.responses.create(model="script", input="more", previous_response_id=begun.id)
        stopped = await api.responses.cancel(begun.id)
        assert (stopped.status, stopped.output_text) == ("cancelled", "one ")
        assert (await api.responses.cancel(begun.id)).status == "cancelled"


@pytest.mark.promise("wire.client-tools")
async def test_the_clients_tools_are_called_and_the_run_goes_on_with_their_results(serve: Any) -> None:
    calls = Call([("weather", {"city": "Rome"}), ("echo", {"text": "x"}), ("weather", {"city": "Oslo"})])
    agent = Agent("script", tools=[echo], model=ScriptedModel(calls, Say("sunny")))
    running = await serve(agent)
    async with client(running) as api:
        first = await api.responses.create(model="script", input="go", tools=[WEATHER])
        wanted = [item for item in first.output if item.type == "function_call"]
        assert (first.status, first.output_text) == ("completed", "")
        assert [(call.name, call.arguments) for call in wanted] == [
            ("weather", '{"city":"Rome"}'),
            ("weather", '{"city":"Oslo"}'),
        ]
        assert [item.type for item in first.output] == ["reasoning", "function_call", "function_call"]
        assert first.usage is not None
        results: list[Any] = [
            {"type": "function_call_output", "call_id": call.call_id, "output": f"fine {number}"}
            for number, call in enumerate(wanted)
        ]
        with pytest.raises(openai.BadRequestError, match="missing"):
            await api.responses.create(model="script", input=results[:1], previous_response_id=first.id)
        answer = await api.responses.create(model="script", input=results, previous_response_id=first.id)
        assert (answer.status, answer.output_text, answer.previous_response_id) == ("completed", "sunny ", first.id)
        assert [item.type for item in answer.output] == ["reasoning", "message"]
        assert await api.responses.create(model="script", input=results, previous_response_id=first.id) == answer
        assert await api.responses.retrieve(first.id) == first
        items = [item async for item in api.responses.input_items.list(answer.id, order="asc")]
        assert [item.output for item in items] == ["fine 0", "fine 1"]  # type: ignore[union-attr]
        more = await api.responses.create(model="script", input="more", previous_response_id=answer.id)
        assert more.output_text == "sunny "  # there are no tools of the client now, so the script's call fails
    model = agent.model
    assert {tool.name for tool in model.inputs[0].tools} == {"echo", "weather"}
    result_texts = [item.content for item in model.inputs[1].items if type(item).__name__ == "ResultItem"]
    assert ("fine 0" in result_texts[0], "fine 1" in result_texts[2]) == (True, True)


async def test_what_a_client_sends_reaches_the_model(serve: Any) -> None:
    agent = scripted(Say("yes"))
    running = await serve(agent)
    model = agent.model
    pixel = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    items: Any = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "answered"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": pixel, "detail": "auto"},
                {"type": "input_file", "filename": "t.csv", "file_data": "data:text/csv;base64,YSxiCjEsMg=="},
            ],
        },
    ]
    async with client(running) as api:
        answer = await api.responses.create(model="script", input=items)
        turn = model.inputs[-1]
        assert [item.content for item in turn.items] == ["before", "answered", "look"]
        assert [file.name for file in turn.files] == ["image.png", "t.csv"]
        assert any("Be kind." in note.content for note in turn.notes)
        await api.responses.create(model="script", input="more", previous_response_id=answer.id)
        assert [item.content for item in model.inputs[-1].items] == ["before", "answered", "look", "yes ", "more"]


@pytest.mark.promise("wire.responses")
async def test_refusals_have_the_types_of_the_client(serve: Any) -> None:
    running = await serve(scripted(Say("one")), limits=Limits(messages_per_minute=30))
    async with client(running) as api:
        response = await api.responses.create(model="script", input="go")
        cases: list[tuple[type[openai.APIStatusError], dict[str, Any]]] = [
            (openai.NotFoundError, {"model": "nobody", "input": "go"}),
            (openai.NotFoundError, {"model": "scirpt", "input": "go"}),
            (openai.BadRequestError, {"model": "script", "input": []}),
            (openai.BadRequestError, {"model": "script", "input": [{"type": "computer_call"}]}),
            (openai.BadRequestError, {"model": "script", "input": "go", "tools": [{"type": "web_search"}]}),
            (openai.BadRequestError, {"model": "script", "input": "go", "text": {"format": {"type": "json_object"}}}),
            (openai.BadRequestError, {"model": "script", "input": "go", "extra_body": {"metadata": {"a": 1}}}),
            (openai.NotFoundError, {"model": "script", "input": "go", "previous_response_id": "resp_0"}),
            (
                openai.BadRequestError,
                {
                    "model": "script",
                    "input": [{"type": "function_call_output", "call_id": "none", "output": "x"}],
                },
            ),
            (
                openai.BadRequestError,
                {
                    "model": "script",
                    "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://10.0.0.1/"}]}],
                },
            ),
        ]
        for kind, fields in cases:
            with pytest.raises(kind) as refused:
                await api.responses.create(**fields)
            body: Any = refused.value.body
            assert (bool(body["message"]), body["type"]) == (True, "invalid_request_error")
            assert ("did you mean 'script'?" in body["message"]) == (fields["model"] == "scirpt")
        with pytest.raises(openai.RateLimitError) as limited:
            await until_refused(api)
        assert int(limited.value.response.headers["Retry-After"]) >= 1
    async with client(running) as other:
        for attempt in (other.responses.retrieve, other.responses.cancel, other.responses.delete):
            with pytest.raises(openai.NotFoundError):
                await attempt(response.id)
        with pytest.raises(openai.NotFoundError):
            await other.responses.create(model="script", input="go", previous_response_id=response.id)
    async with client(running, "not-a-token") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.responses.create(model="script", input="go")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("PUT", "/v1/responses", 405)])
async def test_what_is_unknown_is_refused_in_the_same_form(serve: Any, method: str, path: str, status: int) -> None:
    running = await serve()
    code, headers, body = await request(running.address, method, path)
    assert (code, body["error"]["type"], headers["cache-control"]) == (status, "invalid_request_error", "no-store")
    assert ("allow" in headers) == (status == 405)
    _, _, elsewhere = await request(running.address, method, "/api/nothing")
    assert "type" not in elsewhere["error"]


async def until_refused(api: AsyncOpenAI) -> None:
    """Ask for nothing, which still counts, until that is too often."""
    with trio.fail_after(60):
        while True:
            with suppress(openai.BadRequestError):
                await api.responses.create(model="script", input=[])


async def test_a_repeated_key_is_the_same_response(serve: Any) -> None:
    running = await serve(scripted(Say("one")))
    async with client(running) as api:
        key = {"Idempotency-Key": "k1"}
        answers = [await api.responses.create(model="script", input="go", extra_headers=key) for _ in range(2)]
        assert answers[0] == answers[1]
        with pytest.raises(openai.ConflictError):
            await api.responses.create(model="script", input="other", extra_headers=key)


async def test_a_failed_run_is_a_failed_response(serve: Any) -> None:
    running = await serve(scripted(Raise(RuntimeError("secret-detail"))))
    async with client(running) as api:
        answer = await api.responses.create(model="script", input="go")
        assert (answer.status, answer.output_text) == ("failed", "")
        assert "secret" not in answer.error.message
        with pytest.raises(openai.InternalServerError):
            await api.chat.completions.create(model="script", messages=[{"role": "user", "content": "go"}])


@pytest.mark.promise("wire.chat-completions")
async def test_chat_completions_answer_whole_and_streamed(serve: Any) -> None:
    agent = scripted(*TURNS)
    running = await serve(agent)
    model = agent.model
    messages: Any = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": "answered"},
        {"role": "user", "content": "now"},
    ]
    async with client(running) as api:
        completion = await api.chat.completions.create(model="script", messages=messages, temperature=0.2)
        assert completion.choices[0].message.content == "one two three "
        assert (completion.choices[0].finish_reason, completion.choices[0].message.tool_calls) == ("stop", None)
        assert [item.content for item in model.inputs[-2].items] == ["before", "answered", "now"]
        stream = await api.chat.completions.create(
            model="script", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three "
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 3
        assert chunks[-2].choices[0].finish_reason == "stop"
        with pytest.raises(openai.BadRequestError):
            await api.chat.completions.create(model="script", messages=messages[:3])


PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def kinds(turn: Any) -> list[str]:
    return [f"{type(item).__name__} {getattr(item, 'role', '')}".strip() for item in turn.items]


async def test_a_history_with_tools_is_history(serve: Any) -> None:
    """What was asked before the last answer is not asked again; answers without text and results are kept."""
    agent = scripted(Say("yes"))
    running = await serve(agent)
    call = {"id": "c-1", "type": "function", "function": {"name": "remove", "arguments": '{"name": "a.txt"}'}}
    more = {**call, "id": "c-2"}
    tool_result: Any = {"role": "tool", "tool_call_id": "c-1", "content": "deleted, 42 bytes"}
    before: list[Any] = [{"role": "user", "content": "Delete a.txt"}, {"role": "assistant", "tool_calls": [call, more]}]
    second = {**tool_result, "tool_call_id": "c-2"}
    called = ["MessageItem user", "CallItem", "CallItem", "ResultItem"]
    ends: list[tuple[list[Any], list[str]]] = [
        ([tool_result], []),
        ([tool_result, second], ["ResultItem"]),
        ([tool_result, second, {"role": "assistant", "content": "Done."}], ["ResultItem", "MessageItem assistant"]),
    ]
    async with client(running) as api:
        for end, more_kinds in ends:
            messages = [*before, *end, {"role": "user", "content": "Thanks. How large was it?"}]
            await api.chat.completions.create(model="script", messages=messages)
            turn = agent.model.inputs[-1]
            assert turn.request == "Thanks. How large was it?"
            assert kinds(turn) == [*called, *more_kinds, "MessageItem user"]
            assert "42 bytes" in turn.items[3].content


async def test_a_picture_behind_a_result_is_seen_with_it(serve: Any) -> None:
    """A model is given call, result and picture; the code of an agent goes on."""

    class Asking(ScriptedModel):
        """Calls the tool, unless there is a result."""

        async def respond(self, turn: Turn, emit: Emit) -> Reply:
            self.inputs.append(turn)
            if not any(kind == "ResultItem" for kind in kinds(turn)):
                return Reply(calls=(ToolRequest("c", "weather", {"city": "Rome"}),))
            await emit(TextDelta("sunny"))
            return Reply("sunny")

    asking = Asking()

    async def work(turn: AgentTurn) -> None:
        await turn.say(str(await turn.call("weather", city="Rome")))

    running = await serve(Agent("script", model=asking), Agent("own", run=work))
    tool: Any = {"type": "function", "function": {name: WEATHER[name] for name in WEATHER if name != "type"}}
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    async with client(running) as api:
        for name in ("script", "own"):
            messages: list[Any] = [{"role": "user", "content": "go"}]
            first = await api.chat.completions.create(model=name, messages=messages, tools=[tool])
            assert first.choices[0].finish_reason == "tool_calls"
            message = first.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            messages.append({"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "see the picture"})
            messages.append({"role": "user", "content": [{"type": "text", "text": "This is it:"}, picture]})
            second = await api.chat.completions.create(model=name, messages=messages, tools=[tool])
            assert second.choices[0].finish_reason == "stop"
            if name == "own":
                assert "see the picture" in (second.choices[0].message.content or "")
                assert "This is it:" in (second.choices[0].message.content or "")
    turn = asking.inputs[-1]
    assert kinds(turn) == ["MessageItem user", "CallItem", "ResultItem", "MessageItem user"]
    assert [file.name for file in turn.files] == ["image.png"]
    await gone(running)


async def test_a_branch_does_not_wait_for_the_clients_tool_of_another(serve: Any) -> None:
    running = await serve(scripted(Call([("weather", {"city": "Rome"})]), Say("sunny")), echoing())
    async with client(running) as api:
        first = await api.responses.create(model="echoing", input="hi")
        calling = await api.responses.create(model="script", input="go", tools=[WEATHER], previous_response_id=first.id)
        assert calling.output[-1].type == "function_call"
        other = await api.responses.create(model="echoing", input="rather this", previous_response_id=first.id)
        assert other.output_text == "rather this"


@pytest.mark.parametrize("name", ["script", "own"])
async def test_a_message_beside_the_results_is_read_after_them(serve: Any, name: str) -> None:
    """A model reads it as a message, the code of an agent in the last result; after the run it is a new message."""

    async def work(turn: AgentTurn) -> None:
        await turn.say(str(await turn.call("weather", city="Rome")) if turn.client_tools else turn.message)

    model = ScriptedModel(Call([("weather", {"city": "Rome"})]), Say("sunny"))
    running = await serve(Agent("script", model=model), Agent("own", run=work))
    async with client(running) as api:
        calling = await api.responses.create(model=name, input="go", tools=[WEATHER])
        result = {"type": "function_call_output", "call_id": calling.output[-1].call_id, "output": "fine"}  # type: ignore[union-attr]
        beside: Any = [result, {"role": "user", "content": "In one sentence."}]
        finished = await api.responses.create(model=name, input=beside, previous_response_id=calling.id)
        assert (finished.status, finished.previous_response_id) == ("completed", calling.id)
        if name == "own":
            assert finished.output_text == "fine\n\nIn one sentence."
            late = await api.responses.create(model=name, input=beside, previous_response_id=calling.id)
            assert (late.output_text, late.previous_response_id) == ("fine\n\nIn one sentence.", calling.id)
        else:
            assert kinds(model.inputs[-1])[-2:] == ["ResultItem", "MessageItem user"]
            assert model.inputs[-1].items[-1].content == "In one sentence."


async def test_references_to_earlier_items_are_resolved(serve: Any) -> None:
    """A client that stores nothing sends back ids that it was given. Those of others are refused, by their place."""
    agent = scripted(Call([("echo", {"text": "x"})]), Say("four"))
    running = await serve(agent)
    async with client(running) as api, client(running) as other:
        first = await api.responses.create(model="script", input="2 + 2?")
        back: list[Any] = [{"type": "item_reference", "id": item.id} for item in first.output]
        items: Any = [{"role": "user", "content": "2 + 2?"}, *back, {"role": "user", "content": "And 3?"}]
        await api.responses.create(model="script", input=items)
        turn = agent.model.inputs[-2]
        assert [item.content for item in turn.items if hasattr(item, "role")][:3] == ["2 + 2?", "four ", "And 3?"]
        message = next(item for item in first.output if item.type == "message")
        for caller, wrong in ((api, "msg_unknown"), (api, "unknown"), (other, message.id)):
            reference: Any = [{"type": "item_reference", "id": wrong}, {"role": "user", "content": "And 3?"}]
            with pytest.raises(openai.BadRequestError, match=r"input\[0\] refers to an item"):
                await caller.responses.create(model="script", input=reference)


@pytest.mark.promise("wire.chat-completions")
@pytest.mark.parametrize("streams", [True, False])
async def test_a_client_that_leaves_a_chat_completion_stops_the_run(serve_guest: Any, streams: bool) -> None:
    gate = Gate(open_after=1)
    running, token = await serve_guest(scripted(Say("one two", gate)))
    messages: Any = [{"role": "user", "content": "go"}]

    async def leave() -> None:
        async with client(running, token) as api:
            answer: Any = await api.chat.completions.create(model="script", messages=messages, stream=streams)
            async for _ in answer:
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        await gate.reached.wait()
        working = await get(running, "/api/runs", token)
        nursery.cancel_scope.cancel()
    (run,) = working["runs"]
    assert (await Caller(running, token).ended(run["run_id"]))["status"] == "cancelled"
