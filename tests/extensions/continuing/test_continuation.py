"""Answers that were cut are gone on with from their text, without a word or a call twice; others are not."""

from collections import Counter
from collections.abc import Callable

import pytest
import trio
import trio.lowlevel

from tests.rigs.stopped_run import newest_run, shown, stopped_when
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy import Agent, AgentTurn, Budget, tool
from understudy.extensions.providers.answer import CUT
from understudy.models.model import Emit, MessageItem, ModelUnavailable, Reply, TextDelta, ToolRequest, Turn
from understudy.testing import AgentRun, AgentSession, Call, NotAnswered, Say, ScriptedModel, open_session
from understudy.wire.commands import Continue, Regenerate
from understudy.wire.events import (
    AgentCompleted,
    ApprovalRequired,
    FinalResponse,
    MessageAccepted,
    QuestionAsked,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
)

MADE: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    MADE.clear()


@tool(retry_safe=True)
async def look(word: str) -> str:
    """Look a word up."""
    MADE[word] += 1
    return f"{word} is a plant"


@tool
async def send(city: str) -> str:
    """Send a parcel, which takes for ever the first time."""
    MADE[city] += 1
    if MADE[city] == 1:
        await trio.sleep_forever()
    return f"sent to {city}"


@tool(approval=True)
async def pay(amount: int) -> str:
    """Pay an amount."""
    MADE["pay"] += 1
    return f"{amount} paid"


class CutModel:
    """Is cut after a few words of its answer, once; `ending` says how. Then it says the rest, or all of it."""

    name = "cut"
    notice = "A script for tests."
    text = "One two three four five six seven eight nine."

    def __init__(self, ending: Callable[[], object], *, begins_anew: bool = False, calls: str = "") -> None:
        self.ending, self.begins_anew, self.calls = ending, begins_anew, calls
        self.turns: list[Turn] = []
        self.hangs = False

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.turns.append(turn)
        if self.calls and turn.rounds == 0:
            await emit(TextDelta("Let me see."))
            return Reply("Let me see.", calls=(ToolRequest("c1", "look", {"word": self.calls}),))
        if sum(earlier.rounds == turn.rounds for earlier in self.turns) == 1:
            for word in self.text.split()[:4]:
                await emit(TextDelta(f"{word} "))
            ended = self.ending()
            if isinstance(ended, Reply):
                await emit(TextDelta(ended.cut))
                return ended
            self.hangs = True
            await trio.sleep_forever()
        remainder = self.text if self.begins_anew else self.text.removeprefix(turn.partial_text)
        await emit(TextDelta(remainder))
        return Reply(remainder)


def loses_connection() -> None:
    raise ModelUnavailable("The connection to the language model was lost.", True, "lost")


@pytest.mark.promise("wire.continue")
@pytest.mark.parametrize("begins_anew", [False, True], ids=["prefix", "anew"])
async def test_an_answer_that_lost_its_model_goes_on_from_its_text(begins_anew: bool) -> None:
    model = CutModel(loses_connection, begins_anew=begins_anew, calls="oak")
    async with open_session(Agent("guide", model=model, tools=[look])) as session:
        cut = await session.say("Count.")
        assert cut.error is not None
        assert cut.of(AgentCompleted)[-1].result == "Let me see.\n\nOne two three four "
        continued = await session.continue_answer(cut)
        assert continued.text == shown(continued) == f"Let me see.\n\n{CutModel.text}"
        assert model.turns[-1].partial_text == "One two three four "
        assert MADE == {"oak": 1}
        assert (continued.calls, continued.status) == ((), RunStatus.SUCCESS)
        accepted = continued.of(MessageAccepted)[0]
        assert (accepted.continues, accepted.branch_of) == (cut.of(MessageAccepted)[0].run_id, accepted.message_id)
        assert len(continued.of(FinalResponse)) == 1
        await session.say("And now?")
        contents = [item.content for item in model.turns[-1].items if isinstance(item, MessageItem)]
        assert contents == ["Count.", "Let me see.", CutModel.text, "And now?", "Let me see."]


async def test_an_answer_that_was_cut_by_its_time_goes_on() -> None:
    """The continuation has as much time as the run had."""
    model = CutModel(lambda: None)
    async with open_session(Agent("guide", model=model, timeout_s=3)) as session:
        cut = await session.say("Count.")
        assert cut.error.code == "agent_timeout"
        assert (await session.continue_answer(cut)).text == CutModel.text


async def test_an_answer_that_its_user_stopped_goes_on() -> None:
    model = CutModel(lambda: None)
    async with open_session(Agent("guide", model=model)) as session:
        cut = await stopped_when(session, "Count.", lambda: model.hangs)
        assert cut.status is RunStatus.CANCELLED
        continued = await session.continue_answer(cut)
        assert continued.text == shown(continued) == CutModel.text


async def test_a_model_that_reached_its_limit_goes_on_without_the_note() -> None:
    model = CutModel(lambda: Reply("One two three four " + CUT, cut=CUT))
    async with open_session(Agent("guide", model=model)) as session:
        cut = await session.say("Count.")
        assert (cut.data, cut.text) == ({"cut": {"by": "length"}}, "One two three four " + CUT)
        continued = await session.continue_answer(cut)
        assert (continued.text, continued.data) == (CutModel.text, None)


class Counting:
    """Looks one word up after the other, and says how many it has seen when it may call no more."""

    name = "counting"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if turn.tools and sum(MADE.values()) < 4:
            word = f"w{sum(MADE.values())}"
            return Reply(calls=(ToolRequest("c", "look", {"word": word}),))
        text = f"I saw {sum(MADE.values())}."
        await emit(TextDelta(text))
        return Reply(text)


async def test_a_spent_budget_is_given_anew_to_the_run_that_goes_on() -> None:
    async with open_session(Agent("guide", model=Counting(), tools=[look], budget=Budget(turns=3))) as session:
        cut = await session.say("Look them up.")
        assert cut.data["budget"]["ended_by"] == "turns"
        more = await session.continue_answer(cut)
        assert more.text.startswith("I saw 2.\n\nI saw 4.")
        assert "Stopped after" not in more.text.partition("I saw 4.")[0]
        assert MADE == {"w0": 1, "w1": 1, "w2": 1, "w3": 1}
        assert len(more.calls) == 2


def calling(name: str, **arguments: object) -> ScriptedModel:
    return ScriptedModel(Call([(name, arguments)]), Say("Done."))


@pytest.mark.parametrize(("choice", "count"), [("happened", 1), ("again", 2)])
async def test_a_call_that_was_stopped_is_settled_first(choice: str, count: int) -> None:
    async with open_session(Agent("guide", model=calling("send", city="Ulm"), tools=[send])) as session:
        cut = await stopped_when(session, "Send it.", lambda: MADE["Ulm"] == 1)
        run = await session.continue_answer(cut, answers=[{"choice": choice}])
        assert (run.text, MADE["Ulm"]) == ("Done.", count)
        assert [question.title for question in run.of(QuestionAsked)] == ["Did send take effect?"]
        assert [call.call_id for call in run.of(ToolExecuting)] == [call.call_id for call in run.of(ToolCompleted)]
        assert len(run.of(ToolCompleted)) == 1


async def test_a_call_that_waited_for_its_user_asks_again() -> None:
    """It has not run when its run is stopped: there is nothing to settle."""
    async with open_session(Agent("guide", model=calling("pay", amount=3), tools=[pay])) as session:
        with pytest.raises(NotAnswered):
            await session.say("Pay.")
        run_id = await newest_run(session)
        await session.cancel(run_id)
        await ended(session, run_id)
        continued = await session.continue_answer(run_id, approve=True)
        assert (continued.text, MADE["pay"], continued.of(QuestionAsked)) == ("Done.", 1, [])
        assert len(continued.of(ApprovalRequired)) == 1


async def count_slowly(turn: AgentTurn) -> None:
    """Say four things, and hang before the last one the first time."""
    start = await turn.step("begin", begin)
    await turn.say(f"{start}, two, ")
    await turn.call("look", word="elm")
    await turn.say("three, ")
    MADE["said"] += 1
    if MADE["said"] == 1:
        await trio.sleep_forever()
    await turn.say("four.")


async def begin() -> str:
    MADE["begin"] += 1
    return "one"


async def test_a_hand_written_agent_repeats_itself_and_goes_on() -> None:
    agent = Agent("guide", run=count_slowly, tools=[look], timeout_s=1.0)
    async with open_session(agent) as session:
        cut = await session.say("Count.")
        assert cut.error is not None
        continued = await session.continue_answer(cut)
        assert continued.text == shown(continued) == "one, two, \n\nthree, four."
        assert (MADE["begin"], MADE["elm"], MADE["said"]) == (1, 1, 2)


@pytest.mark.promise("wire.continue", "wire.error-not-continuable")
async def test_a_run_is_continued_once_whoever_asks() -> None:
    async with open_session(Agent("guide", model=CutModel(loses_connection))) as session:
        cut = await session.say("Count.")
        run_id = cut.of(MessageAccepted)[0].run_id
        continued = await session.continue_answer(cut)
        dispatch = session._context.chat.commands.dispatch
        again = await dispatch(session.identity, Continue(run_id), None)
        assert again.run_id == continued.of(MessageAccepted)[0].run_id
        for identity, name, code in (
            (session.identity, again.run_id, "not_continuable"),
            (session.identity, "nothing", "not_found"),
            (Identity("eve", "s"), run_id, "not_found"),
        ):
            with pytest.raises(CommandRejected) as refused:
                await dispatch(identity, Continue(name), None)
            assert refused.value.code == code


async def test_a_continuation_that_is_stopped_before_it_begins_keeps_the_text() -> None:
    async with open_session(Agent("guide", model=CutModel(loses_connection))) as session:
        cut = await session.say("Count.")
        runs: list[AgentRun] = []

        async def go_on() -> None:
            runs.append(await session.continue_answer(cut))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(go_on)
            with trio.fail_after(60):
                while (run_id := await newest_run(session)) == cut.of(MessageAccepted)[0].run_id:
                    await trio.lowlevel.checkpoint()
                await session.cancel(run_id)
        assert runs[0].text.startswith("One two three four")


async def test_a_message_is_answered_again_from_a_call_on() -> None:
    """The turn that asked for the call is taken over, the call is made again; a call of another run is refused."""
    model = ScriptedModel(*(Call([("look", {"word": word})]) for word in ("w0", "w1")), Say("Done."))
    async with open_session(Agent("guide", model=model, tools=[look])) as session:
        first = await session.say("Look.")
        again = [event.call_id for event in first.of(ToolExecuting)]
        message_id = first.of(MessageAccepted)[0].message_id
        dispatch = session._context.chat.commands.dispatch
        began = await dispatch(session.identity, Regenerate(message_id, "again", call_id=again[1]), None)
        await ended(session, began.run_id)
        assert MADE == {"w0": 1, "w1": 2}
        assert [turn.rounds for turn in model.inputs] == [0, 1, 2, 2]
        other = await session.say("And again.", thread_id="other")
        call = other.of(ToolExecuting)[0].call_id
        with pytest.raises(CommandRejected, match="no tool call of that name"):
            await dispatch(session.identity, Regenerate(message_id, call_id=call), None)


async def ended(session: AgentSession, run_id: str) -> None:
    with trio.fail_after(60):
        while (run := await session._context.store.run(run_id)) and run.ended_at is None:  # noqa: ASYNC110
            await trio.sleep(0.01)
