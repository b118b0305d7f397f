"""What users and tenants spend in a day: counted once, and refused beyond the limit."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.eager_agent import Eager, agent
from tests.rigs.http import request
from understudy.app.server import serve_app
from understudy.app.settings import Settings, load, with_values
from understudy.models.model import ModelSettings
from understudy.models.prices import Price, PriceTable

PRICES = PriceTable("EUR", {"eager": Price(input=10_000, output=20_000)})


async def test_usage_has_the_cost_and_a_budget_of_cost_ends_the_run(serve_client: Any) -> None:
    async with serve_client(agent(Eager(), cost=0.5), models_prices=PRICES) as client:
        end = await client.ask("go", agent_type="script")
        check_arc(client.durable(end["run_id"]))
    assert end["data"]["usage"] == {"input": 40, "output": 20, "turns": 4, "cost": pytest.approx(0.8)}
    assert end["data"]["data"]["budget"]["message"] == "Stopped after 0.5 EUR of cost, the agent's budget."


async def test_a_users_day_ends_a_run_and_refuses_the_next(serve_guest: Any) -> None:
    running, token = await serve_guest(agent(Eager(), turns=20), spending_user_tokens_per_day=45)
    async with connected(running.address, token) as client:
        end = await client.ask("go", agent_type="script", thread_id="t")
        assert end["data"]["data"]["budget"]["ended_by"] == "user_tokens_per_day"
        assert end["data"]["usage"]["turns"] == 3
        await request(running.address, "DELETE", "/api/threads/t", token=token)
        refused = await client.ask("go", agent_type="script", until="error")
    assert refused["data"]["code"] == "quota_exceeded"
    assert refused["data"]["message"] == "You have used the 45 tokens of today; there is more from 00:00 UTC on."
    assert 0 < refused["data"]["retry_after"] <= 86_400
    async with connected(running.address) as other:
        assert (await other.ask("go", agent_type="script"))["type"] == "final_response"


async def test_messages_at_once_keep_to_the_day(serve_client: Any) -> None:
    """Twelve messages in as many threads, of 20 turns of 15 tokens each: together they take one turn too many at most.

    A turn may use 8,192 tokens, so that one of them is asked at a time; all end, and say why.
    """
    async with serve_client(agent(Eager(), turns=20), spending_user_tokens_per_day=600) as client:
        for number in range(12):
            await client.say("go", agent_type="script", thread_id=f"t{number}")
        ends = [await client.until_end() for _ in range(12)]
    used = sum(end["data"]["usage"]["input"] + end["data"]["usage"]["output"] for end in ends if "usage" in end["data"])
    assert used == 600
    assert {end["type"] for end in ends} <= {"final_response", "error"}
    assert {end["data"]["data"]["budget"]["ended_by"] for end in ends if end["type"] == "final_response"} == {
        "user_tokens_per_day"
    }


@pytest.mark.parametrize(("of_agent", "of_server"), [({"cost": 0.5}, {}), ({}, {"spending_user_cost_per_day": 5.0})])
async def test_a_limit_of_cost_needs_a_price(tmp_path: Path, of_agent: Any, of_server: Any) -> None:
    settings = with_values(Settings(port=0, data_dir=tmp_path), **of_server)
    with pytest.raises(ValueError, match="agent 'script' has a limit of cost, but its model 'eager' has no price"):
        await serve_app(settings, [agent(Eager(), **of_agent)])


async def test_a_reply_may_not_be_longer_than_those_of_its_model(tmp_path: Path) -> None:
    settings, of_agent = Settings(port=0, data_dir=tmp_path), ModelSettings(max_output=9_000)
    with pytest.raises(ValueError, match="'script': its max_output is 9,000 tokens, but its model writes at most"):
        await serve_app(settings, [evolve(agent(Eager()), settings=of_agent)])


def test_prices_are_read_from_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prices = '[understudy.models]\ncurrency = "EUR"\n[understudy.models.prices."gpt-x"]\ninput = 2\noutput = 8\n'
    Path("understudy.toml").write_text(prices)
    assert load().models.prices == PriceTable("EUR", {"gpt-x": Price(2, 8)})
    Path("understudy.toml").write_text(prices.replace("output = 8", "output = -8"))
    with pytest.raises(ValueError, match=r'models\.prices\."gpt-x"\.output must be a number, at least 0, but is -8 in'):
        load()
