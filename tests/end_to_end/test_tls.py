"""A whole server with certificate files."""

import json
import ssl
import urllib.request
from pathlib import Path

import pytest
import trio
import trustme
from websockets.sync.client import connect

from tests.end_to_end.process import refused, started
from tests.transport.http2_client import http2_client


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
    """The ready line says https; REST answers there by HTTP/1.1 and HTTP/2, and a stock client gets `welcome` on the
    socket. An event stream over HTTP/2 does not hold up the end.
    """
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def talk(address: str) -> tuple[int, str]:
        with urllib.request.urlopen(f"{address}/healthz", context=trusting, timeout=5) as answer:
            status: int = answer.status
        with connect(f"{address.replace('https', 'wss')}/ws", ssl=trusting) as client:
            return status, str(json.loads(client.recv(timeout=5))["type"])

    options = ("--tls-certificate", str(tmp_path / "certificate.pem"), "--tls-key", str(tmp_path / "key.pem"))
    async with started(tmp_path / "data", *options) as server:
        assert server.address.startswith("https://127.0.0.1:")
        assert await trio.to_thread.run_sync(talk, server.address) == (200, "welcome")
        async with http2_client(int(server.address.rpartition(":")[2]), trusting) as client:
            assert (await client.get("/healthz")).status == 200
            page = await client.get("/")
            assert (page.headers["content-type"], page.ended) == ("text/html; charset=utf-8", True)
            session = client.request("/api/sessions", "POST")
            await client.flush()
            token = json.loads((await client.answer(session)).body)["session_token"]
            signed = ("authorization", f"Bearer {token}")
            run = client.request("/api/runs", "POST", signed, ("content-type", "application/json"), end=False)
            client.h2.send_data(run, b'{"thread_id": "t", "message": "What is 6 * 7?"}', end_stream=True)
            await client.flush()
            assert (await client.answer(run)).status == 202
            async with http2_client(int(server.address.rpartition(":")[2]), trusting) as hostile:
                await hostile.stream.send_all(b"\0\0\x08\x06\0\0\0\0\0" + b"12345678" + b"\0\0\0\xbe\0\0\0\0\0" * 1000)
                with trio.fail_after(60):
                    await hostile.read_until(lambda: False)
            metrics = (await client.get("/metrics")).body.decode()
            assert 'understudy_http2_refused_total{code="enhance_your_calm"} 1.0' in metrics
            stream = client.request("/api/threads/t/stream", "GET", signed)
            await client.flush()
            with trio.fail_after(60):
                await client.read_until(lambda: b"event: final_response" in client.answers[stream].body)
            assert await server.terminate() == 0


def test_it_refuses_to_start_with_files_that_cannot_be_used(authority: trustme.CA, tmp_path: Path) -> None:
    """A missing file or the key of another certificate: exit code 1 and the reason; one file without the other: 2."""
    certificate, other = str(tmp_path / "certificate.pem"), str(tmp_path / "other.pem")
    authority.issue_cert("localhost").private_key_pem.write_to_path(other)
    data = ("--data-dir", str(tmp_path / "data"))
    for chosen, said in ((tmp_path / "none.pem", "cannot be read (No such file"), (other, "is not that of the")):
        ended = refused(*data, "--tls-certificate", certificate, "--tls-key", str(chosen))
        assert (ended.returncode, said in ended.stderr) == (1, True), ended.stderr
    ended = refused(*data, "--tls-certificate", certificate)
    assert (ended.returncode, "tls_certificate and tls_key belong together" in ended.stderr) == (2, True)
