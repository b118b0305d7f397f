"""Tokens of an identity provider, over real sockets: its key set becomes unavailable and rotates."""

import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.http import handshake, request
from tests.rigs.identity_provider import FIRST, ec_key, key_set, published, publishing, rsa_key, signed
from tests.rigs.serving import serving
from transport.auth.tokens import LEEWAY_S
from understudy.app.server import Running

ROTATED = key_set(published(rsa_key(1), "second"))


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ada", "sid": "s1", "exp": time.time() + 60, **more}


def first(**more: Any) -> str:
    return signed(rsa_key(), claims(**more), "first")


def second(**more: Any) -> str:
    return signed(rsa_key(1), claims(**more), "second")


def served(data_dir: Path, jwks: str, **settings: Any) -> AbstractAsyncContextManager[Running]:
    return serving(data_dir / "data", jwt_keys=jwks, **settings)


async def agents(running: Running, token: str) -> int:
    return (await request(running.address, "GET", "/api/agents", token=token))[0]


@pytest.mark.promise("wire.token-subprotocol", "wire.token-header", "wire.token-query", "wire.token-provider")
@pytest.mark.parametrize("token", [first, lambda: signed(ec_key(), claims(), "curve")], ids=["RS256", "ES256"])
async def test_a_provider_s_token_opens_every_door(tmp_path: Path, token: Any) -> None:
    async with publishing(FIRST) as provider, served(tmp_path, provider.address) as running:
        assert await agents(running, token()) == 200
        carriers: list[dict[str, Any]] = [
            {"token": token()},
            {"headers": {"Authorization": f"Bearer {token()}"}},
            {"subprotocols": [f"jwt.{token()}"]},
        ]
        for carried in carriers:
            async with connected(running.address, **carried) as client:
                assert client.seen[0]["data"]["user"] == "ada"
        async with connected(running.address, welcome=False) as client:
            await client.send({"type": "ping", "session_token": token()})
            assert (await client.until("welcome"))["data"]["user"] == "ada"


@pytest.mark.promise("wire.no-way-round")
async def test_only_tokens_of_the_provider_are_accepted(tmp_path: Path) -> None:
    async with publishing(FIRST) as provider, served(tmp_path, provider.address) as running:
        assert (await request(running.address, "POST", "/api/sessions"))[0] == 401
        for token in (signed(rsa_key(1), claims(), "first"), second(), first(exp=time.time() - LEEWAY_S - 1), "x.y.z"):
            assert (await handshake(running.address, f"/ws?session_token={token}"))[0] == 401
            assert await agents(running, token) == 401
    assert provider.asked <= 2


async def by_handshake(running: Running) -> None:
    async with connected(running.address, second()) as client:
        assert client.seen[0]["data"]["user"] == "ada"


async def by_first_message(running: Running) -> None:
    async with connected(running.address, welcome=False) as client:
        await client.send({"type": "ping", "session_token": second()})
        await client.until("pong")


async def by_request(running: Running) -> None:
    assert await agents(running, second()) == 200


@pytest.mark.promise("wire.token-provider")
@pytest.mark.parametrize("come", [by_handshake, by_first_message, by_request])
async def test_a_new_key_is_known_at_its_first_token(tmp_path: Path, come: Any) -> None:
    async with publishing(FIRST) as provider, served(tmp_path, provider.address) as running:
        assert await agents(running, first()) == 200
        provider.publish(ROTATED)
        await come(running)
        assert await agents(running, second()) == 200
        assert await agents(running, first()) == 401


async def test_a_new_key_renews_in_place(tmp_path: Path) -> None:
    async with (
        publishing(FIRST) as provider,
        served(tmp_path, provider.address) as running,
        connected(running.address, first()) as client,
    ):
        provider.publish(ROTATED)
        await client.send({"type": "refresh", "payload": {"session_token": second()}})
        await client.send({"type": "ping"})
        await client.until("pong")
        assert [event["type"] for event in client.seen] == ["welcome", "pong"]


async def test_the_provider_may_be_unavailable_at_start(tmp_path: Path) -> None:
    """The server refuses the provider's tokens and accepts others; once the keys are available it accepts all."""
    async with publishing() as gone:
        port = int(gone.address.rsplit(":", 1)[1].split("/")[0])
    async with served(tmp_path, gone.address, secret="s" * 32) as running:
        assert await agents(running, first()) == 401
        async with publishing(FIRST, port) as back:
            with trio.fail_after(60):
                await back.found.wait()
            assert await agents(running, first()) == 200
        assert await agents(running, first()) == 200, "the keys are kept while nobody can be asked"


@pytest.mark.promise("wire.bad-token")
async def test_forged_tokens_do_not_become_requests_to_the_provider(tmp_path: Path) -> None:
    async with publishing(FIRST) as provider, served(tmp_path, provider.address) as running:
        assert await agents(running, first()) == 200
        requests = provider.asked
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(200):
                    forged = signed(rsa_key(1), claims(), f"forged-{number}")
                    nursery.start_soon(agents, running, forged)
                    await trio.lowlevel.checkpoint()  # signing takes CPU time
        assert provider.asked - requests <= 1


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 302 Found\r\nLocation: /k\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)
async def test_a_provider_that_answers_nonsense_leaves_the_rest_alone(tmp_path: Path, answer: bytes) -> None:
    async with publishing() as provider:
        provider.answer = answer
        async with served(tmp_path, provider.address, secret="s" * 32) as running:
            assert await agents(running, first()) == 401
            status, _, body = await request(running.address, "GET", "/healthz")
            assert (status, body["status"]) == (200, "ok")


@pytest.mark.promise("wire.token-renewed")
async def test_a_token_of_the_provider_is_renewed_in_place_by_a_later_one(tmp_path: Path) -> None:
    async with publishing(FIRST) as provider, served(tmp_path, provider.address) as running:
        soon = first(exp=time.time() - LEEWAY_S + 1.2)
        status, _, body = await request(running.address, "POST", "/api/sessions/refresh", token=soon)
        assert (status, body["error"]["code"]) == (403, "forbidden")
        async with connected(running.address, soon) as client:
            await client.until("error", code="token_expired")
            await client.send({"type": "refresh", "payload": {"session_token": first()}})
            assert (await client.ask("What is 2 + 2?"))["type"] == "final_response"


def a_file(tmp_path: Path, document: bytes) -> Path:
    path = tmp_path / "keys.json"
    path.write_bytes(document)
    return path


@pytest.mark.promise("wire.token-provider")
async def test_keys_in_a_file_are_read_again(tmp_path: Path) -> None:
    path = a_file(tmp_path, FIRST)
    async with served(tmp_path, str(path)) as running:
        assert await agents(running, first()) == 200
        a_file(tmp_path, ROTATED)
        assert await agents(running, second()) == 200
