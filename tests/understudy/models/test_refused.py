"""What a provider refuses for good is left out, and does not end its thread: over the three APIs."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anthropic  # noqa: F401 - half a second that belongs to no test
import openai  # noqa: F401 - the same
import pytest
from attrs import evolve

from tests.understudy.models import messages_api, responses
from tests.understudy.models.conftest import Heard
from tests.understudy.models.provider import Provider, Script, end_chunk, text_chunk
from tests.understudy.models.test_anthropic import talking as talking_messages
from tests.understudy.models.test_openai import talking as talking_responses
from tests.understudy.models.test_openai_chat import a_turn, talking
from understudy.models.anthropic_request import encode_state
from understudy.models.items import DocumentPart, FileCard, ImagePart, MessageItem, Origin, ProviderState, ReasoningItem
from understudy.models.model import Model, ModelUnavailable, Turn
from understudy.models.refused import REMEMBERED, RefusedParts, lightened
from understudy.models.resilient import ResilientModel

# The HTTP stack under these packages leaves its async generators to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai|anthropic):ResourceWarning"),
    pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms"),
]

PICTURE = ImagePart("f-1", "image/png", b"png")
PAPER = DocumentPart("f-2", "a.pdf", b"%PDF-")
CARDS = (FileCard("f-1", "tall.png"), FileCard("f-2", "a.pdf"))
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
SIGNED = {"type": "thinking", "thinking": "so", "signature": "c2ln"}
STATES = {
    "responses": ProviderState("openai-responses", "tiny", [SEALED, {"type": "message"}]),
    "messages": encode_state([SIGNED, {"type": "text", "text": "A tower."}], "tiny"),
    "chat": ProviderState("openai", "tiny", {"message": {"reasoning_content": "so"}, "calls": {}}),
}
TALKING: dict[str, Callable[..., AbstractAsyncContextManager[Model]]] = {
    "responses": talking_responses,
    "messages": talking_messages,
    "chat": talking,
}


def answer(api: str) -> Script:
    if api == "responses":
        return responses.script(responses.said("Four."), responses.end())
    if api == "messages":
        return Script(messages_api.message(messages_api.text(0, "Four.")), done=False)
    return Script([text_chunk("Four."), end_chunk("stop")])


def asked(api: str) -> Turn:
    """Return a turn after an answer with reasoning, to a message with a picture and a document."""
    items = (
        MessageItem("user", "What is it?", CARDS, (PICTURE,), (PAPER,)),
        ReasoningItem("so", STATES[api], Origin(run_id="r")),
        MessageItem("assistant", "A tower."),
        MessageItem("user", "How high?"),
    )
    return evolve(a_turn(), items=items)


REFUSALS = {
    "attachments": "image.source.base64: The image was specified using the image/jpeg media type, but is a PNG",
    "reasoning": "messages.1.content.0: Invalid `signature` in `thinking` block",
    "either": "Bad Request",
}
MARKS = {"attachments": ("image", "png"), "reasoning": ("gAAA", "c2ln", '"reasoning_content"')}


def has(request: dict[str, Any], what: str) -> bool:
    sent = str({name: value for name, value in request.items() if name in ("input", "messages")}).replace("'", '"')
    if what == "reasoning":
        return any(mark in sent for mark in MARKS[what])
    return any(mark in sent for mark in ('"input_image"', '"image"', '"image_url"'))


@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.parametrize("api", TALKING)
async def test_it_is_left_out_and_asked_once_more(provider: Provider, heard: Heard, api: str, what: str) -> None:
    error = {"type": "invalid_request_error", "message": REFUSALS[what]}
    provider.scripts = [Script(status=400, error=error), answer(api), answer(api)]
    async with TALKING[api](provider) as model:
        guarded = ResilientModel(model, "tiny")
        assert (await guarded.respond(asked(api), heard)).text == "Four."
        assert (await guarded.respond(asked(api), heard)).text == "Four.", "it is not sent again"
    first, second, third = provider.requests
    assert (has(first, "attachments"), has(first, "reasoning")) == (True, True)
    for each in (second, third):
        assert has(each, "attachments") == (what == "reasoning")
        assert has(each, "reasoning") == (what == "attachments")
        assert ("The file f-1 could not be shown to you" in str(each)) == (what != "reasoning")
    told = ["Left out, as the language model does not take it: tall.png, a.pdf"]
    assert heard.thoughts == ([] if what == "reasoning" else told)


@pytest.mark.parametrize("api", TALKING)
async def test_a_request_that_is_refused_all_the_same_fails(provider: Provider, heard: Heard, api: str) -> None:
    refusal = Script(status=400, error={"type": "invalid_request_error", "message": "no"})
    provider.scripts = [refusal, refusal, refusal]
    async with TALKING[api](provider) as model:
        guarded = ResilientModel(model, "tiny")
        with pytest.raises(ModelUnavailable, match="did not accept"):
            await guarded.respond(asked(api), heard)
        with pytest.raises(ModelUnavailable, match="did not accept"):
            await guarded.respond(a_turn(), heard)
    assert len(provider.requests) == 3, "without parts that can be left out it is asked once"


def test_what_is_remembered_is_bounded() -> None:
    parts = RefusedParts()
    turns = [
        evolve(a_turn(), items=(MessageItem("user", "?", (), (ImagePart(f"f-{n}", "image/png", b""),)),))
        for n in range(REMEMBERED + 1)
    ]
    for turn in turns:
        parts.remember(turn, lightened(turn, ""))
    assert parts.spare(turns[0]) is turns[0]
    assert all(parts.spare(turn) is not turn for turn in turns[1:])
