"""What operators see of runs, connections, users and pools over real sockets, and that it has no words of users."""

import json
from typing import Any

import pytest

from tests.rigs.chat_client import connected
from tests.rigs.http import request
from tests.rigs.scripted_model import Call, Gate, Say, ScriptedModel, scripted
from tests.rigs.tokens import OPERATOR, SECRET, token
from understudy import Agent, tool
from understudy.app.server import Running

WORDS = "do not show these words"


async def read(running: Running, path: str, expected: int = 200) -> Any:
    status, _, body = await request(running.address, "GET", f"/api/observer/{path}", token=OPERATOR)
    assert status == expected, body
    return body


@pytest.mark.promise("wire.endpoint-observer")
async def test_an_open_run_is_shown_with_its_user_and_what_it_waits_for(serve: Any) -> None:
    gate = Gate()
    running = await serve(scripted(Say("one two", gate)), secret=SECRET)
    async with connected(running.address, token("ada")) as client:
        await client.say(WORDS, agent_type="script", thread_id="t1")
        await gate.reached.wait()
        runs = await read(running, "runs")
        connections = await read(running, "connections")
        users = await read(running, "users")
        gate.opened.set()
        await client.until("final_response")
    (row,) = runs["open"]
    assert (row["user"], row["thread_id"], row["agent"], row["waits_for"]) == ("ada", "t1", "script", "model")
    assert row["here"]
    assert 0 <= row["silent_s"] <= row["age_s"] < 60
    (connection,) = connections["connections"]
    assert (connection["user"], connection["events"], connections["total"]) == ("ada", 0, 1)
    assert connection["dialect"] is not None
    assert [(user["user"], user["connections"], user["open_runs"]) for user in users["users"]] == [("ada", 1, 1)]
    after = await read(running, "runs")
    assert (after["open"], after["ended"][0]["run_id"], after["ended"][0]["outcome"]) == ([], row["run_id"], "success")
    detail = await read(running, f"runs/{row['run_id']}")
    assert [span["kind"] for span in detail["spans"]] == ["queue", "agent", "model"]
    assert all(span["ended"] is not None for span in detail["spans"])
    text = json.dumps([runs, connections, users, after, detail])
    assert WORDS not in text
    assert "one two" not in text


async def test_a_queued_run_waits_for_its_turn_also_after_its_user_has_steered_it(serve: Any) -> None:
    gate = Gate()
    running = await serve(scripted(Say("one two", gate)), secret=SECRET)
    async with connected(running.address, token("ada")) as client:
        await client.say("go", agent_type="script", thread_id="t1")
        await gate.reached.wait()
        await client.say("more", agent_type="script", thread_id="t1", message_id="m2")
        run_id = (await client.until("message_accepted", message_id="m2"))["run_id"]
        await client.send({"type": "steer", "payload": {"run_id": run_id, "content": "shorter", "steer_id": "s1"}})
        await client.until("steer_accepted")
        runs = await read(running, "runs")
        detail = await read(running, f"runs/{run_id}")
        gate.opened.set()
        for _ in range(2):
            await client.until("final_response")
    (row,) = [run for run in runs["open"] if run["run_id"] == run_id]
    assert (row["last_event"], row["waits_for"], row["waits_for_name"]) == ("steer_accepted", "queue", "")
    assert detail["waits_for"] == "queue"


async def test_a_run_waits_for_its_tool_again_once_the_call_is_allowed(serve: Any) -> None:
    gate = Gate()

    @tool(approval=True, on_server_loop=True)
    async def careful() -> str:
        """Work until the gate opens."""
        gate.reached.set()
        await gate.opened.wait()
        return ""

    agent = Agent("script", model=ScriptedModel(Call([("careful", {})]), Say("done")), tools=[careful])
    running = await serve(agent, secret=SECRET)
    async with connected(running.address, token("ada")) as client:
        required = await client.ask("go", agent_type="script", thread_id="t1", until="approval_required")
        before = await read(running, "runs")
        payload = {"call_id": required["data"]["call_id"], "decision": "allow"}
        await client.send({"type": "approve", "payload": payload})
        await gate.reached.wait()
        after = await read(running, "runs")
        detail = await read(running, f"runs/{required['run_id']}")
        gate.opened.set()
        await client.until("final_response")
    rows = [(row["last_event"], row["waits_for"], row["waits_for_name"]) for (row,) in (before["open"], after["open"])]
    assert rows == [("approval_required", "consent", "careful"), ("approval_decided", "tool", "careful")]
    assert detail["waits_for"] == "tool: careful"


async def test_open_runs_of_a_user_are_all_counted(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.extensions.operations.activity_routes.MOST", 2)
    gate = Gate()
    running = await serve(scripted(Say("one", gate)), secret=SECRET)
    async with connected(running.address, token("ada")) as client:
        for number in range(3):
            await client.ask("go", agent_type="script", thread_id=f"t{number}", until="message_accepted")
        users = await read(running, "users")
        assert [(user["user"], user["open_runs"]) for user in users["users"]] == [("ada", 3)]
        gate.opened.set()
        for _ in range(3):
            await client.until("final_response")


async def test_a_run_is_found_by_user_thread_id_and_error_id(serve: Any) -> None:
    async def broken(_: Any) -> str:
        raise RuntimeError(WORDS)

    running = await serve(scripted(Say("done")), Agent("cut", run=broken), secret=SECRET)
    async with connected(running.address, token("ada")) as client:
        ended = await client.ask("go", agent_type="script", thread_id="thread-of-ada", until="final_response")
        error = await client.ask("go", agent_type="cut", thread_id="another", until="error")
    run_id = ended["run_id"]
    for text in ("ada", "thread-of-a", run_id, run_id[:12]):
        matches = await read(running, f"find?text={text}")
        assert run_id in [run["run_id"] for run in matches["runs"]], text
    matches = await read(running, f"find?text={error['data']['error_id']}")
    assert [run["run_id"] for run in matches["runs"]] == [error["run_id"]]
    assert WORDS not in json.dumps(matches)
    for path, expected in (("find?text=", 400), ("find?text=" + "x" * 201, 400), ("runs/none", 404)):
        await read(running, path, expected)


async def test_health_has_pools_breakers_and_operations(serve: Any) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET)
    async with connected(running.address, token("ada")) as client:
        await client.ask("go", agent_type="script", thread_id="t1", until="final_response")
    body = await read(running, "health")
    assert body["health"]["status"] == "ok"
    assert "database" in " ".join(body["health"]["checks"])
    assert body["pools"]["runs"] == {"at_work": 0, "waiting": 0, "total": 1000}
    assert body["activity"]["outcomes"] == {"success": 1}
    assert "open_runs" not in body["activity"]
