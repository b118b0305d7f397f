"""An agent of a user with two sessions, on two servers."""

import time
from typing import Any

from tests.rigs.chat_client import connected
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from tests.rigs.server_pair import SECRET, Begin, resume, said, token_of
from transport.auth.tokens import Tokens
from understudy import Agent
from understudy.tools.server import supervision_tree


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
