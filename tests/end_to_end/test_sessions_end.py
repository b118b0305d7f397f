"""Sessions: renewal stays within the issuer's bounds, and sessions can be revoked without their tokens."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio
from click.testing import CliRunner

from tests.rigs.chat_client import closed_with, connected
from tests.rigs.http import get, request
from tests.rigs.process import started
from tests.rigs.serving import serving
from tests.rigs.tokens import SECRET, token_of
from tests.servers.postgresql import Postgres
from transport.auth.tokens import Tokens
from understudy.app.server import Running
from understudy.auth.revocation import OVERLAP_S
from understudy.cli.main import main

DAY_S = 24 * 3600


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def signed(**claims: Any) -> str:
    return jwt.encode({"sub": "ada", "sid": "s1", **claims}, SECRET, algorithm="HS256")


async def renewed(running: Running, token: str) -> tuple[int, dict[str, Any]]:
    return (await request(running.address, "POST", "/api/sessions/refresh", token=token))[::2]


async def counts(address: str, token: str) -> bool:
    status, _, _ = await request(address, "GET", "/api/agents", token=token)
    assert status in (200, 401)
    return status == 200


@pytest.mark.promise("wire.renewal-bounds")
async def test_a_token_for_twenty_seconds_is_renewed_for_twenty_seconds_without_its_roles(serve: Any) -> None:
    running = await serve(secret=SECRET)
    now = int(time.time())
    token = signed(iat=now - 5, exp=now + 15, roles=["operator"], tenant="acme")
    status, body = await renewed(running, token)
    claims = claims_of(body["session_token"])
    assert status == 200
    assert claims["exp"] <= time.time() + 21
    assert (claims["auth_time"], claims.get("tenant")) == (now - 5, "acme")
    assert "roles" not in claims
    later = signed(**{**claims, "iat": claims["iat"] - 5, "exp": claims["exp"]})
    lifetime_s = claims["exp"] - claims["iat"] + 5
    claims = claims_of((await renewed(running, later))[1]["session_token"])
    assert claims["exp"] <= time.time() + lifetime_s + 1
    assert claims["auth_time"] == now - 5


@pytest.mark.promise("wire.renewal-bounds")
async def test_a_session_is_not_renewed_beyond_its_absolute_end(serve: Any) -> None:
    running = await serve(secret=SECRET, session_max_s=DAY_S)
    now = int(time.time())
    last = signed(iat=now - 3000, exp=now + 600, auth_time=now - DAY_S + 60)
    assert claims_of((await renewed(running, last))[1]["session_token"])["exp"] <= now + 62
    over = signed(iat=now - 3000, exp=now + 600, auth_time=now - DAY_S - 1)
    status, body = await renewed(running, over)
    assert (status, body["error"]["code"]) == (401, "token_expired")
    assert "sign in again" in body["error"]["message"]


async def test_a_token_that_does_not_say_when_it_was_issued_is_not_renewed(serve: Any) -> None:
    running = await serve(secret=SECRET)
    status, body = await renewed(running, signed(exp=int(time.time()) + 100))
    assert (status, body["error"]["code"]) == (403, "forbidden")


@pytest.mark.promise("wire.renewal-retires")
async def test_a_renewed_token_counts_for_a_moment_and_then_no_more(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tabs that renew at once both continue, and so does the socket of the old token."""
    real, now, ahead_s = time.time, int(time.time()), [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead_s[0])
    running = await serve(secret=SECRET)
    old = signed(iat=now - 500, exp=now + 500, jti="first")
    async with connected(running.address, old) as client:
        first, second = [(await renewed(running, old))[1]["session_token"] for _ in range(2)]
        assert first != second
        assert await counts(running.address, old)
        ahead_s[0] = OVERLAP_S + 1
        for token, good in ((old, False), (first, True), (second, True)):
            assert await counts(running.address, token) is good
        assert (await renewed(running, old))[0] == 401
        await client.send({"type": "ping"})
        await client.until("pong")


@pytest.mark.promise("wire.sign-out-everywhere", "owasp.logout")
async def test_a_user_ends_all_of_their_sessions(serve: Any) -> None:
    running = await serve(secret=SECRET)
    tokens = [token_of("ada", f"s{number}") for number in range(3)]
    async with connected(running.address, tokens[0]) as client, connected(running.address, token_of("bob")) as bob:
        assert (await request(running.address, "DELETE", "/api/me/sessions", token=tokens[1]))[0] == 204
        assert await closed_with(client) == (4401, "signed out")
        assert [await counts(running.address, token) for token in tokens] == [False] * 3
        assert await counts(running.address, token_of("ada", "s4"))
        await bob.send({"type": "ping"})
        await bob.until("pong")


@pytest.mark.promise("wire.sign-out-everywhere")
async def test_operators_end_the_sessions_of_others(serve: Any) -> None:
    running = await serve(secret=SECRET)
    ada = token_of("ada")
    path = "/api/users/ada/sessions"
    assert (await request(running.address, "DELETE", path, token=token_of("bob")))[0] == 403
    assert await counts(running.address, ada)
    assert (await request(running.address, "DELETE", path, token=token_of("op", roles=["operator"])))[0] == 204
    assert not await counts(running.address, ada)


@pytest.mark.promise("wire.sign-out-everywhere")
async def test_tokens_of_an_erased_user_are_refused(serve: Any) -> None:
    running = await serve(secret=SECRET)
    operator = token_of("op", roles=["operator"])
    for user, method, path, token, body in (
        ("ada", "DELETE", "/api/me", None, json.dumps({"confirm": "ada"}).encode()),
        ("bob", "DELETE", "/api/users/bob", operator, b""),
    ):
        session = token_of(user)
        async with connected(running.address, session) as client:
            await client.ask("hello", thread_id="t")
            assert (await request(running.address, method, path, token=token or session, body=body))[0] == 200
            assert await closed_with(client) == (4401, "signed out")
        assert not await counts(running.address, session)
        assert await counts(running.address, token_of(user))


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
@pytest.mark.promise("wire.sign-out-everywhere")
async def test_an_operator_ends_sessions_from_a_shell(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = ["--data-dir", str(tmp_path / "data")]
    if kind == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        where += ["--database-url", postgres.create(request.getfixturevalue("template"))]
    token = token_of("ada")
    async with started(tmp_path / "data", *where[2:], UNDERSTUDY_SECRET=SECRET) as server:
        async with connected(server.address, token) as client:
            done = await trio.to_thread.run_sync(CliRunner().invoke, main, ["users", "sign-out", "ada", *where])
            assert (done.exit_code, done.output) == (0, "signed ada out everywhere\n")
            assert (await closed_with(client))[0] == 4401
        assert not await counts(server.address, token)
        assert await counts(server.address, token_of("ada"))
        await server.terminate()
    async with started(tmp_path / "data", *where[2:], UNDERSTUDY_SECRET=SECRET) as server:
        assert not await counts(server.address, token)


async def test_the_caller_is_told_who_they_are_also_after_a_renewal(serve: Any) -> None:
    running = await serve(secret=SECRET)
    now = int(time.time())
    token = signed(iat=now - 30, exp=now + 30, name="Ada Lovelace", email="ada@example.org", groups=["staff"])
    _, later = await renewed(running, token)
    for bearer, groups in ((token, ["staff"]), (later["session_token"], [])):
        status, _, me = await request(running.address, "GET", "/api/me", token=bearer)
        assert (status, me["user"], me["name"], me["anonymous"]) == (200, "ada", "Ada Lovelace", False)
        assert (me["session"], me["tenant"], me["roles"], me["groups"]) == ("s1", None, [], groups)
    me = await get(running, "/api/me", signed(exp=now + 30, name=7, email="a@b\n"))
    assert me["name"] == "ada"


async def test_a_guest_is_told_that_they_are_one(serve: Any) -> None:
    running = await serve()
    _, _, session = await request(running.address, "POST", "/api/sessions")
    me = await get(running, "/api/me", session["session_token"])
    assert (me["user"], me["anonymous"]) == (session["user"], True)
    assert (await request(running.address, "GET", "/api/me"))[0] == 401


async def test_users_stay_signed_in_while_the_secret_is_replaced(tmp_path: Path) -> None:
    old, new = "the-old-secret-of-more-than-32-bytes", "a-new-secret-of-more-than-32-bytes!!"
    tokens = Tokens(new, time.time)
    token = Tokens(old, lambda: time.time() - 120).issue("ada", "s1", ttl_s=600)  # a fresh one would not be renewed
    async with serving(tmp_path, secret=old, accepted_secrets=[new]) as running:
        assert await counts(running.address, tokens.issue("ada", "s2", ttl_s=600))
    async with serving(tmp_path, secret=new, accepted_secrets=[old]) as running:
        status, body = await renewed(running, token)
        assert status == 200
        fresh = tokens.verify(body["session_token"])
        assert (fresh.user, fresh.session) == ("ada", "s1")
    async with serving(tmp_path, secret=new) as running:
        assert not await counts(running.address, token)
        assert await counts(running.address, body["session_token"])
