"""A store with sign-ins for tests, and a browser that goes to an authorization server and comes back."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trio

from tests.rigs.database import opened
from tests.servers.mcp_oauth import Provider, serving
from transport.auth.fetch import request
from understudy import McpServer, mcp
from understudy.auth.seal import Seal
from understudy.extensions.mcp.oauth.accounts import Accounts
from understudy.extensions.mcp.oauth.flow import Callback, Return, Started, finish, start
from understudy.storage.sqlite import open_database

REDIRECT = "http://127.0.0.1:1/api/mcp/notes/callback"
BACK = Return("/#t", "q")


@asynccontextmanager
async def accounts_in(folder: Path) -> AsyncIterator[Accounts]:
    """Yield sign-ins that are stored in a folder."""
    with closing(open_database(folder)) as database:
        async with opened(database) as store:
            yield Accounts(store, Seal(b"x" * 32), time.time, chance=random.Random(1))


@asynccontextmanager
async def ready(folder: Path, provider: Provider) -> AsyncIterator[tuple[Accounts, McpServer]]:
    """Yield a store, and an MCP server whose users sign in at the provider."""
    with trio.fail_after(90):
        async with serving(provider) as url, accounts_in(folder) as accounts:
            yield accounts, mcp(url, name="notes", auth="user")


async def begun(accounts: Accounts, owner: str, server: McpServer) -> Started:
    """Begin to sign a user in at a server."""
    return await start(accounts, owner, server, REDIRECT, BACK)


async def came_back(started: Started) -> Callback:
    """Go to the authorization server, and come back."""
    where = urlsplit(started.url)
    address = (where.hostname or "", where.port or 0)
    answer = await request("GET", started.url, headers={}, connect_to=[address], max_bytes=10_000, within_s=20)
    assert answer.status == 302, answer.body
    query = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    return Callback(query["state"], query.get("code", ""), query.get("iss", ""), query.get("error", ""), started.cookie)


async def sign_in(accounts: Accounts, owner: str, server: McpServer) -> None:
    """Sign a user in at a server."""
    await finish(accounts, server, await came_back(await begun(accounts, owner, server)))
