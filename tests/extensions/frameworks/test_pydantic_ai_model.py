"""A model of Pydantic AI as a model here, over a socket. What speaks its own API is in `cloud_models.py`."""

from typing import Any

import pytest
import trio
from anthropic import AsyncAnthropic
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.rigs.heard import Heard
from tests.rigs.heard import heard as heard
from tests.rigs.heard import provider as provider
from tests.rigs.messages_api import call, end, failure, message, redacted, start, text, thinking
from tests.rigs.model_provider import KEY, Provider, Script
from tests.rigs.model_turns import LOOKUP, a_turn, closing
from understudy.extensions.frameworks.pydantic_ai_model import PydanticAIModel
from understudy.extensions.providers.answer import CUT
from understudy.models.items import FileCard, HandoffItem, ImagePart, MessageItem, NoteItem, ReasoningItem
from understudy.models.model import (
    ModelSettings,
    ModelUnavailable,
    OutputFormat,
    ReasoningDelta,
    TextDelta,
    tool_result,
)
from understudy.wire.events import Usage

SECRET = "a-secret-in-a-text"
ASKED = MessageItem("user", "Where is order 1?")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}

pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|anthropic|pydantic_ai):ResourceWarning"),
    pytest.mark.blocking("the SDK and Pydantic AI build what they need at the first request"),
]


def speaking(provider: Provider, name: str = "claude-sonnet-5", **times: float) -> PydanticAIModel:
    sdk = AsyncAnthropic(api_key=KEY, base_url=provider.root, max_retries=0)
    inner = AnthropicModel(name, provider=AnthropicProvider(anthropic_client=sdk))
    return PydanticAIModel(inner, close=sdk.close, **{"first_token_s": 5.0, "idle_s": 5.0, **times})


def sent(provider: Provider) -> list[tuple[str, list[str]]]:
    """Return the role and the types of the blocks of each message of the last request."""
    return [
        (item["role"], [block["type"] for block in item["content"]] if isinstance(item["content"], list) else ["text"])
        for item in provider.requests[-1]["messages"]
    ]


async def test_what_is_opaque_goes_back_in_its_place_and_no_text_is_kept(provider: Provider, heard: Heard) -> None:
    blocks = (
        thinking(0, "signed", "let me ", SECRET),
        redacted(1, "hidden"),
        text(2, "I look ", SECRET),
        call(3, "c1", "lookup", '{"order_id":', '"1"}'),
    )
    provider.scripts = [Script(message(*blocks, reason="tool_use"))] + [
        Script(message(text(0, "Sent."))) for _ in "123"
    ]
    async with closing(speaking(provider)) as model:
        reply = await model.respond(a_turn(ASKED, tools=(LOOKUP,)), heard)
        assert (reply.text, reply.reasoning) == (f"I look {SECRET}", f"let me {SECRET}")
        assert [event for event in heard.events if isinstance(event, TextDelta | ReasoningDelta)] == [
            ReasoningDelta("let me "), ReasoningDelta(SECRET), TextDelta("I look "), TextDelta(SECRET),
        ]  # fmt: skip
        assert [(made_call.id, made_call.name, made_call.arguments) for made_call in reply.calls] == [
            ("c1", "lookup", {"order_id": "1"})
        ]
        assert reply.usage == Usage(7, 2, 1)
        assert SECRET not in str(reply.state.value)
        result = tool_result(reply.calls[0], "ok", "shipped")
        for content, words in (
            (reply.reasoning, reply.text),
            ("let me [redacted]", reply.text),
            (reply.reasoning, "I"),
        ):
            state = ReasoningItem(content, reply.state)
            items = (ASKED, state, MessageItem("assistant", words), reply.calls[0].item(), result)
            assert (await model.respond(a_turn(*items, tools=(LOOKUP,)), heard)).text == "Sent."
    complete, without, other = (request["messages"][1]["content"] for request in provider.requests[1:])
    assert [block["type"] for block in complete] == ["thinking", "redacted_thinking", "text", "tool_use"]
    assert (complete[0]["signature"], complete[1]["data"]) == ("signed", "hidden")
    assert [block["type"] for block in without] == ["redacted_thinking", "text", "tool_use"]
    assert [block["type"] for block in other] == ["thinking", "redacted_thinking", "text", "tool_use"]
    assert (other[2]["text"], other[0]) == ("I", complete[0])


async def test_a_conversation_is_requests_and_replies_by_turns(provider: Provider, heard: Heard) -> None:
    provider.scripts = [Script(message(text(0, "Yes."))) for _ in "12"]
    picture = MessageItem("user", "See", (FileCard("f", "a.png"),), (ImagePart("f", "image/png", b"png"),))
    items = (MessageItem("assistant", "Hello"), MessageItem("assistant", "again"), HandoffItem("a", "b"), picture)
    more: dict[str, Any] = {"notes": (NoteItem("a note"),), "partial_text": "So far"}
    async with closing(speaking(provider)) as model:
        await model.respond(a_turn(*items, **more, output=OutputFormat("n", SCHEMA), tools=(LOOKUP,)), heard)
        roles = sent(provider)
        assert [role for role, _ in roles] == ["user", "assistant", "user", "assistant", "user"]
        assert "image" in roles[2][1]
        request = str(provider.requests[0])
        for sentence in ("Be brief.", "a note", "is one JSON object", "Your answer was cut off"):
            assert sentence in request
        settings = ModelSettings(max_output=4_000, tool_choice="lookup", parallel_calls=False)
        await model.respond(a_turn(settings=settings, tools=(LOOKUP,)), heard)
    body = provider.requests[1]
    assert body["max_tokens"] == 4_000
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}  # it has but that tool


def refusal(status: int, kind: str, sentence: str) -> Script:
    return Script(status=status, error={"type": kind, "message": sentence})


@pytest.mark.parametrize(
    ("script", "sentence", "retryable"),
    [
        (refusal(401, "authentication_error", KEY), "refused this server's key", False),
        (refusal(404, "not_found_error", "model"), "does not know", False),
        (refusal(429, "rate_limit_error", "slow"), "is busy", True),
        (refusal(400, "invalid_request_error", "prompt is too long: 9 > 8"), "too long", False),
        (refusal(400, "invalid_request_error", "image: bad"), "did not accept", False),
        (refusal(529, "overloaded_error", "busy"), "is overloaded", True),
        (Script([start(), failure("overloaded_error", KEY)]), "is overloaded", True),
        (Script([start(), *text(0, "Hel")], drop=True), "connection to the language model was lost", True),
        (Script([start(), *text(0, "Hel")], done=False), "in the middle", True),
        (Script([b"event: message_start\ndata: {nonsense\n\n"]), "language model", True),
    ],
)
async def test_a_fault_is_a_sentence(
    provider: Provider, heard: Heard, script: Script, sentence: str, retryable: bool
) -> None:
    provider.scripts = [script]
    async with closing(speaking(provider)) as model:
        with pytest.raises(ModelUnavailable, match=sentence) as caught:
            await model.respond(a_turn(), heard)
    assert caught.value.retryable == retryable
    assert caught.value.about == ("attachments" if sentence == "did not accept" else "")
    assert KEY not in f"{caught.value!r} {caught.value.__cause__} {caught.value.__context__}"
    assert len(provider.requests) == 1


async def test_an_answer_that_is_cut_says_so(provider: Provider, heard: Heard) -> None:
    provider.scripts = [Script([start(), *text(0, "Hel"), *end("max_tokens")])]
    async with closing(speaking(provider)) as model:
        reply = await model.respond(a_turn(), heard)
    assert (reply.text, reply.cut) == (f"Hel{CUT}", CUT)


async def test_silence_has_an_end_and_a_cancelled_turn_closes_its_connection(provider: Provider, heard: Heard) -> None:
    for begun in ([], [start(), *text(0, "Hel")[:2]]):
        provider.scripts = [Script(begun, hang=True)]
        async with closing(speaking(provider, first_token_s=0.3, idle_s=0.3)) as model:
            with pytest.raises(ModelUnavailable, match="too long to answer"):
                await model.respond(a_turn(), heard)
    provider.scripts = [Script([start(), *text(0, "Hel")[:2]], hang=True)]
    provider.sent.clear()
    provider.left.clear()
    async with closing(speaking(provider)) as model, trio.open_nursery() as nursery:
        nursery.start_soon(model.respond, a_turn(), heard)
        await trio.to_thread.run_sync(provider.sent.wait, 5)
        nursery.cancel_scope.cancel()
    assert await trio.to_thread.run_sync(provider.left.wait, 5)


def test_chat_completions_are_refused() -> None:
    chat = OpenAIChatModel("m", provider=OpenAIProvider(api_key=KEY))
    for model in (chat, WrapperModel(chat)):
        with pytest.raises(ValueError, match="OpenAIChatModel speaks chat completions: use a provider with url"):
            PydanticAIModel(model)
