"""Tokens are written nowhere, even by a server with its most verbose log."""

import base64
import json
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio
import trio_websocket

from tests.rigs.chat_client import connected
from tests.rigs.http import get, handshake, request
from tests.rigs.identity_provider import ec_key, signed
from tests.rigs.process import started
from transport.auth.tokens import Tokens

SECRET = "a secret of more than thirty-two bytes"


def traces(token: str) -> set[str]:
    """Return the strings that must not appear: the token, its claims, its signature, and its subprotocol form."""
    wrapped = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return {token, wrapped, *(part for part in token.split(".")[1:] if len(part) > 8)}


def tokens() -> list[str]:
    """Return valid tokens and every kind of invalid one, all different."""
    mint = Tokens(SECRET, time.time)
    claims = {"sub": "ada", "sid": "s9", "exp": time.time() + 60}
    return [
        *(mint.issue("ada", f"s{number}", ttl_s=600) for number in range(3)),
        mint.issue("ada", "s3", ttl_s=-5),
        Tokens("f" * 40, time.time).issue("ada", "s4", ttl_s=600),
        signed(ec_key(), claims, "nobody-knows"),
        mint.issue("ada", "s5", ttl_s=600)[:-5] + "AAAAA",
        "garbage-that-was-a-token-once.MARK1MARK1.MARK2MARK2",
        "MARK3MARK3MARK3MARK3",
        mint.issue("ada", "s6", roles=["r" * 190] * 40, ttl_s=600),
    ]


async def drive(address: str, token: str) -> None:
    """Send a token by each of its carriers, right and wrong, to each endpoint."""
    wrapped = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    ways: list[dict[str, object]] = [
        {"token": token},
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"subprotocols": [f"jwt.{token}"]},
        {"subprotocols": ["understudy.v1", f"jwt.{wrapped}"]},
    ]
    for way in ways:
        try:
            async with connected(address, **way) as client:  # type: ignore[arg-type]
                await client.send({"type": "refresh", "payload": {"session_token": token}})
                await client.send({"type": "ping"})
                await client.until("pong")
        except* trio_websocket.HandshakeError:
            pass
    frames = [
        {"type": "ping", "session_token": token},
        {"type": "refresh", "payload": {"session_token": [token]}},
        {"type": "refresh", "payload": {"session_token": token}},
        {"type": token},
        {"type": "hello", "payload": {"batch": token}},
    ]
    for frame in [*(json.dumps(frame) for frame in frames), f'{{"session_token": "{token}"', token]:
        async with connected(address, welcome=False) as client:
            await client.send(frame)
            with suppress(trio_websocket.ConnectionClosed):
                await client.read()
    for path in ("/api/agents", f"/api/agents?session_token={token}", f"/api/threads/{token[:100]}", "/api/nothing"):
        await request(address, "GET", path, token=token)
    for method, path in (("POST", "/api/sessions/refresh"), ("POST", "/api/sessions"), ("PATCH", "/api/threads/x")):
        await request(address, method, path, token=token, body=f'"{token}"'.encode())
    for path in (f"/ws?session_token={token}&session_token=x", f"/nowhere?session_token={token}"):
        await handshake(address, path, Origin="https://elsewhere.example")


@pytest.mark.promise("owasp.token-in-url", "owasp.logging-secrets")
async def test_no_token_is_written_anywhere(tmp_path: Path) -> None:
    log, brought = tmp_path / "log", tokens()
    options = {
        "UNDERSTUDY_SECRET": SECRET,
        "UNDERSTUDY_LOG_LEVEL": "debug",
        "UNDERSTUDY_LIMITS_CONNECTIONS_PER_USER": "50",
    }
    async with started(tmp_path / "data", log=log, **options) as server:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for token in brought:
                    nursery.start_soon(drive, server.address, token)
            collector = Tokens(SECRET, time.time).issue("prometheus", "s", roles=["metrics"], ttl_s=600)
            metrics = await get(server, "/metrics", collector)
            health = await get(server, "/healthz", collector)
            await request(server.address, "DELETE", "/api/sessions", token=brought[0])
        await server.terminate()
        written = await trio.Path(log).read_text() + metrics + json.dumps(health)
        with closing(sqlite3.connect(tmp_path / "data" / "understudy.db")) as connection:
            ended = str(connection.execute("SELECT * FROM ended_sessions").fetchall())
    assert "handshake.refused" in written
    assert "token_expired" in written
    assert len(written.splitlines()) > 100
    leaks = {trace[:40] for token in brought for trace in traces(token) if trace in written + ended}
    assert not leaks
