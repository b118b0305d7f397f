"""Events of a model are published whole, an empty answer is asked for once more, and lost ones are counted.

What waits is in virtual time: the log and the renderer take as long as their callers wait for them.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from actors import ActorSystem, ChildSpec, Restart
from tests.rigs.agent_run import FakeServices, Idle, LogOfRun, one_permit
from transport.wire.events import Event, PartialResult
from understudy import AgentTurn, Emit, Reply, TextDelta, ToolRequest, Turn, tool
from understudy.agents.agent import Agent
from understudy.agents.budget import Budget
from understudy.chat.answer.stream import MAX_ANSWER, PAUSE_S
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.thread_log import TURN_S
from understudy.chat.messages import Begin, RunRequest
from understudy.chat.run.meter import usage_of
from understudy.chat.run.run import Run
from understudy.chat.run.turn import PUBLISH_S
from understudy.chat.run_state.state import RunState
from understudy.models.model import AttemptLost, ModelUnavailable, ReasoningDelta
from understudy.storage.limits import Limits
from understudy.storage.records import StepRecord
from understudy.testing import open_session, run_agent
from understudy.wire.events import MessageAccepted, Usage

LASTS_S = TURN_S
"""The reasoning before the piece is recorded."""
WALL_S = 1000.0


@define(eq=False)
class SlowLog(LogOfRun):
    """A log that commits only when the run is about to give up."""

    async def append(self, live: ActiveRun, events: Sequence[Event], *, steps: Sequence[StepRecord]) -> None:
        await trio.sleep(TURN_S)
        await super().append(live, events, steps=steps)


@define
class Slow:
    """A model whose last piece has everything to wait for. It comes `left_s` before the time of the turn ends."""

    ends: float
    left_s: float
    name: str = "slow"
    notice: str = ""
    lasted_s: float = 0.0
    published: trio.Event = field(factory=trio.Event)

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        await emit(TextDelta("One.\n\n"))
        await trio.sleep_until(self.ends - self.left_s - 2 * PAUSE_S)
        await emit(TextDelta("Two"))  # held back, and released after the pause
        await emit(ReasoningDelta("And now"))
        await trio.sleep(2 * PAUSE_S)
        began = trio.current_time()
        try:
            await emit(TextDelta(".\n\nThree.\n\n"))
            self.published.set()
        finally:
            self.lasted_s = trio.current_time() - began
        return await trio.sleep_forever()


@pytest.mark.parametrize("left_s", [1.0, LASTS_S - 1.0, PUBLISH_S + 1.0])
async def test_a_piece_is_published_whole_whenever_the_time_ends(autojump_clock: MockClock, left_s: float) -> None:
    """The deadline is moved away from a piece only if it is nearer than `PUBLISH_S`, so no piece may take longer."""
    log = SlowLog(trio.current_time(), RunState("r"))
    log.state.apply(MessageAccepted("m", "r", "go"))
    model = Slow(trio.current_time() + WALL_S, left_s)
    agent = Agent("slow", model=model, budget=Budget(wall_s=WALL_S), timeout_s=2 * WALL_S)
    limiter = one_permit()
    log.services = FakeServices({agent.name: agent}, Limits(), limiter)
    request = RunRequest("r", "ada", "t", "m", "go", (), agent.name)
    async with ActorSystem("s", [ChildSpec("conversation", Idle, restart=Restart.TEMPORARY)]) as system:
        limiter.acquire("r", "ada", system.root.children()[0])
        spec = ChildSpec("run", lambda: Run(log.of_run(request, agent)), restart=Restart.TEMPORARY)
        run = await system.spawn(spec)
        run.tell(Begin())
        with trio.move_on_after(2 * WALL_S):
            await model.published.wait()
        run.tell("end")
    assert model.published.is_set()
    assert LASTS_S <= model.lasted_s <= PUBLISH_S


@tool(retry_safe=True)
async def look() -> str:
    """Look."""
    return "seen"


@define
class Replies:
    """A model that gives these replies, or raises them, one a request; before the last it has `lost` some."""

    replies: list[Reply | ModelUnavailable]
    lost: tuple[Usage, ...] = ()
    name: str = "replies"
    notice: str = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        for usage in () if len(self.replies) > 1 else self.lost:
            await emit(AttemptLost(usage))
        reply = self.replies.pop(0)
        if isinstance(reply, ModelUnavailable):
            raise reply
        if reply.text:
            await emit(TextDelta(reply.text))
        return reply


LOOK = Reply(calls=(ToolRequest("c", "look", {}),))


@pytest.mark.parametrize(
    ("replies", "text"),
    [
        ([LOOK, Reply(), Reply("Seen.")], "Seen."),
        ([LOOK, Reply(), Reply(" ")], None),
        ([LOOK, Reply("\u00a0\n"), Reply("\u200b")], None),
        ([evolve(LOOK, text="I looked: seen."), Reply(), Reply()], "I looked: seen."),
        ([Reply(), Reply()], None),
    ],
)
async def test_an_empty_answer_is_asked_for_once_more(replies: list[Any], text: str | None) -> None:
    """Then it is no success, unless an answer was given beside the calls."""
    run = await run_agent(Agent("x", model=Replies([*replies]), tools=[look]), "Look")
    if text is None:
        assert "gave an empty answer" in run.error.message
    else:
        assert (run.text, run.error) == (text, None)


@pytest.mark.parametrize("last", [Reply("Seen.", usage=Usage(10, 1, 1)), ModelUnavailable("It is away.", False)])
async def test_answers_that_are_lost_before_a_word_are_counted(last: Reply | ModelUnavailable) -> None:
    """As far as their provider had counted, or else by an estimate, also if the run fails."""
    model = Replies([last], (Usage(500, 20, 1), Usage(turns=1), Usage(turns=1)))
    async with open_session(Agent("x", model=model)) as session:
        await session.say("Look")
        (run,) = (await session._context.store.runs(session.identity.user, limit=1)).items
        used = [counted for step in await session._context.store.steps(run.id) if (counted := usage_of(step))]
    usage = sum(used, Usage())
    assert usage.estimated > 0
    assert usage.input == 500 + usage.estimated + (10 if isinstance(last, Reply) else 0)


class Whole:
    """Emits nothing of what it says."""

    name, notice = "whole", ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        return Reply("There it is.")


async def test_a_text_of_which_no_piece_was_emitted_is_shown() -> None:
    assert (await run_agent(Agent("x", model=Whole()), "go")).text == "There it is."


@define
class Endless:
    """Says a letter `size` times in each piece, until it is stopped."""

    size: int
    name: str = "endless"
    notice: str = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        while True:
            await emit(TextDelta("x" * self.size))


async def _says_too_much(turn: AgentTurn) -> None:
    await turn.say("x" * (MAX_ANSWER + 1))


@pytest.mark.parametrize("size", [MAX_ANSWER // 4, 30 * MAX_ANSWER, None])
async def test_an_answer_without_end_is_ended(size: int | None) -> None:
    done = await run_agent(Agent("x", run=_says_too_much) if size is None else Agent("x", model=Endless(size)), "go")
    assert (done.error.code, done.error.message) == ("agent_failed", "The answer is longer than 1,000,000 characters.")
    assert sum(len(event.text) for event in done.of(PartialResult)) <= MAX_ANSWER


@define
class Nursed:
    """Fails in a nursery of its own, as the model or the function of an agent."""

    errors: Sequence[Exception]
    name: str = "nursed"
    notice: str = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        raise ExceptionGroup("of a nursery", self.errors)

    async def run(self, turn: AgentTurn) -> None:
        raise ExceptionGroup("of a nursery", [ExceptionGroup("of another", self.errors)])


@pytest.mark.parametrize("kind", ["model", "run"])
async def test_a_failure_in_a_nursery_is_a_failure_as_without_it(kind: str) -> None:
    away = Nursed([ModelUnavailable("It is away.", True), ModelUnavailable("It is too.", True)])
    done = await run_agent(Agent("x", model=away) if kind == "model" else Agent("x", run=away.run), "go")
    assert (done.error.code, done.error.message) == ("model_unavailable", "It is away.")


async def test_a_crash_beside_a_failure_is_a_crash() -> None:
    done = await run_agent(Agent("x", model=Nursed([ModelUnavailable("It is away.", True), ValueError("no")])), "go")
    assert done.error.code == "agent_failed"
