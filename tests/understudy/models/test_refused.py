"""What a provider refuses for good is left out, and does not end its thread: over the three APIs."""

import json
from typing import Any

import pytest
from attrs import evolve

from actors import Backoff
from actors.behaviours import Retry
from tests.rigs.heard import Heard
from tests.rigs.model_apis import played, talking
from tests.rigs.model_provider import Provider, Script
from tests.rigs.model_turns import OVER_SDK, a_turn
from understudy.extensions.anthropic.request import encode_state
from understudy.models import resilient
from understudy.models.items import (
    CallItem,
    DocumentPart,
    FileCard,
    ImagePart,
    Item,
    MessageItem,
    NoteItem,
    Origin,
    ProviderState,
    ReasoningItem,
    ResultItem,
)
from understudy.models.model import ModelFault, ModelUnavailable, Turn
from understudy.models.refused import NO_RESULT, REMEMBERED, RefusedParts, lighter
from understudy.models.resilient import ResilientModel

pytestmark = OVER_SDK

PICTURE = ImagePart("f-1", "image/png", b"png")
PAPER = DocumentPart("f-2", "a.pdf", b"%PDF-")
CARDS = (FileCard("f-1", "tall.png"), FileCard("f-2", "a.pdf"))
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
SIGNED = {"type": "thinking", "thinking": "so", "signature": "c2ln"}
STATES = {
    "responses": ProviderState("openai-responses", "tiny", [SEALED, {"type": "message"}]),
    "messages": encode_state([SIGNED, {"type": "text", "text": "A tower."}], "tiny", []),
    "chat": ProviderState("openai", "tiny", {"message": {"reasoning_content": "so"}, "calls": {}}),
}


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
MARKS = {
    "attachments": ('"input_image"', '"image"', '"image_url"'),
    "reasoning": ("gAAA", "c2ln", '"reasoning_content"'),
}


def has(request: dict[str, Any], what: str) -> bool:
    return any(mark in json.dumps(request.get("input") or request["messages"]) for mark in MARKS[what])


@pytest.mark.parametrize("what", REFUSALS)
async def test_it_is_left_out_and_asked_once_more(provider: Provider, heard: Heard, api: str, what: str) -> None:
    error = {"type": "invalid_request_error", "message": REFUSALS[what]}
    provider.scripts = [Script(status=400, error=error), played(api, "Four."), played(api, "Four.")]
    async with talking(provider, api) as model:
        guarded = ResilientModel(model, "tiny")
        assert (await guarded.respond(asked(api), heard)).text == "Four."
        assert (await guarded.respond(asked(api), heard)).text == "Four.", "it is not sent again"
    first, second, third = provider.requests
    assert (has(first, "attachments"), has(first, "reasoning")) == (True, True)
    for body in (second, third):
        assert has(body, "attachments") == (what == "reasoning")
        assert has(body, "reasoning") == (what == "attachments")
        assert ("The file f-1 could not be shown to you" in str(body)) == (what != "reasoning")
    thoughts = ["Left out, as the language model does not take it: tall.png, a.pdf"]
    assert heard.thoughts == ([] if what == "reasoning" else thoughts)


async def test_a_request_that_is_refused_all_the_same_fails(provider: Provider, heard: Heard, api: str) -> None:
    provider.scripts = [Script(status=400, error={"type": "invalid_request_error", "message": "no"})] * 4
    async with talking(provider, api) as model:
        guarded = ResilientModel(model, "tiny")
        with pytest.raises(ModelUnavailable, match="did not accept"):
            await guarded.respond(asked(api), heard)
        assert len(provider.requests) == 3, "whole, without what can be left out, and with the newest message alone"
        with pytest.raises(ModelUnavailable, match="did not accept"):
            await guarded.respond(a_turn(), heard)
    assert len(provider.requests) == 4, "without parts that can be left out it is asked once"


FIRST, SECOND = Origin("m-1", "r-1"), Origin("m-2", "r-2")
TOLD = (MessageItem("user", "Good", origin=FIRST), MessageItem("assistant", "Yes.", origin=FIRST))
UNANSWERED = (
    MessageItem("user", "Bad", origin=SECOND),
    CallItem("c-1", "lookup", {}, SECOND),
    ResultItem("c-1", "lookup", "ok", "found", SECOND),
    NoteItem("This answer ended with an error.", SECOND),
)
NEWEST = (MessageItem("user", "And now?", origin=Origin("m-3", "r-3")),)
WORK = (CallItem("c-2", "lookup", {}), ResultItem("c-2", "lookup", "ok", "bad words"))
SHUT = (NEWEST[0], WORK[0], evolve(WORK[1], content=NO_RESULT))


@pytest.mark.parametrize(
    ("fault", "items", "expected"),
    [
        (ModelFault.FILTERED, (*TOLD, *NEWEST), [NEWEST]),
        (ModelFault.FILTERED, (*TOLD, *UNANSWERED, *NEWEST), [(*TOLD, *NEWEST), NEWEST]),
        (ModelFault.REFUSED, (*TOLD, *UNANSWERED, *NEWEST), [(*TOLD, *NEWEST), NEWEST]),
        (ModelFault.FILTERED, (*TOLD, *NEWEST, *WORK), [(*TOLD, *SHUT), SHUT]),
        (ModelFault.FAILED, (*TOLD, *UNANSWERED, *NEWEST, *WORK), [(*TOLD, *NEWEST, *WORK)]),
        (ModelFault.FAILED, (*TOLD, *NEWEST), []),
        (ModelFault.TOO_LONG, (*TOLD, *UNANSWERED, *NEWEST), []),
        (ModelFault.KEY, (*TOLD, *UNANSWERED, *NEWEST), []),
    ],
)
def test_the_likeliest_is_left_out_first(
    fault: ModelFault, items: tuple[Item, ...], expected: list[tuple[Item, ...]]
) -> None:
    made = lighter(evolve(a_turn(), items=items), ModelUnavailable("no", fault=fault))
    assert [turn.items for turn in made] == expected


@pytest.mark.parametrize(("status", "words"), [(400, "content_filter"), (500, "oops")])
async def test_a_message_that_is_never_taken_does_not_end_its_thread(
    provider: Provider, heard: Heard, monkeypatch: pytest.MonkeyPatch, api: str, status: int, words: str
) -> None:
    monkeypatch.setattr(resilient, "RETRY", Retry(2, Backoff(min_s=0.01, max_s=0.02), (ModelUnavailable,)))
    refusal = Script(status=status, error={"type": "error", "message": words, "code": words})
    refusals = [refusal] * {400: 1, 500: 2}[status]
    provider.scripts = [*refusals, played(api, "Four."), played(api, "Four.")]
    turn = evolve(a_turn(), items=(*TOLD, *UNANSWERED, *NEWEST))
    async with talking(provider, api) as model:
        guarded = ResilientModel(model, "tiny")
        for _ in range(2):
            assert (await guarded.respond(turn, heard)).text == "Four."
    sent = [str(request) for request in provider.requests]
    assert ["Bad" in body for body in sent] == [True] * len(refusals) + [False, False]
    assert all("Good" in body for body in sent)
    assert heard.thoughts == ["Left out, as the language model does not take it: an earlier message"]


def test_the_memory_of_refused_parts_is_bounded() -> None:
    parts = RefusedParts()
    turns = [
        evolve(a_turn(), items=(MessageItem("user", "?", (), (ImagePart(f"f-{n}", "image/png", b""),)),))
        for n in range(REMEMBERED + 1)
    ]
    for turn in turns:
        parts.remember(turn, lighter(turn, ModelUnavailable("no", fault=ModelFault.REFUSED))[0])
    assert parts.spare(turns[0]) is turns[0]
    assert all(parts.spare(turn) is not turn for turn in turns[1:])
