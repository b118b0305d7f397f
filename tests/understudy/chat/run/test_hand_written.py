"""Hand-written agents: recorded like models, replayed in order, on whichever commit they are interrupted."""

from collections import Counter
from functools import partial
from typing import Any

import pytest
import trio
from attrs import frozen

from tests.rigs.played_run import WORDS, Recorded, Thinking, again, ask, once, played, published
from understudy import Agent, AgentTurn, Budget, ToolError, tool
from understudy.chat.answer import stream
from understudy.chat.run import hand_written
from understudy.models.model import Reply, Turn
from understudy.testing import Call, Say, ScriptedModel, run_agent

DONE: Counter[str] = Counter()


async def fetch(name: str) -> dict[str, str]:
    """Do something that is recorded as a step."""
    DONE[name] += 1
    return {"found": name}


async def work(turn: AgentTurn) -> None:
    """Do one of everything, and some of it twice."""
    await turn.think("I begin")
    await turn.say("First this. ")
    result = await turn.step("fetch", fetch, "a")
    await turn.call("again", text=result["found"])
    await turn.step("fetch", fetch, "b")
    reply = await turn.ask_model("Which tools?", tools=["ask"])
    for call in reply.calls:
        await turn.call(call.name, **call.arguments)
    await turn.say("Then that. ")
    await turn.ask_model("Say it.", say=True)


class Answering(Thinking):
    """Wants one call if it has tools, and speaks without."""

    async def respond(self, turn: Turn, emit: object) -> Reply:
        DONE["model"] += 1
        self.turns = (Call([("ask", {"text": "z"})]),) if turn.tools else (Say(WORDS),)
        return await super().respond(turn, emit)  # type: ignore[arg-type]


async def together(turn: AgentTurn) -> None:
    """Call and take steps in a nursery, between texts."""
    await turn.say("At once. ")
    results: dict[str, object] = {}

    async def call_and_step(name: str) -> None:
        results[name] = await turn.call("again", text=name)
        await turn.step(f"then {name}", fetch, name)

    async def step_and_call() -> None:
        await turn.step("look", fetch, "a")
        results["b"] = await turn.call("ask", text="b")

    async with trio.open_nursery() as nursery:
        for name in ("x", "y", "z"):
            nursery.start_soon(call_and_step, name)
        nursery.start_soon(step_and_call)
    await turn.think("Now I know")
    await turn.say(f"Found {results['x']}{results['y']}{results['z']}{results['b']}. ")
    await turn.step("last", fetch, "last")
    await turn.ask_model("Say it.", say=True)


async def first(turn: AgentTurn) -> None:
    """Hand over after a step."""
    await turn.say("Not mine. ")
    await turn.step("look", fetch, "look")
    await turn.handoff("b", "it knows")


STORIES = {
    "work": [Agent("a", tools=[again, ask, once], model=Answering(Say("")), run=work)],
    "together": [Agent("a", tools=[again, ask], model=Answering(Say("")), run=together)],
    "handoff": [
        Agent("a", colleagues=["b"], model=Answering(Say("")), run=first),
        Agent("b", tools=[again, ask], model=Answering(Say("")), run=work),
    ],
}


@pytest.mark.parametrize("story", STORIES)
async def test_a_function_that_is_cut_at_any_commit_goes_on_to_the_same_end(
    story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    agents = STORIES[story]
    DONE.clear()
    whole = await played(agents)
    made = DONE.copy()
    assert made["a"] == 1
    assert made["model"] == (1 if story == "together" else 2)
    for number in range(len(whole.cuts)):
        cuts = whole.cuts[:number]
        steps = Recorded(whole.services, cuts).steps
        DONE.clear()
        resumed = await played(agents, cuts)
        assert published(resumed.events) == published(whole.events)
        assert resumed.screen == whole.screen
        recorded = Counter(step.kind for step in steps)
        assert sum(DONE.values()) - DONE["model"] == sum(made.values()) - made["model"] - recorded["step"]
        assert DONE["model"] == made["model"] - recorded["ask"]


async def other(turn: AgentTurn) -> None:
    """Do something else than `work`."""
    await turn.step("search", fetch, "c")


async def test_a_function_that_takes_another_way_on_replay_fails_and_names_both(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_written, "REPLAY_S", 0.05)
    whole = await played(STORIES["work"])
    cut = next(n for n, moment in enumerate(whole.cuts) if any(step.kind == "step" for step in moment.steps))
    changed = [Agent("a", tools=[again], model=Answering(Say("")), run=other)]
    DONE.clear()
    with pytest.raises(AssertionError):  # the run crashes: its conversation would end it
        await played(changed, whole.cuts[: cut + 1])
    record = next(record for record in caplog.records if record.message == "run.replay_mismatch")
    assert (vars(record)["recorded"], vars(record)["asked"]) == ("step fetch", "step search")
    assert not DONE


@frozen
class Place:
    """Where?"""

    city: str


@tool
async def refuse() -> str:
    """Refuse."""
    raise ToolError("not_found", "There is none.")


async def test_a_function_asks_its_user_and_handles_a_call_that_fails() -> None:
    async def run(turn: AgentTurn) -> None:
        place = await turn.ask(Place)
        try:
            await turn.call("refuse")
        except ToolError as error:
            await turn.say(f"{place.city}: {error.message} {turn.message}")

    ended = await run_agent(Agent("a", tools=[refuse], run=run), "hello", answers=[{"city": "Graz"}])
    assert ended.text == "Graz: There is none. hello"


async def test_a_spent_budget_closes_the_function_with_what_it_has() -> None:
    async def run(turn: AgentTurn) -> None:
        while True:
            await turn.say("Once more. ")
            await turn.ask_model("?")

    ended = await run_agent(Agent("a", run=run, model=ScriptedModel(Say("no")), budget=Budget(turns=2)), "go")
    assert ended.text.startswith("Once more. Once more. Once more.")
    assert ended.data == {"budget": {"ended_by": "turns", "limit": 2, "spent": 2, "message": ended.text[33:].strip()}}


async def test_an_error_of_the_function_is_an_agent_failed() -> None:
    async def run(turn: AgentTurn) -> None:
        await turn.say("So far. ")
        raise LookupError("a bug")

    ended = await run_agent(Agent("a", run=run), "go")
    assert (ended.error.code, "bug" in ended.error.message) == ("agent_failed", False)


async def test_a_function_for_asyncio_runs_as_such() -> None:
    async def run(turn: AgentTurn) -> None:
        import asyncio

        await asyncio.sleep(0)
        await turn.say(await turn.step("name", lambda: asyncio.sleep(0, "as asyncio")))

    assert (await run_agent(Agent("a", run=run), "go")).text == "as asyncio"


async def test_a_call_that_the_function_stops_waiting_for_is_ended() -> None:
    """Its run ends all the same, and so do the calls that a nursery cuts when one of its tasks fails."""

    @tool
    async def slow() -> str:
        """Take long."""
        await trio.sleep_forever()
        return ""

    async def run(turn: AgentTurn) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(turn.call, "slow")
                nursery.start_soon(turn.call, "refuse")
        except* ToolError:
            await turn.say("One was refused.")

    ended = await run_agent(Agent("a", tools=[slow, refuse], run=run), "go")
    assert ended.text == "One was refused."
    assert {call.tool: call.status for call in ended.calls} == {"slow": "killed", "refuse": "failed"}


@pytest.mark.parametrize("wrong", ["text", "names"])
async def test_steps_that_could_not_be_replayed_are_refused(wrong: str, caplog: Any) -> None:
    async def run(turn: AgentTurn) -> None:
        async with trio.open_nursery() as nursery:
            if wrong == "names":
                for _ in range(2):
                    nursery.start_soon(turn.step, "same", trio.sleep, 0.01)
            else:
                nursery.start_soon(partial(turn.call, "again", text="x"))
                nursery.start_soon(partial(turn.call, "wait"))
                await at_work.wait()
                await turn.say("Meanwhile")

    at_work = trio.Event()

    @tool
    async def wait() -> str:
        """Take longer than the function waits before it speaks."""
        at_work.set()
        await trio.sleep(hand_written.CUT_S + 1.5)
        return ""

    await run_agent(Agent("a", tools=[again, wait], run=run), "go")  # the next attempt may succeed
    sentence = "two steps called 'same' at the same time" if wrong == "names" else "say while a call is at work"
    assert sentence in caplog.text
