"""What only the Messages API has: thinking in its place, pauses, marks for the cache, and what a model accepts.

The requests of random histories are held against the API's rules in `tests/benchmarks`.
"""

from typing import Any

from attrs import evolve

from tests.rigs.heard import Heard
from tests.rigs.messages_api import PING, block, call, end, message, redacted, start, text, thinking
from tests.rigs.model_apis import items_of, sent, talking
from tests.rigs.model_provider import Provider, Script
from tests.rigs.model_turns import LOOKUP, OVER_SDK, a_turn
from understudy.models.model import CallItem, Item, MessageItem, ModelSettings, OutputFormat, ResultItem, Usage

pytestmark = OVER_SDK

ASKED = MessageItem("user", "Hello")
CALLED: tuple[Item, ...] = (ASKED, CallItem("c", "lookup", {}), ResultItem("c", "lookup", "ok", "found"))


async def test_thinking_texts_and_calls_go_back_unchanged(provider: Provider, heard: Heard) -> None:
    """They go to their own model. Thinking whose text has changed is left out; a changed text follows its thinking."""
    first = [
        start(cache_read_input_tokens=90, cache_creation_input_tokens=3),
        PING,
        *thinking(0, "sig-1", "They want ", "two orders."),
        *redacted(1, "opaque"),
        *text(2, "I look ", "them up."),
        *thinking(3, "sig-2", "Both at once."),
        *call(4, "toolu_1", "lookup", '{"order', '_id":"A-17"}'),
        *call(5, "toolu_2", "lookup", '{"order_id":"B-2"}'),
        *end("tool_use", 40, output_tokens_details={"thinking_tokens": 12}),
    ]
    provider.scripts = [Script(first, done=False)]
    async with talking(provider, "messages") as model:
        reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
    assert reply.reasoning == "They want two orders.Both at once."
    assert reply.usage == Usage(100, 40, 1, cached=90, reasoning=12, cache_written=3)
    items_sent: list[Any] = items_of(reply)
    thought, text_item, *others = items_sent

    async def answered(*items: Item, model: str = "tiny") -> list[dict[str, Any]]:
        _, assistant, results = (await sent(provider, a_turn(ASKED, *items, *others), "messages", model))["messages"]
        assert (assistant["role"], [part["type"] for part in results["content"]]) == ("assistant", ["tool_result"] * 2)
        content: list[dict[str, Any]] = assistant["content"]
        return content

    plan, sealed, words, more, *calls = await answered(thought, text_item)
    assert [plan, sealed, words, more] == [
        {"type": "thinking", "thinking": "They want two orders.", "signature": "sig-1"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "text", "text": "I look them up."},
        {"type": "thinking", "thinking": "Both at once.", "signature": "sig-2"},
    ]
    assert calls == [
        {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"order_id": "A-17"}},
        {"type": "tool_use", "id": "toolu_2", "name": "lookup", "input": {"order_id": "B-2"}},
    ]
    assert await answered(evolve(thought, content="(redacted)"), text_item) == [words, *calls]
    changed = {"type": "text", "text": "I look [NAME] up."}
    assert await answered(thought, evolve(text_item, content=changed["text"])) == [plan, sealed, more, changed, *calls]
    assert [part["type"] for part in await answered(thought, text_item, model="m")] == ["text", "tool_use", "tool_use"]


async def test_a_paused_reply_is_gone_on_with(provider: Provider, heard: Heard) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    search_block = block(1, search, {"type": "input_json_delta", "partial_json": '{"query":"desks"}'})
    pause = message(text(0, "I search."), search_block, reason="pause_turn")
    provider.scripts = [Script(events, done=False) for events in (pause, message(text(0, "Found.")))]
    async with talking(provider, "messages") as model:
        reply = await model.respond(a_turn(), heard)
    assert reply.text == heard.text == "I search.\n\nFound."
    assert reply.usage == Usage(14, 4, 2)
    assert provider.requests[1]["messages"][-1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "I search."}, search | {"input": {"query": "desks"}}],
    }


async def test_what_stays_is_marked_for_the_cache(provider: Provider) -> None:
    """Four marks: tools, instructions, and the last two messages of the user, of which the first was marked before."""
    before = await sent(provider, a_turn(ASKED, tools=(LOOKUP,)), "messages")
    body = await sent(provider, a_turn(*CALLED, tools=(LOOKUP,)), "messages")
    question, _, answered = body["messages"]
    marked = [body["tools"][-1], body["system"][-1], question["content"][-1], answered["content"][0]]
    assert all(part["cache_control"] == {"type": "ephemeral"} for part in marked)
    assert str(body).count("cache_control") == len(marked)
    assert (before["messages"], before["tools"], before["system"]) == ([question], body["tools"], body["system"])


async def test_the_last_message_is_the_users(provider: Provider) -> None:
    messages = (await sent(provider, a_turn(MessageItem("assistant", "Hello.")), "messages"))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]


async def test_behind_a_call_the_model_may_think_and_choose(provider: Provider) -> None:
    settings = ModelSettings("minimal", tool_choice="required")
    free = await sent(provider, a_turn(*CALLED, tools=(LOOKUP,), settings=settings), "messages")
    assert free["tool_choice"] == {"type": "auto"}
    assert (free["thinking"]["type"], free["output_config"]) == ("adaptive", {"effort": "low"})


async def test_an_effort_is_adaptive_thinking_without_a_temperature(provider: Provider) -> None:
    bare = ModelSettings(temperature=0.5)
    wishes = [ModelSettings("medium", 0.5), ModelSettings("none"), bare, ModelSettings("minimal")]
    first, second, third, fourth = [await sent(provider, a_turn(settings=settings), "messages") for settings in wishes]
    assert (first["thinking"]["type"], first["output_config"]) == ("adaptive", {"effort": "medium"})
    assert ("temperature" in first, second["thinking"]) == (False, {"type": "disabled"})
    assert (third["temperature"], "thinking" in third) == (0.5, False)
    assert fourth["output_config"] == {"effort": "low"}


async def test_a_budget_cannot_begin_behind_a_call_without_thinking(provider: Provider, heard: Heard) -> None:
    refusal = Script(status=400, error={"message": "adaptive thinking is not supported on this model"})
    provider.scripts = [refusal, *(Script(message(text(0, "Hi")), done=False) for _ in range(2))]
    thinking_turn = a_turn(settings=ModelSettings("high"))
    async with talking(provider, "messages") as model:
        for turn in (thinking_turn, evolve(thinking_turn, items=CALLED)):
            await model.respond(turn, heard)
    _, first, second = provider.requests
    assert first["thinking"] == {"type": "enabled", "budget_tokens": 6_553}
    assert (second["output_config"], "thinking" in second) == ({"effort": "high"}, False)


async def test_a_schema_is_given_as_the_api_takes_it(provider: Provider) -> None:
    """The API refuses bounds, which the package puts into descriptions."""
    number = {"type": "integer", "minimum": 3}
    schema = {"type": "object", "properties": {"n": number}, "required": ["n"], "additionalProperties": False}
    request = await sent(provider, a_turn(output=OutputFormat("answer", schema)), "messages")
    number = request["output_config"]["format"]["schema"]["properties"]["n"]
    assert ("minimum" in number, "minimum" in number["description"]) == (False, True)
