"""Signing out: the session's tokens are refused everywhere, and its open connections are closed at once."""

import base64
import time
from typing import Any, NoReturn

import pytest

from tests.rigs.chat_client import closed_with, connected
from tests.rigs.http import handshake, request
from tests.rigs.sse import streaming
from transport.auth.tokens import Tokens
from understudy.app.server import Running
from understudy.auth import revocation
from understudy.storage.errors import StorageUnavailable

SECRET = "a secret of more than thirty-two bytes"


def token_of(user: str, session: str, ttl_s: float = 600.0) -> str:
    return Tokens(SECRET, time.time).issue(user, session, ttl_s=ttl_s)


async def sign_out(running: Running, token: str) -> int:
    return (await request(running.address, "DELETE", "/api/sessions", token=token))[0]


@pytest.mark.promise("wire.session-ends", "wire.close-4401", "owasp.logout")
async def test_all_sockets_of_the_session_are_closed_at_once_and_no_others(serve: Any) -> None:
    running = await serve(secret=SECRET)
    _, _, later = await request(running.address, "POST", "/api/sessions/refresh", token=token_of("ada", "s1", ttl_s=60))
    async with (
        connected(running.address, token_of("ada", "s1")) as first,
        connected(running.address, later["session_token"]) as two,
        connected(running.address, token_of("ada", "s2")) as other,
        connected(running.address, token_of("bob", "s1")) as stranger,
    ):
        assert await sign_out(running, token_of("ada", "s1")) == 204
        for client in (first, two):
            assert await closed_with(client) == (4401, "signed out")
        for client in (other, stranger):
            await client.send({"type": "ping"})
            await client.until("pong")


@pytest.mark.promise("wire.session-ends")
async def test_its_tokens_are_refused_at_every_door(serve: Any) -> None:
    running = await serve(secret=SECRET)
    token = token_of("ada", "s1")
    assert await sign_out(running, token) == 204
    wrapped = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    assert (await handshake(running.address, f"/ws?session_token={token}"))[0] == 401
    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"Sec-WebSocket-Protocol": f"jwt.{token}"},
        {"Sec-WebSocket-Protocol": f"understudy.v1, jwt.{wrapped}"},
    ):
        assert (await handshake(running.address, "/ws", **headers))[0] == 401
    async with connected(running.address, welcome=False) as client:
        await client.send({"type": "ping", "session_token": token})
        assert (await closed_with(client))[0] == 4401
    for method, path in (
        ("GET", "/api/agents"), ("POST", "/api/sessions/refresh"), ("DELETE", "/api/sessions"),
        ("GET", "/api/threads/t/stream"), ("GET", f"/api/threads/t/stream?session_token={token}"),
    ):  # fmt: skip
        bearer = None if "session_token" in path else token
        status, _, body = await request(running.address, method, path, token=bearer)
        assert (status, body["error"]["code"]) == (401, "unauthenticated"), (method, path)
    async with connected(running.address, token_of("ada", "s2")) as client:
        await client.send({"type": "refresh", "payload": {"session_token": token}})
        await client.until("error", code="unauthenticated")


@pytest.mark.promise("owasp.logout", "wire.stream-ends")
async def test_a_stream_of_the_session_ends(serve: Any) -> None:
    running = await serve(secret=SECRET)
    token = token_of("ada", "s1")
    async with connected(running.address, token) as client:
        await client.ask("What is 2 + 2?", thread_id="t")
    async with streaming(running.address, "/api/threads/t/stream", token) as stream:
        await stream.until("final_response")
        assert await sign_out(running, token) == 204
        await stream.until_end()


async def test_an_anonymous_user_signs_out(serve: Any) -> None:
    running = await serve()
    async with connected(running.address) as client:
        token = client.seen[0]["data"]["session_token"]
        assert await sign_out(running, token) == 204
        assert (await closed_with(client))[0] == 4401
    assert (await request(running.address, "POST", "/api/sessions/refresh", token=token))[0] == 401
    assert (await request(running.address, "POST", "/api/sessions"))[0] == 201


async def test_only_a_token_that_counts_signs_out(serve: Any) -> None:
    running = await serve(secret=SECRET)
    for bad in (None, "nonsense", token_of("ada", "s1", ttl_s=-5)):
        assert (await request(running.address, "DELETE", "/api/sessions", token=bad))[0] == 401
    assert (await request(running.address, "GET", "/api/agents", token=token_of("ada", "s1")))[0] == 200


async def test_a_disk_that_is_full_does_not_sign_out(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and the session stays valid: an unstored revocation would be lost by a restart."""

    def full(*_: object) -> NoReturn:
        raise StorageUnavailable("the disk is full")

    running = await serve(secret=SECRET)
    monkeypatch.setattr(revocation, "revoke_session", full)
    token = token_of("ada", "s1")
    status, headers, body = await request(running.address, "DELETE", "/api/sessions", token=token)
    assert (status, body["error"]["code"]) == (503, "storage_unavailable")
    assert headers["retry-after"]
    assert (await request(running.address, "GET", "/api/agents", token=token))[0] == 200
