"""The Responses API: the provider against a server that speaks it over real sockets, asked by the real SDK."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import chain, count, repeat
from typing import Any

import openai  # noqa: F401 - half a second that belongs to no test
import pytest
import trio
from attrs import evolve

from tests.understudy.models.provider import KEY, Provider, Script
from tests.understudy.models.responses import STARTED, call, delta, done, end, event, message, said, script, thought
from understudy.models.model import (
    AgentCard,
    DocumentPart,
    Handoff,
    ImagePart,
    MessageItem,
    ModelSettings,
    ModelUnavailable,
    NoteItem,
    OutputFormat,
    ProviderState,
    ReasoningDelta,
    ReasoningItem,
    ResultItem,
    ToolCard,
    ToolRequest,
    Turn,
    Usage,
)
from understudy.models.openai import OpenAI
from understudy.models.openai_request import build_input, build_request

# The HTTP stack under openai leaves its async generators to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning"),
    pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms"),
]

LOOKUP = ToolCard("lookup", "Look up an order.", {"type": "object", "properties": {"order_id": {"type": "string"}}})
ME = AgentCard("support", "Support", "Looks up orders.")
COLLEAGUE = AgentCard("insights", "Insights", "Charts tables.")


def a_turn(text: str = "Hello", **more: Any) -> Turn:
    return Turn(ME, (MessageItem("user", text),), "Be brief.", **more)


@asynccontextmanager
async def talking(provider: Provider, **options: Any) -> AsyncIterator[OpenAI]:
    """Yield a model that uses the fake provider, and close it."""
    settings = {"api_key": KEY, "base_url": provider.url, "retries": 0, "idle_s": 5.0, **options}
    model = OpenAI("tiny", **settings)
    try:
        with trio.fail_after(60):
            yield model
    finally:
        with trio.CancelScope(shield=True):
            await model.aclose()


# answers


async def test_reasoning_text_and_calls_are_streamed_and_kept_in_order(provider: Provider, heard: Any) -> None:
    """The whole of a reply: it is emitted as it comes, and its encrypted reasoning goes back beside its parts."""
    provider.scripts = [
        script(
            event("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "r", "summary": []}),
            thought("Two orders. "),
            thought("Ask for both.", part=1),
            done(0, "reasoning", summary=[{"type": "summary_text", "text": "secret"}], encrypted_content="gAAA1"),
            said("I look ", 1),
            said("them up.", 1),
            message(1, "I look them up.", phase="commentary"),
            done(2, "reasoning", summary=[], encrypted_content="gAAA2"),
            delta("function_call_arguments", '{"order_', 3),
            call(3, "lookup", '{"order_id": "A-17"}'),
            call(4, "lookup", '{"order_id": '),
            end(),
        )
    ]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
        first, second = reply.calls
        assert (reply.text, reply.reasoning) == (heard.text, "Two orders. \n\nAsk for both.")
        assert heard.text == "I look them up."
        assert "".join(each.text for each in heard.events if isinstance(each, ReasoningDelta)) == reply.reasoning
        assert first == ToolRequest("c-3", "lookup", {"order_id": "A-17"}, "Lookup")
        assert second.problem == 'The arguments of lookup are not valid JSON: {"order_id": '
        assert reply.usage == Usage(40, 9, 1, cached=30, reasoning=5)

        calls = [each.item() for each in reply.calls]
        results = [ResultItem(each.id, each.name, "ok", "found") for each in calls]
        items = (ReasoningItem("", reply.state), MessageItem("assistant", reply.text), *calls, *results)
        provider.scripts = [script(said("Both came."), end())]
        turn = a_turn(tools=(LOOKUP,), notes=(NoteItem("3 turns are left."),))
        assert (await model.respond(evolve(turn, items=(*turn.items, *items)), heard)).text == "Both came."
    assert [each["path"] for each in provider.requests] == ["/v1/responses"] * 2
    assert provider.connections == 1
    assert provider.keys[0] == f"Bearer {KEY}"
    assert provider.requests[1]["input"] == [
        {"role": "user", "content": "Hello"},
        {"type": "reasoning", "id": "reasoning-0", "summary": [], "encrypted_content": "gAAA1"},
        {"type": "message", "role": "assistant", "content": "I look them up.", "phase": "commentary"},
        {"type": "reasoning", "id": "reasoning-2", "summary": [], "encrypted_content": "gAAA2"},
        {"type": "function_call", "call_id": "c-3", "name": "lookup", "arguments": '{"order_id":"A-17"}'},
        {"type": "function_call", "call_id": "c-4", "name": "lookup", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c-3", "output": "found"},
        {"type": "function_call_output", "call_id": "c-4", "output": "found"},
        {"role": "developer", "content": "3 turns are left."},
    ]
    assert provider.requests[1]["store"] is False
    assert provider.requests[1]["include"] == ["reasoning.encrypted_content"]


async def test_two_messages_are_two_paragraphs(provider: Provider, heard: Any) -> None:
    provider.scripts = [script(said("Wait."), said("It came.", 1), message(1, "It came.", phase="final_answer"), end())]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(), heard)
    assert reply.text == heard.text == "Wait.\n\nIt came."
    assert reply.state == ProviderState("openai-responses", "tiny", [{"type": "message", "phase": "final_answer"}])


async def test_a_text_that_was_not_streamed_is_taken_from_the_end(provider: Provider, heard: Any) -> None:
    """Also the items, if their own events are missing."""
    texts = {"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}
    asked = {"type": "function_call", "call_id": "c", "name": "lookup", "arguments": "{}"}
    provider.scripts = [script(end(output=[texts, asked]))]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
    assert reply.text == heard.text == "Hello."
    assert [each.id for each in reply.calls] == ["c"]


@pytest.mark.parametrize("ending", [{"drop": True}, {"hang": True}])
async def test_the_goodbye_may_get_lost(provider: Provider, heard: Any, ending: dict[str, bool]) -> None:
    """A connection that drops, or stays open, after the end of the answer does not lose it."""
    provider.scripts = [script(said("Whole."), end(), **ending)]
    async with talking(provider, idle_s=0.2) as model:
        assert (await model.respond(a_turn(), heard)).text == "Whole."


async def test_a_handoff_is_offered_as_a_tool(provider: Provider, heard: Any) -> None:
    provider.scripts = [script(call(0, "hand_over", '{"to":"insights","reason":"Insights can chart."}'), end())]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(colleagues=(COLLEAGUE,)), heard)
    assert reply.handoff == Handoff("insights", "Insights can chart.")
    assert [each["name"] for each in provider.requests[0]["tools"]] == ["hand_over"]


@pytest.mark.parametrize(
    ("events", "note"),
    [
        (
            [end("incomplete", incomplete_details={"reason": "max_output_tokens"})],
            "it reached the model's length limit",
        ),
        ([end("incomplete", incomplete_details={"reason": "content_filter"})], "by the provider's content filter"),
        ([end("incomplete", incomplete_details=None)], "The provider stopped the answer here"),
        ([delta("refusal", " I cannot help with that.", content_index=0), end()], "refused this request"),
    ],
)
async def test_an_answer_that_is_not_whole_says_so(
    provider: Provider, heard: Any, events: list[bytes], note: str
) -> None:
    """Its text ends with a note, and its calls are dropped."""
    provider.scripts = [script(said("Once"), call(1, "lookup", '{"or'), *events)]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
    assert reply.text == heard.text
    assert reply.text.startswith("Once")
    assert note in reply.text
    assert (reply.calls, reply.state, reply.usage.output) == ((), None, 9)


# failures


@pytest.mark.parametrize(
    ("refusal", "says", "retryable", "retry_after_s"),
    [
        (Script(status=401, error={"message": f"Incorrect key {KEY}"}), "refused this server's key", False, None),
        (Script(status=404, error={"message": "no"}), "name the model openai-chat:tiny", False, None),
        (Script(status=400, error={"message": "no", "param": "input"}), "did not accept", False, None),
        (Script(status=400, error={"message": "no", "code": "context_length_exceeded"}), "too long", False, None),
        (Script(status=429, error={"message": "no"}, headers={"retry-after": "7"}), "busy", True, 7.0),
        (Script(status=429, error={"message": "no", "code": "insufficient_quota"}), "used up", False, None),
        (Script(status=503, error={"message": "no"}), "failed; try again", True, None),
    ],
)
async def test_a_refusal_becomes_a_sentence(
    provider: Provider, heard: Any, refusal: Script, says: str, retryable: bool, retry_after_s: float | None
) -> None:
    """The error has a sentence for users, and contains neither the key, nor the address, nor the provider's text."""
    provider.scripts = [refusal]
    async with talking(provider) as model:
        with pytest.raises(ModelUnavailable, match=says) as caught:
            await model.respond(a_turn(), heard)
    assert (caught.value.retryable, caught.value.retry_after_s) == (retryable, retry_after_s)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    for leak in (KEY, provider.url):
        assert leak not in repr(caught.value)
        assert leak not in repr(model)


def failed(code: str) -> bytes:
    return end("failed", error={"code": code, "message": f"no {KEY}"})


@pytest.mark.parametrize(
    ("events", "says", "retryable"),
    [
        ([failed("server_error")], "failed; try again", True),
        ([failed("rate_limit_exceeded")], "busy", True),
        ([failed("invalid_prompt")], "did not accept", False),
        ([failed("image_content_policy_violation")], "did not accept", False),
        ([event("response.failed", response=None)], "failed; try again", True),
        ([event("error", code="rate_limit_exceeded", message="no", param=None)], "busy", True),
        ([event("error", code="insufficient_quota", message="no", param=None)], "used up", False),
        ([event("error", error={"type": "x", "code": "server_error", "message": KEY})], "failed; try again", True),
        ([b"data: {nonsense\n\n"], "unreadable", True),
        ([b"data: " + b"[" * 100_000 + b"\n\n"], "unreadable", True),
        ([b"data: [1]\n\n"], "unreadable", True),
        ([b"data: 5\n\n"], "unreadable", True),
        ([b"data: \xff\xfe\n\n"], "unreadable", True),
        ([], "stopped in the middle", True),
        ([b"data: [DONE]\n\n"], "stopped in the middle", True),
        ([call(n, "lookup", "{}") for n in range(65)] + [end()], "asked for more", False),
        ([delta("function_call_arguments", "{", n) for n in range(65)], "asked for more", False),
        ([delta("function_call_arguments", "x" * 600_000)] * 2, "asked for more", False),
    ],
)
async def test_an_error_in_the_stream_becomes_a_sentence(
    provider: Provider, heard: Any, events: list[bytes], says: str, retryable: bool
) -> None:
    provider.scripts = [script(said("Hel"), *events)]
    async with talking(provider) as model:
        with pytest.raises(ModelUnavailable, match=says) as caught:
            await model.respond(a_turn(tools=(LOOKUP,)), heard)
    assert caught.value.retryable is retryable
    assert KEY not in repr(caught.value)
    assert heard.text == "Hel"


async def test_a_connection_that_is_cut_fails(provider: Provider, heard: Any) -> None:
    provider.scripts = [script(said("Hel"), drop=True)]
    async with talking(provider) as model:
        with pytest.raises(ModelUnavailable, match="connection to the language model was lost"):
            await model.respond(a_turn(), heard)


async def test_unknown_and_damaged_events_are_passed_over(provider: Provider, heard: Any) -> None:
    """Fields that are missing, or of another type, do not break the answer."""
    strange = [event("response.of_the_future", delta="no", output=[1]), b"data: {}\n\n", b'data: {"type": 7}\n\n']
    damaged = [delta("output_text", 5), delta("output_text", None, "x"), event("response.output_text.delta")]
    damaged += [event("response.output_item.done", item=7), event("response.output_item.done", output_index=9)]
    damaged += [done(3, "message", content=7, phase=[]), done(4, "reasoning", encrypted_content=1)]
    provider.scripts = [script(*strange, said("Hel"), *damaged, said("lo."), end(usage="much", output=7))]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(), heard)
    assert (reply.text, reply.calls, reply.state, reply.usage) == ("Hello.", (), None, Usage(turns=1))


async def test_an_answer_that_never_ends_is_cut(provider: Provider, heard: Any) -> None:
    """Its length is bounded, and that of its reasoning."""
    piece = "x" * 50_000
    for endless in (repeat(said(piece)), chain([said("x")], repeat(thought(piece)))):
        provider.left.clear()
        provider.scripts = [Script(endless, done=False)]
        async with talking(provider) as model:
            reply = await model.respond(a_turn(), heard)
            assert await trio.to_thread.run_sync(provider.left.wait, 5)
        assert reply.text.endswith("length limit.)*")
        assert len(reply.text) + len(reply.reasoning) < 1_200_000


def lively() -> Iterable[bytes]:
    yield STARTED
    for number in count():
        yield event("response.in_progress", response={}) if number % 2 else event("keepalive")


@pytest.mark.parametrize("events", [[], [STARTED], [STARTED, said("Hel")], repeat(b": still here\n\n"), lively()])
async def test_a_provider_that_hangs_is_left(provider: Provider, heard: Any, events: Iterable[bytes]) -> None:
    """Before the answer, within it, and with events that bring nothing: it is a timeout."""
    provider.scripts = [Script(events, hang=True)]
    async with talking(provider, idle_s=0.2, first_token_s=0.2) as model:
        await model.known_models()  # so that the time of making the client does not count
        with pytest.raises(ModelUnavailable, match="took too long"):
            await model.respond(a_turn(), heard)
        assert await trio.to_thread.run_sync(provider.left.wait, 5)


async def test_a_model_may_think_longer_than_it_may_pause(provider: Provider, heard: Any) -> None:
    """The time between two pieces of text does not count while it thinks."""

    def slowly() -> Iterable[bytes]:
        yield STARTED
        provider.left.wait(0.4)
        yield from (said("Hel"), said("lo."), end())

    provider.scripts = [Script(slowly(), done=False)]
    async with talking(provider, idle_s=0.2) as model:
        assert (await model.respond(a_turn(), heard)).text == "Hello."


async def test_cancelling_closes_the_connection(provider: Provider, heard: Any) -> None:
    provider.scripts = [script(said("Hel"), hang=True)]
    async with talking(provider) as model, trio.open_nursery() as nursery:
        nursery.start_soon(model.respond, a_turn(), heard)
        assert await trio.to_thread.run_sync(provider.sent.wait, 5)
        nursery.cancel_scope.cancel()
    assert await trio.to_thread.run_sync(provider.left.wait, 5)


# what a model refuses


async def test_fields_that_a_model_refuses_are_left_out_from_then_on(provider: Provider, heard: Any) -> None:
    """One that does not reason refuses `include` and `reasoning`, one that does a temperature: no name tells which."""

    def refusal(name: str) -> Script:
        return Script(status=400, error={"message": "no", "param": name, "code": "unsupported_parameter"})

    answer = [script(said("Hello."), end())]
    provider.scripts = [refusal("include"), refusal("reasoning"), refusal("reasoning.effort"), refusal("temperature")]
    provider.scripts += answer * 2
    turn = a_turn(settings=ModelSettings("low", 0.5, 100))
    async with talking(provider) as model:
        for _ in range(2):
            assert (await model.respond(turn, heard)).text == "Hello."
    first, *_, last, again = provider.requests
    assert len(provider.requests) == 6
    assert first["reasoning"] == {"effort": "low", "summary": "auto"}
    assert last == again
    assert {"include", "reasoning", "temperature"}.isdisjoint(last)
    assert last["max_output_tokens"] == 100


async def test_a_wrong_value_is_not_left_out(provider: Provider, heard: Any) -> None:
    wrong = {"message": "no", "param": "temperature", "code": "decimal_above_max_value"}
    provider.scripts = [Script(status=400, error=wrong)]
    async with talking(provider) as model:
        with pytest.raises(ModelUnavailable, match="did not accept"):
            await model.respond(a_turn(settings=ModelSettings(temperature=0.5)), heard)


# requests


def test_the_settings_of_an_agent_are_fields_of_the_request() -> None:
    plain = build_request(a_turn(), "tiny")
    assert plain.keys() == {"model", "instructions", "input", "stream", "store", "include", "reasoning"}
    settings = ModelSettings("low", 0.5, 100, "lookup", parallel_calls=False)
    form = OutputFormat("order", {"type": "object"})
    body = build_request(a_turn(tools=(LOOKUP,), settings=settings, output=form), "tiny")
    assert body["tool_choice"] == {"type": "function", "name": "lookup"}
    assert (body["parallel_tool_calls"], body["tools"][0]["strict"]) == (False, False)
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "order", "schema": {"type": "object"}, "strict": True}
    }
    last = build_request(evolve(a_turn(settings=settings), agent=evolve(ME, tools=(LOOKUP,))), "tiny")
    assert (last["tools"], last["tool_choice"]) == (body["tools"], "none")


def test_an_interrupted_answer_is_continued_after_its_text() -> None:
    *_, begun, told = build_request(a_turn(partial_text="Hel"), "tiny")["input"]
    assert begun == {"role": "assistant", "content": "Hel"}
    assert (told["role"], "Go on exactly there" in told["content"]) == ("developer", True)


def test_images_and_documents_are_parts_of_their_message() -> None:
    image, paper = ImagePart("f-1", "image/png", b"png"), DocumentPart("f-2", "a.pdf", b"%PDF")
    (asked,) = build_input([MessageItem("user", "What is it?", (), (image,), (paper,))])
    assert asked["content"] == [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,cG5n"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
    ]


def test_a_state_goes_back_to_its_model_and_only_beside_what_followed_it() -> None:
    """Not to another model, not one of chat completions, and no reasoning whose text or call is gone."""
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    whole = [sealed, {"type": "message", "phase": "commentary"}, {**sealed, "id": "rs_2"}, {"type": "function_call"}]
    asked, told = MessageItem("user", "Go"), MessageItem("assistant", "I look.")

    def kinds(provider: str, model: str, *items: Any) -> list[str]:
        state = ProviderState(provider, model, outline)
        built = build_input([asked, ReasoningItem("", state), *items, asked], "tiny")
        return [each.get("id") or each.get("type") or each["role"] for each in built]

    call_item = ToolRequest("c", "lookup", {}).item()
    rest = ["function_call", "function_call_output", "user"]
    outline = [{"type": "function_call"}, sealed, {"type": "function_call"}]
    calls = [evolve(call_item, id=each) for each in "de"]
    results = ["function_call_output"] * 2
    assert kinds("openai-responses", "tiny", *calls) == [
        "user",
        "function_call",
        "rs_1",
        "function_call",
        *results,
        "user",
    ]
    outline = whole
    assert kinds("openai-responses", "tiny", told, call_item) == ["user", "rs_1", "message", "rs_2", *rest]
    assert kinds("openai-responses", "tiny", told) == ["user", "rs_1", "message", "user"]
    assert kinds("openai-responses", "tiny", call_item) == ["user", "rs_1", "rs_2", *rest]
    assert kinds("openai-responses", "large", told) == ["user", "assistant", "user"]
    assert kinds("openai", "tiny", told) == ["user", "assistant", "user"]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_to_think_is_a_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="first_token_s"):
        OpenAI("tiny", api_key=KEY, first_token_s=seconds)
