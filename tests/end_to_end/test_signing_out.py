"""Signing out: the session's tokens are refused everywhere, and its open connections are closed at once."""

import base64
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.chat_client import ChatClient, connected
from tests.end_to_end.http import handshake, request
from transport.auth.tokens import Tokens
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings

SECRET = "a secret of more than thirty-two bytes"


def token_of(user: str, session: str, ttl_s: float = 600.0) -> str:
    """Return a token as an application's own sign-in would issue it."""
    return Tokens(SECRET, time.time).issue(user, session, ttl_s=ttl_s)


async def sign_out(running: Running, token: str) -> int:
    """Sign out. Return the status of the answer."""
    status, _, _ = await request(running.address, "DELETE", "/api/sessions", token=token)
    return status


async def closed_with(client: ChatClient) -> tuple[int, str | None]:
    """Return code and reason of the server's close, which comes promptly."""
    with trio.fail_after(60):
        code = await client.until_closed()
    assert client.socket.closed is not None
    return code, client.socket.closed.reason


@pytest.mark.promise("wire.session-ends", "wire.close-4401", "owasp.logout")
async def test_all_sockets_of_the_session_are_closed_at_once_and_no_others(serve: Any) -> None:
    """They close with 4401, also one with a renewed token; sockets of other sessions or users stay open."""
    running = await serve(secret=SECRET)
    _, _, later = await request(running.address, "POST", "/api/sessions/refresh", token=token_of("ada", "s1", ttl_s=60))
    async with (
        connected(running.address, token_of("ada", "s1")) as one,
        connected(running.address, later["session_token"]) as two,
        connected(running.address, token_of("ada", "s2")) as other,
        connected(running.address, token_of("bob", "s1")) as stranger,
    ):
        assert await sign_out(running, token_of("ada", "s1")) == 204
        for client in (one, two):
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
        ("GET", "/api/agents"),
        ("POST", "/api/sessions/refresh"),
        ("DELETE", "/api/sessions"),
        ("GET", "/api/threads/t/stream"),
        ("GET", f"/api/threads/t/stream?session_token={token}"),
    ):
        bearer = None if "session_token" in path else token
        status, _, body = await request(running.address, method, path, token=bearer)
        assert (status, body["error"]["code"]) == (401, "unauthenticated"), (method, path)
    async with connected(running.address, token_of("ada", "s2")) as client:
        await client.send({"type": "refresh", "payload": {"session_token": token}})
        await client.until("error", code="unauthenticated")


@pytest.mark.promise("owasp.logout")
async def test_a_stream_of_the_session_ends(serve: Any) -> None:
    running = await serve(secret=SECRET)
    token = token_of("ada", "s1")
    async with connected(running.address, token) as client:
        await client.say("What is 2 + 2?", thread_id="t")
        await client.until_end()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            host, port = running.address.removeprefix("http://").split(":")
            stream = await trio.open_tcp_stream(host, int(port))
            head = f"GET /api/threads/t/stream HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
            await stream.send_all(head.encode())
            seen = await stream.receive_some()
            assert b" 200 " in seen.splitlines()[0]
            nursery.start_soon(sign_out, running, token)
            while b"0\r\n\r\n" not in seen[-5:]:
                piece = await stream.receive_some()
                if not piece:
                    break
                seen = seen[-5:] + piece
            await stream.aclose()


@pytest.mark.promise("wire.session-ends", "owasp.logout")
async def test_a_restart_does_not_forget(tmp_path: Path) -> None:
    """A server restarted with the same data refuses the session."""
    settings = Settings(port=0, data_dir=tmp_path / "data", secret=SECRET)
    token, other = token_of("ada", "s1"), token_of("ada", "s2")
    for again in (False, True):
        async with trio.open_nursery() as nursery:
            running = await nursery.start(partial(serve_app, settings))
            status, _, _ = await request(running.address, "GET", "/api/agents", token=token)
            assert status == (401 if again else 200)
            assert (await request(running.address, "GET", "/api/agents", token=other))[0] == 200
            if not again:
                assert await sign_out(running, token) == 204
            await running.stop()
            nursery.cancel_scope.cancel()


async def test_an_anonymous_user_signs_out(serve: Any) -> None:
    running = await serve()
    async with connected(running.address) as client:
        token = client.seen[0]["data"]["session_token"]
        assert await sign_out(running, token) == 204
        assert (await closed_with(client))[0] == 4401
    assert (await request(running.address, "POST", "/api/sessions/refresh", token=token))[0] == 401
    assert (await request(running.address, "POST", "/api/sessions"))[0] == 201


@pytest.mark.parametrize("bad", [None, "nonsense", token_of("ada", "s1", ttl_s=-5)])
async def test_only_a_token_that_counts_signs_out(serve: Any, bad: str | None) -> None:
    running = await serve(secret=SECRET)
    status, _, _ = await request(running.address, "DELETE", "/api/sessions", token=bad)
    assert status == 401
    assert (await request(running.address, "GET", "/api/agents", token=token_of("ada", "s1")))[0] == 200


async def test_a_disk_that_is_full_does_not_sign_out(serve: Any, tmp_path: Path) -> None:
    """503, and the session stays valid: an unstored revocation would be lost by a restart."""
    running = await serve(secret=SECRET)
    (tmp_path / "data" / "ended-sessions").mkdir()
    token = token_of("ada", "s1")
    status, headers, body = await request(running.address, "DELETE", "/api/sessions", token=token)
    assert (status, body["error"]["code"]) == (503, "storage_unavailable")
    assert headers["retry-after"]
    assert (await request(running.address, "GET", "/api/agents", token=token))[0] == 200
