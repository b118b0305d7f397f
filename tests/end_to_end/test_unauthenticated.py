"""Unauthenticated connections, however many and however slow, keep no user with a token out."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

from tests.end_to_end.flood import flooded
from tests.rigs.chat_client import connected
from tests.rigs.http import handshake, request
from tests.rigs.tokens import SECRET, token_of
from understudy.storage.limits import Limits

HELD_BACK = {
    "nothing": b"",
    "half a head": b"GET /ws HTTP/1.1\r\nHost: here\r\n",
    "a request, and then nothing": b"GET /page/icon.svg HTTP/1.1\r\nHost: here\r\n\r\n",
    "a handshake without a token": (
        b"GET /ws HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
}


@pytest.mark.promise("wire.limit-strangers", "owasp.connections")
@pytest.mark.parametrize("sent", HELD_BACK.values(), ids=HELD_BACK)
async def test_connections_without_a_token_keep_no_user_out(
    clock: trio.testing.MockClock, serve: Any, sent: bytes
) -> None:
    """320 connections from one address never authenticate; users of the same address are served at once.

    Server and test have the slow clock, so that a busy machine has time.
    """
    running = await serve(secret=SECRET, limits=Limits(connections_per_peer=50, connections_total=100))
    async with flooded(running.address, 320, sent):
        began = trio.current_time()
        async with connected(running.address, token_of("ada")) as ada:
            assert (await ada.ask("What is 2 + 2?"))["type"] == "final_response"
        assert (await request(running.address, "GET", "/api/agents", token=token_of("bob")))[0] == 200
        assert trio.current_time() - began < 3


@pytest.mark.promise("wire.limit-peer", "owasp.connections")
async def test_an_address_holds_no_more_than_its_connections_from_accept_on(
    clock: trio.testing.MockClock, serve: Any
) -> None:
    running = await serve(secret=SECRET, limits=Limits(connections_per_peer=50, connections_total=1000))
    async with flooded(running.address, 80, b"") as streams:
        with trio.fail_after(2):
            for stream in streams[:30]:
                assert await stream.receive_some() == b""
        for stream in streams[30:]:
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


@pytest.mark.promise("wire.limit-strangers")
async def test_users_are_never_closed_for_strangers(serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(connections_per_peer=100, connections_total=4))
    tokens = [token_of(f"user-{number}") for number in range(4)]
    async with AsyncExitStack() as stack:
        users = [await stack.enter_async_context(connected(running.address, token)) for token in tokens[:2]]
        await stack.enter_async_context(flooded(running.address, 20, b""))
        users += [await stack.enter_async_context(connected(running.address, token)) for token in tokens[2:]]
        for user in users:
            await user.send({"type": "ping"})
            await user.until("pong")
        status, body = await handshake(running.address, f"/ws?session_token={token_of('late')}")
        assert (status, body["error"]["code"]) == (503, "busy")


@pytest.mark.promise("wire.limit-peer", "owasp.proxies")
async def test_behind_a_proxy_the_forwarded_address_is_counted(serve: Any) -> None:
    limits = Limits(connections_per_peer=2)
    running = await serve(secret=SECRET, limits=limits, trusted_proxies=["127.0.0.1"])
    ada = {"X-Forwarded-For": "203.0.113.1"}
    bob = {"X-Forwarded-For": "203.0.113.2"}
    async with (
        flooded(running.address, 10, b""),
        connected(running.address, token_of("ada"), headers=ada),
        connected(running.address, token_of("eve"), headers=ada),
    ):
        status, body = await handshake(running.address, f"/ws?session_token={token_of('ida')}", **ada)
        assert (status, body["error"]["code"]) == (429, "rate_limited")
        assert (await request(running.address, "GET", "/api/agents", token=token_of("ida"), headers=ada))[0] == 429
        assert (await request(running.address, "GET", "/api/agents", token=token_of("bob"), headers=bob))[0] == 200
        async with connected(running.address, token_of("bob"), headers=bob):
            pass
