"""A day of calls at an MCP server at which users have signed in once, and nobody is there: `mcp_unattended`.

mcp_unattended_calls      calls in 24 hours of a clock that is set forward, of users whose tokens live ten minutes
mcp_unattended_asked      sign-ins that were asked for meanwhile
mcp_unattended_refused    calls that failed, and requests that the MCP server refused for their token
mcp_unattended_refreshes  refreshes; the peer is their number if each token were refreshed as it expires

The authorization server and the MCP server are those of the stock SDK, over sockets; a refresh token is good for one
use, and its second use would end the sign-in. Two nodes share one database, and each call comes by one of them by
chance, so that both refresh. Connections close and are made anew as if the time had passed.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import trio
from attrs import evolve

from actors import ActorSystem, ChildSpec, StartChild, Supervisor
from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure
from tests.servers.mcp_oauth import Provider, serving
from transport.auth.fetch import request
from understudy import Agent, McpServer, mcp
from understudy.auth.oauth.seal import Seal
from understudy.storage.sqlite import open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter
from understudy.tools.context import ToolContext
from understudy.tools.errors import ToolError
from understudy.tools.mcp.catalogue import McpCatalogue
from understudy.tools.mcp.oauth.accounts import Accounts
from understudy.tools.mcp.oauth.flow import Callback, Return, finish, start
from understudy.tools.mcp.user_links import UserLinks

DAY_S: Final = 24 * 3600.0
EVERY_S: Final = 420.0
"""Seconds between two calls of a user, which vary by half."""
USERS: Final = 10
LIFE_S: Final = 600.0
BACK: Final = "http://127.0.0.1:1/api/mcp/notes/callback"


def figures(extent: Extent) -> Iterator[Figure]:
    """Let a day pass."""
    with tempfile.TemporaryDirectory() as folder:
        calls, asked, refused, refreshes, users = trio.run(_day, Path(folder), DAY_S / 24 if extent.small else DAY_S)
    span_s = DAY_S / 24 if extent.small else DAY_S
    yield Figure("mcp_unattended_calls", "calls", calls)
    yield Figure("mcp_unattended_asked", "sign-ins", asked)
    yield Figure("mcp_unattended_refused", "calls", refused)
    yield Figure("mcp_unattended_refreshes", "", refreshes, {"at_expiry": users * span_s / LIFE_S})


async def _day(folder: Path, span_s: float) -> tuple[int, int, int, int, int]:
    now, began, chance = [0.0], time.time(), random.Random(7)
    provider = Provider(clock=lambda: began + now[0], life_s=LIFE_S)
    tree = [ChildSpec("writer", lambda: StoreWriter(database)), ChildSpec("mcp", Supervisor)]
    database = await trio.to_thread.run_sync(open_database, folder)
    try:
        async with serving(provider) as url, ActorSystem("nodes", tree) as system:
            server = mcp(url, name="notes", auth="user")
            store = Store(database, lambda: system.find("/nodes/writer"))
            nodes = [_node(system, store, server, provider) for _ in range(2)]
            users = [f"user-{number}" for number in range(USERS)]
            for user in users:
                await _sign_in(nodes[0], user, server)
            asked, calls, failed = provider.asked, 0, 0
            due = [(chance.uniform(0, EVERY_S), user) for user in users]
            while due:
                now[0], user = min(due)
                if now[0] >= span_s:
                    break
                due.remove((now[0], user))
                due.append((now[0] + EVERY_S * chance.uniform(0.5, 1.5), user))
                calls += 1
                failed += not await _call(chance.choice(nodes), user, server, close=chance.random() < 0.5)
            refused = failed + provider.refused
            await system.stop(grace_s=10)
            return calls, provider.asked - asked, refused, provider.refreshed, USERS
    finally:
        database.close()


def _node(system: ActorSystem, store: Store, server: McpServer, provider: Provider) -> McpCatalogue:
    async def spawn(child: ChildSpec) -> object:
        mcps = system.find("/nodes/mcp")
        assert mcps is not None
        return await mcps.ask(StartChild(child))

    made = McpCatalogue.of([server])
    made.users = UserLinks(Accounts(store, Seal(b"b" * 32), provider.clock), spawn)
    return made


async def _sign_in(node: McpCatalogue, user: str, server: McpServer) -> None:
    assert node.users is not None
    accounts = node.users.accounts
    began = await start(accounts, user, server, BACK, Return())
    where = urlsplit(began.url)
    address = (where.hostname or "", where.port or 0)
    answer = await request("GET", began.url, headers={}, connect_to=[address], max_bytes=10_000, within_s=20)
    said = {name: each[0] for name, each in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    await finish(accounts, server, Callback(said["state"], said["code"], cookie=began.cookie))


async def _call(node: McpCatalogue, user: str, server: McpServer, *, close: bool) -> bool:
    """Make a call as a run of a schedule does. Return whether it succeeded. `close` its connection as if idle."""
    agent = Agent("caller", tools=[server])
    await node.settle(agent, (), user)
    tools = {each.name: each for each in node.with_tools(agent, (), user).tools}
    nobody: Any = None
    context = ToolContext(user, "t", "r", "c", (), nobody, nobody, lambda *_: None)
    try:
        await tools["notes_whose"].call({}, evolve(context, attended=False))
    except (ToolError, KeyError):
        return False
    assert node.users is not None
    if close:
        node.users.of(server, user).close()
    return True
