"""Redis is killed for ten seconds while clients send messages continuously: users notice nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from tests.docs.served import socket_url
from tests.end_to_end.http import request
from tests.end_to_end.server_pair import ServerPair, token_of, two_servers
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from transport.client import Client, RunFailed, open_client

USERS = ("ada", "bob", "cyd")
BEFORE_S, AWAY_S, AFTER_S = 2.0, 10.0, 3.0
PAUSE_S = 0.2
"""Pause of a client between an answer and its next message. A shorter one keeps a core busy and meets no more."""


@define
class Tally:
    """Outcomes of the messages."""

    asked: int = 0
    wrong: list[str] = field(factory=list)
    over: bool = False

    async def ask(self, client: Client, thread_id: str) -> None:
        """Send messages one after the other until the test is over."""
        while not self.over:
            self.asked += 1
            number = self.asked
            try:
                answer = await client.answer(f"What is {number} * 10?", thread_id=thread_id)
            except RunFailed as failed:
                answer = f"{failed.code}: {failed.message}"
            if answer != f"{number} * 10 = {number * 10}":
                self.wrong.append(answer)
            await trio.sleep(PAUSE_S)


@asynccontextmanager
async def clients_of(two: ServerPair) -> AsyncIterator[list[tuple[Client, str]]]:
    """Yield for each user a client on each server. Both use one shared thread and one thread of their own."""
    async with AsyncExitStack() as stack:
        pairs = []
        for user in USERS:
            for name, running in (("a", two.a), ("b", two.b)):
                url, token = socket_url(running), token_of(user, f"{user}-{name}")
                client = await stack.enter_async_context(open_client(url, token=token))
                pairs += [(client, "shared"), (client, name)]
        yield pairs


@pytest.mark.proof("timing")
async def test_all_answers_arrive_despite_ten_seconds_without_redis(
    serve: Any, tmp_path: Path, postgres: Postgres, template: str, own_redis: Redis
) -> None:
    two = await two_servers(serve, tmp_path, postgres.create(template), own_redis.url, log_level="error")
    tally = Tally()
    async with clients_of(two) as pairs:
        with trio.fail_after(90):
            async with trio.open_nursery() as nursery:
                for client, thread_id in pairs:
                    nursery.start_soon(tally.ask, client, thread_id)
                await trio.sleep(BEFORE_S)
                await trio.to_thread.run_sync(own_redis.kill)
                before = tally.asked
                await trio.sleep(AWAY_S)
                asked_meanwhile = tally.asked - before
                await trio.to_thread.run_sync(own_redis.start)
                await trio.sleep(AFTER_S)
                tally.over = True
    assert tally.wrong == [], f"{len(tally.wrong)} of {tally.asked}"
    assert asked_meanwhile > len(pairs), "each client goes on while Redis is away"
    assert await said(two) == sorted(f"What is {number + 1} * 10?" for number in range(tally.asked))


async def said(two: ServerPair) -> list[str]:
    """Return all user messages in the histories of the threads."""
    found = []
    for user in USERS:
        for thread_id in ("shared", "a", "b"):
            cursor: str | None = ""
            while cursor is not None:
                path = f"/api/threads/{thread_id}/messages?limit=200" + (f"&cursor={cursor}" if cursor else "")
                status, _, page = await request(two.a.address, "GET", path, token=token_of(user))
                assert status == 200
                found += [each["content"] for each in page["messages"] if each["role"] == "user"]
                cursor = page["next_cursor"]
    return sorted(found)
