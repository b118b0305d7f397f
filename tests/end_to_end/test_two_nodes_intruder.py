"""An attacker reads and writes the Redis of two servers, without their secret or a token."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.end_to_end.chat_client import connected
from tests.end_to_end.scripted_model import Call, Say, ScriptedModel, scripted
from tests.end_to_end.server_pair import SECRET, Begin, eventually, resume, token_of
from tests.extensions.nodes.test_two_nodes import on_both, said
from tests.servers.needed import program
from tests.servers.redis import Redis
from transport.auth.tokens import Tokens
from understudy import Agent
from understudy.tools.server import supervision_tree

KEY = "ghp_" + "a1B2c3D4" * 4 + "e5F6"


@asynccontextmanager
async def monitored(redis: Redis, folder: Path) -> AsyncIterator[Path]:
    """Record every command that Redis receives, as escaped text, in the file that is yielded."""
    path = folder / "monitored"
    command = [program("redis", "redis-cli"), "-p", str(redis.port), "MONITOR"]
    with path.open("wb") as file:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.run_process, command, stdout=file, check=False))
            await eventually(lambda: path.read_bytes().startswith(b"OK"))
            yield path
            nursery.cancel_scope.cancel()


async def test_nothing_of_a_conversation_is_in_the_clear(begin: Begin, redis: Redis, tmp_path: Path) -> None:
    two = await begin(scripted(Say("the answer is PURPLE")))
    async with monitored(redis, tmp_path) as path:
        async with on_both(two) as (on_a, on_b):
            await said(on_a)
            await on_a.until_end()
            await resume(on_b)
            await on_b.until_end()
            await on_b.ask(f"my key is {KEY}", thread_id="t", agent_type="script")
            await on_a.until_end()
        told = path.read_bytes()
    assert told.count(b"understudy:inbox:") > 3
    assert not [word for word in (b"PURPLE", b"ghp_", b"script", b"message_accepted") if word in told]
    assert not re.search(rb"(?<![0-9A-Za-z])ada(?![0-9A-Za-z])", told)  # digests and escapes (`\xad` and an `a`) may


async def test_an_agent_has_its_users_rights_on_any_node(begin: Begin) -> None:
    agent = Agent(
        "script", tools=(supervision_tree,), model=ScriptedModel(Call([("supervision_tree", {})]), Say("done"))
    )
    two = await begin(agent)
    operator = Tokens(SECRET, time.time).issue("ada", "s2", roles=("operator",), ttl_s=600)
    statuses: list[Any] = []
    async with connected(two.a.address, token_of()) as on_a, connected(two.b.address, operator) as on_b:
        for client in (on_a, on_b):
            await said(client)
            while (event := await client.read())["type"] != "tool_completed":
                pass
            statuses.append(event["data"]["status"])
            await client.until_end()
            if client is on_a:
                await resume(on_b)
                await on_b.until_end()
    assert statuses == ["failed", "ok"]
