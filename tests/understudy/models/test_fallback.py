"""A chain of models, of which the next one goes on when one does not answer."""

import pytest
import trio

from tests.rigs.heard import Heard
from tests.rigs.model_turns import OVER_SDK
from tests.understudy.models.stepping_model import GONE, REFUSED_KEY, SILENCE, TURN, Scripted
from understudy.models.fallback import REST_S, FallbackModel
from understudy.models.model import Model, ModelChanged, ModelFault, ModelLimits, ModelUnavailable, TextDropped
from understudy.models.providers import UnknownModel
from understudy.models.registry import Models
from understudy.models.resilient import ResilientModel

pytestmark = OVER_SDK

CUT = ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")


def chain_of(first: Scripted, second: Model) -> FallbackModel:
    return FallbackModel([ResilientModel(first, "a"), second], ["openai:a", "anthropic:b"])


def changes(heard: Heard) -> list[str]:
    return [event.message for event in heard.events if isinstance(event, ModelChanged)]


async def test_the_next_one_goes_on_when_retries_are_used_up(autojump_clock: object, heard: Heard) -> None:
    away = Scripted(GONE)
    chain = chain_of(away, ResilientModel(Scripted("Hello"), "b"))
    assert (await chain.respond(TURN, heard)).text == heard.text == "Hello"
    assert changes(heard) == ["openai:a did not answer; anthropic:b goes on."]
    assert (away.asked, chain.name) == (3, "scripted")
    await chain.respond(TURN, heard)
    assert (away.asked, len(changes(heard))) == (3, 2)
    await trio.sleep(REST_S)
    away.steps = ["Back"]
    assert (await chain.respond(TURN, heard)).text == "Back"
    assert len(changes(heard)) == 2


@pytest.mark.parametrize("dropped", [[], ["let me see", TextDropped()]])
async def test_text_of_a_model_stays_and_the_next_one_continues_it(
    autojump_clock: object, heard: Heard, dropped: list[object]
) -> None:
    halting, here = Scripted([*dropped, "Northmail is", CUT]), Scripted(" the carrier.")
    assert (await chain_of(halting, here).respond(TURN, heard)).text == "Northmail is the carrier."
    assert here.turns[0].partial_text == "Northmail is"
    assert halting.asked == 1


async def test_a_silent_model_is_asked_once_and_leaves_time_for_the_next(autojump_clock: object, heard: Heard) -> None:
    silent, began = Scripted(SILENCE), trio.current_time()
    with trio.fail_after(60):
        assert (await chain_of(silent, Scripted("Hello")).respond(TURN, heard)).text == "Hello"
    assert silent.asked == 1
    assert trio.current_time() - began <= 30


async def test_an_answer_that_has_begun_has_all_the_time_of_its_run(autojump_clock: object, heard: Heard) -> None:
    with trio.fail_after(3600):
        reply = await chain_of(Scripted([100, "word "] * 30), ResilientModel(Scripted("no"), "b")).respond(TURN, heard)
    assert reply.text == heard.text == "word " * 30


async def test_a_refused_key_is_no_reason_to_rest(autojump_clock: object, heard: Heard) -> None:
    refused = Scripted(REFUSED_KEY)
    chain = chain_of(refused, Scripted("Hello"))
    for times in (1, 2):
        assert (await chain.respond(TURN, heard)).text == "Hello"
        assert refused.asked == times


async def test_if_none_answers_the_last_failure_is_the_chains(autojump_clock: object, heard: Heard) -> None:
    first, last = Scripted(GONE), Scripted(ModelUnavailable("busy", True, "busy", None, ModelFault.BUSY))
    chain = FallbackModel([first, last], ["openai:a", "anthropic:b"])
    for times in (1, 2):
        with pytest.raises(ModelUnavailable, match="busy"):
            await chain.respond(TURN, heard)
        assert (first.asked, last.asked) == (times, times)


async def test_a_chain_is_named_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its models are those of their names, with the breakers of these; the input must fit into each of them."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    models = Models("openai:a, anthropic:b, offline", 50.0, limits=ModelLimits(9_000, 1_000))
    chain = models.of(None)
    assert isinstance(chain, FallbackModel)
    assert chain.names == ("openai:a", "anthropic:b", "offline")
    assert chain.models[0] is models.of("openai:a")
    assert len(models.breakers) == 2
    assert chain.limits == ModelLimits(9_000, 1_000)
    for wrong in ("offline,", "offline, offline", "offline, elsewhere:x"):
        with pytest.raises(UnknownModel):
            models.of(wrong)
    await models.aclose()
