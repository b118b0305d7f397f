"""Fixtures: a whole server in the test's own process, with a real port, a real database and real actors."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from sanitization import Detector
from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import new_token
from tests.rigs.server_pair import Begin, ServerPair, two_servers
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy.agents.agent import Agent
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings, with_values

Serve = Callable[..., Awaitable[Running]]


@pytest.fixture
async def serve(tmp_path: Path, nursery: trio.Nursery, migrated: Path) -> Serve:
    """Start a server with these agents and settings. It is drained and stopped after the test."""

    async def start(*agents: Agent, detectors: Sequence[Detector] = (), **settings: Any) -> Running:
        if not settings.keys() & {"data_dir", "database_url"} and not (tmp_path / "data").exists():
            shutil.copytree(migrated, tmp_path / "data")
        # Clients of tests are processes of the server's own user, and would all be operators.
        usual = {"port": 0, "data_dir": tmp_path / "data", "models_words_per_s": 5000.0, "local_operator": False}
        chosen = with_values(Settings(), **usual | settings)
        running: Running = await nursery.start(partial(serve_app, chosen, agents, detectors))
        return running

    return start


@pytest.fixture
def serve_guest(serve: Serve) -> Callable[..., Awaitable[tuple[Running, str]]]:
    """Start a server with these agents and settings, and a session. Return the server and the session's token."""

    async def start(*agents: Agent, **settings: Any) -> tuple[Running, str]:
        running = await serve(*agents, **settings)
        return running, await new_token(running)

    return start


@pytest.fixture
def serve_client(serve: Serve) -> Callable[..., AbstractAsyncContextManager[ChatClient]]:
    """Start a server with these agents and settings, and connect to it."""

    @asynccontextmanager
    async def start(*agents: Agent, **settings: Any) -> AsyncIterator[ChatClient]:
        running = await serve(*agents, **settings)
        async with connected(running.address) as client:
            yield client

    return start


@pytest.fixture
def carrier(request: pytest.FixtureRequest) -> str:
    """What nodes wake each other with, `postgresql` or `redis`: the option `--wakeups`."""
    return str(request.config.getoption("--wakeups"))


@pytest.fixture
def begin(serve: Serve, tmp_path: Path, postgres: Postgres, template: str, redis: Redis, carrier: str) -> Begin:
    """Return a function that starts two servers with these agents, over the backends that all tests share."""
    redis.flush()

    async def start(*agents: Agent, **settings: Any) -> ServerPair:
        settings["wakeups_by_redis"] = carrier == "redis"
        return await two_servers(serve, tmp_path, postgres.create(template), redis.url, *agents, **settings)

    return start


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Return a clock that a test sets forward. It also runs slowly by itself, so that a blocked test reaches its
    timeout.
    """
    return trio.testing.MockClock(rate=0.25)
