import contextlib
import datetime
import socket
import ssl
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from tests.rigs.identity_provider import ec_key, publishing
from transport.auth.fetch import fetch, is_fetchable, request
from transport.wire.errors import FetchFailed


async def fetched(url: str, max_bytes: int = 1000, within_s: float = 5.0) -> bytes:
    with trio.fail_after(8):
        return await fetch(url, max_bytes=max_bytes, within_s=within_s)


async def test_a_document_is_fetched() -> None:
    """One request with the expected headers, and no other."""
    async with publishing(b"hello") as server:
        assert await fetched(server.address + "?v=1") == b"hello"
    assert server.requests[0].startswith(b"GET /keys?v=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"User-Agent: understudy/" in server.requests[0]


ANSWERS = {
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "not followed"),
    "not found": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404"),
    "nothing to say": (b"HTTP/1.1 204 No Content\r\n\r\n", "answers 204"),
    "too large": (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, "more than 1000 bytes"),
    "too large in pieces": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"64\r\n"
        + b"x" * 100
        + b"\r\n" * 1
        + b"3e8\r\n"
        + b"x" * 1000,
        "more than 1000 bytes",
    ),
    "an endless head": (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 40_000, "not HTTP"),
    "broken off": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "not HTTP, or broke off"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
    "silence": (b"", "broke off"),
}


@pytest.mark.parametrize(("answer", "words"), ANSWERS.values(), ids=ANSWERS)
async def test_a_malformed_answer_is_reported(answer, words) -> None:
    """The error has the host and the reason, and nothing of the request or the response."""
    async with publishing() as server:
        server.answer = answer
        with pytest.raises(FetchFailed, match=words) as caught:
            await fetched(server.address)
    assert caught.value.host in server.address
    assert server.asked == 1


async def test_a_server_that_does_not_answer_in_time_is_given_up() -> None:
    async with publishing() as server:
        server.wait = trio.sleep_forever
        with pytest.raises(FetchFailed, match=r"no answer within 0\.1 s"):
            await fetched(server.address, within_s=0.1)


async def test_a_server_that_answers_a_byte_at_a_time_is_given_up(nursery) -> None:
    async def drip(stream: trio.SocketStream) -> None:
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while True:
                    await stream.send_all(b"x")
                    await trio.sleep(0.01)

    listeners = await nursery.start(partial(trio.serve_tcp, drip, 0, host="127.0.0.1"))
    with pytest.raises(FetchFailed, match=r"no answer within 0\.2 s"):
        await fetched(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/", within_s=0.2)
    nursery.cancel_scope.cancel()


async def test_a_refused_connection_is_reported() -> None:
    """A port without a listener, and a name that does not resolve: FetchFailed."""
    async with publishing() as server:
        pass
    with pytest.raises(FetchFailed):
        await fetched(server.address)
    with pytest.raises(FetchFailed):
        await fetched("http://name.invalid/")


@pytest.mark.parametrize("dead", ["refuses", "is silent"])
async def test_the_next_address_of_a_name_is_tried(dead: str) -> None:
    """The first one is dead: nothing listens there, or it answers nothing at all."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = silent.getsockname()
        waiting = []
        if dead == "is silent":
            silent.listen(0)
            for _ in range(3):  # its queue is full: the kernel drops who comes next
                waiting.append(client := socket.socket())
                client.setblocking(False)
                client.connect_ex(address)
        try:
            async with publishing(b"hello") as alive:
                where = urlsplit(alive.address)
                addresses = [address, ("127.0.0.1", where.port or 0)]
                sent = {"headers": {}, "connect_to": addresses, "within_s": 20.0}
                assert (await request("GET", alive.address, max_bytes=1000, **sent)).body == b"hello"
                with pytest.raises(FetchFailed):
                    await request(
                        "GET", alive.address, max_bytes=1000, **(sent | {"connect_to": [address], "within_s": 1.0})
                    )
        finally:
            for client in waiting:
                client.close()


PLACES = ["file:///etc/passwd", "ftp://a.example/", "//a.example/", "http://", "https:///keys", "gopher://a/", ""]
PLACES += ["http://u:p@a.example/", "http://a.example:0/", "http://a.example:x/", "http://a e/", "http://a/\r\nX: y"]


@pytest.mark.parametrize("url", PLACES)
async def test_only_plain_addresses_are_fetched(url) -> None:
    """Other schemes, a password, or a line break in a URL: refused."""
    assert not is_fetchable(url)
    with pytest.raises(ValueError, match="http or https"):
        await fetched(url)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this name that vouches for itself, and its key, as files."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(ec_key().public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    signed = builder.sign(ec_key(), hashes.SHA256())
    shape = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(ec_key().private_bytes(serialization.Encoding.PEM, *shape))
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize(("name", "trusted"), [("localhost", True), ("localhost", False), ("elsewhere.example", True)])
async def test_a_certificate_is_checked(tmp_path, monkeypatch, nursery, name, trusted) -> None:
    """It must be trusted by this machine, and be for the host of the address."""
    cert, key = certificate(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        except trio.BrokenResourceError:
            pass
        await trio.aclose_forcefully(stream)

    listeners = await trio.open_ssl_over_tcp_listeners(0, tls, host="127.0.0.1", https_compatible=True)
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    url = f"https://localhost:{listeners[0].transport_listener.socket.getsockname()[1]}/"
    if trusted and name == "localhost":
        assert await fetched(url) == b"hello"
    else:
        with pytest.raises(FetchFailed, match="certificate verify failed"):
            await fetched(url)
    nursery.cancel_scope.cancel()
