"""A run closes with what it has when its budget is spent, and says so."""

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, evolve

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.eager_agent import Eager, agent
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Gate, wait
from tests.rigs.serving import serving
from understudy import Agent, Budget, ToolContext, tool
from understudy.app.server import Running
from understudy.models.model import Emit, Handoff, Reply, TextDelta, ToolRequest, Turn
from understudy.wire.events import Usage

CALLS: list[str] = []
GATE = Gate()


async def end_of(serve: Any, which: Agent) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Let an agent answer a message. Return the last event, and all of the run."""
    running = await serve(which)
    async with connected(running.address) as client:
        end = await client.ask("go", agent_type="script")
        events = client.durable(end["run_id"])
    check_arc(events)
    return end, events


@pytest.mark.promise("wire.limit-budget")
async def test_the_last_turn_answers_with_what_there_is(serve: Any) -> None:
    """20 turns, more than any constant of the past; the model is told in its last ones, at the end of its input.

    What a provider is told of the agent, its tools and colleagues stays the same to the end.
    """
    model = Eager()
    end, events = await end_of(serve, evolve(agent(model, turns=20), colleagues=("content",)))
    assert [bool(turn.colleagues) for turn in model.turns] == [True] * 19 + [False]
    first = model.turns[0]
    assert all((turn.agent, turn.listed_colleagues) == (first.agent, first.colleagues) for turn in model.turns)
    assert first.settings.max_output == 8_192
    assert len(model.turns) == 20
    assert [bool(turn.tools) for turn in model.turns] == [True] * 19 + [False]
    assert [number for number, turn in enumerate(model.turns, 1) if turn.notes] == [19, 20]
    assert end["type"] == "final_response"
    assert end["data"]["message"] == "as far as I got\n\nStopped after 20 turns, the agent's budget."
    assert end["data"]["data"]["budget"]["ended_by"] == "turns"
    assert sum(event["type"] == "tool_executing" for event in events) == 19


async def test_calls_of_a_closing_turn_are_not_made(serve: Any) -> None:
    """The model, as some providers do, calls a tool although it was given none."""

    class Deaf(Eager):
        async def respond(self, turn: Turn, emit: Emit) -> Reply:
            self.turns.append(turn)
            return Reply("", (ToolRequest("c", "echo", {"text": f"{len(self.turns)}"}),))

    end, events = await end_of(serve, agent(Deaf(), turns=3))
    assert sum(event["type"] == "tool_executing" for event in events) == 2
    assert end["data"]["message"] == "Stopped after 3 turns, the agent's budget."


async def test_calls_beyond_the_budget_fail_and_the_run_closes(serve: Any) -> None:
    end, events = await end_of(serve, agent(Eager(calls=10), calls=12))
    statuses = [event["data"]["status"] for event in events if event["type"] == "tool_completed"]
    assert (statuses.count("ok"), statuses.count("failed")) == (12, 8)
    assert end["data"]["data"]["budget"] == {
        "ended_by": "calls", "limit": 12, "spent": 12, "message": "Stopped after 12 tool calls, the agent's budget.",
    }  # fmt: skip


async def test_more_calls_of_a_turn_than_may_work_at_once_are_queued(serve: Any) -> None:
    at_work, most, full = 0, 0, trio.Event()

    @tool(name="echo")
    async def busy(text: str) -> str:
        """Count how many work at once."""
        nonlocal at_work, most
        at_work, most = at_work + 1, max(most, at_work + 1)
        if at_work == 8:
            full.set()
        with trio.fail_after(60):
            await full.wait()
        await trio.sleep(0.05)  # time for one too many
        at_work -= 1
        return text

    _, events = await end_of(serve, evolve(agent(Eager(calls=70), turns=2), tools=(busy,)))
    completed = [event["data"] for event in events if event["type"] == "tool_completed"]
    assert [call["status"] for call in completed].count("ok") == 64
    assert {call["result_summary"] for call in completed if call["status"] == "failed"} == {
        "64 calls in one turn are the limit; make the others in the next turn."
    }
    assert most == 8


class Endless:
    name, notice = "endless", ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        while True:
            await emit(TextDelta("more "))
            await trio.sleep(0.01)


@pytest.mark.promise("wire.limit-budget")
async def test_time_of_work_ends_the_models_turn_with_what_was_written(
    serve_client: Any, clock: trio.testing.MockClock
) -> None:
    """The time passes once three words are shown, however long a busy machine takes for them."""
    async with serve_client(agent(Endless(), wall_s=10)) as client:
        await client.say("go", agent_type="script")
        while (shown := (await client.until("partial_result"))["data"])["offset"] + len(shown["text"]) < 15:
            pass
        clock.jump(10)
        end = await client.until_end()
        check_arc(client.durable(end["run_id"]))
    assert end["type"] == "final_response"
    assert end["data"]["message"].startswith("more more more ")
    assert end["data"]["message"].endswith("Stopped after 10 seconds of work, the agent's budget.")
    check_estimate(end["data"]["usage"], end["data"]["message"].partition("\n\n")[0])


def check_estimate(usage: dict[str, Any], text: str) -> None:
    """Check that the usage is an estimate, of an input with instructions, and of the text as output."""
    assert usage["turns"] == 1
    assert usage["input"] > 100
    assert 0.5 * len(text) < 3 * usage["output"] <= len(text) + 6
    assert usage["estimated"] == usage["input"] + usage["output"]


async def test_a_stopped_turn_counts_by_an_estimate(serve_guest: Any) -> None:
    """In the final event, and in the steps from which the day's spending is counted."""
    running, token = await serve_guest(agent(Endless()))
    async with connected(running.address, token) as client:
        run_id = (await client.ask("go", agent_type="script", until="partial_result"))["run_id"]
        await client.send({"type": "cancel", "payload": {"run_id": run_id}})
        end = await client.until_end()
    assert end["data"]["status"] == "cancelled"
    check_estimate(end["data"]["usage"], end["data"]["message"])
    assert (await state_of(running, token, run_id))["usage"] == end["data"]["usage"]


@define
class Handing:
    to: str
    name: str = "handing"
    notice: str = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        return Reply(handoff=Handoff(self.to, "theirs"), usage=Usage(10, 5, 1))


def handing(*models: Any) -> list[Agent]:
    names = ("script", "second", "third")
    return [
        Agent(name, tools=[held, wait], model=model, colleagues=names[at : at + 1], budget=Budget(turns=6))
        for at, (name, model) in enumerate(zip(names, models, strict=True), 1)
    ]


async def test_a_cancelled_run_has_used_what_each_of_its_agents_has(serve_client: Any) -> None:
    async with serve_client(*handing(Handing("second"), Handing("third"), Eager(tool="wait"))) as client:
        run_id = (await client.ask("go", agent_type="script", until="tool_executing"))["run_id"]
        await client.send({"type": "cancel", "payload": {"run_id": run_id}})
        end = await client.until_end()
        completed = [event["data"] for event in client.durable() if event["type"] == "agent_completed"]
    assert [ended["usage"]["turns"] for ended in completed] == [1, 1, 0]
    assert end["data"]["usage"] == {"input": 30, "output": 15, "turns": 3}


@tool(retry_safe=True)
async def held(context: ToolContext) -> str:
    """Wait in the third call for ever, until `GATE` is opened."""
    CALLS.append(context.call_id)
    if len(CALLS) >= 3:
        await GATE.opened.wait()
    return context.call_id


async def resumed(tmp_path: Path, agents: list[Agent]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Stop the server while the third call is held, and start it again. Return the ended run and its events."""
    for attempt in range(2):
        GATE.opened = trio.Event()
        if attempt:
            GATE.opened.set()  # before the tool waits: it does so in a loop of its own
        async with serving(tmp_path, *agents, grace_s=0.2) as running:
            if not attempt:
                token = await new_token(running)
                body = b'{"message": "go", "agent": "script"}'
                _, _, run = await request(running.address, "POST", "/api/runs", token=token, body=body)
                with trio.fail_after(60):
                    while len(CALLS) < 3:  # noqa: ASYNC110 - the tool runs in the server
                        await trio.sleep(0.01)
            else:
                with trio.fail_after(60):
                    while not (state := await state_of(running, token, run["run_id"]))["ended_at"]:  # noqa: ASYNC110
                        await trio.sleep(0.01)
                path = f"/api/runs/{run['run_id']}/events"
                log = await get(running, path, token)
    return state, log["events"]


async def test_a_resumed_run_counts_its_turns_once_after_handoffs(tmp_path: Path) -> None:
    CALLS.clear()
    state, events = await resumed(tmp_path, handing(Handing("second"), Handing("third"), Eager(tool="held")))
    used = [event["data"]["usage"] for event in events if event["type"] in ("agent_completed", "final_response")]
    assert [usage["turns"] for usage in used] == [1, 1, 4, 6]
    assert used[-1] == state["usage"] == {"input": 60, "output": 30, "turns": 6}


async def state_of(running: Running, token: str, run_id: str) -> dict[str, Any]:
    return dict(await get(running, f"/api/runs/{run_id}", token))
