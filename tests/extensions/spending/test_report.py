"""What was spent, summed up for operators, within their rights."""

import time
from typing import Any

import pytest

from tests.rigs.eager_agent import Eager, agent
from tests.rigs.scripted_model import Say, scripted
from tests.rigs.store import running
from tests.rigs.tenants import ACME_OPERATOR, ADA, BOB, PLAIN_OPERATOR, SERVER_OPERATOR, ask, of_tenants, read, talk
from understudy.extensions.spending.report import spending_by
from understudy.models.prices import Price, PriceTable
from understudy.storage.changes import Change
from understudy.storage.queries import Scope
from understudy.storage.read_pool import Archive
from understudy.storage.records import StepRecord
from understudy.storage.spending import Spent

ALL = Scope()


@pytest.mark.promise("wire.endpoint-admin")
async def test_spending_is_summed_by_user_agent_model_and_day(serve: Any) -> None:
    """Each turn is 15 tokens and costs 0.2; ada has three turns of one agent, bob two of another."""
    prices = PriceTable("EUR", {"eager": Price(input=10_000, output=20_000)})
    eager, other = agent(Eager(), turns=3), scripted(Say("a b"), name="talker")
    server = await of_tenants(serve, eager, other, models_prices=prices, builtin_agents=[])
    await talk(server, ADA, "script")
    await talk(server, BOB, "talker")
    sums = {by: await read(server, f"/api/admin/spending?by={by}") for by in ("user", "group", "agent", "model", "day")}
    today = time.strftime("%Y-%m-%d", time.gmtime())
    ada = {"tokens": 45, "cost": pytest.approx(0.6), "runs": 1}
    bob = {"tokens": 3, "cost": 0.0, "runs": 1}
    assert sums["user"]["spending"] == [
        {"user": "ada", "tenant": "acme"} | ada,
        {"user": "bob", "tenant": "other"} | bob,
    ]
    assert sums["agent"]["spending"] == [{"agent": "script"} | ada, {"agent": "talker"} | bob]
    assert sums["model"]["spending"] == [{"model": "eager"} | ada, {"model": "script"} | bob]
    assert sums["day"]["spending"] == [{"day": today, "tokens": 48, "cost": pytest.approx(0.6), "runs": 2}]
    assert sums["day"]["since"] == today
    assert sums["day"]["until"] == today
    assert sums["day"]["currency"] == "EUR"
    for path, who in (("?by=user", ACME_OPERATOR), ("?by=user&tenant=acme", SERVER_OPERATOR)):
        report = await read(server, f"/api/admin/spending{path}", who)
        assert [row["user"] for row in report["spending"]] == ["ada"]
    assert (await read(server, "/api/admin/spending?by=agent", ACME_OPERATOR))["spending"][0]["agent"] == "script"
    assert (await read(server, "/api/admin/spending?by=model", PLAIN_OPERATOR))["spending"] == []
    await ask(server, "/api/threads/script_s-ada", ADA, "DELETE")
    assert (await read(server, "/api/admin/spending?by=agent&days=35"))["spending"][0] == {"agent": None} | ada
    for wrong in ("by=moon", "days=0", "days=36"):
        assert (await ask(server, f"/api/admin/spending?{wrong}"))[0] == 400


async def test_spending_is_summed_by_user_agent_model_and_day_of_a_tenant_or_of_all(database: Any, make: Any) -> None:
    """ann of acme asked two models, and was written a title; bob has no tenant; rows of cy's have no run any more."""
    archive, ann = Archive(database), "acme\x1fann"
    async with running(database) as (store, _):
        for owner, run_id in ((ann, "r1"), ("bob", "r2"), ("cy", "r3")):
            await store.commit(make.opening(owner, "t", run_id))
        names = ((1, "model", "big"), (2, "summary", "small"), (3, "ask", "title"), (4, "tool", "echo"))
        steps = tuple(StepRecord("r1", n, kind, name, None, None, {}, "ok", 1.0, 2.0) for n, kind, name in names)
        spent = tuple(Spent("r1", n, ann, "acme", 7 if n < 3 else 8, 10 * n, 0.5) for n in (1, 2, 3))
        await store.commit(Change(ann, "t", steps=steps, spent=spent))
        await store.commit(Change("bob", "t", spent=(Spent("r2", 1, "bob", None, 8, 5, 0.0),)))
        await store.commit(Change("cy", "t", spent=(Spent("r3", 1, "cy", None, 6, 7, 0.0),)))
        assert await store.delete_thread("cy", "t")

        async def by(kind: str, first: int, scope: Scope) -> list[tuple[Any, int, int]]:
            rows = await archive.read(spending_by, kind, first, 8, 10, scope)
            return [(row.key, row.tokens, row.runs) for row in rows]

        acme, nobody = Scope(everywhere=False, tenant="acme"), Scope(everywhere=False)
        assert await by("user", 6, ALL) == [(ann, 60, 1), ("cy", 7, 1), ("bob", 5, 1)]
        assert await by("user", 7, ALL) == [(ann, 60, 1), ("bob", 5, 1)]
        assert await by("user", 6, acme) == [(ann, 60, 1)]
        assert await by("user", 6, nobody) == [("cy", 7, 1), ("bob", 5, 1)]
        assert await by("day", 6, ALL) == [(8, 35, 2), (7, 30, 1), (6, 7, 1)]
        assert await by("agent", 6, ALL) == [("guide", 65, 2), (None, 7, 1)]
        assert sorted(await by("model", 6, ALL), key=str) == [("big", 10, 1), ("small", 20, 1), (None, 42, 3)]
