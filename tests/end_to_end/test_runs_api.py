"""Runs over REST: started in the background, listed, read and cancelled."""

from typing import Any

from tests.rigs.caller import Caller
from tests.rigs.http import new_token
from tests.rigs.scripted_model import Call, Say, ScriptedModel, scripted
from understudy import Agent
from understudy.storage.limits import Limits


async def test_a_run_is_started_once_and_read_to_its_end(serve: Any) -> None:
    running = await serve(scripted(Call([("echo", {"text": "a"})]), Say("one two")), limits=Limits(run_turns=10))
    ada = Caller(running, await new_token(running))
    first = await ada.post("/api/runs", message="go", agent="script", key="k1", settings={"max_turns": 5})
    assert await ada.post("/api/runs", message="go", agent="script", key="k1") == first
    other = await ada.post("/api/runs", message="go", agent="script")
    assert other["thread_id"] not in (first["thread_id"], "script")
    run = await ada.ended(first["run_id"])
    assert (run["status"], run["agent"], run["thread_id"]) == ("success", "script", first["thread_id"])
    assert (run["steps"]["turns"], run["steps"]["calls"], run["usage"]["output"]) == (2, 1, 2)
    assert (run["budget_left"]["turns"], run["budget_left"]["calls"], run["waits_for"]) == (3, 499, [])
    events = await ada.get(f"/api/runs/{first['run_id']}/events?after=1&limit=2")
    assert ([event["seq"] for event in events["events"]], events["more"], events["status"]) == ([2, 3], True, "success")


async def test_a_run_of_a_liaison_or_the_default_agent_has_its_budget(serve: Any) -> None:
    ledger = Agent("ledger", model=ScriptedModel(Say("one two")), pillar="finance")
    running = await serve(ledger, builtin_agents=[], limits=Limits(run_turns=10))
    ada = Caller(running, await new_token(running))
    for name, shown in (("ledger", "finance"), ("default_guide", "default_guide")):
        run = await ada.ended((await ada.post("/api/runs", message="go", agent=name))["run_id"])
        assert (run["agent"], run["budget_left"]["turns"]) == (shown, 9)


async def test_runs_are_listed_by_status_agent_and_thread_page_by_page(serve: Any) -> None:
    running = await serve(scripted(Say("one")), scripted(Say("two"), name="other"))
    ada, bob = [Caller(running, await new_token(running)) for _ in range(2)]
    started = [
        (await ada.post("/api/runs", message="go", agent=agent, thread_id=thread))["run_id"]
        for agent, thread in (("script", "a"), ("other", "b"), ("script", "c"))
    ]
    for run_id in started:
        await ada.ended(run_id)
    first = await ada.get("/api/runs?limit=2")
    rest = await ada.get(f"/api/runs?limit=2&cursor={first['next_cursor']}")
    assert [row["run_id"] for row in first["runs"] + rest["runs"]] == started[::-1]
    assert rest["next_cursor"] is None
    assert [row["run_id"] for row in (await ada.get("/api/runs?agent=other"))["runs"]] == [started[1]]
    assert [row["run_id"] for row in (await ada.get("/api/runs?thread=c&status=success"))["runs"]] == [started[2]]
    assert (await ada.get("/api/runs?status=failed"))["runs"] == []
    assert (await bob.get("/api/runs"))["runs"] == []
    for path in ("", "/events"):
        assert (await bob.get(f"/api/runs/{started[0]}{path}", 404))["error"]["code"] == "not_found"
    await bob.post(f"/api/runs/{started[0]}/cancel", 404)


async def test_a_run_says_what_it_waits_for_and_is_cancelled(serve: Any) -> None:
    running = await serve(scripted(Call([("send_mail", {"to": "bob"})]), Say("sent")))
    ada = Caller(running, await new_token(running))
    run_id = (await ada.post("/api/runs", message="go", agent="script"))["run_id"]
    (waiting,) = (await ada.until(run_id, "waits_for"))["waits_for"]
    assert (waiting["kind"], waiting["tool_name"], waiting["parameters"]) == ("approval", "send_mail", {"to": "bob"})
    await ada.post(f"/api/runs/{run_id}/cancel")
    run = await ada.ended(run_id)
    assert (run["status"], run["waits_for"]) == ("cancelled", [])


async def test_a_run_that_cannot_start_is_refused(serve: Any) -> None:
    running = await serve(scripted(Say("one")))
    ada = Caller(running, await new_token(running))
    assert (await ada.post("/api/runs", 404, message="go", agent="nobody"))["error"]["code"] == "unknown_agent_type"
    assert (await ada.post("/api/runs", 400, message=7))["error"]["code"] == "invalid_command"
    assert (await ada.post("/api/runs", 400, message=" "))["error"]["code"] == "empty_message"
    assert (await ada.get("/api/runs?status=odd", 400))["error"]["code"] == "invalid_command"
