"""Tenants on one server: rights of operators of a tenant, of the server, and of users; shares of the run limit."""

import json
from itertools import product
from typing import Any

import pytest
import trio
import trio.testing

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import request
from tests.rigs.scripted_model import Call, Gate, Say, ScriptedModel, scripted
from tests.rigs.tenants import ACME_OPERATOR, ADA, BOB, PLAIN_OPERATOR, SERVER_OPERATOR, of_tenants
from tests.rigs.tokens import SECRET, token
from understudy import Agent
from understudy.app.server import Running
from understudy.storage.limits import Limits
from understudy.tools.server import supervision_tree, system_health


async def alert(running: Running, who: str, **body: str) -> tuple[int, Any]:
    """Send an alert. Return the status and the number of connections it reached."""
    message = json.dumps({"message": "Hello", **body}).encode()
    status, _, answer = await request(running.address, "POST", "/api/alerts", token=who, body=message)
    return status, answer.get("connections")


async def results(client: ChatClient, content: str = "look") -> list[dict[str, Any]]:
    await client.ask(content, agent_type="script", thread_id="t")
    ended = {event["data"]["tool_name"]: event["data"] for event in client.seen if event["type"] == "tool_completed"}
    return [ended["system_health"], ended["supervision_tree"]]


def looking() -> Agent:
    """Return an agent that calls both tools that inspect the server."""
    model = ScriptedModel(Call([("system_health", {}), ("supervision_tree", {})]), Say("done"))
    return Agent("script", tools=(system_health, supervision_tree), model=model)


@pytest.mark.promise("owasp.authorisation")
async def test_an_operator_of_a_tenant_alerts_its_users_only(serve: Any) -> None:
    running = await of_tenants(serve, scripted(Say("one")))
    async with connected(running.address, ADA) as ada, connected(running.address, BOB) as bob:
        assert await alert(running, ACME_OPERATOR, message="For us") == (202, 1)
        assert await alert(running, ACME_OPERATOR, tenant="acme") == (202, 1)
        assert (await alert(running, ACME_OPERATOR, tenant="other"))[0] == 403
        assert await alert(running, PLAIN_OPERATOR) == (202, 0)
        assert await alert(running, SERVER_OPERATOR, tenant="other", message="For you") == (202, 1)
        assert await alert(running, SERVER_OPERATOR, message="For all") == (202, 2)
        assert (await ada.until("alert"))["data"]["message"] == "For us"
        assert (await bob.until("alert"))["data"]["message"] == "For you"
        assert (await bob.until("alert"))["data"]["message"] == "For all"


async def test_counts_are_those_of_the_operators_tenant(serve: Any) -> None:
    gate = Gate()
    running = await of_tenants(serve, scripted(Say("one", gate)))

    async def counts(who: str, query: str = "") -> Any:
        return await request(running.address, "GET", f"/api/observer/counts{query}", token=who)

    async with connected(running.address, ADA) as ada, connected(running.address, BOB):
        await ada.say("go", agent_type="script", thread_id="t")
        await gate.reached.wait()
        status, _, answer = await counts(ACME_OPERATOR)
        assert (status, answer) == (200, {"connections": 1, "runs": 1, "runs_waiting": 0})
        assert (await counts(SERVER_OPERATOR))[2]["connections"] == 2
        others = (await counts(SERVER_OPERATOR, "?tenant=other"))[2]
        assert others == {"connections": 1, "runs": 0, "runs_waiting": 0}
        gate.opened.set()
        await ada.until_end()


@pytest.mark.promise("owasp.authorisation")
async def test_operators_erase_users_of_their_tenant_only(serve: Any) -> None:
    running = await of_tenants(serve, scripted(Say("one")))
    for who in (ADA, BOB):
        async with connected(running.address, who) as client:
            await client.ask("hello", agent_type="script", thread_id="t")

    async def erase(path: str, who: str) -> int:
        status, _, _ = await request(running.address, "DELETE", f"/api/users/{path}", token=who)
        return int(status)

    assert await erase("bob", ACME_OPERATOR) == 404
    assert await erase("bob?tenant=other", ACME_OPERATOR) == 403
    assert await erase("bob?tenant=other", PLAIN_OPERATOR) == 403
    assert await erase("ada", ACME_OPERATOR) == 200
    assert await erase("bob?tenant=other", SERVER_OPERATOR) == 200


@pytest.mark.promise("owasp.authorisation")
async def test_a_name_cannot_be_the_key_of_a_user_of_another_tenant(serve: Any) -> None:
    running = await of_tenants(serve, scripted(Say("one")))
    async with connected(running.address, BOB) as client:
        await client.ask("hello", agent_type="script", thread_id="t")
    for method, path in (
        ("DELETE", "/api/users/other~bob"), ("DELETE", "/api/users/other~bob/sessions"),
        ("GET", "/api/audit?user=other~bob"), ("DELETE", "/api/users/bob?tenant=other~"),
    ):  # fmt: skip
        for between, who in product(("%1F", "%1f", "%00", "%0A"), (PLAIN_OPERATOR, SERVER_OPERATOR)):
            status, _, answer = await request(running.address, method, path.replace("~", between), token=who)
            refused = (status, answer["error"]["code"])
            assert refused in ((400, "invalid_command"), (403, "forbidden")), (path, answer)
    status, _, listed = await request(running.address, "GET", "/api/threads", token=BOB)
    assert (status, len(listed["threads"])) == (200, 1)


@pytest.mark.promise("owasp.authorisation")
async def test_an_agent_sees_of_the_server_what_its_user_may_see(serve: Any) -> None:
    running = await of_tenants(serve, looking())
    async with connected(running.address, ADA) as client:
        health, tree = await results(client)
        assert health["status"] == "ok"
        assert health["result"] == {"status": "ok"}
        assert tree["status"] == "failed"
        assert tree["result"]["error"]["code"] == "forbidden"
        assert "server_operator" in tree["result"]["error"]["message"]
    async with connected(running.address, ACME_OPERATOR) as client:
        health, tree = await results(client)
        assert health["result"] == {"status": "ok", "connections": 1, "runs": 1, "runs_waiting": 0}
        assert tree["result"]["error"]["code"] == "forbidden"
    async with connected(running.address, SERVER_OPERATOR) as client:
        health, tree = await results(client)
        assert health["result"]["memory_mb"] > 0
        assert (tree["status"], tree["result"]["actors"] > 5) == ("ok", True)


@pytest.mark.promise("owasp.authorisation")
async def test_without_tenants_an_operators_agent_sees_all_and_a_users_does_not(serve: Any) -> None:
    """On a server without tenants the role `operator` is sufficient."""
    running = await serve(looking(), secret=SECRET)
    async with connected(running.address, token("op", "operator")) as client:
        health, tree = await results(client)
        assert health["result"]["actors"] > 5
        assert tree["status"] == "ok"
    async with connected(running.address, token("ada")) as client:
        health, tree = await results(client)
        assert health["result"] == {"status": "ok"}
        assert "the role operator" in tree["result"]["error"]["message"]


@pytest.mark.promise("wire.limit-runs")
async def test_the_users_of_one_tenant_do_not_hold_all_permits(clock: trio.testing.MockClock, serve: Any) -> None:
    gate = Gate()
    running = await of_tenants(serve, scripted(Say("word", gate)), limits=Limits(runs_total=4, runs_per_user=2))
    cem = token("cem", org="acme")
    async with (
        connected(running.address, ADA) as ada,
        connected(running.address, cem) as other,
        connected(running.address, BOB) as bob,
    ):
        for client in (ada, other):
            for thread in "ab":
                await client.ask("go", agent_type="script", thread_id=thread, until="message_accepted")
        await trio.testing.wait_all_tasks_blocked(0.1)
        clock.jump(10.0)
        note = "Your organisation has as many answers at work as it may; number 1 in line"
        await other.until("agent_progress", note=note)
        await bob.ask("go", agent_type="script", thread_id="t", until="agent_started")
        assert not [event for event in bob.seen if event["type"] == "agent_progress"]
        gate.opened.set()
        for client, count in ((bob, 1), (ada, 2), (other, 2)):
            ends = [await client.until_end() for _ in range(count)]
            assert [end["data"].get("status") for end in ends] == ["success"] * count
