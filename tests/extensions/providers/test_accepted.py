"""How a request that a server does not take is asked again, by its words in `refusals.toml`: over the three APIs."""

import json
from contextlib import nullcontext
from typing import Any

import pytest
from attrs import evolve

from tests.rigs.heard import Heard
from tests.rigs.model_apis import fails, played, talking
from tests.rigs.model_provider import Provider, Script
from tests.rigs.model_turns import LOOKUP, OVER_SDK, a_turn
from tests.rigs.refusals import REFUSALS
from understudy.models.items import CallItem, MessageItem, ProviderState, ReasoningItem, ResultItem
from understudy.models.model import ModelSettings, ModelUnavailable, OutputFormat, Turn

pytestmark = OVER_SDK

ASKED, ANSWERED = MessageItem("user", "Where is it?"), MessageItem("assistant", "Away.")
STATE = ProviderState("openai", "tiny", {"message": {"reasoning_content": "so"}, "calls": {}})
WORK = (ReasoningItem("so", STATE), CallItem("c", "lookup", {}), ResultItem("c", "lookup", "ok", "found"))
PLAIN = evolve(a_turn(), settings=ModelSettings("low", 0.5, 8_192, "required", parallel_calls=False))
FORM = OutputFormat("parcel", {"type": "object", "properties": {"carrier": {"type": "string"}}})
TURNS = {
    "plain": PLAIN,
    "hard": evolve(PLAIN, settings=ModelSettings("xhigh")),
    "tools": evolve(PLAIN, tools=(LOOKUP,)),
    "worked": evolve(PLAIN, tools=(LOOKUP,), items=(ASKED, *WORK)),
    "foreign": evolve(PLAIN, items=(ASKED, ReasoningItem("so"), *WORK[1:], ANSWERED, ASKED)),  # of another model
    "typed": evolve(PLAIN, output=FORM),
    "partial": evolve(PLAIN, partial_text="Hel"),
}


def is_right(sent: dict[str, Any], change: str, field: str) -> bool:
    if change == "roles":
        return [message["role"] for message in sent["messages"]] == field.split()
    return (field in json.dumps(sent, separators=(",", ":"))) is (change == "holds")


@pytest.mark.parametrize("row", REFUSALS["refusals"], ids=lambda row: f"{row[0]}: {row[3]}"[:80])
async def test_a_request_is_asked_again_as_its_server_takes_it(
    provider: Provider, heard: Heard, caplog: pytest.LogCaptureFixture, row: list[Any]
) -> None:
    """It is refused once, and logged once; later requests have the accepted form."""
    api, turn, status, error, change, field = row
    refusal = Script([{"error": error}], done=False) if status == 200 else Script(status=status, error=error)
    provider.scripts = [refusal, played(api, "Four."), played(api, "Four.")]
    async with talking(provider, api) as model:
        for _ in range(2):
            assert (await model.respond(TURNS[turn], heard)).text == "Four."
    first, second, third = provider.requests
    assert [is_right(request, change, field) for request in (first, second)] == [False, True]
    assert is_right(third, change, field) or "context" in str(error), "the room of one reply is not that of the next"
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["model.field_refused"]


async def test_the_form_of_an_answer_is_said_in_words_at_last(provider: Provider, heard: Heard) -> None:
    refusal = Script(status=400, error={"message": "response_format is not available"})
    provider.scripts = [refusal, refusal, played("chat", "Four.")]
    async with talking(provider) as model:
        await model.respond(TURNS["typed"], heard)
    forms = [request.get("response_format", {}).get("type") for request in provider.requests]
    assert forms == ["json_schema", "json_object", None]


@pytest.mark.parametrize(
    ("words", "turn", "field"),
    [
        ("`temperature` is not supported", PLAIN, "temperature"),
        ("reasoning_content is wrong", TURNS["foreign"], "reasoning_content"),
    ],
)
async def test_what_did_not_help_is_not_remembered(
    provider: Provider, heard: Heard, words: str, turn: Turn, field: str
) -> None:
    provider.scripts = [*(Script(status=400, error={"message": text}) for text in (words, "no")), played("chat", "4")]
    async with talking(provider) as model:
        with pytest.raises(ModelUnavailable, match="did not accept"):
            await model.respond(turn, heard)
        await model.respond(turn, heard)
    first, second, third = (f'"{field}":' in json.dumps(body, separators=(",", ":")) for body in provider.requests)
    assert first is third is not second


async def test_a_wrong_value_is_not_left_out(provider: Provider, heard: Heard) -> None:
    wrong = {"message": "no", "param": "temperature", "code": "decimal_above_max_value"}
    await fails(provider, "chat", heard, Script(status=400, error=wrong), "did not accept", PLAIN)


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ("the available context size (4096 tokens), try increasing it", (4_096, 8_192)),
        ("prompt is too long: 208310 tokens > 100000 maximum", (100_000, 8_192)),
        ("This model's maximum context length is 9000 tokens, and you requested 9100 output tokens", (9_000, 2_250)),
        ("prompt is too long", (128_000, 8_192)),
    ],
)
async def test_a_window_that_a_server_names_is_known_from_then_on(
    provider: Provider, heard: Heard, words: str, limits: tuple[int, int]
) -> None:
    """A request that asks for a shorter reply may still be accepted."""
    provider.scripts = [Script(status=400, error={"message": words}), played("chat", "Four.")]
    async with talking(provider) as model:
        with nullcontext() if "output" in words else pytest.raises(ModelUnavailable, match="too long"):
            await model.respond(PLAIN, heard)
        assert (model.limits.window_tokens, model.limits.max_output) == limits
