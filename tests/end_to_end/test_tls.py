"""A whole server with certificate files."""

import asyncio
import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from websockets.asyncio.client import connect

from tests.rigs.loopback_server import run_as_asyncio
from tests.rigs.process import started


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """Issue a certificate for localhost into `certificate.pem` and `key.pem`. Return the authority."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for pem in issued.cert_chain_pems:
        pem.write_to_path(str(tmp_path / "certificate.pem"), append=True)
    return authority


@pytest.mark.promise("wire.one-port", "owasp.tls")
async def test_one_port_serves_https_and_wss(authority: trustme.CA, tmp_path: Path) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def ask_health(address: str) -> int:
        with urllib.request.urlopen(f"{address}/healthz", context=trusting, timeout=5) as answer:
            return int(answer.status)

    async def talk(address: str) -> str:
        async with connect(f"{address.replace('https', 'wss')}/ws", ssl=trusting) as client, asyncio.timeout(5):
            return str(json.loads(await client.recv())["type"])

    def run_and_follow(address: str) -> Any:
        def ask(path: str, method: str = "GET", body: bytes | None = None) -> Any:
            headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
            sent = urllib.request.Request(f"{address}{path}", body, headers, method=method)
            return urllib.request.urlopen(sent, context=trusting, timeout=60)

        token = ""
        token = json.load(ask("/api/sessions", "POST"))["session_token"]
        assert ask("/api/runs", "POST", b'{"thread_id": "t", "message": "What is 6 * 7?"}').status == 202
        stream = ask("/api/threads/t/stream")
        assert any(line.startswith(b"event: final_response") for line in stream)
        return stream

    options = ("--tls-certificate", str(tmp_path / "certificate.pem"), "--tls-key", str(tmp_path / "key.pem"))
    async with started(tmp_path / "data", *options) as server:
        assert server.address.startswith("https://127.0.0.1:")
        assert await trio.to_thread.run_sync(ask_health, server.address) == 200
        assert await run_as_asyncio(lambda: talk(server.address)) == "welcome"
        stream = await trio.to_thread.run_sync(run_and_follow, server.address)
        assert await server.terminate() == 0
        stream.close()
