"""The protocol arc of a run over a real socket, also when a tool or a model fails."""

import re
from typing import Any

import pytest
import trio
import trio.testing

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.scripted_model import Call, Hand, Raise, Say, scripted
from understudy import Agent
from understudy.models.model import ModelUnavailable

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
    running = await serve(agent)
    async with connected(running.address) as client:
        await client.ask(content, agent_type=agent.name, checked=True)
        return client.seen[1:]


def completed(events: list[dict[str, Any]]) -> dict[str, Any]:
    return next(event["data"] for event in events if event["type"] == "tool_completed")


@pytest.mark.promise(
    "wire.event-message-accepted", "wire.event-agent-started", "wire.event-agent-thinking", "wire.event-tool-executing",
    "wire.event-tool-completed", "wire.event-agent-completed", "wire.event-final-response", "wire.arc-order",
)  # fmt: skip
async def test_a_run_shows_every_step_with_its_required_fields(serve: Any) -> None:
    agent = scripted(Call([("echo", {"text": "hello"})]), Say("It said hello"))
    events = await run(serve, agent)
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == list(REQUIRED)
    for event in events:
        assert REQUIRED[event["type"]] <= event["data"].keys()
    assert completed(events) | {"result": "hello", "status": "ok"} == completed(events)
    text = "".join(event["data"]["text"] for event in events if event["type"] == "partial_result")
    assert text == events[-1]["data"]["message"] == "It said hello "


MISBEHAVING: list[tuple[tuple[str, Any], str, str, str]] = [
    (("refuse", {}), "failed", "tool_failed", "The oven is cold."),
    (("crash", {}), "failed", "tool_failed", r"The tool failed\. \(error "),
    (("hang", {}), "timed_out", "tool_timeout", "stopped after 0.2 s"),
    (("block", {}), "timed_out", "tool_timeout", "stopped after 0.2 s"),
    (("missing", {}), "failed", "invalid_arguments", "no tool “missing”"),
    (("echo", {"text": 5}), "failed", "invalid_arguments", "text"),
]


@pytest.mark.promise("wire.arc-tools-paired", "wire.error-of-a-tool", "wire.error-no-insides", "owasp.errors")
async def test_tools_that_misbehave_are_results_and_the_run_goes_on(serve: Any) -> None:
    calls = [("echo", {"text": "a"}), *(call for call, *_ in MISBEHAVING), ("echo", {"text": "b"})]
    events = await run(serve, scripted(Call(calls), Say("That did not work")))
    ended = [event["data"] for event in events if event["type"] == "tool_completed"]
    assert len({data["call_id"] for data in ended}) == len(calls)
    assert [data["result"] for data in ended if data["status"] == "ok"] == ["a", "b"]
    failures = {data["tool_name"]: data for data in ended if data["status"] != "ok"}
    for (name, _), status, code, words in MISBEHAVING:
        assert (failures[name]["status"], failures[name]["result"]["error"]["code"]) == (status, code), name
        assert re.search(words, failures[name]["result_summary"])
    assert ended[-1]["status"] == "timed_out", "the calls of a turn run side by side"
    assert events[-1]["data"]["message"] == "That did not work "
    assert not any(word in str(events) for word in ("secret-detail", "Traceback"))


@pytest.mark.promise("wire.event-agent-handoff", "wire.arc-agents-paired")
@pytest.mark.parametrize(("turn", "failed"), [(Say("Here I am"), []), (Raise(RuntimeError("no")), ["second"])])
async def test_a_handoff_ends_one_agent_and_starts_the_next(serve_client: Any, turn: Any, failed: list[str]) -> None:
    first = Agent("first", model=scripted(Hand("second")).model, colleagues=("second",))
    async with serve_client(first, scripted(turn, name="second")) as client:
        final = await client.ask("go", agent_type="first", checked=True)
    handoff = next(event for event in client.seen if event["type"] == "agent_handoff")
    assert (handoff["data"]["from"], handoff["data"]["to"]) == ("first", "second")
    assert final["agent_type"] == "second"
    agents = [event["data"]["agent_id"] for event in client.seen if event["type"] == "agent_error"]
    assert [agent_id.partition("-")[0] for agent_id in agents] == failed


@pytest.mark.promise(
    "wire.event-agent-error", "wire.arc-agents-paired", "wire.event-error", "wire.error-model-unavailable",
    "wire.error-agent-failed", "wire.error-agent-timeout",
)  # fmt: skip
@pytest.mark.parametrize(
    ("turn", "code", "retryable", "words"),
    [
        (Raise(ModelUnavailable("The model is asleep.")), "model_unavailable", True, "The model is asleep."),
        (Raise(ModelUnavailable("The key.", retryable=False)), "model_unavailable", False, "The key."),
        (Raise(RuntimeError("secret-detail")), "agent_failed", True, ""),
        (Call([("wait", {})]), "agent_timeout", True, ""),
    ],
)
async def test_a_failing_agent_reports_its_error_before_the_run_ends(
    serve: Any, turn: Call | Raise, code: str, retryable: bool, words: str
) -> None:
    events = await run(serve, scripted(turn, timeout_s=0.3))
    agent_error, ended, error = [event for event in events if event.get("seq") is not None][-3:]
    assert [agent_error["type"], ended["type"], error["type"]] == ["agent_error", "agent_completed", "error"]
    assert (agent_error["data"]["code"], ended["data"]["status"]) == (code, "failed")
    assert agent_error["data"]["error_id"] == error["data"]["error_id"] != ""
    assert agent_error["message"] == error["data"]["message"]
    assert [event["data"]["retryable"] for event in (agent_error, error)] == [retryable] * 2
    assert words in ("", error["data"]["message"])
    assert "secret-detail" not in str(events)


@pytest.mark.promise("wire.cancel", "wire.arc-tools-paired", "wire.error-run-cancelled")
async def test_cancel_stops_a_tool_and_keeps_what_was_said(clock: trio.testing.MockClock, serve_client: Any) -> None:
    async with serve_client(scripted(Call([("wait", {})]))) as client:
        executing = await client.ask("go", agent_type="script", until="tool_executing")
        with trio.fail_after(2):
            await client.send({"type": "cancel", "payload": {"run_id": executing["run_id"]}})
            final = await client.until_end()
        check_arc(client.durable())
    assert (final["type"], final["data"]["status"]) == ("final_response", "cancelled")
    assert completed(client.seen)["status"] == "cancelled"
    stopped = {"code": "run_cancelled", "message": "Stopped before it was finished."}
    assert completed(client.seen)["result"] == {"error": stopped}


@pytest.mark.promise("wire.event-agent-progress")
async def test_progress_of_a_tool_is_shown(serve: Any) -> None:
    events = await run(serve, scripted(Call([("tell_progress", {"steps": 3})]), Say("Done")))
    notes = [event["data"]["note"] for event in events if event["type"] == "agent_progress"]
    assert notes[-1] == "step 3"  # of notes that come faster than they are published, the newest
    assert notes == sorted(set(notes))
