"""The protocol arc of a run over a real socket, also when a tool or a model fails."""

from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve, frozen

from tests.end_to_end.chat_client import check_arc, connected
from tests.end_to_end.http import request
from tests.end_to_end.scripted_model import Call, Gate, Hand, Raise, Say, scripted
from transport.connection.limits import Limits
from understudy import Agent
from understudy.models.model import ModelUnavailable


@frozen
class Parcel:
    """The answer of an agent with an output type."""

    carrier: str


REQUIRED = {
    "message_accepted": {"message_id", "run_id", "content"},
    "agent_started": {"agent_id", "message", "timestamp"},
    "agent_thinking": {"agent_id", "thought", "timestamp"},
    "tool_executing": {"call_id", "tool_name", "parameters", "description", "timestamp"},
    "tool_completed": {"call_id", "tool_name", "result", "result_summary", "status", "duration_ms", "timestamp"},
    "partial_result": {"text", "offset"},
    "agent_completed": {"agent_id", "result", "status", "usage", "timestamp"},
    "final_response": {"message", "status", "usage"},
}


async def run(serve: Any, agent: Agent, content: str = "go") -> list[dict[str, Any]]:
    """Serve the agent, send a message, and return all events of the run."""
    running = await serve(agent)
    async with connected(running.address) as client:
        await client.say(content, agent_type=agent.name)
        await client.until_end()
        check_arc(client.durable())
        return client.seen[1:]


def completed(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the data of the run's tool_completed."""
    return next(event["data"] for event in events if event["type"] == "tool_completed")


@pytest.mark.promise(
    "wire.event-message-accepted",
    "wire.event-agent-started",
    "wire.event-agent-thinking",
    "wire.event-tool-executing",
    "wire.event-tool-completed",
    "wire.event-agent-completed",
    "wire.event-final-response",
    "wire.arc-order",
)
async def test_a_run_shows_every_step_with_its_required_fields(serve: Any) -> None:
    """Accepted, started, thinking, tool, answer in pieces, completed, final: in this order, with all fields."""
    agent = scripted(Call([("echo", {"text": "hello"})]), Say("It said hello"))
    events = await run(serve, agent)
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == list(REQUIRED)
    for event in events:
        assert REQUIRED[event["type"]] <= event["data"].keys()
    assert completed(events) | {"result": "hello", "status": "ok"} == completed(events)
    text = "".join(event["data"]["text"] for event in events if event["type"] == "partial_result")
    assert text == events[-1]["data"]["message"] == "It said hello "


@pytest.mark.promise("wire.event-partial-result")
async def test_pieces_of_the_answer_carry_the_number_of_characters_before_them(serve: Any) -> None:
    """Offsets continue across two turns of the model that both stream text."""
    events = await run(serve, scripted(Say("one two three four")))
    position = 0
    for event in events:
        if event["type"] == "partial_result":
            assert event["data"]["offset"] == position
            position += len(event["data"]["text"])
    assert position == len(events[-1]["data"]["message"])


@pytest.mark.promise("wire.arc-tools-paired", "wire.error-of-a-tool")
@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("refuse", "failed", "The oven is cold."),
        ("crash", "failed", "The tool failed."),
        ("hang", "timed_out", "stopped after 0.2 s"),
        ("block", "timed_out", "stopped after 0.2 s"),
        ("missing", "failed", "no tool “missing”"),
    ],
)
async def test_a_tool_that_misbehaves_is_a_result_and_the_run_goes_on(
    serve: Any, name: str, status: str, words: str
) -> None:
    events = await run(serve, scripted(Call([(name, {})]), Say("That did not work")))
    assert completed(events)["status"] == status
    assert words in completed(events)["result_summary"]
    assert events[-1]["data"]["message"] == "That did not work "


async def test_a_tool_that_the_model_made_up_is_no_label_of_a_metric(serve: Any) -> None:
    """Its name is the model's own words: the call counts under `other`, that of a real tool under its name."""
    agent = scripted(Call([("invented-by-the-model", {}), ("echo", {"text": "a"})]), Say("Hm"))
    running = await serve(agent)
    async with connected(running.address) as client:
        await client.say("go", agent_type=agent.name)
        await client.until_end()
    _, _, metrics = await request(running.address, "GET", "/metrics")
    assert "invented" not in metrics
    assert 'understudy_tool_calls_total{status="failed",tool="other"} 1.0' in metrics
    assert 'understudy_tool_calls_total{status="ok",tool="echo"} 1.0' in metrics


@pytest.mark.promise("wire.error-no-insides", "owasp.errors")
async def test_a_broken_tool_shows_an_error_id_and_nothing_of_its_code(serve: Any) -> None:
    """The user gets an id to name; the exception's own words stay in the log."""
    events = await run(serve, scripted(Call([("crash", {})]), Say("Hm")))
    assert "secret-detail" not in str(events)
    assert "Traceback" not in str(events)
    assert "(error " in completed(events)["result_summary"]


@pytest.mark.promise("wire.error-of-a-tool")
async def test_wrong_arguments_are_named(serve: Any) -> None:
    """A wrong argument fails the call with its own code; the sentence names the parameter."""
    events = await run(serve, scripted(Call([("echo", {"text": 5})]), Say("Hm")))
    assert completed(events)["result"]["error"]["code"] == "invalid_arguments"
    assert "text" in completed(events)["result_summary"]


@pytest.mark.promise("wire.arc-tools-paired")
async def test_several_calls_of_one_turn_run_side_by_side_and_each_is_paired(serve: Any) -> None:
    """One that hangs does not hold up the others, and each pair has its own id."""
    calls = [("echo", {"text": "a"}), ("hang", {}), ("echo", {"text": "b"})]
    events = await run(serve, scripted(Call(calls), Say("Done")))
    ended = [event["data"] for event in events if event["type"] == "tool_completed"]
    assert [data["tool_name"] for data in ended] == ["echo", "echo", "hang"]
    assert len({data["call_id"] for data in ended}) == 3


async def test_more_calls_than_allowed_are_refused_with_a_word(serve: Any) -> None:
    """A model cannot flood the server with calls: the 65th of a turn is refused, and still paired."""
    events = await run(serve, scripted(Call([("echo", {"text": "x"})] * 65), Say("Done")))
    statuses = [event["data"]["status"] for event in events if event["type"] == "tool_completed"]
    assert sorted(statuses) == ["failed"] + ["ok"] * 64


async def test_a_model_that_never_stops_calling_ends_in_words(serve: Any) -> None:
    """A script that only calls tools still comes to an end, which is no success, as it has said nothing."""
    events = await run(serve, scripted(Call([("echo", {"text": "again"})])))
    assert (events[-1]["type"], events[-1]["data"]["code"]) == ("error", "agent_failed")
    assert events[-1]["data"]["message"].startswith("Stopped: echo was called 4 times")


@pytest.mark.promise("wire.event-agent-handoff", "wire.arc-agents-paired")
async def test_a_handoff_ends_one_agent_and_starts_the_next(serve: Any) -> None:
    """The handoff names both; the answer comes from the second, under its own name."""
    second = scripted(Say("Here I am"), name="second")
    first = Agent("first", model=scripted(Hand("second")).model, colleagues=("second",))
    running = await serve(first, second)
    async with connected(running.address) as client:
        await client.say("go", agent_type="first")
        final = await client.until_end()
        check_arc(client.durable())
    handoff = next(event for event in client.seen if event["type"] == "agent_handoff")
    assert (handoff["data"]["from"], handoff["data"]["to"]) == ("first", "second")
    assert final["agent_type"] == "second"


async def test_an_error_says_whether_its_model_may_answer_later(serve: Any) -> None:
    """A provider that refuses the server's key does so again."""
    events = await run(serve, scripted(Raise(ModelUnavailable("The key was refused.", retryable=False))))
    errors = [event["data"] for event in events if event["type"] in ("agent_error", "error")]
    assert [(each["code"], each["retryable"]) for each in errors] == [("model_unavailable", False)] * 2


@pytest.mark.promise("wire.event-error", "wire.error-model-unavailable")
async def test_a_model_that_cannot_be_reached_is_an_error_with_its_own_words(serve: Any) -> None:
    """The run ends in model_unavailable, retryable, with the sentence the provider's module chose."""
    events = await run(serve, scripted(Raise(ModelUnavailable("The model is asleep."))))
    error = events[-1]["data"]
    assert (error["code"], error["message"], error["retryable"]) == ("model_unavailable", "The model is asleep.", True)


@pytest.mark.promise("wire.error-invalid-output")
async def test_an_answer_of_another_form_than_promised_is_an_error(serve: Any) -> None:
    """Its text is not shown; the sentence says what is wrong with it."""
    events = await run(serve, evolve(scripted(Say("Northmail has it."), Say('{"carrier": 7}')), output_type=Parcel))
    error = events[-1]["data"]
    sentence = "at carrier, text is expected, not a whole number."
    assert (error["code"], error["retryable"]) == ("invalid_output", True)
    assert error["message"] == f"Script did not give its answer in the form that is needed: {sentence}"
    assert not any("Northmail" in str(event) for event in events)


@pytest.mark.promise("wire.error-agent-failed")
async def test_a_model_that_breaks_is_an_error_with_an_id(serve: Any) -> None:
    """An unexpected exception of the model ends the run in agent_failed; its words are not shown."""
    events = await run(serve, scripted(Raise(RuntimeError("secret-detail"))))
    assert events[-1]["data"]["code"] == "agent_failed"
    assert events[-1]["data"]["error_id"]
    assert "secret-detail" not in str(events)


@pytest.mark.promise("wire.error-agent-timeout")
async def test_an_agent_that_takes_too_long_is_stopped(serve: Any) -> None:
    events = await run(serve, scripted(Call([("wait", {})]), timeout_s=0.2))
    assert completed(events)["status"] in ("timed_out", "cancelled")
    assert events[-1]["data"]["code"] == "agent_timeout"


@pytest.mark.promise("wire.event-agent-error", "wire.arc-agents-paired")
@pytest.mark.parametrize(
    ("turn", "code"),
    [
        (Raise(ModelUnavailable("The model is asleep.")), "model_unavailable"),
        (Raise(RuntimeError("secret-detail")), "agent_failed"),
        (Call([("wait", {})]), "agent_timeout"),
    ],
)
async def test_a_failing_agent_reports_its_error_before_the_run_ends(serve: Any, turn: Call | Raise, code: str) -> None:
    """The run ends with `agent_error`, a failed `agent_completed`, then `error`, all with the same error id."""
    events = await run(serve, scripted(turn, timeout_s=0.3))
    told, ended, error = [event for event in events if event.get("seq") is not None][-3:]
    assert [told["type"], ended["type"], error["type"]] == ["agent_error", "agent_completed", "error"]
    assert (told["data"]["code"], ended["data"]["status"]) == (code, "failed")
    assert told["data"]["error_id"] == error["data"]["error_id"]
    assert told["message"] == error["data"]["message"]


async def test_after_a_handoff_only_the_second_agent_has_failed(serve: Any) -> None:
    """The first agent is completed with `ok`, the second one fails."""
    second = scripted(Raise(RuntimeError("no")), name="second")
    first = Agent("first", model=scripted(Hand("second")).model, colleagues=("second",))
    running = await serve(first, second)
    async with connected(running.address) as client:
        await client.say("go", agent_type="first")
        await client.until_end()
        check_arc(client.durable())
    (told,) = [event for event in client.seen if event["type"] == "agent_error"]
    assert told["data"]["agent_id"].startswith("second-")


@pytest.mark.promise("wire.limit-heartbeat")
@pytest.mark.proof("timing")
async def test_a_long_run_is_no_silent_client(serve: Any) -> None:
    """Only a socket that answers no ping is closed: a client that does nothing else outlives the longest silence."""
    running = await serve(scripted(Call([("wait", {})]), timeout_s=3.2), limits=Limits(heartbeat_s=0.3))
    async with connected(running.address) as client:
        await client.say("go", agent_type="script")
        began = trio.current_time()
        end = await client.until_end()
        assert trio.current_time() - began > 4 * 2.4 * 0.3
        assert end["data"]["code"] == "agent_timeout"
        await client.send({"type": "ping"})
        assert (await client.read())["type"] == "pong"


@pytest.mark.promise("wire.cancel", "wire.arc-tools-paired", "wire.error-run-cancelled")
async def test_cancel_stops_a_tool_and_keeps_what_was_said(clock: trio.testing.MockClock, serve: Any) -> None:
    """The run ends at once in final_response `cancelled`, its tool completed as cancelled. The clock is slow."""
    running = await serve(scripted(Call([("wait", {})])))
    async with connected(running.address) as client:
        await client.say("go", agent_type="script")
        executing = await client.until("tool_executing")
        with trio.fail_after(2):
            await client.send({"type": "cancel", "payload": {"run_id": executing["run_id"]}})
            final = await client.until_end()
        check_arc(client.durable())
    assert (final["type"], final["data"]["status"]) == ("final_response", "cancelled")
    assert completed(client.seen)["status"] == "cancelled"
    stopped = {"code": "run_cancelled", "message": "Stopped before it was finished."}
    assert completed(client.seen)["result"] == {"error": stopped}


@pytest.mark.promise("wire.event-final-response")
async def test_cancel_in_the_middle_of_an_answer_keeps_the_text_so_far(serve: Any) -> None:
    """What was streamed before the cancel is the answer."""
    gate = Gate(open_after=2)
    running = await serve(scripted(Say("one two three", gate)))
    async with connected(running.address) as client:
        await client.say("go", agent_type="script")
        run_id = (await client.until("message_accepted"))["run_id"]
        await gate.reached.wait()
        await client.send({"type": "cancel", "payload": {"run_id": run_id}})
        final = await client.until_end()
    assert final["data"]["message"].split() == ["one", "two"][: len(final["data"]["message"].split())]
    assert final["data"]["status"] == "cancelled"


@pytest.mark.promise("wire.event-agent-progress")
async def test_progress_of_a_tool_is_shown(serve: Any) -> None:
    events = await run(serve, scripted(Call([("tell_progress", {"steps": 3})]), Say("Done")))
    notes = [event["data"]["note"] for event in events if event["type"] == "agent_progress"]
    assert notes[-1] == "step 3"  # of notes that come faster than they are published, the newest
    assert notes == sorted(set(notes))


async def test_messages_of_one_thread_are_answered_one_after_the_other(serve: Any) -> None:
    """The second message is queued and gets a progress event; both arcs are complete."""
    gate = Gate()
    running = await serve(scripted(Say("word", gate)))
    async with connected(running.address) as client:
        await client.say("first", agent_type="script")
        first = (await client.until("message_accepted"))["run_id"]
        await gate.reached.wait()
        await client.say("second", agent_type="script")
        second = (await client.until("message_accepted"))["run_id"]
        assert "Waiting" in (await client.until("agent_progress"))["data"]["note"]
        gate.opened.set()
        assert (await client.until_end())["run_id"] == first
        assert (await client.until_end())["run_id"] == second
    assert [event["run_id"] for event in client.durable() if event["type"] == "agent_started"] == [first, second]


async def test_a_thread_queues_a_bounded_number_of_messages(serve: Any) -> None:
    gate = Gate()
    running = await serve(scripted(Say("word", gate)))
    async with connected(running.address) as client:
        for number in range(12):
            await client.say(f"message {number}", agent_type="script")
        error = await client.until("error", code="busy")
        assert error["data"]["retry_after"] > 0
        assert error.get("seq") is None
        gate.opened.set()
