"""Answers to unauthenticated clients, security headers, and file permissions."""

import os
import ssl
import stat
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
import trustme

from tests.rigs.chat_client import connected
from tests.rigs.http import UPGRADE, get, multipart, new_token, request, upload
from tests.rigs.tokens import SECRET, token_of
from understudy.app.server import Running
from understudy.storage.limits import Limits

EVERYWHERE = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


async def raw(running: Running, head: str) -> tuple[int, dict[str, str]]:
    """Send a request unchanged. Return the status and the headers."""
    where = urlsplit(running.address)
    with trio.fail_after(60):
        stream: Any = await trio.open_tcp_stream(where.hostname or "", where.port or 80)
        if where.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            stream = trio.SSLStream(stream, context, https_compatible=True)
        async with stream:
            await stream.send_all(head.encode("latin-1"))
            received = b""
            while b"\r\n\r\n" not in received:
                piece = await stream.receive_some()
                assert piece, received
                received += piece
    first, *lines = received.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    fields = (line.partition(": ") for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, _, value in fields}


@pytest.mark.promise("owasp.errors")
async def test_metrics_need_a_role(serve: Any) -> None:
    running = await serve(secret=SECRET, limits=Limits(requests_per_minute=4))
    for token, wanted in (
        (None, 401),
        (token_of("ada"), 403),
        (token_of("prometheus", roles=["metrics"]), 200),
        (token_of("op", roles=["operator"]), 200),
    ):
        status, _, text = await request(running.address, "GET", "/metrics", token=token)
        assert status == wanted
        assert ("understudy_connections" in str(text)) == (wanted == 200)
    statuses = [(await request(running.address, "GET", "/metrics"))[0] for _ in range(5)]
    assert statuses == [401] * 3 + [429] * 2


async def test_health_says_the_status_alone_without_a_role(serve: Any) -> None:
    running = await serve(secret=SECRET)
    for token in (None, token_of("ada"), "forged"):
        assert (await request(running.address, "GET", "/healthz", token=token))[2] == {"status": "ok"}
    whole = await get(running, "/healthz", token_of("p", roles=["metrics"]))
    assert {"status", "checks", "version", "memory_mb", "connections"} <= whole.keys()


async def test_on_a_local_server_metrics_and_health_need_no_role(serve: Any) -> None:
    running = await serve()
    assert (await request(running.address, "GET", "/metrics"))[0] == 200
    assert "version" in (await request(running.address, "GET", "/healthz"))[2]


async def test_readiness_is_looked_at_once_a_second(serve: Any) -> None:
    running = await serve(secret=SECRET)
    operator = token_of("op", roles=["operator"])

    async def commits() -> float:
        lines = (await get(running, "/metrics", operator)).splitlines()
        return next(
            float(line.split()[1]) for line in lines if line.startswith("understudy_store_commit_seconds_count")
        )

    earlier, began = await commits(), trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(60):
            nursery.start_soon(request, running.address, "GET", "/readyz")
    assert 1 <= await commits() - earlier <= 3 + trio.current_time() - began  # two are the housekeeping of the start


def self_signed(folder: Path) -> tuple[Path, Path]:
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    return certificate, key


async def test_a_folder_that_was_open_is_closed_with_all_that_is_in_it(serve: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    (data / "understudy.db").touch(mode=0o644)
    umask = os.umask(0o022)
    try:
        running = await serve(secret=SECRET)
        assert (await upload(running, token_of("ada")))[0] == 201
        async with connected(running.address, token_of("ada")) as client:
            await client.ask("hello")
        assert (await request(running.address, "DELETE", "/api/sessions", token=token_of("ada", "s9")))[0] == 204
    finally:
        os.umask(umask)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (data, *data.rglob("*"))}
    assert {path.name: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    assert {"understudy.db", "understudy.db-wal"} <= {path.name for path in modes}


HEADS = {
    400: "GET / HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    401: f"GET /ws?session_token=bad HTTP/1.1\r\nHost: {{host}}\r\n{UPGRADE}\r\n",
    403: f"GET /ws HTTP/1.1\r\nHost: {{host}}\r\nOrigin: https://evil.example\r\n{UPGRADE}\r\n",
    404: f"GET /nowhere HTTP/1.1\r\nHost: {{host}}\r\n{UPGRADE}\r\n",
    405: f"POST /ws HTTP/1.1\r\nHost: {{host}}\r\n{UPGRADE}\r\n",
    431: "GET / HTTP/1.1\r\nHost: here\r\nX: " + "x" * 20_000 + "\r\n\r\n",
    501: "BREW / HTTP/1.1\r\nHost: here\r\n\r\n",
    505: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_answers_of_the_door_are_as_guarded_as_those_of_the_application(
    serve: Any, tmp_path: Path, secure: bool
) -> None:
    certificate, key = self_signed(tmp_path) if secure else (None, None)
    running = await serve(secret=SECRET, tls_certificate=certificate, tls_key=key)
    host = urlsplit(running.address).netloc
    for status, head in HEADS.items():
        answered, headers = await raw(running, head.replace("{host}", host))
        assert answered == status
        assert headers.items() >= EVERYWHERE.items(), status
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert ("strict-transport-security" in headers) is secure
    for path in ("/", "/api/agents", "/nowhere"):
        _, headers = await raw(running, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert ("strict-transport-security" in headers) is secure
        assert headers.items() >= EVERYWHERE.items()
    again = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\nBREW / HTTP/1.1\r\nHost: {host}\r\n\r\n"
    assert (await raw(running, again))[0] == 200


async def test_the_page_may_use_the_microphone_only_if_the_operator_allows_voice_input(serve_guest: Any) -> None:
    running, token = await serve_guest(page_voice_input=True)
    _, headers, _ = await request(running.address, "GET", "/")
    assert {"microphone=(self)", "camera=()"} <= set(headers["permissions-policy"].split(", "))
    assert (await get(running, "/api/agents", token))["model"]["voice"] is True


@pytest.mark.promise("owasp.origin")
async def test_hosts_and_origins_that_only_look_right_are_refused(serve: Any) -> None:
    running = await serve()
    at = urlsplit(running.address).netloc
    hosts = ("[::ffff:7f00:1].evil", "[::1].evil:80", "[127.0.0.1]", "[::1", "127.0.0.1@evil")
    hosts += ("localhost/evil", "localhost?evil", "localhost#evil")
    origins = (f"http://{at} ", f"http://{at}\t", "http://[::ffff:7f00:1].evil")
    for lines in (
        *(f"Host: {host}" for host in hosts),
        *(f"Host: {at}\r\nOrigin: {origin}" for origin in origins),
    ):
        for path, more in (("/ws", UPGRADE), ("/", "")):
            status, _ = await raw(running, f"GET {path} HTTP/1.1\r\n{lines}\r\n{more}\r\n")
            assert status in (400, 403), (path, lines)


@pytest.mark.promise("owasp.crash")
@pytest.mark.parametrize("where", ["head", "preamble", "unended"])
async def test_the_head_of_an_uploads_part_is_bounded(serve: Any, where: str) -> None:
    running = await serve(secret=SECRET)
    body, content_type = multipart("s.csv", b"a,b\n1,2\n")
    filling = b"x" * 100 * 1024
    if where == "head":
        long = body.replace(b"Content-Type:", b"X-Long: " + filling + b"\r\nContent-Type:")
    elif where == "preamble":
        long = filling + b"\r\n" + body
    else:
        long = body.partition(b"\r\n\r\n")[0] + filling
    for sent, wanted in ((long, (413, "message_too_large")), (body, (201, None))):
        upload = {"token": token_of("ada"), "body": sent, "content_type": content_type}
        status, _, answer = await request(running.address, "POST", "/api/files", **upload)
        assert (status, answer.get("error", {}).get("code")) == wanted


@pytest.mark.parametrize(("secret", "weak"), [("x" * 32, True), ("ab" * 20, True), ("0123456789abcdef" * 2, False)])
async def test_a_secret_that_is_easily_guessed_is_warned_of(
    serve: Any, caplog: pytest.LogCaptureFixture, secret: str, weak: bool
) -> None:
    await serve(secret=secret)
    assert ("settings.weak_secret" in [record.getMessage() for record in caplog.records]) is weak
    assert secret not in str([record.__dict__ for record in caplog.records])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who owns a socket")
async def test_the_user_who_runs_the_server_is_its_operator(serve: Any) -> None:
    running = await serve(local_operator=True)
    async with connected(running.address) as client:
        await client.send({"agent_type": "liaison", "pillar": "operations", "message": "Show the supervision tree"})
        await client.until_end()
        token = client.seen[0]["data"]["session_token"]
    (result,) = [event["data"]["result"] for event in client.durable() if event["type"] == "tool_completed"]
    assert "error" not in result
    forwarded = {"X-Forwarded-For": "192.0.2.7"}
    _, _, session = await request(running.address, "POST", "/api/sessions", headers=forwarded)
    for who, status in ((token, 200), (await new_token(running), 200), (session["session_token"], 403)):
        assert (await request(running.address, "GET", "/api/admin/users", token=who))[0] == status
