"""Two servers in the test's own process that share a PostgreSQL and a Redis."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import request
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from transport.auth.tokens import Tokens
from understudy import Agent
from understudy.app.server import Running
from understudy.extensions.nodes.settings import NodeSettings

SECRET = "two-servers-with-one-secret-of-32-bytes"
SOON_S = 60.0


def token_of(user: str = "ada", session: str = "s1", roles: Sequence[str] = ()) -> str:
    """Return a token that both servers accept, also at the end of a run of all tests."""
    return Tokens(SECRET, time.time).issue(user, session, roles=roles, ttl_s=24 * 3600)


@define
class ServerPair:
    """Two servers."""

    a: Running
    b: Running

    @property
    def both(self) -> tuple[Running, Running]:
        return self.a, self.b


Begin = Callable[..., Awaitable[ServerPair]]
"""What the fixture `begin` is: starts two servers with these agents and settings."""


async def two_servers(
    serve: Callable[..., Awaitable[Running]], folder: Path, database: str, redis: str, *agents: Agent, **settings: Any
) -> ServerPair:
    """Start two servers, each with a folder of its own."""
    extensions = {NodeSettings: NodeSettings(redis, settings.pop("wakeups_by_redis", False))} | settings.pop("own", {})
    shared = {"database_url": database, "own": extensions, "secret": SECRET} | settings
    a = await serve(*agents, data_dir=folder / "a", **shared)
    b = await serve(*agents, data_dir=folder / "b", **shared)
    return ServerPair(a, b)


def backends_environment(postgres: Postgres, redis: Redis, number: int = 0) -> dict[str, str]:
    """Return environment variables for a new database and a Redis database, for servers in their own process."""
    return {
        "UNDERSTUDY_DATABASE_URL": postgres.create(),
        "UNDERSTUDY_NODES_REDIS_URL": f"{redis.url}/{number}",
        "UNDERSTUDY_SECRET": SECRET,
    }


async def resume(client: ChatClient, thread_id: str = "t", after: int = 0) -> None:
    """Subscribe to a thread from the cursor `after`."""
    await client.send({"type": "resume", "payload": {"threads": {thread_id: after}}})


async def post(server: Running | str, token: str, kind: str, **payload: Any) -> tuple[int, Any]:
    """Send a command over HTTP. Return the status and the decoded body."""
    address = server if isinstance(server, str) else server.address
    body = json.dumps({"type": kind, "payload": payload}).encode()
    return (await request(address, "POST", "/api/commands", token=token, body=body))[::2]


async def eventually(holds: Callable[[], object], within_s: float = SOON_S) -> None:
    """Wait until `holds()` is true. Raises `trio.TooSlowError` after `within_s`."""
    with trio.fail_after(within_s):
        while not holds():  # noqa: ASYNC110 - the condition is not an event
            await trio.sleep(0.01)


async def read_log(address: str, thread_id: str) -> list[dict[str, Any]]:
    """Return the events of a thread."""
    status, _, body = await request(address, "GET", f"/api/threads/{thread_id}/events", token=token_of())
    assert status == 200
    return list(body["events"])


@asynccontextmanager
async def on_both(two: ServerPair, token: str | None = None) -> AsyncIterator[tuple[ChatClient, ChatClient]]:
    """Yield a client at each server."""
    token = token or token_of()
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        yield on_a, on_b


async def said(client: ChatClient, thread_id: str = "t", agent: str = "script", **payload: Any) -> dict[str, Any]:
    """Say something. Return the event with which it is accepted."""
    return await client.ask("go", thread_id=thread_id, agent_type=agent, until="message_accepted", **payload)
