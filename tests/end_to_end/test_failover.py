"""Two servers whose PostgreSQL primary dies: they find the promoted standby, and clients lose nothing."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import request
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.server_pair import read_log, resume, token_of, two_servers
from tests.servers.postgresql import Pair
from tests.servers.redis import Redis

WORDS = "one two three four five six seven eight nine ten eleven twelve"


@pytest.mark.proof("chaos")
async def test_two_nodes_find_the_new_primary(
    serve: Any, tmp_path: Path, postgres_pair: Pair, own_redis: Redis
) -> None:
    gate = Gate(open_after=6)
    two = await two_servers(serve, tmp_path, postgres_pair.create(), own_redis.url, scripted(Say(WORDS, gate)))
    token = token_of()
    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        await on_a.say("go", thread_id="t", agent_type="script")
        await gate.reached.wait()
        await resume(on_b)
        await on_b.until("agent_started")
        await trio.to_thread.run_sync(postgres_pair.primary.stop, "immediate")
        await on_b.say("more", thread_id="u", agent_type="script", message_id="m2")
        while (await on_b.read())["type"] != "error":
            pass
        assert on_b.seen[-1]["data"]["code"] == "storage_unavailable"
        gate.opened.set()
        await trio.to_thread.run_sync(postgres_pair.standby.promote)
        for node in two.both:
            await until_ready(node.address)
        for client in (on_a, on_b):
            while not any(event["type"] == "final_response" for event in client.durable()):
                await client.read()
        await on_b.ask("more", thread_id="u", agent_type="script", message_id="m2")
        whole = await read_log(two.a.address, "t")
        check_arc(whole)
        for client in (on_a, on_b):
            assert [event for event in client.durable() if event["thread_id"] == "t"] == whole
        check_arc(await read_log(two.b.address, "u"))


async def until_ready(address: str) -> None:
    """Wait until a server reports that it can store messages."""
    with trio.fail_after(60):
        while (await request(address, "GET", "/readyz"))[0] != 200:  # noqa: ASYNC110 - it is no event
            await trio.sleep(0.05)
