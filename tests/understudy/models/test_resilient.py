"""A provider behind retries and a circuit breaker."""

import re
from typing import Any

import pytest
import trio
from attrs import evolve

from actors.behaviours import CircuitChange, CircuitState
from tests.rigs.heard import Heard
from tests.understudy.models.stepping_model import GONE, REFUSED_KEY, SILENCE, TURN, Scripted
from understudy.models.faults import failure, read_error
from understudy.models.model import (
    MESSAGE_TOO_LONG,
    TOO_LONG,
    AgentCard,
    AttemptLost,
    CallItem,
    MessageItem,
    ModelFault,
    ModelUnavailable,
    Thought,
    ToolCard,
    ToolRequest,
    Usage,
    tool_result,
)
from understudy.models.resilient import UNREACHABLE, ResilientModel


async def ask(model: ResilientModel, heard: Heard) -> str:
    try:
        return (await model.respond(TURN, heard)).text
    except ModelUnavailable as error:
        return error.detail


async def test_it_is_asked_again_before_the_first_word(autojump_clock: object, heard: Heard) -> None:
    model, began = ResilientModel(Scripted(GONE, GONE, "Hello"), "m"), trio.current_time()
    assert await ask(model, heard) == heard.text == "Hello"
    assert 0.25 * 0.8 + 0.5 * 0.8 <= trio.current_time() - began <= 0.25 * 1.2 + 0.5 * 1.2
    assert (model.name, model.notice) == ("scripted", "A notice.")


BEGUN = [Thought("Next"), ModelUnavailable("lost", True, "lost", None, ModelFault.AWAY)]


@pytest.mark.parametrize(
    ("step", "times"),
    [
        (GONE, 3),
        (REFUSED_KEY, 1),
        (BEGUN, 1),
        (ModelUnavailable("busy", True, "wants long", 60.0), 1),
        (ModelUnavailable("busy", True, "wants a little", 2.0), 3),
    ],
)
async def test_not_everything_is_asked_again(autojump_clock: object, heard: Heard, step: Any, times: int) -> None:
    scripted = Scripted(step)
    error = step[-1] if isinstance(step, list) else step
    assert await ask(ResilientModel(scripted, "m"), heard) == error.detail
    assert scripted.asked == times


async def test_a_first_message_that_is_too_long_is_called_so(heard: Heard) -> None:
    """Where only the provider finds it: of one message there is no conversation."""
    errors = (ModelUnavailable(TOO_LONG, False, "400", None, ModelFault.TOO_LONG) for _ in range(2))
    model = ResilientModel(Scripted(*errors), "m")
    with pytest.raises(ModelUnavailable, match=re.escape(MESSAGE_TOO_LONG)):
        await model.respond(TURN, heard)
    with pytest.raises(ModelUnavailable, match=re.escape(TOO_LONG)):
        await model.respond(evolve(TURN, items=(*TURN.items, MessageItem("assistant", "Hi"), *TURN.items)), heard)


async def test_the_wait_that_a_provider_asks_for_is_kept(autojump_clock: object, heard: Heard) -> None:
    began = trio.current_time()
    await ask(ResilientModel(Scripted(ModelUnavailable("busy", True, "busy", 3.0), "Hello"), "m"), heard)
    assert trio.current_time() - began >= 3.0


async def test_five_failures_open_the_circuit(autojump_clock: object, heard: Heard) -> None:
    changes: list[CircuitChange] = []
    scripted = Scripted(GONE)
    model = ResilientModel(scripted, "m", changes.append)
    assert [await ask(model, heard) for _ in range(2)] == ["gone", "circuit open"]
    assert scripted.asked == 5
    assert [change.new for change in changes] == [CircuitState.OPEN]
    began = trio.current_time()
    with pytest.raises(ModelUnavailable) as caught:
        await model.respond(TURN, heard)
    assert (caught.value.message, caught.value.retryable) == (UNREACHABLE, True)
    assert 1.0 <= caught.value.retry_after_s <= 1.2
    assert (trio.current_time(), scripted.asked) == (began, 5)
    scripted.steps = ["Hello"]
    await trio.sleep(1.2)
    assert await ask(model, heard) == "Hello"
    assert model.breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize("step", [REFUSED_KEY, BEGUN, ModelUnavailable("no", True, "500", None, ModelFault.FAILED)])
async def test_a_provider_that_answers_is_not_away(autojump_clock: object, heard: Heard, step: Any) -> None:
    model = ResilientModel(Scripted(step), "m")
    for _ in range(10):
        await ask(model, heard)
    assert model.breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize(("step", "state"), [(["Hello", 9], CircuitState.CLOSED), (SILENCE, CircuitState.HALF_OPEN)])
async def test_the_first_word_is_enough_to_let_others_through(
    autojump_clock: object, heard: Heard, step: Any, state: CircuitState
) -> None:
    model = ResilientModel(Scripted(*[GONE] * 5, step, "Hello"), "m")
    for _ in range(2):
        await ask(model, heard)
    await trio.sleep(2)
    with trio.move_on_after(1):
        await ask(model, heard)
    assert model.breaker.state is state
    assert await ask(model, heard) == "Hello"


async def test_a_provider_that_hangs_leaves_time_for_the_other_attempts(autojump_clock: object, heard: Heard) -> None:
    scripted = Scripted(SILENCE, SILENCE, ["Hello", 9])
    with trio.fail_after(60):
        assert await ask(ResilientModel(scripted, "m"), heard) == "Hello"
    assert scripted.asked == 3


async def test_an_answer_that_is_lost_before_a_word_is_told(autojump_clock: object, heard: Heard) -> None:
    """Its provider had begun it: it has used the model, whatever becomes of the next one."""
    lost, away = ModelUnavailable("cut", True, "cut"), ModelUnavailable("gone", True, "gone")
    lost.used = Usage(7, 0, 1)
    await ask(ResilientModel(Scripted(lost, away, "Hello"), "m"), heard)
    assert [event.used for event in heard.events if isinstance(event, AttemptLost)] == [Usage(7, 0, 1)]
    heard.events.clear()
    assert await ask(ResilientModel(Scripted(lost), "m"), heard) == "cut"
    assert len(heard.events) == 3


def refusal(words: str) -> ModelUnavailable:
    return failure(read_error({"message": words}, 400), "Error")


REFUSALS = [
    "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 160.",
    "'tools' : maximum number of items is 128",
    "Maximum tools limit reached: 160, but 128 is the limit",
    "Too many tools: 160. The limit is 128.",
    "At most 128 function declarations are allowed",
]
TOOLS = tuple(ToolCard(f"t{n}") for n in range(160))


@pytest.mark.parametrize("words", REFUSALS)
async def test_tools_that_are_too_many_are_chosen_by_use(heard: Heard, words: str) -> None:
    """The agent's first ones, and those that the conversation has called; the model and its user are told."""
    called = (CallItem("c", "t150"), tool_result(ToolRequest("c", "t150", {}), "ok", 1))
    turn = evolve(TURN, agent=AgentCard("me", tools=TOOLS), tools=TOOLS, items=(*TURN.items, *called))
    scripted = Scripted(refusal(words), "Hello")
    model = ResilientModel(scripted, "m")
    assert [(await model.respond(turn, heard)).text for _ in range(2)] == ["Hello"] * 2
    assert [len(turn.tools) for turn in scripted.turns] == [160, 128, 128]
    assert scripted.turns[-1].tools == (*TOOLS[:127], TOOLS[150])
    assert "t127, t128" in scripted.turns[-1].notes[-1].content
    assert heard.thoughts == ["The language model takes 128 tools at most: some are left out"]


async def test_a_refusal_of_one_tool_leaves_none_out(heard: Heard) -> None:
    scripted = Scripted(refusal("tools[30].function.description is too long: maximum 64, got 90"))
    with pytest.raises(ModelUnavailable):
        await ResilientModel(scripted, "m").respond(evolve(TURN, tools=TOOLS), heard)
    assert scripted.asked == 1
