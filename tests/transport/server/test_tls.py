"""TLS: the checks of certificate files, and the same port for wss and https."""

import asyncio
import datetime
import http.client
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme
from trio_websocket import open_websocket_url
from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_blocking

from tests.rigs.loopback_server import UPGRADE, echo, exchange, open_server, run_as_asyncio, status_and_body
from tests.rigs.raw_websocket import CLOSE, TEXT, RawWebSocket, close, frame
from tests.transport.certificates import files
from transport.server.listener import Upgrade
from transport.server.replay_stream import ReplayStream
from transport.server.socket import SocketLimits
from transport.server.tls import TlsStream, server_context
from transport.wire.errors import SocketClosed, UnusableCertificate

DAY = datetime.timedelta(days=1)


@asynccontextmanager
async def tls_peer(port: int, trusting: ssl.SSLContext) -> AsyncIterator[RawWebSocket]:
    tcp = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(tcp, trusting, server_hostname="localhost", https_compatible=True)
    async with stream:
        client = RawWebSocket(stream)
        assert await client.handshake() == 101
        yield client


async def test_stock_clients_speak_wss(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """`websockets` and trio-websocket get their messages back, small and large, and close cleanly."""

    # Not its blocking client: that reads and writes one TLS socket in two threads, which loses bytes now and then.
    async def talk(port: int) -> tuple[list[str | bytes], int | None]:
        async with connect(f"wss://localhost:{port}/", ssl=trusting) as client:
            answers: list[str | bytes] = []
            for message in ("ünïcode", "x" * 200_000):
                await client.send(message)
                answers.append(await asyncio.wait_for(client.recv(), 60))
        return answers, client.close_code

    async with open_server(tls=server) as port:
        assert await run_as_asyncio(lambda: talk(port)) == (["ünïcode", "x" * 200_000], 1000)
        async with open_websocket_url(f"wss://localhost:{port}/", ssl_context=trusting) as client:
            await client.send_message("hello")
            assert await client.get_message() == "hello"


async def test_https_shares_the_port(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Two requests on one connection; the application's scope has the scheme https."""

    async def scheme(scope: dict[str, object], receive: object, send: object) -> None:
        if scope["type"] == "http":
            answer = str(scope["scheme"]).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})  # type: ignore[operator]
            await send({"type": "http.response.body", "body": answer})  # type: ignore[operator]

    def ask(port: int) -> list[tuple[bytes, str | None]]:
        client = http.client.HTTPSConnection("localhost", port, context=trusting, timeout=60)
        answers = []
        for _ in range(2):
            client.request("GET", "/")
            answers.append((client.getresponse().read(), client.sock.version()))
        client.close()
        return answers

    async with open_server(tls=server, app=scheme) as port:
        assert await trio.to_thread.run_sync(ask, port) == [(b"https", "TLSv1.3")] * 2


@pytest.mark.promise("owasp.tls")
@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions_and_protocol(server: ssl.SSLContext, trusting: ssl.SSLContext, most: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 are spoken, and HTTP/1.1, also where the client would rather have HTTP/2."""
    trusting.maximum_version = most
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    async with open_server(tls=server) as port, tls_peer(port, trusting) as client:
        assert client.stream.selected_alpn_protocol() == "http/1.1"  # type: ignore[attr-defined]
        await client.send(frame(TEXT, b"hello"))
        assert (await client.frame()).payload == b"hello"


@pytest.mark.promise("owasp.tls")
async def test_old_versions_are_refused(server: ssl.SSLContext) -> None:
    hello = bytes.fromhex("160302002d010000290302") + bytes(32) + bytes.fromhex("000002002f0100")
    async with open_server(tls=server) as port:
        with trio.fail_after(8):
            answer = await exchange(port, hello)
    assert answer[0] == 21  # the type of an alert record (RFC 8446 section 5.1)


@pytest.mark.promise("owasp.tls")
async def test_plain_http_is_told_to_speak_tls(server: ssl.SSLContext) -> None:
    """A request without TLS gets 400 in JSON, in the clear; other bytes get an alert; both at once."""
    async with open_server(tls=server) as port:
        with trio.fail_after(8):
            status, body = status_and_body(await exchange(port, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"))
            assert (status, body["error"]["code"]) == (400, "invalid_command")
            assert "https" in body["error"]["message"]
            assert not (await exchange(port, b"hello there\r\n\r\n")).startswith(b"HTTP")


async def test_tls_is_not_taken_for_a_request(trusting: ssl.SSLContext) -> None:
    """A client that speaks TLS to a port that does not sees the end of the stream at once."""

    def knock(port: int) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)), connect_blocking(f"wss://localhost:{port}/", ssl=trusting):
            pass

    async with open_server() as port:
        with trio.fail_after(8):
            await trio.to_thread.run_sync(knock, port)


@pytest.mark.promise("owasp.slow")
@pytest.mark.parametrize("begun", [b"", bytes.fromhex("1603010200")])
async def test_a_handshake_has_a_deadline(
    server: ssl.SSLContext, begun: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that stops in the middle of it, or never begins, is closed after ten seconds."""
    async with open_server(tls=server) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        started = trio.current_time()
        await stream.send_all(begun)
        assert await stream.receive_some() == b""
        assert trio.current_time() - started == pytest.approx(10, abs=1)


async def test_a_fault_over_tls_is_told_and_heard_out(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """A protocol error over TLS: the close frame arrives, later bytes are discarded, and the stream ends with
    close_notify.
    """
    async with open_server(tls=server) as port, tls_peer(port, trusting) as client:
        await client.send(frame(TEXT, b"\xff\xfe"))
        closing = await client.frame()
        assert (closing.opcode, closing.code) == (CLOSE, 1007)
        await client.send(b"x" * 100_000)
        await client.send(close())
        assert await client.ended()


async def test_a_close_over_tls_is_clean(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with open_server(tls=server) as port:
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        strict = RawWebSocket(trio.SSLStream(tcp, trusting, server_hostname="localhost", https_compatible=False))
        assert await strict.handshake() == 101
        await strict.send(close(4001))
        assert [frame.code for frame in await strict.frames_to_the_end()] == [4001]
        assert await strict.stream.receive_some() == b""
        await tcp.aclose()


async def test_much_is_written_to_a_slow_reader(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    sent = [bytes((97 + number,)) * 100_000 for number in range(20)]

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        for number, payload in enumerate(sent):
            with trio.move_on_after(0.001 if number % 3 == 0 else 5):
                await socket.write([payload])
        await socket.write([])
        await socket.close(4000)

    async with open_server(judge, tls=server) as port, tls_peer(port, trusting) as client:
        await trio.sleep(0.05)
        frames = await client.frames_to_the_end()
    assert [frame.payload for frame in frames[:-1]] == sent
    assert frames[-1].code == 4000


async def test_a_burst_over_tls_leaves_turns_to_others(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Messages in records of their own, that came in one packet, are received one a turn of the scheduler."""
    turns: list[int] = []
    received: list[int] = []

    async def count() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns.append(1)

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        await socket.receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            earlier = len(turns)
            for _ in range(50):
                await socket.receive()
            received.append(len(turns) - earlier)
            nursery.cancel_scope.cancel()

    async with open_server(judge, tls=server) as port:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
        async with await trio.open_tcp_stream("127.0.0.1", port) as tcp:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await tcp.send_all(to_server.read())
                    to_client.write(await tcp.receive_some(65536))
            tls.write(UPGRADE)
            for _ in range(51):
                tls.write(frame(TEXT, b"x"))
            await tcp.send_all(to_server.read())
            with trio.fail_after(60):
                while not received:
                    await tcp.receive_some(65536)
    assert received[0] >= 40


async def test_the_last_of_what_is_written_goes_out(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def judge(upgrade: Upgrade) -> None:
        await (await upgrade.accept()).write([b"x" * 60_000])
        await trio.sleep_forever()

    limits = SocketLimits(send_buffer_bytes=4096)
    async with open_server(judge, tls=server, socket=limits) as port:
        tcp = trio.socket.socket()
        tcp.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        await tcp.connect(("127.0.0.1", port))
        stream = trio.SSLStream(trio.SocketStream(tcp), trusting, server_hostname="localhost", https_compatible=True)
        client = RawWebSocket(stream)
        assert await client.handshake() == 101
        with trio.fail_after(60):
            assert (await client.frame()).payload == b"x" * 60_000
        await trio.aclose_forcefully(stream)


async def test_the_last_of_an_answer_goes_out(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 4096)
    tcp = trio.socket.socket()
    tcp.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
    await tcp.connect(listener.socket.getsockname())
    client = trio.SSLStream(trio.SocketStream(tcp), trusting, server_hostname="localhost")
    stream = TlsStream(await listener.accept(), server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.handshake)
        await client.do_handshake()
    received = 0

    async def read() -> None:
        nonlocal received
        while received < 60_000:
            received += len(await client.receive_some(1000))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await ReplayStream(stream, b"", 5.0).send_all(b"x" * 60_000)
            assert not stream.backlog
    for end in (trio.SocketStream(tcp), stream, listener):
        await trio.aclose_forcefully(end)  # type: ignore[arg-type]


async def test_a_stalled_reader_over_tls_is_left(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """After twenty seconds in which it takes nothing: 1013, after whole frames, when it reads at last."""
    ended: list[int] = []

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        try:
            while True:
                await socket.write([b"x" * 50_000])
        except SocketClosed as closed:
            ended.append(closed.code)

    async with open_server(judge, tls=server, socket=SocketLimits()) as port, tls_peer(port, trusting) as client:
        client.stream.transport_stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)  # type: ignore[attr-defined]
        await trio.sleep(25)
        assert ended == [1013]
        frames = await client.frames_to_the_end()
    assert all(frame.payload == b"x" * 50_000 for frame in frames[:-1])
    assert frames[-1].code == 1013


async def test_a_cancelled_door_says_goodbye_over_tls(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    codes: list[int | None] = []

    async def read_close(client: RawWebSocket) -> None:
        codes.extend(frame.code for frame in await client.frames_to_the_end())
        await client.send(close(1001))

    async with trio.open_nursery() as nursery, open_server(echo, tls=server) as port:
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        client = RawWebSocket(trio.SSLStream(tcp, trusting, server_hostname="localhost", https_compatible=True))
        await client.handshake()
        nursery.start_soon(read_close, client)
    assert codes == [1001]
    await tcp.aclose()


def fault(certificate: Path, key: Path) -> str:
    with pytest.raises(UnusableCertificate) as refused:
        server_context(certificate, key)
    return str(refused.value)


def test_faults_of_the_files_are_named(authority: trustme.CA, tmp_path: Path) -> None:
    """Missing, not PEM, exchanged, or another certificate's key: the sentence names the file and the fault."""
    certificate, key = files(tmp_path, authority.issue_cert("localhost"))
    other = tmp_path / "other.pem"
    other.write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
    nothing = tmp_path / "nothing.pem"
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert fault(nothing, key) == f"the file {nothing} cannot be read (No such file or directory)"
    assert fault(tmp_path, key) == f"the file {tmp_path} cannot be read (Is a directory)"
    assert fault(key, key) == f"the certificate file {key} holds no certificate in PEM form"
    assert fault(certificate, certificate) == f"the key file {certificate} holds no private key in PEM form"
    assert fault(certificate, other) == f"the key in {other} is not that of the certificate in {certificate}"
    assert fault(broken, key).startswith(f"OpenSSL cannot use {broken} with {key}")


@pytest.mark.parametrize(("after", "before"), [(-30, -1), (1, 30)])
def test_a_certificate_out_of_its_dates_is_refused(
    authority: trustme.CA, tmp_path: Path, after: int, before: int
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    issued = authority.issue_cert("localhost", not_before=now + after * DAY, not_after=now + before * DAY)
    certificate, key = files(tmp_path, issued)
    reason = "certificate has expired" if before < 0 else "certificate is not yet valid"
    assert fault(certificate, key) == f"clients would refuse {certificate}: {reason}"


def test_an_encrypted_key_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    certificate, key = files(tmp_path, authority.issue_cert("localhost"))
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(loaded.private_bytes(pem, form, locked))
    assert "without a password" in fault(certificate, key)
