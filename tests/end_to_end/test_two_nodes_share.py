"""Two servers over one PostgreSQL and one Redis share revoked sessions and a user's limits."""

from typing import Any

import pytest
import trio

from actors import ActorRef, Context
from actors.actor import Receive
from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import request
from tests.rigs.server_pair import Begin, token_of
from understudy.storage.limits import Limits


async def test_a_session_ended_on_one_server_is_refused_on_the_other(begin: Begin) -> None:
    await refused_after(begin)


@pytest.mark.proof("timing")
async def test_a_session_ended_on_one_server_is_refused_on_the_other_within_a_second(begin: Begin) -> None:
    assert await refused_after(begin) < 1.5


async def refused_after(begin: Begin) -> float:
    """End a session. Return the seconds until the other server has closed its socket."""
    two, token, another = await begin(), token_of(), token_of(session="s2")

    async def status(token: str) -> int:
        return (await request(two.b.address, "GET", "/api/threads", token=token))[0]

    async with connected(two.b.address, token) as client, connected(two.b.address, another) as other:
        assert await status(token) == 200
        assert (await request(two.a.address, "DELETE", "/api/sessions", token=token))[0] == 204
        began = trio.current_time()
        assert await client.until_closed() == 4401
        took_s = trio.current_time() - began
        assert await status(token) == 401
        assert await status(another) == 200
        await other.send({"type": "ping"})
        await other.until("pong")
    return took_s


async def test_a_user_has_the_limits_of_one_server_on_both(begin: Begin) -> None:
    two = await begin(limits=Limits(operations_per_minute=20, connections_per_user=2))
    token = token_of()

    async def ask(client: ChatClient) -> str:
        await client.send({"type": "cancel", "payload": {"run_id": "none"}})
        return str((await client.until("error"))["data"]["code"])

    async def until_limited(client: ChatClient, pause_s: float) -> int:
        """Ask until a command is refused for its rate. Return how many were not."""
        allowed = 0
        with trio.fail_after(60):
            while (code := await ask(client)) == "not_found":
                allowed += 1
                await trio.sleep(pause_s)
        assert code == "rate_limited"
        return allowed

    async with connected(two.a.address, token) as on_a, connected(two.b.address, token) as on_b:
        began = trio.current_time()
        first = await until_limited(on_a, 0)
        # the other server gets the count when it reports this user itself, which takes it longer on a busy machine
        second = await until_limited(on_b, 0.2)
        earned = (trio.current_time() - began) * 20 / 60
        assert first >= 20
        assert first + second < 40 + earned
        with trio.fail_after(60):  # a server that waits too long for the broker counts alone, in the user's favour
            refused = False
            while not refused:
                async with connected(two.b.address, token, welcome=False) as third:
                    with trio.move_on_after(5):
                        refused = await third.until_closed() == 4429
        async with connected(two.b.address, token_of("bob")) as stranger:
            assert await ask(stranger) == "not_found"


async def test_a_node_whose_lease_is_over_is_not_ready(begin: Begin) -> None:
    """Others may have taken its threads; it is ready again once it has joined them."""
    two, going_on = await begin(), trio.Event()

    def held(ref: ActorRef, receive: Receive) -> Receive:
        async def wait(message: Any, context: Context) -> None:
            await going_on.wait()
            await receive(message, context)

        return wait if ref.path.endswith("/membership") else receive

    async def until_it_says(status: str, code: int) -> None:
        with trio.fail_after(60):
            while (answer := await request(two.a.address, "GET", "/readyz"))[0] != code:  # noqa: ASYNC110 - a server
                await trio.sleep(0.05)
        assert answer[2]["status"] == status

    await until_it_says("ready", 200)
    two.a.system.intercept(held)
    await until_it_says("rejoining", 503)
    going_on.set()
    await until_it_says("ready", 200)
