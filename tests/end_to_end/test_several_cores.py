"""Several nodes on one machine behind one port, as the guide to several cores has it set up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.rigs.chat_client import TERMINAL, ChatClient, check_arc, connected
from tests.rigs.http import get
from tests.rigs.process import Process, started
from tests.rigs.server_pair import backends_environment, resume, token_of
from tests.rigs.telling_agent import TELLER, long_text
from tests.servers.nginx import LOCATIONS, Nginx
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy.extensions.nodes.shared_limits import REPORT_S

pytestmark = pytest.mark.needs("nginx")


@asynccontextmanager
async def behind_one_port(folder: Path, postgres: Postgres, redis: Redis) -> AsyncIterator[tuple[str, list[Process]]]:
    """Start two nodes and a proxy that gives each connection to the next one. Yield its address and the nodes."""
    shared = backends_environment(postgres, redis) | {"UNDERSTUDY_LIMITS_CONNECTIONS_PER_USER": "3"}
    async with started(folder / "a", TELLER, **shared) as a, started(folder / "b", TELLER, **shared) as b:
        nodes = "\n".join(f"server {node.address.removeprefix('http://')};" for node in (a, b))
        proxy = await trio.to_thread.run_sync(Nginx, folder / "nginx", LOCATIONS, f"upstream chat {{ {nodes} }}")
        try:
            yield proxy.address, [a, b]
        finally:
            await trio.to_thread.run_sync(proxy.stop)


async def connections_of(node: Process) -> int:
    token = token_of("op", "s-op", ["operator", "metrics"])
    return int((await get(node, "/healthz", token))["connections"])


async def ends(client: ChatClient, count: int) -> None:
    """Read until so many runs have ended. Check that the client has each event once, in order, and whole runs."""
    while sum(event["type"] in TERMINAL for event in client.durable()) < count:
        await client.read()
    assert [event["seq"] for event in client.durable()] == list(range(1, len(client.durable()) + 1))
    for run in {event["run_id"] for event in client.durable()}:
        check_arc(client.durable(run))


async def test_two_nodes_behind_one_port_are_one_server(tmp_path: Path, postgres: Postgres, own_redis: Redis) -> None:
    """Two tabs on two nodes see the same, and count together; when a node is killed, its answer goes on in the other,
    and the port serves."""
    async with behind_one_port(tmp_path, postgres, own_redis) as (address, nodes):
        token = token_of()
        async with connected(address, token) as first:
            of_first = nodes.pop(0 if await connections_of(nodes[0]) else 1)
            async with connected(address, token) as second:
                assert await connections_of(nodes[0]) == 1
                await first.say("What is 17 * 23? Use your calculator.", thread_id="t", message_id="m1")
                await ends(first, 1)
                await ends(second, 1)
                await second.say("And 2 * 21? Use your calculator.", thread_id="t", message_id="m2")
                await ends(first, 2)
                await ends(second, 2)
                assert first.durable() == second.durable()

                async with connected(address, token):
                    await trio.sleep(2 * REPORT_S)  # a node tells the others of its connections once in this time
                    async with connected(address, token, welcome=False) as beyond:
                        assert await beyond.until_closed() == 4429

                long = {"agent_type": "teller", "context": {"pause_s": 0.2}}
                await first.say(long_text(20), thread_id="t", message_id="m3", **long)
                await second.until("partial_result")
                await of_first.kill()
                await ends(second, 3)
                assert second.durable()[-1]["type"] == "final_response"
        async with connected(address, token) as again:
            await resume(again)
            await again.say("And 3 * 21? Use your calculator.", thread_id="t", message_id="m4")
            await ends(again, 4)
