"""What servers of the model APIs really send, a row each; a server on a socket plays it.

A row names what is special, the events of its stream (or a whole answer), and what must be read: `text`, `reasoning`,
`calls` as (name, arguments), or the words of a failure.
"""

from functools import partial
from typing import Any

import pytest
from attrs import evolve, field, frozen

from tests.rigs import messages_api
from tests.rigs import responses_api as responses
from tests.rigs.heard import Heard
from tests.rigs.model_apis import ask, fails, items_of, played, sent, talking
from tests.rigs.model_provider import Provider, Script, chunk, end_chunk, text_chunk, usage_chunk
from tests.rigs.model_turns import LOOKUP, OVER_SDK, a_turn
from understudy.extensions.providers.answer import CUT, INCOMPLETE
from understudy.models.items import CallItem, ImagePart, ProviderState, ResultItem
from understudy.models.model import (
    Item,
    MessageItem,
    NoteItem,
    ReasoningDelta,
    ReasoningItem,
    TextDelta,
    TextDropped,
    ToolCard,
)

pytestmark = OVER_SDK

Calls = list[tuple[str, dict[str, Any]]]
TURN = a_turn(tools=(LOOKUP, ToolCard("get_weather"), ToolCard("list_items")))
WEATHER: Calls = [("get_weather", {"city": "Rome"}), ("get_weather", {"city": "Oslo"})]
MIXED: Calls = [("get_weather", {"city": "Rome"}), ("list_items", {})]


@frozen
class Row:
    """`finish` is the reason for the end of chat completions; `kind` a content type that is not the answer's."""

    what: str
    events: list[Any] = field(factory=list)
    finish: str | None = "stop"
    text: str = ""
    reasoning: str = ""
    calls: Calls = field(factory=list)
    fails: str = ""
    whole: dict[str, Any] | None = None
    kind: str = ""
    api: str = "chat"

    @property
    def script(self) -> Script:
        if self.api == "responses":
            return responses.script(*self.events, whole=self.whole)
        if self.api == "messages":
            return Script([messages_api.start(), *self.events, *messages_api.end("tool_use")], done=False)
        chunks = [event if isinstance(event, bytes) or "choices" in event else chunk(event) for event in self.events]
        end = [] if self.finish is None else [end_chunk(self.finish)]
        return Script([*chunks, *end], done=bool(end), whole=self.whole, kind=self.kind)


def call(name: str | None, arguments: Any, call_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a delta with one call; `index` is left out unless it is given."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"tool_calls": [more | {"id": call_id, "type": "function", "function": function}]}


def whole(message: dict[str, Any], finish: str | None = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'
rome, oslo, listing = (
    partial(call, "get_weather", ROME),
    partial(call, "get_weather", OSLO),
    partial(call, "list_items", "{}"),
)
named, then = partial(call, "get_weather", ""), partial(call, None)
PLAN = "The sum of two and two."
CHAT = [
    Row("Gemini: parallel calls without index, each whole in its chunk", [
        rome("a"), listing("b")], "tool_calls", calls=MIXED),
    Row("Gemini: parallel calls without index and without id", [rome(), oslo()], "stop", calls=WEATHER),
    Row("Gemini: calls with an empty id", [rome("", index=0), oslo("", index=1)], calls=WEATHER),
    Row("Gemini: both calls in one chunk without index", [
        {"tool_calls": [*rome("a")["tool_calls"], *listing("b")["tool_calls"]]}], calls=MIXED),
    Row("gateway: parallel calls with index 0 in pieces, ids differ", [
        named("a", index=0), then('{"city":', index=0), then('"Rome"}', index=0),
        named("b", index=0), then(OSLO, index=0)], calls=WEATHER),
    Row("gateway: one id for two calls", [rome("a", index=0), oslo("a", index=1)], calls=WEATHER),
    Row("gateway: arguments of two calls of one name and index, one without", [
        named("a", index=0), named("b", index=0), then(OSLO, index=0)], fails="unreadable"),
    Row("gateway: a name that changes within the arguments", [
        call("get_weather", '{"ci', "a", index=0), call("list_items", 'ty": "Rome"}', "a", index=0)],
        fails="unreadable"),
    Row("gateway: arguments of no call", [then(ROME, index=0)], fails="unreadable"),
    Row("gateway: arguments as an object, of two calls with index 0", [
        call("get_weather", {"city": "Rome"}, "a", index=0), call("get_weather", {"city": "Oslo"}, "b", index=0)],
        calls=WEATHER),
    Row("gateway: arguments as an object without members, of two calls without id", [
        call("list_items", {}, index=0), call("get_weather", {"city": "Rome"}, index=0)], calls=MIXED[::-1]),
    Row("gateway: an empty reason in each chunk", [end_chunk(""), {"content": "Four"}, end_chunk("")], text="Four"),
    Row("gateway: an empty reason, and then no more", [{"content": "Fo"}, end_chunk("")], None, fails="stopped"),
    Row("gateway: usage that is null, then in each chunk", [
        text_chunk("Fo") | {"usage": None}, text_chunk("ur") | {"usage": usage_chunk(1, 1)["usage"]}], text="Four"),
    Row("gateway: reasoning by other names", [
        {"thinking": "so "}, {"reasoning": {"content": "it is"}}, {"content": "Four"}],
        text="Four", reasoning="so it is"),
    Row("Copilot: text in the first choice, a call in the second", [
        {"choices": [{"index": 0, "delta": {"content": "Wait."}, "finish_reason": None}]},
        {"choices": [{"index": 1, "delta": rome("a"), "finish_reason": None}]}],
        "tool_calls", text="Wait.", calls=WEATHER[:1]),
    Row("Copilot: a whole answer with text and call in two choices", text="Wait.", calls=WEATHER[:1], whole={
        "choices": [*whole({"content": "Wait."})["choices"],
            *whole(rome("a") | {"content": None}, "tool_calls")["choices"]]}),
    Row("gateway: arguments that are null", [call("list_items", None, "a", index=0)], calls=MIXED[1:]),
    Row("gateway: indexes from 1", [rome("a", index=1), listing("b", index=2)], calls=MIXED),
    Row("gateway: an index that is null", [rome("a", index=None), listing("b", index=None)], calls=MIXED),
    Row("gateway: the name in each piece", [
        call("get_weather", '{"city":', "a", index=0), call("get_weather", ' "Rome"}', "a", index=0)],
        calls=WEATHER[:1]),
    Row("gateway: an id of its own for each piece", [
        named("a1", index=0), then(ROME, "a2", index=0)], calls=WEATHER[:1]),
    Row("gateway: the name after the id", [
        then("", "a", index=0) | {"content": None}, rome("a", index=0)], calls=WEATHER[:1]),
    Row("gateway: the name behind the arguments", [then(ROME, "a", index=0), named(index=0)], calls=WEATHER[:1]),
    Row("gateway: the name in pieces", [
        call("get_", "", "a", index=0), call("weather", "", index=0), then(ROME, index=0)], calls=WEATHER[:1]),
    Row("gateway: two names with index 0 and no id, the first without arguments", [
        call("list_items", "", index=0), rome(index=0)], calls=MIXED[::-1]),
    Row("gateway: another index for each piece, one id", [
        named("a", index=0), then('{"city":', "a", index=1), then(' "Rome"}', "a", index=2)], calls=WEATHER[:1]),
    Row("gateway: pieces of two calls in turn, without index", [
        named("a"), named("b"), then('{"city":', "a"),
        then('{"city":', "b"), then(' "Rome"}', "a"), then(' "Oslo"}', "b")], calls=WEATHER),
    Row("gateway: a whole call once more at its end", [
        call("get_weather", ROME[:9], "a", index=0), then(ROME[9:], index=0), rome("a", index=0)], calls=WEATHER[:1]),
    Row("gateway: two equal calls without id", [rome(index=0), rome(index=0)], calls=WEATHER[:1] * 2),
    Row("gateway: an object within the arguments, in a piece of its own", [
        call("get_weather", '{"city": ', "a", index=0), then('{"name": "Rome"}', index=0), then("}", index=0)],
        calls=[("get_weather", {"city": {"name": "Rome"}})]),
    Row("gateway: a call that never has a name", [then(ROME, "a", index=0)], fails="unreadable"),
    Row("gateway: a message where a delta belongs", [
        b'data: {"choices":[{"index":0,"message":{"content":"Four"},"finish_reason":null}]}\n\n'], text="Four"),
    Row("gateway: a whole message at the end of its stream", [
        {"content": "Fo"}, {"choices": [{"index": 0, "delta": {}, "message": {"role": "assistant", "content": "Four"},
            "finish_reason": None}]}], text="Four"),
    Row("gateway: a message at the end alone", [
        {"choices": [{"index": 0, "delta": {}, "message": {"content": "Four"}, "finish_reason": None}]}], text="Four"),
    Row("gateway: a text beside the delta", [
        {"choices": [{"index": 0, "delta": {}, "text": "Four", "finish_reason": None}]}], text="Four"),
    Row("gateway: a placeholder with the name, which is said twice", [
        call("get_weather", "{}", "a", index=0), rome("a", index=0)], calls=WEATHER[:1]),
    Row("older servers: one `function_call`", [
        {"function_call": {"name": "get_weather", "arguments": '{"city":'}},
        {"function_call": {"arguments": '"Rome"}'}}], "function_call", calls=WEATHER[:1]),
    Row("Mistral: content as parts, one of them thinking", [
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "The sum "}]}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "of two and two."}]}]},
        {"content": [{"type": "text", "text": "Fo"}]}, {"content": "ur"}], text="Four", reasoning=PLAN),
    Row("Mistral: parts of another type", [
        {"content": [{"type": "text", "text": "Four"}, {"type": "reference", "reference_ids": [1]}]}], text="Four"),
    Row("vLLM: a content that is a number", [{"content": 4}], fails="unreadable"),
    Row("vLLM: calls after thoughts in the text", [
        {"content": "<think>so</think>"}, rome("a", index=0)], "tool_calls", reasoning="so", calls=WEATHER[:1]),
    Row("llama.cpp: a keep-alive comment", [b": ping\n\n", {"content": "Four"}], text="Four"),
    Row("Ollama: reasoning by its newer name", [{"reasoning": PLAN, "content": ""}, {"content": "Four"}],
        text="Four", reasoning=PLAN),
    Row("Ollama: all calls with index 0, and no reason for calls", [
        rome("call_1", index=0), oslo("call_2", index=0)], calls=WEATHER),
    Row("OpenRouter: details of the reasoning", [
        {"reasoning": "so", "reasoning_details": [{"type": "reasoning.text", "text": "so"}], "content": ""},
        {"content": "Four"}], text="Four", reasoning="so"),
    Row("MiniMax: reasoning in details alone", [
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "so "}]},
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "it is"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "c2ln"}]},
        {"content": "Four"}], text="Four", reasoning="so it is"),
    Row("Azure: a first chunk without choices", [
        b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n', {"content": "Four"}], text="Four"),
    Row("simple server: a whole answer with calls", text="Wait.",
        whole=whole({"content": "Wait.", "tool_calls": rome("a")["tool_calls"]}, "tool_calls"),
        calls=WEATHER[:1]),
    Row("simple server: a whole answer with thoughts", whole=whole({"content": "<think>so</think>Four"}, None),
        text="Four", reasoning="so"),
    Row("simple server: a failure as a whole answer", whole={"error": {"message": "no"}}, fails="failed"),
    Row("proxy: a whole answer that is called a stream", whole=whole({"content": "Four"}), text="Four",
        kind="text/event-stream"),
    Row("proxy: a stream that is called a whole answer", [{"content": "Fo"}, {"content": "ur"}], text="Four",
        kind="application/json"),
    Row("proxy: a page in place of an answer", [b"<html><body>Sign in</body></html>"], None, fails="no answer",
        kind="text/html"),
    Row("proxy: a part of an object", [b'{"choices": [{"mess'], None, fails="unreadable", kind="application/json"),
    Row("gateway: an error without `error`, by its words", [
        b'data: {"code": 20012, "message": "insufficient balance"}\n\n'], None, fails="account"),
    Row("vLLM: an error without `error`, behind a text", [{"content": "Hi"},
        b'data: {"object": "error", "message": "maximum context length is 99 tokens", "code": 400}\n\n'],
        None, fails="too long"),
    Row("MiniMax: a refusal without choices", whole={"choices": None, "base_resp": {"status_msg": "sensitive content"}},
        fails="content filter"),
    Row("OpenRouter: an error in the choice", [
        {"choices": [{"index": 0, "delta": {}, "error": {"code": 429}, "finish_reason": "error"}]}],
        None, fails="busy"),
    Row("gateway: words beside an answer are no error", [b'data: {"message": "queued"}\n\n', {"content": "Four"}],
        text="Four"),
    Row("gateway: empty calls beside a text", [
        {"content": "Four", "tool_calls": [{}], "function_call": {"name": "", "arguments": ""}}], text="Four"),
    Row("gateway: a call that is no list, without `function`", [
        {"tool_calls": {"id": "a", "name": "get_weather", "arguments": ROME}}], calls=WEATHER[:1]),
    Row("gateway: placeholders before the reason", [
        {"content": "Fo"}, end_chunk("None"), {"content": "ur"}, end_chunk("")], text="Four"),
    Row("local server: a mark of the end as reason", [{"content": "Four"}], "<|im_end|>", text="Four"),
    Row("proxy: another object", whole={"status": "ok"}, fails="no answer"),
]  # fmt: skip

# The Responses and the Messages API: what is special, the stream, and the calls or the words of a failure.

Table = list[tuple[str, list[bytes], Calls | str]]
ANN, BOB = '{"to": "ann"}', '{"to": "bob"}'
PAID: Calls = [("pay", {"to": "ann"}), ("pay", {"to": "bob"})]


def item(number: int, arguments: str, **fields: Any) -> dict[str, Any]:
    members = {"id": f"fc-{number}", "call_id": f"c-{number}", "name": "pay", "arguments": arguments}
    return {"type": "function_call", "status": "completed", **members, **fields}


def done_item(number: int, arguments: str, place: int, **fields: Any) -> bytes:
    return responses.event("response.output_item.done", output_index=place, item=item(number, arguments, **fields))


def piece(number: object, text: str, kind: str = "delta") -> bytes:
    members = {} if number is None else {"item_id": f"fc-{number}"}
    members["delta" if kind == "delta" else "arguments"] = text
    return responses.event(f"response.function_call_arguments.{kind}", output_index=0, **members)


ONE, BOTH = responses.end(output=[item(1, ANN)]), responses.end(output=[item(1, ANN), item(2, BOB)])
RESPONSES: Table = [
    ("two items with one place", [done_item(1, ANN, 0), done_item(2, BOB, 0), BOTH], PAID),
    ("two items with one place, pieces by id", [
        piece(1, '{"to":'), piece(2, '{"to":'), piece(1, '"ann"}'), piece(2, '"bob"}'),
        done_item(1, ANN, 0), done_item(2, BOB, 0), BOTH], PAID),
    ("arguments in pieces and at their end", [
        piece(1, ANN), piece(1, ANN, "done"), done_item(1, "", 0), responses.end()], PAID[:1]),
    ("arguments at their end only", [piece(1, ANN, "done"), done_item(1, "", 0), responses.end()], PAID[:1]),
    ("no item was streamed", [BOTH], PAID),
    ("one item was streamed", [done_item(1, ANN, 0), BOTH], PAID),
    ("an item twice", [done_item(1, ANN, 0), done_item(1, ANN, 0), ONE], PAID[:1]),
    ("items without ids", [
        done_item(1, ANN, 0, id="", call_id=""), done_item(2, BOB, 1, id="", call_id=""), responses.end()], PAID),
    ("one call id for two items", [done_item(1, ANN, 0), done_item(2, BOB, 1, call_id="c-1"), responses.end()], PAID),
    ("one call id for two equal items", [done_item(1, ANN, 0), done_item(2, ANN, 1, call_id="c-1"),
        responses.end(output=[item(1, ANN), item(2, ANN, call_id="c-1")])], PAID[:1]),
    ("another item id in each event", [
        responses.event("response.output_item.added", output_index=0, item=item(1, "", id="A")), piece("B", ANN),
        piece("C", ANN, "done"), done_item(1, ANN, 0, id="D"), responses.end(output=[item(1, ANN, id="E")])], PAID[:1]),
    ("another item id in each event, arguments in pieces alone", [
        piece("B", ANN), done_item(1, "{}", 0, id="D"), responses.end(output=[item(1, "", id="E")])], PAID[:1]),
    ("a placeholder in the pieces", [piece(1, "{}"), piece(1, ANN), done_item(1, ANN, 0), responses.end()], PAID[:1]),
    ("a placeholder at the end", [piece(1, ANN), done_item(1, "{}", 0), ONE], PAID[:1]),
    ("an object for arguments", [responses.event("response.output_item.done", output_index=0,
        item=item(1, "") | {"arguments": {"to": "ann"}}), responses.end()], PAID[:1]),
    ("the end has other arguments", [done_item(1, BOB, 0), ONE], "unreadable"),
    ("the end has fewer calls", [done_item(1, ANN, 0), done_item(2, BOB, 1), ONE], "unreadable"),
    ("pieces say something else", [piece(1, BOB), done_item(1, ANN, 0), responses.end()], "unreadable"),
    ("pieces of nobody with one place", [
        piece(None, ANN), piece(None, BOB), done_item(1, "", 0), done_item(2, "", 0), BOTH], PAID),
    ("pieces of nobody with one place, and no end that has them", [
        piece(None, ANN), piece(None, BOB), done_item(1, "", 0), done_item(2, "", 0), responses.end()], "unreadable"),
]  # fmt: skip


PART = {"type": "output_text", "text": "Four"}
TEXT_DONE = responses.event("response.output_text.done", output_index=0, content_index=0, text="Four")
PART_DONE = responses.event("response.content_part.done", output_index=0, content_index=0, part=PART)
AT_END = responses.end(output=[{"type": "message", "content": [PART]}])
EACH = [TEXT_DONE, PART_DONE, responses.message(0, "Four"), AT_END]
SAID = [responses.said("Fo"), responses.said("ur")]


def completed(**response: Any) -> bytes:
    return responses.event("response.completed", response=response)


CUT_OFF = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
RESPONSES_TEXTS: list[tuple[str, list[bytes]]] = [
    *(("Four", [event, responses.end()]) for event in EACH),
    ("Four", [responses.said("Fo"), *EACH]),
    ("Four", [responses.said("Fo"), AT_END]),
    ("Four", [*SAID, *EACH]),
    ("Four", [*SAID, responses.message(3, "Four"), AT_END]),
    ("Four", [completed(status="completed", output_text="Four")]),
    ("Four", [*SAID, responses.event("response.done", response={"status": "completed", "output": []})]),
    ("Four", [*SAID, completed(status="in_progress")]),
    (INCOMPLETE.lstrip(), [piece(1, '{"to":'), responses.end("incomplete")]),
    ("Four" + CUT, [*SAID, completed(**CUT_OFF)]),
    ("Four" + CUT, [*SAID, completed(**CUT_OFF | {"status": "completed"})]),
    ("Four", [completed(output=[{"type": "message", "content": "Four"}])]),
    ("Four" + INCOMPLETE, [*SAID, completed(status="failed")]),
    ("Four" + INCOMPLETE, [*SAID, completed(status="cancelled")]),
]
FIRST = messages_api.call(0, "c-0", "pay", '{"to":', '"ann"}')
SECOND = messages_api.call(1, "c-1", "pay", '{"to":', '"bob"}')
GIVEN = {"type": "tool_use", "id": "c", "name": "pay", "input": {"to": "ann"}}
MESSAGES: Table = [
    ("two calls open together", [
        FIRST[0], SECOND[0], FIRST[1], SECOND[1], SECOND[2], FIRST[2], SECOND[3], FIRST[3]], PAID),
    ("no stops", [*FIRST[:-1], *SECOND[:-1]], PAID),
    ("the input whole in its block", messages_api.block(0, GIVEN), PAID[:1]),
    ("indexes that begin at 1", SECOND, PAID[1:]),
    ("arguments of no block", [FIRST[0], SECOND[1], FIRST[3]], "unreadable"),
    ("arguments of a text", [messages_api.text(0)[0], FIRST[1]], "unreadable"),
]  # fmt: skip
FOUR = {"type": "text", "text": "Four"}
WHOLE_BLOCK = messages_api.event("content_block_stop", index=0, content_block=FOUR)
WHOLE_MESSAGE = [messages_api.end("end_turn")[0], messages_api.event("message_stop", message={"content": [FOUR]})]
MESSAGES_TEXTS: list[list[bytes]] = [
    [messages_api.block(0, FOUR)[0]],
    [messages_api.text(0)[0], WHOLE_BLOCK],
    [*messages_api.text(0, "Fo"), WHOLE_BLOCK],
    messages_api.text(0, "Four")[1:],
    [
        *messages_api.block(0, {"type": "thinking"}, {"type": "signature_delta", "signature": None}),
        *messages_api.text(1, "Four"),
    ],
    [*messages_api.text(0, "Fo", "ur"), WHOLE_BLOCK],
    [],
    messages_api.text(0, "Fo"),
]


def row(api: str, label: str, events: list[bytes], expected: Any) -> Row:
    return Row(label, events, api=api, **{"fails" if isinstance(expected, str) else "calls": expected})


ROWS = [
    *CHAT,
    *(row("responses", *response) for response in RESPONSES),
    *(Row(f"a text, {n}", events, text=text, api="responses") for n, (text, events) in enumerate(RESPONSES_TEXTS)),
    Row("another whole object", whole={"detail": "Rate limit exceeded"}, fails="busy", api="responses"),
    row(
        "responses",
        "a filter without an error",
        [responses.end("failed", incomplete_details={"reason": "content_filter"})],
        "content filter",
    ),
    row("responses", "an error", [*SAID, completed(status="failed", error={"code": "server_error"})], "failed"),
    *(row("messages", *message) for message in MESSAGES),
    *(
        Row(f"a text, {n}", [*chunks, *WHOLE_MESSAGE], text="Four", api="messages")
        for n, chunks in enumerate(MESSAGES_TEXTS)
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda shape: f"{shape.api}: {shape.what}")
async def test_an_answer_is_read_by_what_it_holds(provider: Provider, heard: Heard, row: Row) -> None:
    if row.fails:
        await fails(provider, row.api, heard, row.script, row.fails, TURN)
        return
    reply = await ask(provider, row.api, heard, row.script, TURN)
    assert (reply.text, reply.reasoning) == (row.text, row.reasoning)
    assert [(request.name, request.arguments) for request in reply.calls] == row.calls
    assert len({request.id for request in reply.calls}) == len(reply.calls)
    assert not any(request.problem for request in reply.calls)
    assert "".join(event.text for event in heard.events if isinstance(event, ReasoningDelta)) == row.reasoning


async def test_a_template_that_opens_the_reasoning_is_remembered(provider: Provider, heard: Heard) -> None:
    answer = [text_chunk("so it is"), text_chunk("\n</think>\n\nFo"), text_chunk("ur"), end_chunk("stop")]
    provider.scripts = [Script(answer), Script(answer)]
    async with talking(provider) as model:
        await model.respond(a_turn(), heard)
        assert any(isinstance(event, TextDropped) for event in heard.events)
        heard.events.clear()
        assert (await model.respond(a_turn(), heard)).text == heard.text == "Four"
    assert not any(isinstance(event, TextDropped) for event in heard.events)


async def test_a_model_that_stops_to_reason_is_not_waited_for(provider: Provider, heard: Heard) -> None:
    provider.scripts = [
        Script([text_chunk("so\n</think>\nFour"), end_chunk("stop")]),
        Script([text_chunk("Fi"), text_chunk("ve"), end_chunk("stop")]),
        Script([text_chunk("Si"), text_chunk("x"), end_chunk("stop")]),
    ]
    async with talking(provider) as model:
        assert [(await model.respond(a_turn(), heard)).text for _ in range(3)] == ["Four", "Five", "Six"]
    assert [event.text for event in heard.events if isinstance(event, TextDelta)][-3:] == ["Five", "Si", "x"]


# What the next request must have of a reply: what is special, the deltas, and members of its message and of its calls.

ONE_CALL = rome("a", index=0)
SIGNED = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
RETURNED: list[tuple[str, list[Any], dict[str, Any], list[dict[str, Any]]]] = [
    ("DeepSeek", [{"reasoning_content": "so "}, {"reasoning_content": "it is"}, ONE_CALL],
        {"reasoning_content": "so it is"}, [{}]),
    ("vLLM", [{"reasoning": "so "}, {"reasoning": "it is"}, ONE_CALL], {"reasoning": "so it is"}, [{}]),
    ("Gemini", [rome("a", **SIGNED), listing("b")], {}, [SIGNED, {}]),
    ("Gemini, out of order", [listing("b", index=1), rome("a", index=0, **SIGNED)], {}, [SIGNED, {}]),
    ("OpenRouter: a signature behind the pieces of its text", [
        {"reasoning": "so ", "reasoning_details": [{"type": "reasoning.text", "text": "so ", "index": 0}]},
        {"reasoning": "it is", "reasoning_details": [{"type": "reasoning.text", "text": "it is", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "signature": "c2ln", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "ZGF0YQ==", "id": "r", "index": 1}]}, ONE_CALL],
        {"reasoning_details": [
            {"type": "reasoning.text", "text": "so it is", "signature": "c2ln", "index": 0},
            {"type": "reasoning.encrypted", "data": "ZGF0YQ==", "id": "r", "index": 1}]}, [{}]),
    ("OpenRouter: encrypted parts without index", [
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "MQ=="}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "Mg=="}]}, ONE_CALL],
        {"reasoning_details": [
            {"type": "reasoning.encrypted", "data": "MQ=="}, {"type": "reasoning.encrypted", "data": "Mg=="}]}, [{}]),
    ("LiteLLM: blocks of thinking", [
        {"reasoning_content": "so ", "thinking_blocks": [{"type": "thinking", "thinking": "so ", "signature": None}]},
        {"reasoning_content": "it", "thinking_blocks": [{"type": "thinking", "thinking": "it", "signature": None}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "c2ln"}]}, ONE_CALL],
        {"thinking_blocks": [{"type": "thinking", "thinking": "so it", "signature": "c2ln"}]}, [{}]),
    ("nobody", [ONE_CALL], {}, [{}]),
]  # fmt: skip


@pytest.mark.parametrize("row", RETURNED, ids=[server for server, *_ in RETURNED])
async def test_what_a_server_wants_back_goes_back_with_the_calls(provider: Provider, heard: Heard, row: Any) -> None:
    """It goes to its own model alone."""
    _, deltas, message, calls = row
    provider.scripts = [Script([*map(chunk, deltas), end_chunk("tool_calls")]), *[played("chat", "Four")] * 2]
    async with talking(provider) as model:
        turn = evolve(TURN, items=(*TURN.items, *items_of(await model.respond(TURN, heard))))
        for name in ("tiny", "other"):
            model.model = name
            await model.respond(turn, heard)
    of_model, other = (
        item for request in provider.requests[1:] for item in request["messages"] if "tool_calls" in item
    )
    assert of_model.items() >= message.items()
    assert other.keys() == {"role", "content", "tool_calls"} == of_model.keys() - message.keys()
    usual = {"id", "type", "function"}
    assert [{name: call[name] for name in call.keys() - usual} for call in of_model["tool_calls"]] == calls
    assert all(call.keys() == usual for call in other["tool_calls"])


async def test_reasoning_goes_back_with_calls_and_what_follows_them(provider: Provider, heard: Heard) -> None:
    """DeepSeek wants all reasoning since a message that calls were made for; an older API refuses any other."""
    provider.scripts = [
        Script([chunk({"reasoning_content": "so"}), chunk(ONE_CALL), end_chunk("tool_calls")]),
        Script([chunk({"reasoning_content": "now"}), text_chunk("Four"), end_chunk("stop")]),
        Script([chunk({"reasoning_content": "hm"}), text_chunk("Five"), end_chunk("stop")]),
        Script([text_chunk("Six"), end_chunk("stop")]),
    ]
    async with talking(provider) as model:
        turn = TURN
        for _ in range(3):
            reply = await model.respond(turn, heard)
            next_message = () if reply.calls else (MessageItem("user", "And?"),)
            turn = evolve(turn, items=(*turn.items, *items_of(reply), *next_message))
        await model.respond(turn, heard)
    replies = [message for message in provider.requests[3]["messages"] if message["role"] == "assistant"]
    assert [reply.get("reasoning_content") for reply in replies] == ["so", "now", None]


async def test_the_reasoning_of_a_second_agent_stands_in_the_message_of_both(provider: Provider) -> None:
    state = ProviderState("openai", "tiny", {"message": {"reasoning_content": "so"}, "calls": {}})
    work = (ReasoningItem("so", state), CallItem("a", "look"), ResultItem("a", "look", "ok", "1"))
    _, _, reply, _ = (await sent(provider, a_turn(ASKED, ANSWERED, *work)))["messages"]
    assert (reply["content"], reply["reasoning_content"], len(reply["tool_calls"])) == ("Hi", "so", 1)


ASKED, ANSWERED, NOTE = MessageItem("user", "Hello"), MessageItem("assistant", "Hi"), NoteItem("The time is noon.")
PICTURE = MessageItem("user", "Look", images=(ImagePart("f", "image/png", b"png"),))
MARKED = "[Note of the server, not of the user: The time is noon.]"


@pytest.mark.parametrize(
    ("items", "roles", "place"),
    [
        ([NOTE, ASKED], "user", 0),
        ([ASKED, NOTE], "user", 0),
        ([ASKED, ANSWERED, NOTE, ASKED], "user assistant user", 2),
        ([ASKED, ANSWERED, ASKED, NOTE], "user assistant user", 2),
        ([ASKED, ASKED], "user", None),
        ([PICTURE, ASKED, PICTURE], "user", None),
        ([ASKED, ANSWERED, ANSWERED, ASKED], "user assistant user", None),
    ],
)
async def test_no_system_message_comes_late(
    provider: Provider, items: list[Item], roles: str, place: int | None
) -> None:
    """Templates of Qwen and others refuse one, and those of Mistral and Gemma two messages of one role."""
    system, *messages = (await sent(provider, a_turn(*items)))["messages"]
    assert (system["content"], [message["role"] for message in messages]) == ("Be brief.", roles.split())
    if place is not None:
        assert MARKED in messages[place]["content"]
        assert "Hello" in messages[place]["content"]
