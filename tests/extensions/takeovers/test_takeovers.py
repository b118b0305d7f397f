"""Operators take over runs of users, over real sockets: on one server, and on another one than the run."""

import json
from typing import Any

import pytest

from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import request
from tests.rigs.questions import PEARS, order
from tests.rigs.scripted_model import Call, Gate, Say, ScriptedModel, scripted
from tests.rigs.server_pair import Begin, token_of
from tests.rigs.steerable_agent import agent as steerable
from tests.rigs.tenants import ACME_OPERATOR, ADA, PLAIN_OPERATOR, of_tenants
from tests.rigs.tokens import token
from understudy import Agent
from understudy.app.server import Running

OTHER_OPERATOR = token("second", "operator", org="acme")
AUDITOR = token("eve", "auditor", org="acme")
WHY = "The user called for help"


async def ask(running: Running, run_id: str, part: str = "", who: str = ACME_OPERATOR, **body: Any) -> tuple[int, Any]:
    """Send a request about a run as an operator: a POST if it has a body. Return the status and the body."""
    method, raw = ("POST", json.dumps(body).encode()) if body else ("GET", b"")
    return (await request(running.address, method, f"/api/admin/runs/{run_id}{part}", token=who, body=raw))[::2]


async def taken_over(running: Running, run_id: str, who: str = ACME_OPERATOR) -> Any:
    status, body = await ask(running, run_id, "/take-over", who, reason=WHY)
    assert status == 200, body
    return body


async def entries(running: Running, who: str = AUDITOR) -> list[dict[str, Any]]:
    status, _, body = await request(running.address, "GET", "/api/audit", token=who)
    assert status == 200
    return [entry for entry in reversed(body["entries"]) if entry["action"].startswith(("run.", "tool."))]


async def working(client: ChatClient, name: str, kind: str, content: str = "go") -> dict[str, Any]:
    """Send a message and read up to the first event of a kind."""
    await client.say(content, agent_type=name, thread_id="t")
    return await client.until(kind)


@pytest.mark.promise("wire.endpoint-takeover", "wire.event-agent-thinking")
async def test_an_operator_takes_over_reads_and_steers_a_run(serve: Any) -> None:
    running = await of_tenants(serve, steerable)
    async with connected(running.address, ADA) as client:
        run_id = (await working(client, "steerable", "tool_executing", "work 4"))["run_id"]
        for part in ("", "/events"):
            status, refused = await ask(running, run_id, part)
            assert (status, refused["error"]["code"]) == (403, "forbidden")
        assert (await ask(running, run_id, "/commands", type="steer", content="x"))[0] == 403
        assert await entries(running) == []
        answer = await taken_over(running, run_id)
        notice = await client.until("agent_thinking", notice="taken_over")
        assert await taken_over(running, run_id) == answer  # a repeat is fine, and no second event
        state, events = await ask(running, run_id), await ask(running, run_id, "/events?limit=3")
        assert (await ask(running, run_id, "/commands", type="steer", content="deeper", steer_id="s1"))[0] == 202
        accepted = await client.until("steer_accepted")
        await client.send({"type": "unsteer", "payload": {"run_id": run_id, "steer_id": "s1"}})
        assert (await client.until("error"))["data"]["code"] == "not_found"
        final = await client.until_end(checked=True)
    assert notice["data"]["thought"] == notice["message"] == f"An operator has taken over this run: {WHY}"
    assert (answer["by"], answer["reason"]) == ("op", WHY)
    assert (state[1]["run_id"], state[1]["taken_over"], state[1]["waits_for"]) == (run_id, answer, [])
    assert len(events[1]["events"]) == 3
    assert (accepted["data"]["content"], accepted["data"]["by"]) == ("deeper", "acme\x1fop")
    assert final["data"]["message"] == "Read: deeper."
    audit = await entries(running)
    assert [(entry["action"], entry["user"], entry["role"], entry["target"], entry["tenant"]) for entry in audit] == [
        (action, "op", "operator", "ada", "acme") for action in ("run.taken_over", "run.steered")
    ]
    assert [entry["detail"] for entry in audit] == [
        {"run": run_id, "reason": WHY},
        {"run": run_id, "reason": WHY, "act": "steer"},
    ]
    assert sum(event["data"].get("notice") == "taken_over" for event in client.durable()) == 1


@pytest.mark.promise("wire.endpoint-takeover", "wire.error-taken-over")
async def test_a_take_over_is_refused_by_clear_codes(serve: Any) -> None:
    gate = Gate()
    running = await of_tenants(serve, scripted(Say("one two", gate)))

    async def refused(run_id: str, who: str = ACME_OPERATOR, part: str = "/take-over", **body: Any) -> tuple[int, str]:
        status, answer = await ask(running, run_id, part, who, **(body or {"reason": WHY}))
        return status, answer["error"]["code"]

    async with connected(running.address, ADA) as client:
        run_id = (await working(client, "script", "agent_started"))["run_id"]
        await gate.reached.wait()
        assert await refused("none") == (404, "not_found")
        assert await refused(run_id, PLAIN_OPERATOR) == (404, "not_found")
        for nobody in (ADA, AUDITOR):
            assert await refused(run_id, nobody) == (403, "forbidden")
            assert (await ask(running, run_id, who=nobody))[0] == 403
        for wrong in ({"reason": " "}, {"reason": "x" * 201}, {"why": WHY}):
            assert await refused(run_id, **wrong) == (400, "invalid_command")
        assert await entries(running) == []
        await taken_over(running, run_id)
        assert await refused(run_id, OTHER_OPERATOR) == (409, "taken_over")
        steer = {"type": "steer", "content": "left"}
        assert await refused(run_id, OTHER_OPERATOR, "/commands", **steer) == (409, "taken_over")
        assert (await ask(running, run_id, "/events", OTHER_OPERATOR))[0] == 409
        for wrong, code in (
            ({"type": "undo", "call_id": "c9"}, (400, "invalid_command")),
            ({**steer, "mode": "after"}, (400, "invalid_command")),
            ({**steer, "content": " "}, (400, "empty_message")),
            ({**steer, "content": "x" * 2_000_000}, (413, "message_too_large")),
            ({"type": "approve", "call_id": "c9", "decision": "allow"}, (404, "not_found")),
            ({"type": "answer", "question_id": "q9", "answer": {}}, (404, "not_found")),
        ):
            assert await refused(run_id, part="/commands", **wrong) == code
        gate.opened.set()
        await client.until_end()
    assert await refused(run_id) == (409, "run_ended")
    assert await refused(run_id, part="/commands", **steer) == (409, "run_ended")


@pytest.mark.promise("wire.endpoint-takeover")
async def test_a_run_is_handed_back_and_taken_over_by_another_operator(serve: Any) -> None:
    gate = Gate()
    running = await of_tenants(serve, scripted(Say("one two", gate)))

    async def handed_back(run_id: str, who: str = ACME_OPERATOR) -> int:
        path = f"/api/admin/runs/{run_id}/hand-back"
        return (await request(running.address, "POST", path, token=who))[0]

    async with connected(running.address, ADA) as client:
        run_id = (await working(client, "script", "agent_started"))["run_id"]
        await gate.reached.wait()
        assert await handed_back(run_id) == 204, "nobody has taken it over"
        await taken_over(running, run_id)
        assert [await handed_back(run_id, who) for who in (ADA, AUDITOR, PLAIN_OPERATOR)] == [403, 403, 404]
        assert [await handed_back(run_id) for _ in range(2)] == [204, 204]
        notice = await client.until("agent_thinking", notice="handed_back")
        assert (await ask(running, run_id))[0] == 403
        assert (await ask(running, run_id, "/commands", type="steer", content="x"))[0] == 403
        await taken_over(running, run_id, OTHER_OPERATOR)
        assert await handed_back(run_id) == 204
        await taken_over(running, run_id)
        gate.opened.set()
        await client.until_end(checked=True)
    assert notice["data"]["thought"] == "An operator has handed back this run"
    assert notice["data"]["by"] == "acme\x1fop"
    assert await handed_back(run_id) == 409
    notices = [event["data"]["notice"] for event in client.durable() if event["data"].get("notice")]
    assert notices == ["taken_over", "handed_back", "taken_over", "handed_back", "taken_over"]
    audit = [(entry["action"], entry["user"]) for entry in await entries(running)]
    over, back = "run.taken_over", "run.handed_back"
    assert audit == [(over, "op"), (back, "op"), (over, "second"), (back, "op"), (over, "op")]


@pytest.mark.promise("wire.endpoint-takeover")
async def test_a_run_is_taken_over_on_another_node(begin: Begin) -> None:
    calls = scripted(Call([("send_mail", {"to": "ada"})]), Say("Sent"), Call([("wait", {})]))
    fruit = Agent("fruit", tools=[order], model=ScriptedModel(Call([("order", {})]), Say("Done")))
    two = await begin(calls, fruit)
    operator, auditor = token_of("root", roles=("operator",)), token_of("eve", roles=("auditor",))
    async with connected(two.a.address, token_of()) as client:
        required = await working(client, "script", "approval_required")
        run_id = required["run_id"]
        await taken_over(two.b, run_id, operator)
        await client.until("agent_thinking", notice="taken_over")
        state = (await ask(two.b, run_id, who=operator))[1]
        (waiting,) = state["waits_for"]
        assert (waiting["kind"], waiting["call_id"]) == ("approval", required["data"]["call_id"])
        allow = {"type": "approve", "call_id": waiting["call_id"], "decision": "allow"}
        status, refused = await ask(two.b, run_id, "/commands", operator, **allow, remember=True)
        assert (status, refused["error"]["code"]) == (400, "invalid_command")
        assert (await ask(two.b, run_id, "/commands", operator, **allow))[0] == 202
        decided = await client.until("approval_decided")
        assert (await client.until_end())["data"]["message"] == "Sent "
        question = await working(client, "fruit", "question_asked")
        await taken_over(two.b, question["run_id"], operator)
        back = f"/api/admin/runs/{question['run_id']}/hand-back"
        assert (await request(two.b.address, "POST", back, token=operator))[0] == 204
        await client.until("agent_thinking", notice="handed_back")
        await taken_over(two.b, question["run_id"], operator)
        (waiting,) = (await ask(two.b, question["run_id"], who=operator))[1]["waits_for"]
        command = {"type": "answer", "question_id": waiting["question_id"], "answer": PEARS}
        assert (await ask(two.b, question["run_id"], "/commands", operator, **command))[0] == 202
        answered = await client.until("question_answered")
        await client.until_end()
        ended = (await working(client, "script", "tool_executing"))["run_id"]
        await taken_over(two.b, ended, operator)
        path, why = f"/api/observer/runs/{ended}/stop", json.dumps({"reason": WHY}).encode()
        assert (await request(two.b.address, "POST", path, token=operator, body=why))[0] == 202
        notice = await client.until("agent_thinking", notice="ended_by_operator")
        final = await client.until_end()
        for run in (run_id, question["run_id"], ended):
            check_arc([event for event in client.durable() if event["run_id"] == run])
    assert (decided["data"]["by"], answered["data"]["by"], answered["data"]["answer"]) == ("root", "root", PEARS)
    assert notice["data"]["thought"] == f"An operator has ended this run: {WHY}"
    assert final["data"]["status"] == "cancelled"
    audit = [(entry["action"], entry["detail"].get("act")) for entry in await entries(two.b, auditor)]
    assert audit == [
        ("run.taken_over", None),
        ("run.steered", "allow"),  # always: it was asked for, and refused
        ("run.steered", "allow"),
        ("tool.allowed", None),
        ("run.taken_over", None),
        ("run.handed_back", None),
        ("run.taken_over", None),
        ("run.steered", "answer"),
        ("run.taken_over", None),
        ("run.stopped", None),
    ]
