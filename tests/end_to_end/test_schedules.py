"""Schedules over REST: made, fired, paused, changed and deleted, and refused with the reason; also when servers die."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
from attrs import evolve

from tests.end_to_end import dying_scheduler
from tests.end_to_end import test_allowed_agents as allowed
from tests.end_to_end.http import new_token, request
from tests.end_to_end.process import started
from tests.end_to_end.scripted_model import Say, scripted
from tests.end_to_end.test_budgets import Eager, agent
from tests.end_to_end.test_runs_api import Caller
from transport.connection.limits import Limits

QUICK = Limits(schedule_every_s=1, schedules_per_user=3)
YEARLY = {"message": "Happy new year", "cron": "0 0 1 1 *"}


async def send(caller: Caller, method: str, path: str, status: int = 200, **body: Any) -> Any:
    found, _, answer = await request(caller.running.address, method, path, token=caller.token, body=body or b"")
    assert found == status, answer
    return answer


async def fired(caller: Caller, path: str, count: int = 1) -> list[Any]:
    """Wait until so many runs of schedules have ended. Return them, the oldest first."""
    with trio.fail_after(60):
        while len(runs := (await caller.get(f"/api/runs{path}"))["runs"]) < count:  # noqa: ASYNC110 - as a client asks
            await trio.sleep(0.05)
    return [await caller.ended(run["run_id"]) for run in reversed(runs)]


@pytest.mark.promise("wire.endpoint-schedules")
async def test_a_schedule_fires_in_its_thread_until_it_is_paused(serve: Any) -> None:
    running = await serve(scripted(*[Say("one two")] * 20), limits=QUICK)
    ada, bob = [Caller(running, await new_token(running)) for _ in range(2)]
    body = {"message": "What is new?", "agent": "script", "every_s": 1, "thread_id": "news", "name": "News"}
    made = await ada.post("/api/schedules", 201, key="k", **body)
    again = await ada.post("/api/schedules", 201, key="k", **body)
    assert again == made | {"next_due_at": again["next_due_at"]}  # it may have fired
    assert (made["policy"], made["enabled"], made["last"], made["settings"]) == ("once", True, None, {})
    path = f"/api/schedules/{made['id']}"
    await send(bob, "PATCH", path, 404, enabled=False)
    runs = await fired(ada, "?thread=news", 2)
    paused = await send(ada, "PATCH", path, enabled=False)
    assert (paused["next_due_at"], paused["message"]) == (None, "What is new?")
    await trio.sleep(1.2)
    last = (await ada.get(path))["last"]
    runs = await fired(ada, "?thread=news", 2)
    assert last == {"due_at": last["due_at"], "thread_id": "news", "run_id": runs[-1]["run_id"]} | {
        "code": None, "message": None,
    }  # fmt: skip
    times = [float(run["message_id"].rsplit("-")[-1]) for run in runs]
    assert times == [times[0] + number for number in range(len(times))]
    assert all(run["message_id"].startswith(f"schedule-{made['id']}-") for run in runs)
    changed = await send(ada, "PATCH", path, cron="0 9 * * 1", time_zone="Europe/Berlin", thread_id=None, enabled=True)
    assert (changed["every_s"], changed["thread_id"], changed["next_due_at"] > last["due_at"]) == (None, None, True)
    assert [each["id"] for each in (await ada.get("/api/schedules"))["schedules"]] == [made["id"]]
    assert (await bob.get("/api/schedules"))["schedules"] == []
    assert [each["name"] for each in (await ada.get("/api/me/export"))["schedules"]] == ["News"]
    await send(ada, "DELETE", path, 204)
    await ada.get(path, 404)


async def test_a_refused_firing_is_recorded_with_its_sentence(serve: Any) -> None:
    """The first firing, in a thread of its own, spends what the user may in a day."""
    running = await serve(agent(Eager(), turns=20), limits=evolve(QUICK, user_tokens_per_day=45))
    ada = Caller(running, await new_token(running))
    made = await ada.post("/api/schedules", 201, message="go", agent="script", every_s=1)
    with trio.fail_after(60):
        while not (last := (await ada.get(f"/api/schedules/{made['id']}"))["last"] or {}).get("code"):  # noqa: ASYNC110
            await trio.sleep(0.05)
    assert (last["run_id"], last["code"]) == (None, "quota_exceeded")
    assert last["message"] == "You have used the 45 tokens of today; there is more from 00:00 UTC on."
    first = (await fired(ada, ""))[0]
    assert first["thread_id"] == first["message_id"]


REFUSED: list[tuple[int, str, str, dict[str, Any]]] = [
    (400, "invalid_schedule", "This cron expression is never due", {"message": "hi", "cron": "0 0 31 2 *"}),
    (400, "invalid_schedule", "In the hour, '25'", {"message": "hi", "cron": "0 25 * * *"}),
    (400, "invalid_schedule", "The interval every_s must be from 60", {"message": "hi", "every_s": 5}),
    (400, "invalid_schedule", "Give either", {"message": "hi"}),
    (400, "invalid_schedule", "There is no time zone 'Mars'", YEARLY | {"time_zone": "Mars"}),
    (400, "empty_message", "", YEARLY | {"message": "  "}),
    (400, "invalid_command", "policy must be", YEARLY | {"policy": "twice"}),
    (400, "invalid_command", "A schedule has no budget", YEARLY | {"budget": 1}),
    (400, "invalid_command", "The field `settings.max_turns`", YEARLY | {"settings": {"max_turns": 0}}),
    (400, "invalid_command", "The body must be", YEARLY | {"every_s": "often"}),
    (400, "invalid_command", "thread_id must be", YEARLY | {"thread_id": "a/b"}),
    (404, "unknown_agent_type", "", YEARLY | {"agent": "nobody"}),
    (403, "forbidden", "The agent desk cannot run on a schedule", YEARLY | {"agent": "desk"}),
]


@pytest.mark.promise("wire.error-invalid-schedule")
async def test_what_cannot_be_scheduled_is_refused_with_the_reason(serve: Any) -> None:
    ada = Caller(await allowed.start(serve), allowed.ADA)
    for status, code, sentence, body in REFUSED:
        refused = (await ada.post("/api/schedules", status, **body))["error"]
        assert refused["code"] == code
        assert refused["message"].startswith(sentence)
    assert (await ada.get("/api/schedules"))["schedules"] == []


@pytest.mark.promise("wire.endpoint-schedules")
async def test_a_users_schedules_are_bounded_and_go_with_them(serve: Any) -> None:
    running = await serve(scripted(Say("one")), limits=QUICK)
    ada = Caller(running, await new_token(running))
    for _ in range(3):
        await ada.post("/api/schedules", 201, **YEARLY)
    full = await ada.post("/api/schedules", 403, **YEARLY)
    assert full["error"]["message"] == "You can have 3 schedules; delete one first."
    user = (await ada.post("/api/sessions/refresh", 200))["user"]
    await send(ada, "DELETE", "/api/me", confirm=user)
    assert (await running.store.due_schedules()).next_at is None


@pytest.mark.promise("wire.schedule-once")
async def test_a_firing_is_neither_lost_nor_doubled_by_kills(tmp_path: Path) -> None:
    """One server is killed between the claim and the message, the next between the message and its record."""
    trace = tmp_path / "deaths"
    environment = {dying_scheduler.DIES: str(trace), "UNDERSTUDY_LIMITS_SCHEDULE_EVERY_S": "1"}
    module = "tests.end_to_end.dying_scheduler:AGENT"
    async with started(tmp_path / "data", module, **environment) as server:
        _, _, session = await request(server.address, "POST", "/api/sessions")
        ada = Caller(server, session["session_token"])
        with suppress(h11.RemoteProtocolError):  # on a busy machine the server dies while it answers
            await ada.post("/api/schedules", 201, message="go", agent="script", every_s=1, policy="all")
        with trio.fail_after(60):
            await server.process.wait()
    async with started(tmp_path / "data", module, **environment) as server:
        with trio.fail_after(60):
            await server.process.wait()
    async with started(tmp_path / "data", module, **environment) as server:
        ada = Caller(server, session["session_token"])
        runs = await fired(ada, "", 3)
        (made,) = (await ada.get("/api/schedules"))["schedules"]
    assert trace.read_text() == 2 * "died\n"
    times = [int(run["message_id"].rsplit("-")[-1]) for run in runs]
    first = int(made["created_at"]) + 1
    assert times == list(range(first, first + len(times)))
    assert {run["status"] for run in runs} == {"success"}
