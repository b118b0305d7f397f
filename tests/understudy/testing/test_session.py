"""Agents run by the testing kit, as a developer's own tests do it."""

import re
from typing import Annotated

import pytest
import trio
import trio.testing
from attrs import frozen

from transport.wire.errors import CommandRejected
from understudy import Agent, Param, Starter, ToolContext, ToolError, tool
from understudy.models.model import CallItem, Emit, Reply, TextDelta, Turn
from understudy.testing import Call, Hand, NotAnswered, Raise, Say, ScriptedModel, open_session, run_agent
from understudy.wire.events import AgentHandoff, AgentThinking, RunStatus, ToolStatus

KEY = "ghp_" + "a1B2c3D4" * 4 + "e5F6"


@tool
async def lookup(order_id: Annotated[str, Param("An order's number.")]) -> dict[str, str]:
    """Look up an order and say where it is."""
    if order_id != "A-17":
        raise ToolError("not_found", f"There is no order {order_id}.")
    return {"order_id": order_id, "carrier": "northmail"}


@tool(approval=True)
def refund(order_id: str) -> str:
    """Pay an order back."""
    return f"{order_id} was paid back"


@tool
async def first_line(context: ToolContext) -> str:
    """Read the first line of the attached file."""
    return (await trio.Path((await context.files.get(context.references[0])).path).read_text()).splitlines()[0]


@frozen
class Delivery:
    """Where and when to deliver."""

    street: str


@tool
async def deliver(context: ToolContext) -> str:
    """Deliver an order; the user is asked where to."""
    answer = await context.ask(Delivery)
    return f"to {answer.street}"


async def test_a_run_tells_its_answer_calls_events_and_usage() -> None:
    model = ScriptedModel(Call([("lookup", {"order_id": "A-17"})]), Say("It is with northmail."))
    run = await run_agent(Agent("support", tools=[lookup], model=model), "Where is A-17?")
    assert (run.text, run.status, run.agent, run.error) == ("It is with northmail.", RunStatus.SUCCESS, "support", None)
    (call,) = run.calls
    assert (call.tool, call.arguments, call.status) == ("lookup", {"order_id": "A-17"}, ToolStatus.OK)
    assert call.result == {"order_id": "A-17", "carrier": "northmail"}
    assert [event.thought for event in run.of(AgentThinking)] == ["Calling lookup"]
    assert run.usage.output == 4
    assert [item.name for item in model.inputs[-1].items if isinstance(item, CallItem)] == ["lookup"]


@pytest.mark.parametrize("tools", [["lookup"] * 40, ["refund", "lookup", "lookup", "refund", "lookup"]])
async def test_calls_of_one_reply_begin_in_its_order(tools: list[str]) -> None:
    """Also if there are more than run at once, or some wait for their user first."""
    made = [(name, {"order_id": f"B-{number}"}) for number, name in enumerate(tools)]
    model = ScriptedModel(Call(made), Say("Done."))
    run = await run_agent(Agent("support", tools=[lookup, refund], model=model), "go", approve=True)
    assert [(call.tool, call.arguments) for call in run.calls] == made


async def test_a_starter_makes_its_call_without_a_model() -> None:
    starter = Starter("Look up order A-17", "lookup", {"order_id": "A-17"})
    run = await run_agent(Agent("support", tools=[lookup], starters=[starter]), "Look up order A-17")
    assert [call.arguments for call in run.calls] == [{"order_id": "A-17"}]
    assert "northmail" in run.text


async def test_a_failed_run_has_an_error_and_a_failed_call_its_reason() -> None:
    model = ScriptedModel(Call([("lookup", {"order_id": "Z"})]), Raise(ValueError()))
    run = await run_agent(Agent("support", tools=[lookup], model=model), "go")
    assert (run.text, run.status) == ("", RunStatus.FAILED)
    assert run.error.code == "agent_failed"
    assert run.calls[0].status is ToolStatus.FAILED
    assert run.calls[0].result["error"]["message"] == "There is no order Z."


@pytest.mark.parametrize(("approve", "status"), [(True, ToolStatus.OK), (False, ToolStatus.DENIED)])
async def test_a_test_decides_about_calls_that_need_approval(approve: bool, status: ToolStatus) -> None:
    agent = Agent("support", tools=[refund], model=ScriptedModel(Call([("refund", {"order_id": "A-17"})]), Say("done")))
    run = await run_agent(
        agent, "Pay it back", approve=lambda required: approve and required.parameters["order_id"] == "A-17"
    )
    assert [call.status for call in run.calls] == [status]


async def test_a_test_changes_the_parameters_of_a_call_that_it_allows() -> None:
    agent = Agent("support", tools=[refund], model=ScriptedModel(Call([("refund", {"order_id": "A-17"})]), Say("done")))
    run = await run_agent(agent, "go", approve=lambda required: {"order_id": "A-18"})
    assert run.calls[0].result == "A-18 was paid back"


async def test_an_approval_that_the_test_forgot_is_an_error_that_names_the_tool() -> None:
    agent = Agent("support", tools=[refund], model=ScriptedModel(Call([("refund", {"order_id": "A-17"})]), Say("done")))
    with pytest.raises(NotAnswered, match="refund waits for approval"):
        await run_agent(agent, "Pay it back")


async def test_a_test_answers_what_a_tool_asks() -> None:
    agent = Agent("support", tools=[deliver], model=ScriptedModel(Call([("deliver", {})]), Say("done")))
    assert (await run_agent(agent, "go", answers=[{"street": "Elm Street"}])).calls[0].result == "to Elm Street"
    assert (await run_agent(agent, "go", answers=[None])).calls[0].status is not ToolStatus.OK
    with pytest.raises(NotAnswered, match="has no answer"):
        await run_agent(agent, "go")


async def test_a_session_goes_on_with_the_messages_before() -> None:
    model = ScriptedModel(Call([("first_line", {})]), Say("read"))
    other = Agent("other", model=ScriptedModel(Say("me")))
    async with open_session(Agent("reader", tools=[first_line], model=model), other) as session:
        assert (await session.say("Read it", files={"a.txt": b"one\ntwo"})).calls[0].result == "one"
        await session.say("And now?", files={"b.txt": b"three"})
        prompt = " ".join(item.content for item in model.inputs[-2].items if not isinstance(item, CallItem))
        assert "Read it" in prompt
        assert (await session.say("You?", agent="other", thread_id="elsewhere")).text == "me"


async def test_handoffs_and_permissions_are_those_of_a_server() -> None:
    front = Agent("front", model=ScriptedModel(Hand("desk"), Say("no")), colleagues=["desk"])
    desk = Agent("desk", model=ScriptedModel(Say("from the desk")), allow=["group:support"])
    run = await run_agent(front, "go", others=[desk], groups=["support"])
    assert (run.text, run.agent, len(run.of(AgentHandoff))) == ("from the desk", "desk", 1)
    assert not (await run_agent(front, "go", others=[desk])).of(AgentHandoff)
    with pytest.raises(CommandRejected, match="Unknown agent_type: desk"):
        await run_agent(desk, "go")


async def test_secrets_are_redacted_as_on_a_server() -> None:
    model = ScriptedModel(Say("noted"))
    await run_agent(Agent("support", model=model), f"Keep {KEY}")
    prompt = " ".join(item.content for item in model.inputs[0].items if not isinstance(item, CallItem))
    assert "Keep" in prompt
    assert KEY not in prompt


async def test_a_run_that_does_not_end_is_an_error_with_its_events(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.rate = 1.0

    @tool(timeout_s=600)
    async def wait() -> str:
        """Wait."""
        await trio.testing.wait_all_tasks_blocked()  # its event has arrived
        mock_clock.jump(60)
        await trio.sleep_forever()
        return ""

    agent = Agent("slow", tools=[wait], model=ScriptedModel(Call([("wait", {})])))
    with pytest.raises(trio.TooSlowError) as late:
        await run_agent(agent, "go", timeout_s=60)
    assert re.search(r"message_accepted, agent_started, .*tool_executing", late.value.__notes__[0])


def test_a_run_needs_no_test_framework() -> None:
    assert trio.run(run_agent, Agent("a", model=ScriptedModel(Say("hello"))), "hi").text == "hello"


class Titling:
    """Answers, makes titles, and knows what it was asked for."""

    name = "titling"
    notice = ""
    titles = True

    def __init__(self) -> None:
        self.purposes: list[str] = []

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.purposes.append(turn.purpose)
        await emit(TextDelta(turn.purpose))
        return Reply(turn.purpose)


@pytest.mark.parametrize("titles", [False, True])
async def test_no_model_is_asked_for_a_title_unless_a_test_wants_it(titles: bool) -> None:
    """A recorded run would have that request or not, as the test ends sooner or later."""
    model = Titling()
    async with open_session(Agent("titled", model=model), titles=titles) as session:
        with trio.fail_after(60):
            while len(model.purposes) < 3:
                await session.say("Hello")
    assert ("title" in model.purposes) is titles
