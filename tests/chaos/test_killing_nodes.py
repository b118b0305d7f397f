"""The actors that connect two nodes are killed while both are in use: every message is answered, no event is
repeated.
"""

from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import trio

from actors import ActorRef
from tests.rigs.chat_client import TERMINAL, ChatClient, check_arc, connected
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.server_pair import ServerPair, eventually, post, resume, token_of, two_servers
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis

PARTS: Final = ("bus", "letters", "receiver", "membership")
ROUNDS: Final = 6


def victims(two: ServerPair, part: str) -> list[ActorRef]:
    return [ref for node in two.both if (ref := node.system.find(f"/system/cluster/{part}")) is not None]


async def ends(client: ChatClient, count: int) -> None:
    while sum(event["type"] in TERMINAL and event.get("seq") is not None for event in client.seen) < count:
        await client.read()


@pytest.mark.parametrize("part", PARTS)
async def test_nodes_work_together_while_their_connections_are_killed(
    serve: Any, tmp_path: Path, postgres: Postgres, template: str, redis: Redis, part: str
) -> None:
    """A client of B sends messages in a thread owned by A, and is answered within seconds each time. Clients of A and B
    see the same events, each once, in order.
    """
    redis.flush()
    agent = scripted(Call([("echo", {"text": "x"})]), Say("one two three four five six"))
    two = await two_servers(serve, tmp_path, postgres.create(template), redis.url, agent)
    token = token_of()
    async with connected(two.a.address, token) as on_a:
        await on_a.say("go", thread_id="t", agent_type="script", message_id="m0")
        await ends(on_a, 1)
        await killed_and_seen(two, on_a, token, part)


async def killed_and_seen(two: ServerPair, on_a: ChatClient, token: str, part: str) -> None:
    """Kill the actors repeatedly and check that messages are still answered."""
    chance = Random(part)
    async with connected(two.b.address, token) as on_b:
        await resume(on_b)
        await ends(on_b, 1)
        for number in range(1, ROUNDS + 1):
            async with trio.open_nursery() as nursery:
                for victim in victims(two, part):
                    nursery.start_soon(kill_soon, victim, chance.random() * 0.05)
                with trio.fail_after(60):
                    await post_until_accepted(two, token, f"m{number}")
                    await ends(on_b, number + 1)
                    await ends(on_a, number + 1)
        for client in (on_a, on_b):
            numbers = [event["seq"] for event in client.durable()]
            assert numbers == list(range(1, len(numbers) + 1))
        assert on_b.durable() == on_a.durable()
        for run in {event["run_id"] for event in on_a.durable()}:
            check_arc(on_a.durable(run))
        await eventually(lambda: all(victim.alive for victim in victims(two, part)))


async def kill_soon(victim: ActorRef, after_s: float) -> None:
    await trio.sleep(after_s)
    victim.kill()


async def post_until_accepted(two: ServerPair, token: str, message_id: str) -> None:
    """Send B a message, and repeat it under the same id until it is accepted."""
    while True:
        status, _ = await post(
            two.b, token, "user_message", content="go", thread_id="t", agent_type="script", message_id=message_id
        )
        if status == 202:
            return
        await trio.sleep(0.1)
