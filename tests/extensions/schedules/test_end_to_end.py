"""Schedules over REST: made, fired, paused, changed and deleted, and refused with the reason; also when servers die."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import h11
import pytest
import trio

from tests.extensions.schedules import dying_scheduler
from tests.rigs import allowed_agents as allowed
from tests.rigs.audited_actions import ADA, Case, ask, check_case
from tests.rigs.caller import Caller
from tests.rigs.eager_agent import Eager, agent
from tests.rigs.eager_agent import agent as eager
from tests.rigs.http import new_token, request
from tests.rigs.marked_text import MARKER
from tests.rigs.permissions import add, answer, start, until
from tests.rigs.process import started
from tests.rigs.scripted_model import Say, scripted
from tests.rigs.tenants import ACME_OPERATOR, BOB, WORDS, of_tenants, read
from tests.rigs.tenants import ADA as OF_ACME
from tests.rigs.tokens import token
from understudy.app.server import Running
from understudy.extensions.schedules import storage
from understudy.extensions.schedules.settings import ScheduleSettings
from understudy.storage.acts import Act

QUICK: dict[type[Any], Any] = {ScheduleSettings: ScheduleSettings(every_s=1, per_user=3)}


async def scheduled(running: Running) -> dict[str, str]:
    _, schedule = await ask(running, ADA, "POST", "/api/schedules", message=MARKER, cron="0 0 1 1 *", agent="script")
    return {"schedule": schedule["id"]}


ACTS = [
    Case("schedule.made", ("POST", "/api/schedules"), {"message": MARKER, "cron": "0 0 1 1 *", "agent": "script"},
         {"schedule": ...}, status=201),
    Case("schedule.changed", ("PATCH", "/api/schedules/{schedule}"), {"enabled": False}, {"schedule": ...}, scheduled),
    Case("schedule.deleted", ("DELETE", "/api/schedules/{schedule}"), {}, {"schedule": ...}, scheduled, status=204),
]  # fmt: skip
YEARLY = {"message": "Happy new year", "cron": "0 0 1 1 *"}


async def fired(caller: Caller, path: str, count: int = 1) -> list[Any]:
    """Wait until so many runs of schedules have ended. Return them, the oldest first."""
    with trio.fail_after(60):
        while len(runs := (await caller.get(f"/api/runs{path}"))["runs"]) < count:  # noqa: ASYNC110 - as a client asks
            await trio.sleep(0.05)
    return [await caller.ended(run["run_id"]) for run in reversed(runs)]


@pytest.mark.promise("wire.endpoint-schedules")
async def test_a_schedule_fires_in_its_thread_until_it_is_paused(serve: Any) -> None:
    running = await serve(scripted(*[Say("one two")] * 20), own=QUICK)
    ada, bob = [Caller(running, await new_token(running)) for _ in range(2)]
    body = {"message": "What is new?", "agent": "script", "every_s": 1, "thread_id": "news", "name": "News"}
    created = await ada.post("/api/schedules", 201, key="k", **body)
    again = await ada.post("/api/schedules", 201, key="k", **body)
    assert again == created | {"next_due_at": again["next_due_at"]}  # it may have fired
    assert (created["policy"], created["enabled"], created["last"], created["settings"]) == ("once", True, None, {})
    path = f"/api/schedules/{created['id']}"
    await bob.send("PATCH", path, 404, enabled=False)
    runs = await fired(ada, "?thread=news", 2)
    paused = await ada.send("PATCH", path, enabled=False)
    assert (paused["next_due_at"], paused["message"]) == (None, "What is new?")
    await trio.sleep(1.2)
    last = (await ada.get(path))["last"]
    runs = await fired(ada, "?thread=news", 2)
    assert last == {"due_at": last["due_at"], "thread_id": "news", "run_id": runs[-1]["run_id"]} | {
        "code": None, "message": None,
    }  # fmt: skip
    times = [float(run["message_id"].rsplit("-")[-1]) for run in runs]
    assert times == [times[0] + number for number in range(len(times))]
    assert all(run["message_id"].startswith(f"auto-{created['id']}-") for run in runs)
    changed = await ada.send("PATCH", path, cron="0 9 * * 1", time_zone="Europe/Berlin", thread_id=None, enabled=True)
    assert (changed["every_s"], changed["thread_id"], changed["next_due_at"] > last["due_at"]) == (None, None, True)
    assert [schedule["id"] for schedule in (await ada.get("/api/schedules"))["schedules"]] == [created["id"]]
    assert (await bob.get("/api/schedules"))["schedules"] == []
    assert [schedule["name"] for schedule in (await ada.get("/api/me/export"))["schedules"]] == ["News"]
    await ada.send("DELETE", path, 204)
    await ada.get(path, 404)


async def test_a_refused_firing_is_recorded_with_its_sentence(serve: Any) -> None:
    """The first firing, in a thread of its own, spends what the user may in a day."""
    running = await serve(agent(Eager(), turns=20), own=QUICK, spending_user_tokens_per_day=45)
    ada = Caller(running, await new_token(running))
    schedule = await ada.post("/api/schedules", 201, message="go", agent="script", every_s=1)
    with trio.fail_after(60):
        while not (last := (await ada.get(f"/api/schedules/{schedule['id']}"))["last"] or {}).get("code"):  # noqa: ASYNC110
            await trio.sleep(0.05)
    assert (last["run_id"], last["code"]) == (None, "quota_exceeded")
    assert last["message"] == "You have used the 45 tokens of today; there is more from 00:00 UTC on."
    first = (await fired(ada, ""))[0]
    assert first["thread_id"] == first["message_id"]


REFUSED: list[tuple[int, str, str, dict[str, Any]]] = [
    (400, "invalid_command", "This cron expression is never due", {"message": "hi", "cron": "0 0 31 2 *"}),
    (400, "invalid_command", "In the hour, '25'", {"message": "hi", "cron": "0 25 * * *"}),
    (400, "invalid_command", "The interval every_s must be from 60", {"message": "hi", "every_s": 5}),
    (400, "invalid_command", "Give either", {"message": "hi"}),
    (400, "invalid_command", "There is no time zone 'Mars'", YEARLY | {"time_zone": "Mars"}),
    (400, "empty_message", "", YEARLY | {"message": "  "}),
    (400, "invalid_command", "policy must be", YEARLY | {"policy": "twice"}),
    (400, "invalid_command", "A schedule has no budget", YEARLY | {"budget": 1}),
    (400, "invalid_command", "The field `settings.max_turns`", YEARLY | {"settings": {"max_turns": 0}}),
    (400, "invalid_command", "The body must be", YEARLY | {"every_s": "often"}),
    (400, "invalid_command", "thread_id must be", YEARLY | {"thread_id": "a/b"}),
    (404, "unknown_agent_type", "", YEARLY | {"agent": "nobody"}),
    (403, "forbidden", "The agent desk cannot run on a schedule", YEARLY | {"agent": "desk"}),
]


@pytest.mark.promise("wire.endpoint-schedules")
async def test_what_cannot_be_scheduled_is_refused_with_the_reason(serve: Any) -> None:
    ada = Caller(await allowed.start(serve), allowed.ADA)
    for status, code, sentence, body in REFUSED:
        refused = (await ada.post("/api/schedules", status, **body))["error"]
        assert refused["code"] == code
        assert refused["message"].startswith(sentence)
    assert (await ada.get("/api/schedules"))["schedules"] == []


@pytest.mark.promise("wire.endpoint-schedules")
async def test_a_users_schedules_are_bounded_and_go_with_them(serve: Any) -> None:
    running = await serve(scripted(Say("one")), own=QUICK)
    ada = Caller(running, await new_token(running))
    for _ in range(3):
        await ada.post("/api/schedules", 201, **YEARLY)
    full = await ada.post("/api/schedules", 403, **YEARLY)
    assert full["error"]["message"] == "You can have 3 schedules; delete one first."
    user = (await ada.post("/api/sessions/refresh", 200))["user"]
    await ada.send("DELETE", "/api/me", confirm=user)
    assert (await running.store.read(storage.due)).next_at is None


@pytest.mark.promise("wire.schedule-once")
async def test_a_firing_is_neither_lost_nor_doubled_by_kills(tmp_path: Path) -> None:
    """One server is killed between the claim and the message, the next between the message and its record."""
    trace = tmp_path / "deaths"
    environment = {dying_scheduler.DIES: str(trace), "UNDERSTUDY_SCHEDULES_EVERY_S": "1"}
    module = "tests.extensions.schedules.dying_scheduler:AGENT"
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
        (schedule,) = (await ada.get("/api/schedules"))["schedules"]
    assert trace.read_text() == 2 * "died\n"
    times = [int(run["message_id"].rsplit("-")[-1]) for run in runs]
    first = int(schedule["created_at"]) + 1
    assert times == list(range(first, first + len(times)))
    assert {run["status"] for run in runs} == {"success"}


async def test_operators_see_the_schedules_of_their_tenant_without_words(serve: Any) -> None:
    running = await of_tenants(serve, scripted(Say("done")))
    for who in (OF_ACME, BOB):
        await Caller(running, who).post(
            "/api/schedules", 201, agent="script", message=WORDS, name=WORDS, every_s=86_400
        )
    listed = await read(running, "/api/admin/schedules", ACME_OPERATOR)
    (row,) = listed["schedules"]
    assert (row["user"], row["agent"], row["every_s"], row["enabled"]) == ("ada", "script", 86_400, True)
    assert row["next_due_at"] > time.time()
    assert len((await read(running, "/api/admin/schedules"))["schedules"]) == 2
    assert WORDS not in json.dumps(listed)


@pytest.mark.parametrize("case", ACTS, ids=lambda case: case.action)
async def test_a_change_has_an_entry_in_the_audit_log(serve: Any, case: Case, tmp_path: Path) -> None:
    await check_case(serve, case, tmp_path)
    assert {case.action for case in ACTS} == {act for act in Act.known if act.startswith("schedule.")}


@pytest.mark.promise("wire.group-together")
async def test_the_budget_of_a_group_bounds_runs_without_a_token(serve: Any, rules: Path) -> None:
    add(rules, '[budgets."group:staff".together]\ntokens_per_day = 15')
    running = await start(serve, rules, eager(Eager(), turns=3), own=QUICK)
    bea = token("bea", groups=["staff"])
    await answer(running, bea, "script")
    caller = Caller(running, bea)
    schedule = await caller.post("/api/schedules", 201, message="go", agent="script", every_s=1)
    refusals: list[dict[str, Any]] = []

    async def is_refused() -> bool:
        refusals.append((await caller.get(f"/api/schedules/{schedule['id']}"))["last"] or {})
        return bool(refusals[-1].get("code"))

    await until(is_refused)
    assert refusals[-1]["code"] == "quota_exceeded"
    assert refusals[-1]["message"].startswith("Your group staff has used the 15 tokens of today")


async def test_while_the_extension_is_off_nothing_fires_and_nothing_is_lost(tmp_path: Path) -> None:
    """Its paths are unknown, an export has its rows; on again, all is there, also after the server was killed."""
    async with started(tmp_path / "data") as server:
        _, _, session = await request(server.address, "POST", "/api/sessions")
        ada = Caller(server, session["session_token"])
        created = await ada.post("/api/schedules", 201, message="Happy new year", cron="0 0 1 1 *")
        assert "schedules" in (await ada.get("/api/extensions"))["extensions"]
        await server.kill()
    async with started(tmp_path / "data", UNDERSTUDY_EXTENSIONS="-schedules") as ada.running:
        await ada.get("/api/schedules", 404)
        assert "schedules" not in (await ada.get("/api/extensions"))["extensions"]
        assert "schedules" not in (await ada.get("/healthz"))["checks"]
        assert [schedule["id"] for schedule in (await ada.get("/api/me/export"))["schedules"]] == [created["id"]]
    async with started(tmp_path / "data") as ada.running:
        assert [schedule["id"] for schedule in (await ada.get("/api/schedules"))["schedules"]] == [created["id"]]
        assert (await ada.get("/healthz"))["checks"]["schedules"] == {"status": "ok"}
