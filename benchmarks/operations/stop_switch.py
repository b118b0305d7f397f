"""How long a run on one node goes on after its agent was stopped on another: real processes, PostgreSQL and Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.figure import Figure, all_cores
from benchmarks.store.servers import postgresql, redis
from tests.deploy.incidents.site import Node
from tests.end_to_end.chat_client import ChatClient
from tests.end_to_end.http import request
from tests.end_to_end.server_pair import token_of

ROUNDS = 10
MOST_S = 1.0
HEARD_S = 10.0
"""Longest time until the other node knows that the agent is allowed again."""
AGENT = "/api/stops/agent/hang"


def figures() -> Iterator[Figure]:
    """Yield the longest time of some rounds. Raises `benchmarks.peers.home.Missing` without the stores."""
    with (
        TemporaryDirectory(prefix="understudy-bench-") as folder,
        all_cores(),
        postgresql() as database,
        redis() as bus,
    ):
        stores = {"UNDERSTUDY_DATABASE_URL": database.create(), "UNDERSTUDY_REDIS_URL": bus.url}
        here, there = (Node(Path(folder) / name, stores) for name in "ab")
        try:
            took = trio.run(_measure, here, there)
        finally:
            here.kill()
            there.kill()
    yield Figure("stop_switch_s", "s", max(took), aim=MOST_S)


async def _measure(here: Node, there: Node) -> list[float]:
    await here.start()
    await there.start()
    operator, took = token_of("op", roles=["operator"]), list[float]()
    async with there.client() as client:
        for number in range(ROUNDS):
            with trio.fail_after(HEARD_S):
                await _begin(client, f"t{number}")
            body = json.dumps({"reason": "measured"}).encode()
            began = trio.current_time()
            status, _, _ = await request(here.address, "PUT", AGENT, token=operator, body=body)
            assert status == 200, status
            end = await client.until_end()
            assert end["data"]["code"] == "stopped", end
            took.append(trio.current_time() - began)
            status, _, _ = await request(here.address, "DELETE", AGENT, token=operator)
            assert status == 204, status
    return took


async def _begin(client: ChatClient, thread_id: str) -> None:
    """Have a run begin; it is refused until the node knows that the agent is allowed again."""
    while True:
        await client.say("Go on.", agent_type="hang", thread_id=thread_id)
        while (event := await client.read())["type"] != "error":
            if event["type"] == "tool_executing":
                return
        assert event["data"]["code"] == "stopped", event
