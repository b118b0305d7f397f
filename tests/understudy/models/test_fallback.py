"""A chain of models, of which the next one goes on when one does not answer."""

import anthropic  # noqa: F401 - half a second that belongs to no test
import openai  # noqa: F401 - the same
import pytest
import trio

from tests.understudy.models.conftest import Heard
from tests.understudy.models.test_resilient import GONE, TURN, Scripted
from understudy.models.fallback import REST_S, FallbackModel
from understudy.models.model import (
    Emit,
    ModelChanged,
    ModelLimits,
    ModelUnavailable,
    Reply,
    TextDelta,
    TextDropped,
    Turn,
)
from understudy.models.registry import Models, UnknownModel
from understudy.models.resilient import ResilientModel

CUT = ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")


class Halting:
    """A model that says a part of its answer and then breaks, or hangs."""

    name, notice = "halting", ""

    def __init__(self, text: str, error: ModelUnavailable | None) -> None:
        self.text, self.error = text, error
        self.asked: list[Turn] = []

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Emit the text, if there is one, and break or hang."""
        self.asked.append(turn)
        if self.text:
            await emit(TextDelta(self.text))
        if self.error is None:
            await trio.sleep_forever()
        assert self.error is not None
        raise self.error


class Going(Scripted):
    """A model that answers, and keeps what it was asked."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.turns: list[Turn] = []

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer."""
        self.turns.append(turn)
        return await super().respond(turn, emit)


def changes(heard: Heard) -> list[str]:
    return [each.message for each in heard.events if isinstance(each, ModelChanged)]


async def test_the_next_one_goes_on_when_retries_are_used_up(autojump_clock: object, heard: Heard) -> None:
    """It is told once, and the model that failed rests for a while, also for the next turns."""
    away, here = Scripted(GONE), Going("Hello")
    chain = FallbackModel([ResilientModel(away, "a"), ResilientModel(here, "b")], ["openai:a", "anthropic:b"])
    assert (await chain.respond(TURN, heard)).text == heard.text == "Hello"
    assert changes(heard) == ["openai:a did not answer; anthropic:b goes on."]
    assert (away.asked, chain.name) == (3, "scripted")
    await chain.respond(TURN, heard)
    assert (away.asked, len(changes(heard))) == (3, 2)
    await trio.sleep(REST_S)
    away.steps = ["Back"]
    assert (await chain.respond(TURN, heard)).text == "Back"
    assert len(changes(heard)) == 2


async def test_what_was_said_stays_and_is_gone_on_with(autojump_clock: object, heard: Heard) -> None:
    here = Going(" the carrier.")
    halting = Halting("Northmail is", CUT)
    chain = FallbackModel([ResilientModel(halting, "a"), here], ["openai:a", "offline"])
    reply = await chain.respond(TURN, heard)
    assert reply.text == heard.text == "Northmail is the carrier."
    assert here.turns[0].partial_text == "Northmail is"
    assert len(halting.asked) == 1


async def test_a_silent_model_is_asked_once_and_leaves_time_for_the_next(autojump_clock: object, heard: Heard) -> None:
    """Within the time of the run. Alone it would be asked three times."""
    silent = Halting("", None)
    began = trio.current_time()
    with trio.fail_after(60):
        chain = FallbackModel([ResilientModel(silent, "a"), Going("Hello")], ["openai:a", "offline"])
        assert (await chain.respond(TURN, heard)).text == "Hello"
    assert len(silent.asked) == 1
    assert trio.current_time() - began <= 30


async def test_a_refused_key_is_no_reason_to_rest(autojump_clock: object, heard: Heard) -> None:
    """Nor is it retried; the next one answers."""
    refused = Scripted(ModelUnavailable("refused", False, "a refused key"))
    chain = FallbackModel([ResilientModel(refused, "a"), Going("Hello")], ["openai:a", "offline"])
    for asked in (1, 2):
        assert (await chain.respond(TURN, heard)).text == "Hello"
        assert refused.asked == asked


async def test_if_none_answers_the_last_failure_is_the_chains(autojump_clock: object, heard: Heard) -> None:
    """And all are asked again next time."""
    first, last = Scripted(GONE), Scripted(ModelUnavailable("busy", True, "busy"))
    chain = FallbackModel([first, last], ["openai:a", "anthropic:b"])
    for asked in (1, 2):
        with pytest.raises(ModelUnavailable, match="busy"):
            await chain.respond(TURN, heard)
        assert (first.asked, last.asked) == (asked, asked)


@pytest.mark.blocking("the providers' packages build their clients, for some hundred ms each")
async def test_a_chain_is_named_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its models are those of their names, with the breakers of these; the input must fit into each of them."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    models = Models("openai:a, anthropic:b, offline", 50.0, limits=ModelLimits(9_000, 1_000))
    chain = models.of(None)
    assert isinstance(chain, FallbackModel)
    assert chain.names == ("openai:a", "anthropic:b", "offline")
    assert chain.models[0] is models.of("openai:a")
    assert len(models.breakers()) == 2
    assert chain.limits == ModelLimits(9_000, 1_000)
    for wrong in ("offline,", "offline, offline", "offline, elsewhere:x"):
        with pytest.raises(UnknownModel):
            models.of(wrong)
    await models.aclose()


async def test_text_that_was_none_is_not_gone_on_with(heard: Heard) -> None:
    """The next model is not given the reasoning that the failed one had written as text."""

    class Dropping(Halting):
        async def respond(self, turn: Turn, emit: Emit) -> Reply:
            await emit(TextDelta("let me see"))
            await emit(TextDropped())
            return await super().respond(turn, emit)

    here = Going("lo")
    chain = FallbackModel([Dropping("Hel", GONE), here], ["a", "b"])
    assert (await chain.respond(TURN, heard)).text == "Hello"
    assert here.turns[0].partial_text == "Hel"
