"""What servers of the model APIs really send, a row each; a server on a socket plays it.

A row names the server, what is special there, the deltas of its stream (or a whole answer), and what must be read:
`text`, `reasoning`, `calls` as (name, arguments), or the words of a failure.
"""

from typing import Any

import anthropic  # noqa: F401 - half a second that belongs to no test
import openai  # noqa: F401 - the same
import pytest
from attrs import evolve, field, frozen

from tests.understudy.models import messages_api, responses
from tests.understudy.models.provider import Provider, Script, end_chunk, text_chunk, usage_chunk
from tests.understudy.models.test_anthropic import talking as talking_messages
from tests.understudy.models.test_openai import talking as talking_responses
from tests.understudy.models.test_openai_chat import LOOKUP, a_turn, talking
from understudy.models.answer import REFUSED
from understudy.models.items import CallItem, ImagePart, ProviderState, ResultItem
from understudy.models.model import (
    HandoffItem,
    Item,
    MessageItem,
    Model,
    ModelUnavailable,
    NoteItem,
    ReasoningDelta,
    ReasoningItem,
    Reply,
    TextDelta,
    TextDropped,
    ToolCard,
    ToolRequest,
    tool_result,
)
from understudy.models.openai_chat_request import build_messages, build_request

# The HTTP stack under these packages leaves its async generators to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai|anthropic):ResourceWarning"),
    pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms"),
]

Calls = list[tuple[str, dict[str, Any]]]
TOOLS = (LOOKUP, ToolCard("get_weather"), ToolCard("list_items"))
WEATHER: Calls = [("get_weather", {"city": "Rome"}), ("get_weather", {"city": "Oslo"})]
MIXED: Calls = [("get_weather", {"city": "Rome"}), ("list_items", {})]


@frozen
class Shape:
    """A row of the table."""

    server: str
    what: str
    deltas: list[Any] = field(factory=list)
    finish: str | None = "stop"
    text: str = ""
    reasoning: str = ""
    calls: Calls = field(factory=list)
    fails: str = ""
    whole: dict[str, Any] | None = None
    kind: str = ""
    """The content type, if it is another than the answer's."""

    @property
    def script(self) -> Script:
        """Return the answer of the server."""
        if self.whole is not None:
            return Script(whole=self.whole, kind=self.kind)
        chunks = [each if isinstance(each, bytes) or "choices" in each else delta(each) for each in self.deltas]
        end = [] if self.finish is None else [end_chunk(self.finish)]
        return Script([*chunks, *end], done=self.finish is not None, kind=self.kind)


def delta(content: dict[str, Any]) -> dict[str, Any]:
    chunk = text_chunk("")
    chunk["choices"][0]["delta"] = content
    return chunk


def call(name: str | None, arguments: Any, call_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a delta with one call; `index` is left out unless it is given."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"tool_calls": [more | {"id": call_id, "type": "function", "function": function}]}


def whole(message: dict[str, Any], finish: str | None = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'
PLAN = "The sum of two and two."
TABLE = [
    Shape("Gemini", "parallel calls without index, each whole in its chunk", [
        call("get_weather", ROME, "a"), call("list_items", "{}", "b")], "tool_calls", calls=MIXED),
    Shape("Gemini", "parallel calls without index and without id", [
        call("get_weather", ROME), call("get_weather", OSLO)], "stop", calls=WEATHER),
    Shape("Gemini", "calls with an empty id", [
        call("get_weather", ROME, "", index=0), call("get_weather", OSLO, "", index=1)], calls=WEATHER),
    Shape("Gemini", "both calls in one chunk without index", [
        {"tool_calls": [*call("get_weather", ROME, "a")["tool_calls"], *call("list_items", "{}", "b")["tool_calls"]]}],
        calls=MIXED),
    Shape("Gemini", "thoughts in a tag", [{"content": "<thought>so"}, {"content": "</thought>Four"}],
        text="Four", reasoning="so"),
    Shape("gateway", "parallel calls with index 0, ids differ", [
        call("get_weather", ROME, "a", index=0), call("list_items", "{}", "b", index=0)], calls=MIXED),
    Shape("gateway", "parallel calls with index 0 in pieces, ids differ", [
        call("get_weather", "", "a", index=0), call(None, '{"city":', index=0), call(None, '"Rome"}', index=0),
        call("get_weather", "", "b", index=0), call(None, OSLO, index=0)], calls=WEATHER),
    Shape("gateway", "one id for two calls", [
        call("get_weather", ROME, "a", index=0), call("get_weather", OSLO, "a", index=1)], calls=WEATHER),
    Shape("gateway", "arguments of two calls of one name and index, one without", [
        call("get_weather", "", "a", index=0), call("get_weather", "", "b", index=0), call(None, OSLO, index=0)],
        fails="unreadable"),
    Shape("gateway", "a name that changes within the arguments", [
        call("get_weather", '{"ci', "a", index=0), call("list_items", 'ty": "Rome"}', "a", index=0)],
        fails="unreadable"),
    Shape("gateway", "arguments of no call", [call(None, ROME, index=0)], fails="unreadable"),
    Shape("gateway", "arguments as an object", [
        call("get_weather", {"city": "Rome"}, "a", index=0)], calls=WEATHER[:1]),
    Shape("gateway", "arguments as an object, of two calls with index 0", [
        call("get_weather", {"city": "Rome"}, "a", index=0), call("get_weather", {"city": "Oslo"}, "b", index=0)],
        calls=WEATHER),
    Shape("gateway", "arguments as an object without members, of two calls without id", [
        call("list_items", {}, index=0), call("get_weather", {"city": "Rome"}, index=0)], calls=MIXED[::-1]),
    Shape("gateway", "an empty reason in each chunk", [end_chunk(""), {"content": "Four"}, end_chunk("")], text="Four"),
    Shape("gateway", "an empty reason, and then no more", [{"content": "Fo"}, end_chunk("")], None, fails="stopped"),
    Shape("gateway", "a reason that nobody knows", [{"content": "Four"}], "eos_token", text="Four"),
    Shape("gateway", "usage that is null, then in each chunk", [
        text_chunk("Fo") | {"usage": None}, text_chunk("ur") | {"usage": usage_chunk(1, 1)["usage"]}], text="Four"),
    Shape("gateway", "no end marker", [{"content": "Four"}, end_chunk("stop")], None, text="Four"),
    Shape("gateway", "reasoning by other names", [
        {"thinking": "so "}, {"reasoning": {"content": "it is"}}, {"content": "Four"}],
        text="Four", reasoning="so it is"),
    Shape("gateway", "a refusal", [{"refusal": "No.", "content": None}], text="No." + REFUSED),
    Shape("Copilot", "text in the first choice, a call in the second", [
        {"choices": [{"index": 0, "delta": {"content": "Wait."}, "finish_reason": None}]},
        {"choices": [{"index": 1, "delta": call("get_weather", ROME, "a"), "finish_reason": None}]}],
        "tool_calls", text="Wait.", calls=WEATHER[:1]),
    Shape("Copilot", "a whole answer with text and call in two choices", text="Wait.", calls=WEATHER[:1], whole={
        "choices": [*whole({"content": "Wait."})["choices"],
            *whole(call("get_weather", ROME, "a") | {"content": None}, "tool_calls")["choices"]]}),
    Shape("gateway", "arguments that are null", [call("list_items", None, "a", index=0)], calls=MIXED[1:]),
    Shape("gateway", "indexes from 1", [
        call("get_weather", ROME, "a", index=1), call("list_items", "{}", "b", index=2)], calls=MIXED),
    Shape("gateway", "an index that is null", [
        call("get_weather", ROME, "a", index=None), call("list_items", "{}", "b", index=None)], calls=MIXED),
    Shape("gateway", "the name in each piece", [
        call("get_weather", '{"city":', "a", index=0), call("get_weather", ' "Rome"}', "a", index=0)],
        calls=WEATHER[:1]),
    Shape("gateway", "an id of its own for each piece", [
        call("get_weather", "", "a1", index=0), call(None, ROME, "a2", index=0)], calls=WEATHER[:1]),
    Shape("gateway", "the name after the id", [
        call(None, "", "a", index=0) | {"content": None}, call("get_weather", ROME, "a", index=0)], calls=WEATHER[:1]),
    Shape("gateway", "the name behind the arguments", [
        call(None, ROME, "a", index=0), call("get_weather", "", index=0)], calls=WEATHER[:1]),
    Shape("gateway", "the name in pieces", [
        call("get_", "", "a", index=0), call("weather", "", index=0), call(None, ROME, index=0)], calls=WEATHER[:1]),
    Shape("gateway", "two names with index 0 and no id, the first without arguments", [
        call("list_items", "", index=0), call("get_weather", ROME, index=0)], calls=MIXED[::-1]),
    Shape("gateway", "another index for each piece, one id", [
        call("get_weather", "", "a", index=0), call(None, '{"city":', "a", index=1),
        call(None, ' "Rome"}', "a", index=2)], calls=WEATHER[:1]),
    Shape("gateway", "pieces of two calls in turn, without index", [
        call("get_weather", "", "a"), call("get_weather", "", "b"), call(None, '{"city":', "a"),
        call(None, '{"city":', "b"), call(None, ' "Rome"}', "a"), call(None, ' "Oslo"}', "b")], calls=WEATHER),
    Shape("gateway", "a whole call once more at its end", [
        call("get_weather", ROME[:9], "a", index=0), call(None, ROME[9:], index=0),
        call("get_weather", ROME, "a", index=0)], calls=WEATHER[:1]),
    Shape("gateway", "arguments once more at their end", [
        call("get_weather", ROME[:9], "a", index=0), call(None, ROME[9:], index=0), call(None, ROME, index=0)],
        calls=WEATHER[:1]),
    Shape("gateway", "other arguments behind whole ones", [
        call("get_weather", ROME, "a", index=0), call(None, OSLO, index=0)], fails="unreadable"),
    Shape("gateway", "two equal calls without id", [
        call("get_weather", ROME, index=0), call("get_weather", ROME, index=0)], calls=WEATHER[:1] * 2),
    Shape("gateway", "an object within the arguments, in a piece of its own", [
        call("get_weather", '{"city": ', "a", index=0), call(None, '{"name": "Rome"}', index=0),
        call(None, "}", index=0)],
        calls=[("get_weather", {"city": {"name": "Rome"}})]),
    Shape("gateway", "a call that never has a name", [call(None, ROME, "a", index=0)], fails="unreadable"),
    Shape("gateway", "a failed answer", [{"content": "Fo"}], "error", fails="failed"),
    Shape("gateway", "a message where a delta belongs", [
        b'data: {"choices":[{"index":0,"message":{"content":"Four"},"finish_reason":null}]}\n\n'], text="Four"),
    Shape("older servers", "one `function_call`", [
        {"function_call": {"name": "get_weather", "arguments": '{"city":'}},
        {"function_call": {"arguments": '"Rome"}'}}],
        "function_call", calls=WEATHER[:1]),
    Shape("DeepSeek", "reasoning beside the text", [
        {"reasoning_content": PLAN, "content": None}, {"content": "Four", "reasoning_content": None}],
        text="Four", reasoning=PLAN),
    Shape("Mistral", "content as parts, one of them thinking", [
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "The sum "}]}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "of two and two."}]}]},
        {"content": [{"type": "text", "text": "Fo"}]}, {"content": "ur"}], text="Four", reasoning=PLAN),
    Shape("Mistral", "parts of another type", [
        {"content": [{"type": "text", "text": "Four"}, {"type": "reference", "reference_ids": [1]}]}], text="Four"),
    Shape("Magistral", "thoughts in brackets", [{"content": "[THINK]so[/THINK]"}, {"content": "Four"}],
        text="Four", reasoning="so"),
    Shape("vLLM", "no reasoning parser, tags cut over chunks", [
        {"content": "<thi"}, {"content": "nk>so</thi"}, {"content": "nk>\n\nFo"}, {"content": "ur"}],
        text="Four", reasoning="so"),
    Shape("vLLM", "the template has opened the tag", [
        {"content": "so it is"}, {"content": "\n</think>"}, {"content": "\n\nFour"}],
        text="Four", reasoning="so it is"),
    Shape("vLLM", "the template has opened the tag, and the closing one has no line of its own", [
        {"content": "so it is."}, {"content": "</think>"}, {"content": "Four"}], text="Four", reasoning="so it is."),
    Shape("SGLang", "an end of the reasoning at the end of a line", [
        {"content": "so it is </th"}, {"content": "ink>\n\nFour"}], text="Four", reasoning="so it is "),
    Shape("vLLM", "tags of Seed", [{"content": "<seed:think>so</seed:think>Four"}], text="Four", reasoning="so"),
    Shape("vLLM", "a content that is a number", [{"content": 4}], fails="unreadable"),
    Shape("vLLM", "calls after thoughts in the text", [
        {"content": "<think>so</think>"}, call("get_weather", ROME, "a", index=0)], "tool_calls",
        reasoning="so", calls=WEATHER[:1]),
    Shape("llama.cpp", "an answer about the tags", [{"content": "It is "}, {"content": "`<think>` and `</think>`."}],
        text="It is `<think>` and `</think>`."),
    Shape("llama.cpp", "a keep-alive comment", [b": ping\n\n", {"content": "Four"}], text="Four"),
    Shape("Ollama", "reasoning by its newer name", [{"reasoning": PLAN, "content": ""}, {"content": "Four"}],
        text="Four", reasoning=PLAN),
    Shape("Ollama", "all calls with index 0, and no reason for calls", [
        call("get_weather", ROME, "call_1", index=0), call("get_weather", OSLO, "call_2", index=0)], calls=WEATHER),
    Shape("LM Studio", "ids that are numbers", [
        call("get_weather", "", "365174485", index=0), call(None, ROME, index=0)], "tool_calls", calls=WEATHER[:1]),
    Shape("OpenRouter", "comments before the answer", [b": OPENROUTER PROCESSING\n\n"] * 3 + [{"content": "Four"}],
        text="Four"),
    Shape("OpenRouter", "details of the reasoning", [
        {"reasoning": "so", "reasoning_details": [{"type": "reasoning.text", "text": "so"}], "content": ""},
        {"content": "Four"}], text="Four", reasoning="so"),
    Shape("MiniMax", "reasoning in details alone", [
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "so "}]},
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "it is"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "c2ln"}]},
        {"content": "Four"}], text="Four", reasoning="so it is"),
    Shape("OpenRouter", "a failure within the stream", [
        {"content": "Fo"}, b'data: {"error":{"code":502,"message":"upstream"},"choices":[]}\n\n'], None,
        fails="failed"),
    Shape("Azure", "a first chunk without choices", [
        b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n', {"content": "Four"}], text="Four"),
    Shape("simple server", "a whole answer", whole=whole({"content": "Four"}), text="Four"),
    Shape("simple server", "a whole answer with calls", text="Wait.",
        whole=whole({"content": "Wait.", "tool_calls": call("get_weather", ROME, "a")["tool_calls"]}, "tool_calls"),
        calls=WEATHER[:1]),
    Shape("simple server", "a whole answer with thoughts", whole=whole({"content": "<think>so</think>Four"}, None),
        text="Four", reasoning="so"),
    Shape("simple server", "a failure as a whole answer", whole={"error": {"message": "no"}}, fails="failed"),
    Shape("proxy", "a whole answer that is called a stream", whole=whole({"content": "Four"}), text="Four",
        kind="text/event-stream"),
    Shape("proxy", "a whole answer that is called text", whole=whole({"content": "Four"}), text="Four",
        kind="text/plain; charset=utf-8"),
    Shape("proxy", "a stream that is called a whole answer", [{"content": "Fo"}, {"content": "ur"}], text="Four",
        kind="application/json"),
    Shape("proxy", "a page in place of an answer", [b"<html><body>Sign in</body></html>"], None, fails="no answer",
        kind="text/html"),
    Shape("proxy", "a part of an object", [b'{"choices": [{"mess'], None, fails="unreadable", kind="application/json"),
    Shape("proxy", "another object", whole={"status": "ok"}, fails="no answer"),
]  # fmt: skip


@pytest.mark.parametrize("shape", TABLE, ids=lambda each: f"{each.server}: {each.what}")
async def test_an_answer_is_read_by_what_it_holds(provider: Provider, heard: Any, shape: Shape) -> None:
    provider.scripts = [shape.script]
    async with talking(provider) as model:
        if shape.fails:
            with pytest.raises(ModelUnavailable, match=shape.fails):
                await model.respond(a_turn(tools=TOOLS), heard)
            return
        reply = await model.respond(a_turn(tools=TOOLS), heard)
    assert (reply.text, reply.reasoning) == (shape.text, shape.reasoning)
    assert [(each.name, each.arguments) for each in reply.calls] == shape.calls
    assert len({each.id for each in reply.calls}) == len(reply.calls)
    assert not any(each.problem for each in reply.calls)
    last = max((n for n, each in enumerate(heard.events) if isinstance(each, TextDropped)), default=-1)
    assert "".join(each.text for each in heard.events[last + 1 :] if isinstance(each, TextDelta)) == shape.text
    reasoned = "".join(each.text for each in heard.events if isinstance(each, ReasoningDelta))
    assert reasoned == shape.reasoning


async def test_a_template_that_opens_the_reasoning_is_remembered(provider: Provider, heard: Any) -> None:
    """From the second answer on the reasoning is never shown as text."""
    answer = [text_chunk("so it is"), text_chunk("\n</think>\n\nFo"), text_chunk("ur"), end_chunk("stop")]
    provider.scripts = [Script(answer), Script(answer)]
    async with talking(provider) as model:
        await model.respond(a_turn(), heard)
        assert any(isinstance(each, TextDropped) for each in heard.events)
        heard.events.clear()
        assert (await model.respond(a_turn(), heard)).text == heard.text == "Four"
    assert not any(isinstance(each, TextDropped) for each in heard.events)


async def test_a_model_that_stops_to_reason_is_not_waited_for(provider: Provider, heard: Any) -> None:
    """One answer in which nothing is closed is shown at its end, the next one at once."""
    provider.scripts = [
        Script([text_chunk("so\n</think>\nFour"), end_chunk("stop")]),
        Script([text_chunk("Fi"), text_chunk("ve"), end_chunk("stop")]),
        Script([text_chunk("Si"), text_chunk("x"), end_chunk("stop")]),
    ]
    async with talking(provider) as model:
        assert [(await model.respond(a_turn(), heard)).text for _ in range(3)] == ["Four", "Five", "Six"]
    assert [each.text for each in heard.events if isinstance(each, TextDelta)][-3:] == ["Five", "Si", "x"]


# What the next request must have of a reply: what is special, the deltas, and members of its message and of its calls.

ONE_CALL = call("get_weather", ROME, "a", index=0)
SIGNED = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
RETURNED: list[tuple[str, list[Any], dict[str, Any], list[dict[str, Any]]]] = [
    ("DeepSeek", [{"reasoning_content": "so "}, {"reasoning_content": "it is"}, ONE_CALL],
        {"reasoning_content": "so it is"}, [{}]),
    ("vLLM", [{"reasoning": "so "}, {"reasoning": "it is"}, ONE_CALL], {"reasoning": "so it is"}, [{}]),
    ("Gemini", [call("get_weather", ROME, "a", **SIGNED), call("list_items", "{}", "b")], {}, [SIGNED, {}]),
    ("Gemini, out of order", [
        call("list_items", "{}", "b", index=1), call("get_weather", ROME, "a", index=0, **SIGNED)], {}, [SIGNED, {}]),
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


@pytest.mark.parametrize(("server", "deltas", "message", "calls"), RETURNED, ids=[server for server, *_ in RETURNED])
async def test_what_a_server_wants_back_goes_back_with_the_calls(
    provider: Provider,
    heard: Any,
    server: str,
    deltas: list[Any],
    message: dict[str, Any],
    calls: list[dict[str, Any]],
) -> None:
    provider.scripts = [
        Script([*map(delta, deltas), end_chunk("tool_calls")]),
        Script([text_chunk("Four"), end_chunk("stop")]),
    ]
    async with talking(provider) as model:
        asked = a_turn(tools=TOOLS)
        first = await model.respond(asked, heard)
        await model.respond(evolve(asked, items=(*asked.items, *items_of(first))), heard)
    (sent,) = (each for each in provider.requests[1]["messages"] if each["role"] == "assistant")
    assert {name: sent[name] for name in sent if name not in ("role", "content", "tool_calls")} == message
    assert [
        {name: each[name] for name in each if name not in ("id", "type", "function")} for each in sent["tool_calls"]
    ] == calls


def items_of(reply: Reply) -> list[Item]:
    """Return a reply as items of the next turn, with the results of its calls."""
    results = [tool_result(each, "ok", 1) for each in reply.calls]
    text = [MessageItem("assistant", reply.text)] if reply.text else []
    return [ReasoningItem(reply.reasoning, reply.state), *text, *(each.item() for each in reply.calls), *results]


async def test_reasoning_goes_back_with_calls_and_what_follows_them(provider: Provider, heard: Any) -> None:
    """DeepSeek wants all reasoning since a message that calls were made for; an older API refuses any other."""
    provider.scripts = [
        Script([delta({"reasoning_content": "so"}), delta(ONE_CALL), end_chunk("tool_calls")]),
        Script([delta({"reasoning_content": "now"}), text_chunk("Four"), end_chunk("stop")]),
        Script([delta({"reasoning_content": "hm"}), text_chunk("Five"), end_chunk("stop")]),
        Script([text_chunk("Six"), end_chunk("stop")]),
    ]
    async with talking(provider) as model:
        turn = a_turn(tools=TOOLS)
        for _ in range(3):
            reply = await model.respond(turn, heard)
            said = () if reply.calls else (MessageItem("user", "And?"),)
            turn = evolve(turn, items=(*turn.items, *items_of(reply), *said))
        await model.respond(turn, heard)
    replies = [each for each in provider.requests[3]["messages"] if each["role"] == "assistant"]
    assert [each.get("reasoning_content") for each in replies] == ["so", "now", None]


def test_the_reasoning_of_a_second_agent_stands_in_the_message_of_both() -> None:
    state = ProviderState("openai", "tiny", {"message": {"reasoning_content": "so"}, "calls": {}})
    items = [ASKED, ANSWERED, ReasoningItem("so", state), CallItem("a", "look"), ResultItem("a", "look", "ok", "1")]
    (reply,) = (each for each in build_messages(items, "tiny") if each["role"] == "assistant")
    assert (reply["content"], reply["reasoning_content"], len(reply["tool_calls"])) == ("Hi", "so", 1)


@pytest.mark.parametrize(
    ("words", "missed"),
    [
        ("thinking is enabled but reasoning_content is missing in assistant tool call message at index 2", "message"),
        ("The `reasoning_content` in the thinking mode must be passed back to the API.", "message"),
        ("Function call is missing a thought_signature in functionCall parts.", "call"),
    ],
)
async def test_calls_of_another_model_do_not_end_a_thread(
    provider: Provider, heard: Any, words: str, missed: str
) -> None:
    """A server that misses what only its own replies have is given a stand-in, at once and from then on."""
    refusal = Script(status=400, error={"message": words, "type": "invalid_request_error", "code": None})
    answer = Script([text_chunk("Four"), end_chunk("stop")])
    provider.scripts = [refusal, answer, answer]
    items = (ASKED, ReasoningItem("so"), CallItem("a", "look"), ResultItem("a", "look", "ok", "1"), ANSWERED, ASKED)
    async with talking(provider) as model:
        for _ in range(2):
            assert (await model.respond(evolve(a_turn(), items=items), heard)).text == "Four"
    for request in provider.requests[1:]:
        calling, answering = (each for each in request["messages"] if each["role"] == "assistant")
        if missed == "message":
            assert [calling["reasoning_content"], answering["reasoning_content"]] == ["so", " "]
        else:
            assert calling["tool_calls"][0]["extra_content"]["google"]["thought_signature"]
    assert len(provider.requests) == 3


async def test_a_stand_in_that_does_not_help_is_not_kept(provider: Provider, heard: Any) -> None:
    error = {"message": "reasoning_content is not allowed", "type": "invalid_request_error", "code": None}
    refusal = Script(status=400, error=error)
    provider.scripts = [refusal, refusal, Script([text_chunk("Four"), end_chunk("stop")])]
    async with talking(provider) as model:
        with pytest.raises(ModelUnavailable, match="did not accept"):
            await model.respond(evolve(a_turn(), items=(ASKED, ANSWERED, ASKED)), heard)
        await model.respond(evolve(a_turn(), items=(ASKED, ANSWERED, ASKED)), heard)
    has = ["reasoning_content" in str(each["messages"]) for each in provider.requests]
    assert has == [False, True, False]


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
def test_no_system_message_comes_late(items: list[Item], roles: str, place: int | None) -> None:
    """Templates of Qwen and others refuse one, and those of Mistral and Gemma two messages of one role."""
    messages = build_messages(items)
    assert [each["role"] for each in messages] == roles.split()
    if place is not None:
        assert MARKED in messages[place]["content"]
        assert "Hello" in messages[place]["content"]


def test_a_note_stands_behind_the_result_before_it() -> None:
    """Some servers refuse a user's message behind a result; the system message stays for prompt caches."""
    call = ToolRequest("c", "lookup", {})
    turn = a_turn(notes=(NOTE,))
    turn = evolve(turn, items=(*turn.items, call.item(), tool_result(call, "ok", 1)))
    system, *rest = build_request(turn, "tiny")["messages"]
    assert (system["content"], [each["role"] for each in rest]) == ("Be brief.", ["user", "assistant", "tool"])
    assert rest[-1]["content"].endswith(f"</untrusted-data>\n\n{MARKED}")


def test_a_note_that_nothing_stands_beside_is_a_message() -> None:
    messages = build_messages([ASKED, ANSWERED, HandoffItem("a", "b")])
    assert [each["role"] for each in messages] == ["user", "assistant", "user"]


# The Responses and the Messages API: a row is what is special, the stream, and the calls or the words of a failure.

ANN, BOB = '{"to": "ann"}', '{"to": "bob"}'
PAID: Calls = [("pay", {"to": "ann"}), ("pay", {"to": "bob"})]


def item(number: int, arguments: str, **fields: Any) -> dict[str, Any]:
    given = {"id": f"fc-{number}", "call_id": f"c-{number}", "name": "pay", "arguments": arguments}
    return {"type": "function_call", "status": "completed", **given, **fields}


def done_item(number: int, arguments: str, place: int, **fields: Any) -> bytes:
    return responses.event("response.output_item.done", output_index=place, item=item(number, arguments, **fields))


def piece(number: int | None, text: str, place: int = 0) -> bytes:
    named = {} if number is None else {"item_id": f"fc-{number}"}
    return responses.event("response.function_call_arguments.delta", output_index=place, delta=text, **named)


def done_arguments(number: int, arguments: str, place: int = 0) -> bytes:
    kind = "response.function_call_arguments.done"
    return responses.event(kind, output_index=place, item_id=f"fc-{number}", arguments=arguments)


def both(first: str = ANN, second: str = BOB) -> bytes:
    return responses.end(output=[item(1, first), item(2, second)])


RESPONSES: list[tuple[str, list[bytes], Calls | str]] = [
    ("two items with one place", [done_item(1, ANN, 0), done_item(2, BOB, 0), both()], PAID),
    ("two items with one place, pieces by id", [
        piece(1, '{"to":'), piece(2, '{"to":'), piece(1, '"ann"}'), piece(2, '"bob"}'),
        done_item(1, ANN, 0), done_item(2, BOB, 0), both()], PAID),
    ("arguments only in pieces", [
        piece(1, '{"to":'), piece(1, '"ann"}'), done_item(1, "", 0), responses.end()], PAID[:1]),
    ("arguments in pieces and at their end", [
        piece(1, ANN), done_arguments(1, ANN), done_item(1, "", 0), responses.end()], PAID[:1]),
    ("arguments at their end only", [done_arguments(1, ANN), done_item(1, "", 0), responses.end()], PAID[:1]),
    ("arguments only in the item", [done_item(1, ANN, 0), responses.end()], PAID[:1]),
    ("no item was streamed", [both()], PAID),
    ("one item was streamed", [done_item(1, ANN, 0), both()], PAID),
    ("an item twice", [done_item(1, ANN, 0), done_item(1, ANN, 0), responses.end(output=[item(1, ANN)])], PAID[:1]),
    ("items without ids", [
        done_item(1, ANN, 0, id="", call_id=""), done_item(2, BOB, 1, id="", call_id=""), responses.end()], PAID),
    ("one call id for two items", [
        done_item(1, ANN, 0), done_item(2, BOB, 1, call_id="c-1"), responses.end()], PAID),
    ("the end has other arguments", [done_item(1, BOB, 0), responses.end(output=[item(1, ANN)])], "unreadable"),
    ("the end has fewer calls", [
        done_item(1, ANN, 0), done_item(2, BOB, 1), responses.end(output=[item(1, ANN)])], "unreadable"),
    ("pieces say something else", [piece(1, BOB), done_item(1, ANN, 0), responses.end()], "unreadable"),
    ("pieces of nobody with one place", [
        piece(None, ANN), piece(None, BOB), done_item(1, "", 0), done_item(2, "", 0), both()], "unreadable"),
    ("cut in a call", [piece(1, '{"to":'), responses.end("incomplete")], []),
]  # fmt: skip


@pytest.mark.parametrize(("what", "events", "expected"), RESPONSES, ids=[what for what, *_ in RESPONSES])
async def test_calls_of_responses_are_those_of_the_end(
    provider: Provider, heard: Any, what: str, events: list[bytes], expected: Calls | str
) -> None:
    provider.scripts = [responses.script(*events)]
    async with talking_responses(provider) as model:
        await check(model, heard, expected)


def opening(index: int, name: str = "pay") -> bytes:
    begin = {"type": "tool_use", "id": f"c-{index}", "name": name, "input": {}}
    return messages_api.event("content_block_start", index=index, content_block=begin)


def arguments(index: int, text: str) -> bytes:
    given = {"type": "input_json_delta", "partial_json": text}
    return messages_api.event("content_block_delta", index=index, delta=given)


def stop(index: int) -> bytes:
    return messages_api.event("content_block_stop", index=index)


MESSAGES: list[tuple[str, list[bytes], Calls | str]] = [
    ("one call after the other", [
        opening(0), arguments(0, ANN), stop(0), opening(1), arguments(1, BOB), stop(1)], PAID),
    ("two calls open together", [
        opening(0), opening(1), arguments(0, '{"to":'), arguments(1, '{"to":'), arguments(1, '"bob"}'),
        arguments(0, '"ann"}'), stop(1), stop(0)], PAID),
    ("no stops", [opening(0), arguments(0, ANN), opening(1), arguments(1, BOB)], PAID),
    ("the input whole in its block", [
        messages_api.event("content_block_start", index=0, content_block={
            "type": "tool_use", "id": "c", "name": "pay", "input": {"to": "ann"}}), stop(0)], PAID[:1]),
    ("indexes that begin at 1", [opening(1), arguments(1, ANN), stop(1)], PAID[:1]),
    ("arguments of no block", [opening(0), arguments(3, ANN), stop(0)], "unreadable"),
    ("arguments of a text", [
        messages_api.event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        arguments(0, ANN)], "unreadable"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "events", "expected"), MESSAGES, ids=[what for what, *_ in MESSAGES])
async def test_deltas_of_messages_belong_to_the_block_that_they_name(
    provider: Provider, heard: Any, what: str, events: list[bytes], expected: Calls | str
) -> None:
    provider.scripts = [Script([messages_api.start(), *events, *messages_api.end("tool_use")], done=False)]
    async with talking_messages(provider) as model:
        await check(model, heard, expected)


async def check(model: Model, heard: Any, expected: Calls | str) -> None:
    if isinstance(expected, str):
        with pytest.raises(ModelUnavailable, match=expected):
            await model.respond(a_turn(tools=(LOOKUP,)), heard)
        return
    reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
    assert [(each.name, each.arguments) for each in reply.calls] == expected
