"""Whole servers: what they are built of, and what ends their start."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from actors import Actor, ActorSystem, ChildSpec, Context
from tests.servers.postgresql import Postgres
from understudy.agents.agent import Agent
from understudy.agents.budget import Budget
from understudy.app.build import build_app
from understudy.app.settings import Settings, with_values
from understudy.app.tree import Tree, supervisor
from understudy.storage.limits import Limits


async def test_a_server_with_redis_and_without_a_secret_does_not_start(tmp_path: Path, postgres: Postgres) -> None:
    shared = {"database_url": postgres.create(), "nodes_redis_url": "redis://127.0.0.1:1"}
    with pytest.raises(ValueError, match="UNDERSTUDY_SECRET"):
        await _start(with_values(Settings(), data_dir=tmp_path, **shared))


class SlowStarter(Actor):
    async def on_start(self, context: Context) -> None:
        await trio.sleep(20)


async def test_a_machine_may_take_longer_to_start_an_actor_of_the_cluster_than_an_ask_lasts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with ActorSystem("system", [supervisor("cluster")]) as system:
        await Tree(system, []).start_in_cluster(ChildSpec("slow", SlowStarter))
        assert system.find("/system/cluster/slow")


@pytest.mark.parametrize(
    ("limits", "agent", "sentence"),
    [
        ({}, Agent("desk", model="gpt9"), "agent 'desk': there is no model 'gpt9'; use `offline`"),
        ({}, Agent("desk", colleagues=["dsk"]), "'desk' has the colleague 'dsk', which is no other agent here"),
        ({"run_s": 30.0}, Agent("slow", timeout_s=120), "timeout_s=120, but limits.run_s ends every run after 30 s"),
        (
            {"run_turns": 10},
            Agent("long", budget=Budget(turns=50)),
            "agent 'long' has a budget of turns=50, but limits.run_turns is 10: raise limits.run_turns, or lower",
        ),
    ],
)
async def test_an_agent_that_cannot_work_ends_the_start_with_its_name(
    tmp_path: Path, limits: dict[str, float], agent: Agent, sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as refused:
        await _start(Settings(data_dir=tmp_path, limits=Limits(**limits)), agent)
    assert f"'{agent.name}'" in str(refused.value)


async def _start(settings: Settings, *agents: Agent) -> None:
    async with build_app(settings, agents):
        pytest.fail("it is not to start")


@pytest.mark.blocking("a server puts its parts together in one piece, before it serves anybody")
async def test_a_lifespan_that_fails_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    @asynccontextmanager
    async def pool() -> AsyncIterator[None]:
        raise ConnectionError("no such host")
        yield

    with pytest.raises(ValueError, match="the lifespan of agent 'desk' failed: ConnectionError: no such host"):
        await _start(Settings(data_dir=tmp_path), Agent("desk", lifespan=pool))
