"""Two servers over one PostgreSQL and one Redis share revoked sessions and a user's limits."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.chat_client import ChatClient, connected
from tests.end_to_end.http import request
from tests.end_to_end.server_pair import ServerPair, token_of, two_servers
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from transport.connection.limits import Limits

Begin = Callable[..., Awaitable[ServerPair]]
pytestmark = pytest.mark.slow


@pytest.fixture
def begin(serve: Any, tmp_path: Path, postgres: Postgres, template: str, redis: Redis) -> Begin:
    """Return a function that starts two servers over the backends that all tests share."""
    redis.flush()

    async def start(**settings: Any) -> ServerPair:
        return await two_servers(serve, tmp_path, postgres.create(template), redis.url, **settings)

    return start


async def test_a_session_ended_on_one_server_is_refused_on_the_other_within_a_second(begin: Begin) -> None:
    """Its sockets there are closed too, also without Redis; another session of the user stays open."""
    two, token, another = await begin(), token_of(), token_of(session="s2")

    async def status(token: str) -> int:
        return (await request(two.b.address, "GET", "/api/threads", token=token))[0]

    async with connected(two.b.address, token) as client, connected(two.b.address, another) as other:
        assert await status(token) == 200
        assert (await request(two.a.address, "DELETE", "/api/sessions", token=token))[0] == 204
        began = trio.current_time()
        with trio.fail_after(5):
            assert await client.until_closed() == 4401
        assert trio.current_time() - began < 1.5
        assert await status(token) == 401
        assert await status(another) == 200
        await other.send({"type": "ping"})
        await other.until("pong")


async def test_a_user_has_the_limits_of_one_server_on_both(begin: Begin) -> None:
    """Commands and connections are counted together; another user is not affected."""
    two = await begin(limits=Limits(operations_per_minute=20, connections_per_user=2))
    token = token_of()

    async def ask(client: ChatClient) -> str:
        """Send a cheap command. Return the code of its answer."""
        await client.send({"type": "cancel", "payload": {"run_id": "none"}})
        return str((await client.until("error"))["data"]["code"])

    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        assert [await ask(on_a) for _ in range(20)] == ["not_found"] * 20
        assert await ask(on_a) == "rate_limited"
        answers = []
        with trio.fail_after(60):  # the other server gets the count when it reports this user itself
            while "rate_limited" not in answers:
                answers.append(await ask(on_b))
                await trio.sleep(0.02)
        assert len(answers) < 20
        async with connected(two.b.address, token, welcome=False) as third:
            assert await third.until_closed() == 4429
        async with connected(two.b.address, token_of("bob")) as stranger:
            assert await ask(stranger) == "not_found"
