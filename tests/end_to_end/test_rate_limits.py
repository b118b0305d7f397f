"""Rate limits: requests beyond them are refused with a time to wait, or dropped and counted; other users are
unaffected.
"""

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio.testing

from tests.end_to_end.metrics import metric
from tests.end_to_end.passing_time import Clocks
from tests.end_to_end.passing_time import clocks as clocks
from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import handshake, request
from tests.rigs.tokens import SECRET, token_of
from understudy.storage.limits import Limits

REFUSED: dict[str, dict[str, Any]] = {
    "resume": {"type": "resume", "payload": {"threads": {}}},
    "cancel": {"type": "cancel", "payload": {"run_id": "r"}},
    "approve": {"type": "approve", "payload": {"call_id": "c", "decision": "allow"}},
    "feedback": {"type": "feedback", "payload": {"message_id": "m", "rating": "up"}},
    "hello": {"type": "hello", "payload": {}},
    "refresh": {"type": "refresh", "payload": {"session_token": "x"}},
    "ping": {"type": "ping", "payload": {}},
    "edit": {"type": "edit", "payload": {"message_id": "m", "content": "x"}},
    "regenerate": {"type": "regenerate", "payload": {"message_id": "m"}},
}


@pytest.mark.promise("wire.limit-operations", "owasp.rate")
async def test_each_operation_has_a_limit_of_its_own(serve: Any) -> None:
    limits = Limits(messages_per_minute=3, operations_per_minute=3, signals_per_minute=3)
    running = await serve(secret=SECRET, limits=limits)
    for name, command in REFUSED.items():
        token = token_of(f"ada-{name}")
        async with connected(running.address, token) as first, connected(running.address, token) as second:
            for _ in range(3):
                await first.send(command)
            await taken(first)
            await second.send(command)
            error = await second.until("error")
            assert (error["data"]["code"], 0 < error["data"]["retry_after"] <= 20) == ("rate_limited", True), name
            await second.send({"type": "hello"} if name == "ping" else {"type": "ping"})
            await taken(second)
        async with connected(running.address, token_of(f"bob-{name}")) as stranger:
            await stranger.send(command)
            await taken(stranger)
        codes = [event["data"].get("code") for event in second.seen[-1:] + first.seen + stranger.seen]
        assert "rate_limited" not in codes, name


async def taken(client: ChatClient) -> None:
    """Wait until all frames sent have been processed: frames that are no command are refused without being counted."""
    await client.send({"type": "nonsense"})
    await client.until("error", code="unknown_type")


@pytest.mark.promise("wire.limit-messages")
async def test_messages_edits_and_repeats_share_one_limit(serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(messages_per_minute=3))
    async with connected(running.address, token_of("ada")) as client:
        for command in (REFUSED["edit"], REFUSED["regenerate"], REFUSED["edit"]):
            await client.send(command)
        errors = [await client.ask("hello", until="error") for _ in range(4)]
    assert [error["data"]["code"] for error in errors] == ["not_found"] * 3 + ["rate_limited"]


@pytest.mark.promise("wire.limit-signals")
async def test_signals_beyond_the_limit_are_counted_and_not_answered(serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(signals_per_minute=5))
    for kind, command in (
        ("user_typing", {"type": "typing", "payload": {"thread_id": "t"}}),
        ("ack", {"type": "ack", "payload": {"thread_id": "t", "seq": 0}}),
    ):
        async with connected(running.address, token_of(f"ada-{kind}")) as client:
            for _ in range(20):
                await client.send(command)
            await taken(client)
            assert len(client.seen) <= 1 + 5 + 1
            assert not any(event["data"].get("code") == "rate_limited" for event in client.seen)
        assert await metric(running.address, f'understudy_messages_ignored_total{{type="{kind}"}}') == 15


@pytest.mark.promise("wire.limit-requests")
async def test_requests_of_a_user_are_counted_for_that_user(serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(requests_per_minute=5))
    for _ in range(5):
        assert (await request(running.address, "GET", "/api/agents", token=token_of("ada")))[0] == 200
    status, headers, body = await request(running.address, "GET", "/api/agents", token=token_of("ada"))
    assert (status, body["error"]["code"]) == (429, "rate_limited")
    assert 1 <= int(headers["retry-after"]) <= 12
    assert (await request(running.address, "GET", "/api/agents", token=token_of("bob")))[0] == 200
    for _ in range(10):
        assert (await request(running.address, "GET", "/healthz"))[0] == 200


@pytest.mark.promise("wire.limit-requests")
async def test_requests_without_a_token_are_counted_for_their_address(serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(requests_per_minute=4))
    statuses = [(await request(running.address, "GET", "/api/agents", token="bad"))[0] for _ in range(6)]
    assert statuses == [401] * 4 + [429] * 2
    assert (await request(running.address, "GET", "/"))[0] == 429
    assert (await request(running.address, "GET", "/api/agents", token=token_of("ada")))[0] == 200


@pytest.mark.promise("wire.limit-requests", "owasp.proxies")
@pytest.mark.parametrize(("trusted", "statuses"), [([], [200, 200, 429, 429]), (["127.0.0.1"], [200, 200, 200, 429])])
async def test_a_proxy_that_is_trusted_names_the_address(serve: Any, trusted: list[str], statuses: list[int]) -> None:
    running = await serve(secret=SECRET, limits=Limits(requests_per_minute=2), trusted_proxies=trusted)
    addresses = ("6.6.6.1, 203.0.113.1", "6.6.6.2, 203.0.113.2", "6.6.6.3, 203.0.113.1", "6.6.6.4, 203.0.113.1")
    for forwarded, expected in zip(addresses, statuses, strict=True):
        assert (await request(running.address, "GET", "/", headers={"X-Forwarded-For": forwarded}))[0] == expected


@pytest.mark.promise("wire.limit-sessions")
async def test_anonymous_sessions_are_limited_per_address(serve: Any) -> None:
    running = await serve(limits=Limits(sessions_per_minute=3))
    _, _, session = await request(running.address, "POST", "/api/sessions")
    async with connected(running.address), connected(running.address):
        status, headers, body = await request(running.address, "POST", "/api/sessions")
        assert (status, body["error"]["code"]) == (429, "rate_limited")
        assert int(headers["retry-after"]) >= 1
        assert (await handshake(running.address, "/ws"))[0] == 429
        async with connected(running.address, session["session_token"]):
            pass


@pytest.mark.promise("wire.limit-peer", "owasp.connections")
async def test_sockets_are_limited_per_address(serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(connections_per_peer=3))
    for _ in range(3):
        async with AsyncExitStack() as stack:
            for number in range(3):
                await stack.enter_async_context(connected(running.address, token_of(f"user-{number}")))
            status, body = await handshake(running.address, f"/ws?session_token={token_of('ada')}")
            assert (status, body["error"]["code"]) == (429, "rate_limited")
        await settled(running)
    assert (await handshake(running.address, "/ws?session_token=bad"))[0] == 401
    connections = running.system.find("/system/connections")
    async with connected(running.address, token_of("ada")) as client:
        for child in connections.children():
            child.kill()
        await client.until_closed()
    await settled(running)
    async with AsyncExitStack() as stack:
        for number in range(3):
            await stack.enter_async_context(connected(running.address, token_of(f"user-{number}")))


async def settled(running: Any) -> None:
    """Wait until the server has noticed that all clients disconnected."""
    with trio.fail_after(60):
        for child in running.system.find("/system/connections").children():
            await child.wait_stopped()
        await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.promise("wire.limit-requests")
async def test_handshakes_are_counted_as_requests(serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(requests_per_minute=2))
    for _ in range(2):
        async with connected(running.address, token_of("ada")):
            pass
    assert (await handshake(running.address, f"/ws?session_token={token_of('ada')}"))[0] == 429
    async with connected(running.address, token_of("bob")):
        pass


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ws?session_token=forged", {}, 401),
        ("/ws", {"Origin": "https://elsewhere.example"}, 403),
        ("/nowhere", {}, 404),
    ],
    ids=["a bad token", "a foreign page", "no endpoint"],
)
async def test_handshakes_that_are_refused_are_counted_too(
    serve: Any, path: str, headers: dict[str, str], status: int
) -> None:
    running = await serve(secret=SECRET, limits=Limits(requests_per_minute=2))
    statuses = [(await handshake(running.address, path, **headers))[0] for _ in range(4)]
    assert statuses == [status, status, 429, 429]


@pytest.mark.promise("wire.token-expired", "wire.close-4401", "wire.error-token-expired", "owasp.session-expiry")
async def test_a_token_that_ran_out_has_a_time_to_be_renewed(clocks: Clocks, serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(renewal_s=20.0, heartbeat_s=1000.0))
    async with connected(running.address, token_of("ada", ttl_s=20.0)) as client:
        clocks.forward(21.1)  # the time of a token ends with a whole second
        await client.until("error", code="token_expired")
        clocks.forward(15.0)
        await client.say("hello")
        await client.until("error", code="token_expired")
        clocks.forward(5.1)
        assert await client.until_closed() == 4401
    async with connected(running.address, token_of("ada", ttl_s=20.0)) as client:
        clocks.forward(21.1)
        await client.until("error", code="token_expired")
        for token, code in (
            ("nonsense", "unauthenticated"),
            (token_of("ada", ttl_s=-1), "token_expired"),
            (token_of("ada", "other"), "forbidden"),
        ):
            await client.send({"type": "refresh", "payload": {"session_token": token}})
            await client.until("error", code=code)
        await client.send({"type": "refresh", "payload": {"session_token": token_of("ada")}})
        assert (await client.ask("What is 2 + 2?"))["type"] == "final_response"
        clocks.forward(20.1)
        await client.send({"type": "ping"})
        await client.until("pong")


async def test_one_users_long_texts_delay_no_other_user(serve: Any) -> None:
    running = await serve(secret=SECRET)
    statuses: list[int] = []

    async def post(number: int) -> None:
        body = {"type": "message", "content": "password:" * 20_000, "thread_id": f"t{number}"}
        status, _, _ = await request(running.address, "POST", "/api/commands", token=token_of("ada"), body=body)
        statuses.append(status)

    async with connected(running.address, token_of("bob")) as stranger, trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(post, number)
        await stranger.say("What is 2 + 2?" + " please" * 300)
        with trio.fail_after(60):
            assert (await stranger.until_end())["type"] == "final_response"
    assert statuses.count(429) >= 4
    assert set(statuses) <= {202, 429}
