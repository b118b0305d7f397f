"""The three model APIs, so that each plays one table: a client of each, and answers and requests in its form."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.rigs import messages_api
from tests.rigs import responses_api as responses
from tests.rigs.heard import Heard
from tests.rigs.model_provider import (
    KEY,
    Provider,
    Script,
    call_chunk,
    chunk,
    end_chunk,
    text_chunk,
    usage_chunk,
)
from tests.rigs.model_turns import LOOKUP, a_turn, closing
from understudy.extensions.anthropic.messages import Anthropic
from understudy.extensions.openai.chat import OpenAIChat
from understudy.extensions.openai.responses import OpenAI
from understudy.models.model import (
    Item,
    MessageItem,
    ModelUnavailable,
    ReasoningItem,
    Reply,
    TextDropped,
    Turn,
    tool_result,
)

CLIENTS: dict[str, Any] = {"chat": OpenAIChat, "responses": OpenAI, "messages": Anthropic}
USUAL: dict[str, Any] = {"chat": "stop", "responses": None, "messages": "end_turn"}


def talking(provider: Provider, api: str = "chat", **options: Any) -> AbstractAsyncContextManager[Any]:
    """Return a model of the provider by one of the APIs."""
    url = provider.root if api == "messages" else provider.url
    return closing(CLIENTS[api](**{"model": "tiny", "api_key": KEY, "base_url": url, "idle_s": 5.0, **options}))


def begun(api: str, *texts: str) -> list[Any]:
    """Return the beginning of an answer of an API, with pieces of text."""
    if api == "chat":
        return [text_chunk(text) for text in texts]
    if api == "responses":
        return [responses.STARTED, *map(responses.said, texts)]
    return [messages_api.start(), *(messages_api.text(0, *texts)[:-1] if texts else ())]


def played(
    api: str,
    *texts: str,
    thoughts: Sequence[str] = (),
    call: list[Any] | None = None,
    ids: Sequence[str] = ("c",),
    name: str = "lookup",
    reason: Any = ...,
    usage: Any = None,
) -> Script:
    """Return an answer of an API: reasoning, text, a call with its pieces of arguments for each id, a reason."""
    reason = USUAL[api] if reason is ... else reason
    calls = [] if call is None else list(enumerate(ids, 2))
    if api == "chat":
        pieces = [*(chunk({"reasoning_content": thought}) for thought in thoughts), *map(text_chunk, texts)]
        for place, call_id in calls:
            pieces += [call_chunk(place - 2, call_id, name, "")]
            pieces += [call_chunk(place - 2, None, None, piece) for piece in call or ()]
        return Script([*pieces, end_chunk(reason), *([] if usage is None else [{**usage_chunk(1, 1), "usage": usage}])])
    if api == "responses":
        events = [responses.thought(thought) for thought in thoughts]
        events += [responses.done(0, "reasoning", summary=[], encrypted_content="gAAA")] if thoughts else []
        events += [responses.said(text, 1) for text in texts]
        for place, call_id in calls:
            events += [responses.delta("function_call_arguments", piece, place) for piece in call or ()]
            events += [responses.done(place, "function_call", call_id=call_id, name=name, arguments="")]
        more = {} if usage is None else {"usage": usage}
        if reason is not None:
            more |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
        return responses.script(*events, responses.end(**more))
    blocks = messages_api.thinking(0, "c2ln", *thoughts) if thoughts else []
    blocks += messages_api.text(1, *texts) if texts else []
    for place, call_id in calls:
        blocks += messages_api.call(place, call_id, name, *(call or ()))
    end = messages_api.end(reason)
    if usage is not None:
        end = [messages_api.event("message_delta", delta={"stop_reason": reason}, usage=usage), end[-1]]
    return Script([messages_api.start(), *blocks, *end], done=False)


LOOKING = a_turn(tools=(LOOKUP,))


async def ask(provider: Provider, api: str, heard: Heard, script: Script, turn: Turn = LOOKING) -> Reply:
    """Return what is read of an answer; what was heard of it is the same."""
    provider.scripts = [script]
    async with talking(provider, api) as model:
        reply: Reply = await model.respond(turn, heard)
    last = max((n for n, event in enumerate(heard.events) if isinstance(event, TextDropped)), default=-1)
    heard.events = heard.events[last + 1 :]
    assert heard.text == reply.text
    return reply


async def fails(
    provider: Provider,
    api: str,
    heard: Heard,
    script: Script,
    says: str | None = None,
    turn: Turn = LOOKING,
    **options: Any,
) -> ModelUnavailable:
    """Return the error of an answer, which has these words and carries no other error."""
    provider.scripts = [script]
    async with talking(provider, api, **options) as model:
        with pytest.raises(ModelUnavailable, match=says) as caught:
            await model.respond(turn, heard)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    return caught.value


async def sent(provider: Provider, turn: Turn, api: str = "chat", model: str = "tiny") -> dict[str, Any]:
    """Return the request that is made for a turn."""
    provider.scripts.append(played(api, "Four"))
    async with talking(provider, api, model=model) as client:
        await client.respond(turn, Heard())
    return provider.requests[-1]


def items_of(reply: Reply, status: str = "ok") -> list[Item]:
    """Return a reply and the results of its calls, as items of the next turn."""
    text = [MessageItem("assistant", reply.text)] if reply.text else []
    results = [tool_result(call, status, 1) for call in reply.calls]
    return [ReasoningItem(reply.reasoning, reply.state), *text, *(call.item() for call in reply.calls), *results]
