"""The Anthropic provider against a server that streams the Messages API over real sockets."""

import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any

import anthropic  # noqa: F401 - half a second that belongs to no test
import pytest
import trio

from tests.understudy.models.messages_api import (
    PING,
    block,
    call,
    end,
    event,
    failure,
    message,
    redacted,
    start,
    text,
    thinking,
)
from tests.understudy.models.provider import KEY, Provider, Script
from understudy.models.anthropic import Anthropic
from understudy.models.anthropic_client import AnthropicNotInstalled
from understudy.models.model import (
    AgentCard,
    CallItem,
    Item,
    MessageItem,
    ModelSettings,
    ModelUnavailable,
    OutputFormat,
    ReasoningDelta,
    ReasoningItem,
    Reply,
    ToolCard,
    Turn,
    Usage,
    tool_result,
)

# The HTTP stack under anthropic leaves its async generators to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|anthropic):ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Async generator 'anthropic:ResourceWarning"),
    pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms"),
]

LOOKUP = ToolCard("lookup", "Look up an order.", {"type": "object", "properties": {"order_id": {"type": "string"}}})
ME = AgentCard("support", "Support", "Looks up orders.")


def a_turn(*items: Item, **more: Any) -> Turn:
    return Turn(ME, items or (MessageItem("user", "Hello"),), "Be brief.", **more)


def items_of(reply: Reply) -> list[Item]:
    """Return a reply with calls, and their results, as items of the next turn."""
    said: list[Item] = [ReasoningItem(reply.reasoning, reply.state)]
    said += [MessageItem("assistant", reply.text)] if reply.text else []
    results = [tool_result(each, "ok", {"found": True}) for each in reply.calls]
    return [*said, *(CallItem(each.id, each.name, dict(each.arguments)) for each in reply.calls), *results]


@asynccontextmanager
async def talking(provider: Provider, **options: Any) -> AsyncIterator[Anthropic]:
    """Yield a model that uses the fake provider, and close it."""
    model = Anthropic(
        "tiny", **{"api_key": KEY, "base_url": provider.root, "first_token_s": 5.0, "idle_s": 5.0, **options}
    )
    try:
        with trio.fail_after(60):
            yield model
    finally:
        with trio.CancelScope(shield=True):
            await model.aclose()


# answers


async def test_text_thinking_and_calls_are_streamed_and_given_back_unchanged(provider: Provider, heard: Any) -> None:
    """The blocks of a reply stand in the next request as they came: in order, with signatures, redacted ones too."""
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
    provider.scripts = [Script(first, done=False), Script(message(text(0, "Found.")), done=False)]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
        assert reply.text == heard.text == "I look them up."
        assert [(each.id, each.name, each.arguments) for each in reply.calls] == [
            ("toolu_1", "lookup", {"order_id": "A-17"}),
            ("toolu_2", "lookup", {"order_id": "B-2"}),
        ]
        shown = "".join(each.text for each in heard.events if isinstance(each, ReasoningDelta))
        assert reply.reasoning == shown == "They want two orders.Both at once."
        assert reply.usage == Usage(100, 40, 1, cached=90, reasoning=12, cache_written=3)
        assert heard.thoughts == ["Next: Lookup, Lookup"]
        turn = a_turn(MessageItem("user", "Hello"), *items_of(reply), tools=(LOOKUP,))
        assert (await model.respond(turn, heard)).text == "Found."
    asked, answered, results = provider.requests[1]["messages"]
    assert provider.requests[0]["path"] == "/v1/messages"
    assert (asked["role"], answered["role"], results["role"]) == ("user", "assistant", "user")
    assert answered["content"] == [
        {"type": "thinking", "thinking": "They want two orders.", "signature": "sig-1"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "text", "text": "I look them up."},
        {"type": "thinking", "thinking": "Both at once.", "signature": "sig-2"},
        {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"order_id": "A-17"}},
        {"type": "tool_use", "id": "toolu_2", "name": "lookup", "input": {"order_id": "B-2"}},
    ]
    assert [each["tool_use_id"] for each in results["content"]] == ["toolu_1", "toolu_2"]


async def test_two_texts_of_a_reply_are_paragraphs(provider: Provider, heard: Any) -> None:
    provider.scripts = [Script(message(text(0, "One."), thinking(1, "s", "Hm."), text(2, "Two.")), done=False)]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(), heard)
    assert reply.text == heard.text == "One.\n\nTwo."


async def test_a_reply_that_is_not_whole_says_so(provider: Provider, heard: Any) -> None:
    """Its calls are dropped, as their arguments may be cut."""
    blocks = text(0, "So far."), call(1, "toolu_1", "lookup", '{"order_id":')
    cut, refused = "length limit", "refused"
    async with talking(provider) as model:
        for reason, note in ("max_tokens", cut), ("model_context_window_exceeded", cut), ("refusal", refused):
            provider.scripts = [Script(message(*blocks, reason=reason), done=False)]
            heard.events.clear()
            reply = await model.respond(a_turn(tools=(LOOKUP,)), heard)
            assert reply.text == heard.text
            assert reply.text.startswith("So far.")
            assert note in reply.text
            assert reply.calls == ()


async def test_a_paused_reply_is_gone_on_with(provider: Provider, heard: Any) -> None:
    """What has come, also blocks of tools of the provider, is sent back as it is; the reply is one."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = block(1, search, {"type": "input_json_delta", "partial_json": '{"query":"desks"}'})
    provider.scripts = [
        Script(message(text(0, "I search."), found, reason="pause_turn"), done=False),
        Script(message(text(0, "Found.")), done=False),
    ]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(), heard)
    assert reply.text == heard.text == "I search.\n\nFound."
    assert reply.usage == Usage(14, 4, 2)
    assert provider.requests[1]["messages"][-1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "I search."}, search | {"input": {"query": "desks"}}],
    }


async def test_arguments_that_are_no_json_are_a_problem_of_the_call(provider: Provider, heard: Any) -> None:
    provider.scripts = [Script(message(call(0, "toolu_1", "lookup", "{]"), reason="tool_use"), done=False)]
    async with talking(provider) as model:
        (wanted,) = (await model.respond(a_turn(tools=(LOOKUP,)), heard)).calls
    assert "not valid JSON" in wanted.problem


async def test_a_schema_is_given_as_the_api_takes_it(provider: Provider, heard: Any) -> None:
    """The API refuses bounds: the package puts them into descriptions."""
    number = {"type": "integer", "minimum": 3}
    schema = {"type": "object", "properties": {"n": number}, "required": ["n"], "additionalProperties": False}
    provider.scripts = [Script(message(text(0, '{"n": 3}')), done=False)]
    async with talking(provider) as model:
        await model.respond(a_turn(output=OutputFormat("answer", schema)), heard)
    given = provider.requests[0]["output_config"]["format"]["schema"]["properties"]["n"]
    assert "minimum" not in given
    assert "minimum" in given["description"]


async def test_what_a_model_accepts_is_asked_once(provider: Provider, heard: Any) -> None:
    """An earlier model is given a budget for its thinking, one that says nothing of itself thinks as it sees fit."""
    yes, no = {"supported": True}, {"supported": False}
    kinds = {"adaptive": no, "enabled": yes, "disabled": yes, "between_tools": no}
    efforts = {"supported": False, "low": no, "medium": no, "high": no, "max": no}
    capabilities = {"thinking": {"supported": True, "types": kinds}, "effort": efforts, "structured_outputs": no}
    about = {"type": "model", "display_name": "Old", "created_at": "2025-01-01T00:00:00Z", "lifecycle": "active"}
    provider.models["old"] = {"id": "old", **about, "max_tokens": 4_000, "capabilities": capabilities}
    provider.scripts = [Script(message(text(0, "Hi")), done=False) for _ in range(4)]
    settings = ModelSettings(effort="medium", temperature=0.5)
    model = Anthropic("old", api_key=KEY, base_url=provider.root)
    for effort in ("medium", "none"):
        await model.respond(a_turn(settings=ModelSettings(effort=effort)), heard)
    await model.aclose()
    assert len(provider.keys) == 3
    async with talking(provider) as unknown:
        await unknown.respond(a_turn(settings=settings), heard)
        await unknown.respond(a_turn(settings=ModelSettings(temperature=0.5)), heard)
    first, second, third, fourth = provider.requests
    assert (first["thinking"], first["max_tokens"]) == ({"type": "enabled", "budget_tokens": 2_000}, 4_000)
    assert "output_config" not in first
    assert second["thinking"] == {"type": "disabled"}
    assert (third["thinking"]["type"], third["output_config"]) == ("adaptive", {"effort": "medium"})
    assert "temperature" not in third
    assert (fourth["temperature"], "thinking" in fourth) == (0.5, False)


# failures


REFUSALS = [
    (401, "authentication_error", f"invalid x-api-key {KEY}", "refused this server's key", False, None),
    (403, "permission_error", KEY, "refused this server's key", False, None),
    (402, "billing_error", KEY, "used up", False, None),
    (400, "invalid_request_error", f"Your credit balance is too low {KEY}", "used up", False, None),
    (400, "invalid_request_error", f"messages.1: {KEY}", "did not accept", False, None),
    (400, "invalid_request_error", "prompt is too long: 300000 tokens", "too long", False, None),
    (413, "request_too_large", KEY, "too long", False, None),
    (404, "not_found_error", KEY, "does not know the language model tiny", False, None),
    (429, "rate_limit_error", KEY, "busy", True, 7.0),
    (529, "overloaded_error", KEY, "overloaded", True, 7.0),
    (500, "api_error", KEY, "failed", True, 7.0),
    (502, "", "Bad gateway", "failed", True, 7.0),
]


async def test_a_refusal_is_a_sentence_without_the_key(
    provider: Provider, heard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if the provider repeats it: neither the error, nor what caused it, nor a log has the key."""
    caplog.set_level("INFO")
    async with talking(provider) as model:
        assert KEY not in repr(model)
        for status, kind, said, says, retryable, retry_after_s in REFUSALS:
            error = {"type": kind, "message": said}
            provider.scripts = [Script(status=status, error=error, headers={"retry-after": "7"})]
            with pytest.raises(ModelUnavailable, match=says) as caught:
                await model.respond(a_turn(), heard)
            found = caught.value
            assert (found.retryable, found.retry_after_s) == (retryable, retry_after_s), (status, kind)
            assert KEY not in "".join(traceback.format_exception(found)) + repr(found) + found.detail + caplog.text
            assert found.__cause__ is None
            assert found.__context__ is None


HEL = [start(), *text(0, "Hel")[:-1]]
EMPTY = event("content_block_delta", index=0, delta={"type": "text_delta", "text": ""})


async def test_a_stream_that_breaks_is_a_failure(provider: Provider, heard: Any) -> None:
    """It may succeed later, and what came before was shown."""
    broken = [
        (Script([*HEL, failure("overloaded_error", KEY)], done=False), "overloaded"),
        (Script(HEL, drop=True), "connection .* was lost"),
        (Script(HEL, done=False), "stopped in the middle"),
        (Script([*HEL, b"event: content_block_delta\ndata: {not json\n\n"], done=False), "unreadable"),
        (Script([*HEL, event("content_block_delta", index=0, delta={"type": "text_delta"})], done=False), "unreadable"),
        (Script([*HEL, *end(None)], done=False), "stopped in the middle"),
    ]
    async with talking(provider) as model:
        for script, says in broken:
            provider.scripts = [script]
            heard.events.clear()
            with pytest.raises(ModelUnavailable, match=says) as caught:
                await model.respond(a_turn(), heard)
            assert caught.value.retryable
            assert KEY not in "".join(traceback.format_exception(caught.value))
            assert heard.text == "Hel"


async def test_a_provider_without_progress_is_left(provider: Provider, heard: Any) -> None:
    """A provider that is silent, or sends what is no text, is a timeout, and its connection is closed."""
    async with talking(provider, first_token_s=2.0, idle_s=0.3) as model:
        for chunks in ([], [start()], repeat(PING), chain(HEL, repeat(EMPTY)), HEL):
            provider.scripts = [Script(chunks, hang=True)]
            provider.left.clear()
            with pytest.raises(ModelUnavailable, match="took too long"):
                await model.respond(a_turn(), heard)
            assert await trio.to_thread.run_sync(provider.left.wait, 5)


async def test_a_model_may_think_longer_than_it_may_pause(provider: Provider, heard: Any) -> None:
    """`idle_s` is between two pieces of text; before a call, or thinking, `first_token_s` counts."""
    provider.scripts = [Script([start(), *text(0, "Hel")[:-1]], hang=True)]
    async with talking(provider, idle_s=0.1) as model:
        with pytest.raises(ModelUnavailable, match="took too long"):
            await model.respond(a_turn(), heard)
        provider.scripts = [Script([start(), *call(0, "c", "lookup", "{")[:-1]], hang=True)]
        with trio.move_on_after(0.5) as waited:
            await model.respond(a_turn(tools=(LOOKUP,)), heard)
    assert waited.cancelled_caught


async def test_an_endless_answer_is_cut(provider: Provider, heard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.models.anthropic.MAX_TEXT", 1_000)
    more = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "more " * 20})
    provider.scripts = [Script(chain(HEL, repeat(more)))]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(), heard)
    assert 1_000 < len(reply.text) < 1_300
    assert "length limit" in reply.text


async def test_a_cancelled_turn_closes_the_connection(provider: Provider, heard: Any) -> None:
    provider.scripts = [Script(HEL, hang=True)]
    async with talking(provider) as model, trio.open_nursery() as nursery:
        nursery.start_soon(model.respond, a_turn(), heard)
        assert await trio.to_thread.run_sync(provider.sent.wait, 5)
        nursery.cancel_scope.cancel()
    assert await trio.to_thread.run_sync(provider.left.wait, 5)


# making one


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ValueError, match="ANTHROPIC_API_KEY"):
        Anthropic("tiny")
    with pytest.raises(ValueError, match="idle_s"):
        Anthropic("tiny", api_key=KEY, idle_s=0.0)
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(AnthropicNotInstalled, match=r"understudy-server\[anthropic\]"):
        Anthropic("tiny", api_key=KEY)
