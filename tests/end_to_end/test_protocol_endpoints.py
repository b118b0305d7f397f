"""The endpoints of the protocol page: dialects by path, carriers of tokens, refused handshakes."""

import base64
import json
import logging
import re
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import trio

from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import get, handshake, request
from tests.rigs.raw_websocket import RawWebSocket
from tests.rigs.scripted_model import Say, scripted
from tests.rigs.serving import serving
from tests.rigs.tokens import SECRET, token_of
from understudy.app.server import Running

MEMBERS = {
    "canonical": {"type", "pillar", "priority", "timestamp", "message", "data"},
    "payload": {"type", "pillar", "priority", "timestamp", "message", "payload"},
    "flat": {"type", "pillar", "priority", "timestamp", "message", "code", "retryable", "error_id"},
    "agent_response": {"agent_type", "pillar", "message", "conversation_id", "type", "data", "visualization"},
}
PATHS = {"/ws": "canonical", "/api/ws/agent": "agent_response"}
CARRIERS = ("subprotocol", "wrapped", "header", "query")


def wrapped(token: str) -> str:
    """Return a token encoded as a subprotocol, as browsers' clients do."""
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def carried(**tokens: str) -> tuple[str, dict[str, str]]:
    """Return path and headers of a handshake with these tokens, one for each named carrier."""
    path, headers = "/ws", {}
    for way, token in tokens.items():
        if way == "query":
            path += f"?session_token={token}"
        elif way == "header":
            headers["Authorization"] = f"Bearer {token}"
        else:
            headers["Sec-WebSocket-Protocol"] = f"jwt.{wrapped(token) if way == 'wrapped' else token}"
    return path, headers


async def opened(running: Running, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Return the status of a handshake, and the headers of its answer."""
    where = urlsplit(running.address)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with trio.fail_after(60):
        async with await trio.open_tcp_stream(where.hostname or "", where.port or 80) as stream:
            raw = RawWebSocket(stream)
            status = await raw.handshake(path, lines)
            pairs = (line.partition(": ") for line in raw.head.split("\r\n")[1:] if line)
            return status, {name.lower(): value for name, _, value in pairs}


async def dialect_of(client: ChatClient) -> str:
    """Return the dialect of a socket, recognized by the shape of an error."""
    await client.send({"type": "dance"})
    error = await client.read()
    agent = {"agent_type"}  # present if the path fixes an agent
    return next(name for name, members in MEMBERS.items() if set(error) - agent == members - agent)


@pytest.mark.promise("wire.endpoint-ws", "wire.endpoint-agent", "wire.event-welcome", "wire.dialect-chosen")
async def test_each_path_has_its_dialect_and_any_other_may_be_chosen(serve: Any) -> None:
    running = await serve()
    for path, dialect in PATHS.items():
        choices = [("", None, dialect), ("?dialect=none", None, dialect), ("", "understudy.v1", "canonical")]
        choices += [(f"?dialect={name}", None, name) for name in MEMBERS]
        choices += [("?dialect=agent_response", "understudy.flat", "flat")]
        for query, offered, expected in choices:
            offers, welcome = [offered] if offered else None, expected != "agent_response"
            async with connected(running.address, path=path + query, subprotocols=offers, welcome=welcome) as client:
                assert await dialect_of(client) == expected, (query, offered)
                assert client.socket.subprotocol == offered
                assert client.seen[0]["type"] == ("welcome" if welcome else "error")


@pytest.mark.promise("wire.endpoint-unknown")
async def test_no_socket_elsewhere(serve: Any) -> None:
    running = await serve()
    for path in ("/", "/api/ws", "/api/ws/agent/x", "/ws/x", "/api/ws/other", "/observer"):
        status, body = await handshake(running.address, path)
        assert (status, body["error"]["code"]) == (404, "not_found"), path
        assert body["error"]["error_id"]


@pytest.mark.promise("wire.endpoint-ws")
async def test_one_connection_carries_every_agent(serve_client: Any) -> None:
    async with serve_client(scripted(Say("said"))) as client:
        session = client.seen[0]["data"]["session"]
        for form in ({"agent_type": "guide"}, {"agent_type": "liaison", "pillar": "content"}, {"agent_type": "script"}):
            await client.send({"message": "What can you do?", **form})
        ends = [await client.until_end() for _ in range(3)]
    for end in ends:
        check_arc(client.durable(end["run_id"]))
        assert session in end["conversation_id"]
    assert len({end["thread_id"] for end in ends}) == 3
    answered = {(end["agent_type"], end["pillar"]) for end in ends}
    assert answered == {("guide", None), ("liaison", "content"), ("script", None)}
    assert f"guide_{session}" in {end["conversation_id"] for end in ends}


@pytest.mark.promise("wire.token-subprotocol", "wire.token-header", "wire.token-query")
async def test_a_token_comes_by_any_of_its_ways(serve: Any) -> None:
    running = await serve(secret=SECRET)
    for way in CARRIERS:
        path, headers = carried(**{way: token_of("ada", roles=["reader"])})
        offered = [headers.pop("Sec-WebSocket-Protocol")] if headers.keys() & {"Sec-WebSocket-Protocol"} else None
        async with connected(running.address, path=path, headers=headers, subprotocols=offered) as client:
            assert client.seen[0]["data"]["user"] == "ada", way
            assert "session_token" not in client.seen[0]["data"]


@pytest.mark.promise("wire.token-message", "owasp.token-in-url")
async def test_a_token_comes_with_the_first_message(serve: Any) -> None:
    running = await serve(secret=SECRET)
    token = {"session_token": token_of("ada")}
    say: dict[str, Any] = {"type": "user_message", "payload": {"content": "What is 2 + 2?"}}
    for frame in (say | token, {**say, "payload": say["payload"] | token}):
        async with connected(running.address, welcome=False) as client:
            await client.send(frame)
            assert (await client.read())["data"]["user"] == "ada"
            await client.until_end(checked=True)


@pytest.mark.promise("wire.token-first-decides")
async def test_the_first_carrier_that_is_present_decides(serve: Any) -> None:
    running = await serve(secret=SECRET)
    good = token_of("ada")
    for wrong in ("", "garbage", jwt.encode({"sub": "x", "sid": "s", "exp": time.time() + 60}, "f" * 40)):
        for first in ("subprotocol", "header"):
            ways = ("subprotocol", "header", "query")
            later = dict.fromkeys(ways[ways.index(first) + 1 :], good)
            status, _ = await opened(running, *carried(**{first: wrong}, **later))
            assert status == 401, first
            status, _ = await opened(running, *carried(**{first: good}, **dict.fromkeys(later, wrong)))
            assert status == 101, first
        path, headers = carried(query=good)
        async with connected(running.address, path=path, headers=headers) as client:
            await client.send({"type": "ping", "session_token": wrong or "x"})
            assert (await client.until("pong"))["type"] == "pong"
            await client.send({"type": "ping", "session_token": token_of("bob")})
            await client.until("pong")
        assert [event["data"].get("user") for event in client.seen] == ["ada", None, None]


@pytest.mark.promise("wire.token-selected", "wire.token-beside-dialect", "owasp.subprotocol")
async def test_a_handshake_selects_among_its_offers(serve: Any) -> None:
    running = await serve(secret=SECRET)
    token = token_of("ada")
    plain, packed = f"jwt.{token}", f"jwt.{wrapped(token)}"
    for offers, selected in (
        ([plain], plain),
        ([packed], packed),
        ([packed, "understudy.flat"], "understudy.flat"),
        (["understudy.v1", packed], "understudy.v1"),
        (["chat", packed], packed),
        (["understudy.payload", "understudy.flat", packed], "understudy.payload"),
    ):
        status, headers = await opened(running, "/ws", {"Sec-WebSocket-Protocol": ", ".join(offers)})
        assert (status, headers.get("sec-websocket-protocol")) == (101, selected)
    status, headers = await opened(running, f"/ws?session_token={token}", {"Sec-WebSocket-Protocol": "chat"})
    assert (status, headers.get("sec-websocket-protocol")) == (101, None)


def bad_tokens() -> dict[str, tuple[str, str]]:
    """Return some, and the codes they are refused with; more are in `tests/transport/auth/test_tokens.py`."""
    claims = {"sub": "ada", "sid": "s", "exp": int(time.time()) + 3600}
    encode = partial(jwt.encode, key=SECRET, algorithm="HS256")
    unsigned = ".".join(wrapped(json.dumps(part)) for part in ({"alg": "none"}, claims)) + "."
    head, body, _ = encode(claims).split(".")
    return {
        "no sub": (encode({name: claims[name] for name in ("sid", "exp")}), "unauthenticated"),
        "over": (encode(claims | {"exp": 1}), "token_expired"),
        "alg none": (unsigned, "unauthenticated"),
        "signature cut off": (f"{head}.{body}.", "unauthenticated"),
        "another secret": (jwt.encode(claims, "f" * 40, algorithm="HS256"), "unauthenticated"),
    }


@pytest.mark.promise(
    "wire.token-claims", "wire.token-secret", "wire.token-before-upgrade", "wire.token-bad-message", "wire.close-4401",
    "wire.error-unauthenticated", "wire.error-token-expired", "wire.bad-token", "owasp.authentication",
)  # fmt: skip
async def test_a_token_that_does_not_count_opens_nothing(serve: Any) -> None:
    running = await serve(secret=SECRET)
    for name, (token, code) in bad_tokens().items():
        for path, headers in (carried(query=token), carried(header=token), carried(wrapped=token)):
            status, body = await handshake(running.address, path, **headers)
            assert (status, body["error"]["code"]) == (401, code), name
        status, _, body = await request(running.address, "GET", "/api/threads", token=token)
        assert (status, body["error"]["code"]) == (401, code), name
        async with connected(running.address, welcome=False) as client:
            await client.send({"type": "user_message", "payload": {"content": "hello"}, "session_token": token})
            assert await client.until_closed() == 4401
        (error,) = client.seen
        assert (error["type"], error["data"]["code"]) == ("error", code), name
        assert error["data"]["message"] == body["error"]["message"]
        if code == "unauthenticated":
            assert error["data"]["message"] == "You are not signed in, or the session has ended."


SIGN_IN_CALLBACK = "/api/mcp/{name}/callback"
"""Browsers come here from another server, with the cookie of a start that had a token."""
OPEN = ("/api/shared/{token}", "/api/mcp/{name}/client.json")
"""Anybody reads a conversation here by the token of a link, which its owner has made, and what was made for it; and
authorization servers what this server is as their client."""


@pytest.mark.promise("wire.endpoint-machines")
async def test_a_bad_token_gets_the_documented_refusal(serve: Any) -> None:
    """Also where none is needed: with one that has ended, and one that is no token."""
    running = await serve(secret=SECRET)
    document, tried, wrong = await get(running, "/openapi.json"), 0, []
    for path, methods in document["paths"].items():
        for method in methods:
            address, documented = re.sub(r"\{\w+\}", "t", path), methods[method]["responses"].keys()
            for bad in ("none", token_of("ann", ttl_s=-60)):
                status, _, _ = await request(running.address, method.upper(), address, token=bad, body=b"{}")
                if str(status) not in documented:
                    wrong.append((method, path, status))
                tried += 1
    assert (wrong, tried >= 200) == ([], True)


@pytest.mark.promise("wire.no-way-round", "owasp.authentication")
async def test_there_is_no_way_round(serve: Any) -> None:
    """With a secret, every address under /api is 401 without a token, streams included, and no socket sends
    `welcome`. Two addresses have secrets of their own in place of a token, and one has no secret: they find nothing.
    """
    running = await serve(secret=SECRET)
    document = await get(running, "/openapi.json")
    tried = 0
    for path, methods in document["paths"].items():
        for method in methods:
            if path.startswith("/api/") and method in ("get", "post", "patch", "delete"):
                named = re.sub(r"\{\w+\}", "t", path)
                for address in (named, f"{named}?session_token=x"):
                    status, _, body = await request(running.address, method.upper(), address, body=b"{}")
                    if path == SIGN_IN_CALLBACK:
                        assert (status, "not_found" in body) == (404, True)
                        continue
                    refusal = (404, "not_found") if path.startswith(OPEN) else (401, "unauthenticated")
                    assert (status, body["error"]["code"]) == refusal, (method, address)
                tried += 1
    assert tried >= 15
    for path in [*PATHS, "/ws?dialect=flat"]:
        resume = {"type": "resume", "payload": {"threads": {}}}
        for frame in ({"type": "message", "content": "hello"}, {"type": "hello"}, resume):
            async with connected(running.address, path=path, welcome=False) as client:
                await client.send(frame)
                assert await client.until_closed() == 4401
            assert [event["type"] for event in client.seen] == ["error"]


@pytest.mark.promise("wire.anonymous-secret", "wire.anonymous-socket")
async def test_an_anonymous_user_comes_back_after_a_restart(tmp_path: Path) -> None:
    """The secret made by the server is stored with its data: the token of `welcome` is valid after a restart."""
    users, token = [], None
    for _ in range(2):
        async with serving(tmp_path / "data") as running, connected(running.address, token) as client:
            users.append(client.seen[0]["data"]["user"])
            token = client.seen[0]["data"].get("session_token", token)
    assert users[0] == users[1]
    assert users[0].startswith("anon-")


@pytest.mark.promise("owasp.logging", "owasp.logging-secrets")
async def test_connections_are_logged_without_message_texts(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    running = await serve(secret=SECRET)
    with caplog.at_level(logging.INFO):
        async with connected(running.address, token_of("ada"), headers={"Origin": running.address}) as client:
            connection_id = client.seen[0]["data"]["connection_id"]
            await client.ask("zebra, please")
            await client.send({"type": "zebra"})
            assert (await client.read())["data"]["code"] == "unknown_type"
        await handshake(running.address, "/ws?session_token=zebra")
        with trio.fail_after(60):
            while not any(record.message == "connection.closed" for record in caplog.records):
                await request(running.address, "GET", "/healthz")
    lines = {record.message: record.__dict__ for record in caplog.records}
    for name, member, value in (
        ("connection.opened", "peer", "127.0.0.1"),
        ("connection.opened", "origin", running.address),
        ("connection.opened", "connection_id", connection_id),
        ("connection.closed", "connection_id", connection_id),
        ("connection.closed", "user", "ada"),
        ("connection.closed", "code", 1000),
        ("run.accepted", "user", "ada"),
        ("run.ended", "user", "ada"),
        ("run.ended", "run_id", lines["run.accepted"]["run_id"]),
        ("command.refused", "code", "unknown_type"),
        ("command.refused", "user", "ada"),
        ("handshake.refused", "code", "unauthenticated"),
    ):
        assert lines[name][member] == value, (name, member)
    assert 0 < lines["run.ended"]["duration_s"] <= lines["connection.closed"]["duration_s"]
    assert not [line for line in lines.values() if "zebra" in str(line)]


@pytest.mark.promise("owasp.csrf")
async def test_no_cookie_speaks_for_anybody(serve: Any) -> None:
    """A token in a cookie is ignored and no cookie is set, so a foreign page has no credentials to send."""
    running = await serve(secret=SECRET)
    cookie = "; ".join(f"{name}={token_of('ada')}" for name in ("session_token", "token", "session", "jwt"))
    status, headers, _ = await request(running.address, "GET", "/api/threads", headers={"Cookie": cookie})
    assert status == 401
    assert "set-cookie" not in headers
    async with connected(running.address, headers={"Cookie": cookie}, welcome=False) as client:
        await client.send({"type": "ping"})
        assert await client.until_closed() == 4401
    for method, path in (("GET", "/"), ("POST", "/api/sessions/refresh"), ("GET", "/api/agents")):
        _, headers, _ = await request(running.address, method, path, token=token_of("ada"))
        assert "set-cookie" not in headers
