"""TLS: a context from certificate files, and the encryption of one connection over OpenSSL's memory buffers.

trio's SSLStream can only be awaited, but an outbox writes without waiting. So `TlsStream` has `write_now`, `send_some`
and `receive_some`, in place of `os.write`, `send` and `os.read` on a plain socket.
"""

import os
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from transport.wire.errors import UnusableCertificate

_READ_BYTES: Final = 16 * 1024  # most bytes of one read
# Bytes encrypted per write: enough to fill the kernel's buffer, little enough to be stored while that is full.
_STEP_BYTES: Final = 64 * 1024
_FIRST: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Create the context of a server for TLS 1.2 and 1.3 with HTTP/1.1, from two PEM files.

    `certificate` holds the server's certificate first, then its chain; `key` the unencrypted private key. Raises
    UnusableCertificate if a file cannot be read or is not PEM, if they do not match, and if clients would refuse the
    certificate for its dates.
    """
    match = _FIRST.search(_content(certificate))
    if match is None:
        raise UnusableCertificate(f"the certificate file {certificate} holds no certificate in PEM form")
    if b"PRIVATE KEY-----" not in _content(key):
        raise UnusableCertificate(f"the key file {key} holds no private key in PEM form")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password(key))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnusableCertificate(f"the key in {key} is not that of the certificate in {certificate}") from error
        raise UnusableCertificate(f"OpenSSL cannot use {certificate} with {key} ({error.reason})") from error
    _try_out(context, match[0].decode("ascii", "replace"), certificate)
    return context


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableCertificate(f"the file {path} cannot be read ({error.strerror})") from error


def _refuse_password(key: Path) -> Callable[[], str]:
    def refuse() -> str:  # without it OpenSSL would ask on the terminal
        raise UnusableCertificate(f"the key in {key} is encrypted; this server needs one without a password")

    return refuse


def _try_out(context: ssl.SSLContext, certificate_pem: str, certificate: Path) -> None:
    """Perform a handshake in memory with a client that trusts this certificate, so that only its dates can fail."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        trusting.load_verify_locations(cadata=certificate_pem)
        client = trusting.wrap_bio(to_client, to_server)
        server = context.wrap_bio(to_server, to_client, server_side=True)
        for side in (client, server, client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise UnusableCertificate(f"clients would refuse {certificate}: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise UnusableCertificate(f"no handshake is possible with {certificate} ({error.reason})") from error


class PlainRequest(Exception):
    """A client sent plain HTTP to a TLS port."""


class TlsStream:
    """The server side of one TLS connection; it owns its socket.

    One task may be in `receive_some`. Encrypted bytes that the kernel has not taken yet (`backlog`) are sent first.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls", "_unsent", "socket")

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.socket = stream.socket
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._unsent = b""

    @property
    def backlog(self) -> bool:
        """Whether encrypted bytes are still to be sent."""
        return bool(self._unsent) or self._outgoing.pending > 0

    async def handshake(self) -> None:
        """Perform the handshake.

        Raises PlainRequest if the client speaks plain HTTP, BrokenResourceError if it disconnected or speaks neither;
        an alert has been sent then, if TLS has one for the error.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._push_all()
                if not await self._more():
                    raise trio.BrokenResourceError("the client left during the handshake") from None
            except ssl.SSLError as error:
                if error.reason == "HTTP_REQUEST":
                    self._outgoing.read()  # an alert the client could not read
                    raise PlainRequest from error
                await self._push_all()
                raise trio.BrokenResourceError("no TLS handshake") from error
            else:
                await self._push_all()
                return

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive and decrypt bytes; b"" at the end, also without a close_notify alert.

        Raises BrokenResourceError if the bytes cannot be decrypted, or the connection is lost.
        """
        if self._incoming.pending or self._tls.pending():  # many small records in one packet must not hold up others
            await trio.lowlevel.checkpoint()
        while True:
            try:
                return self._tls.read(max_bytes or _READ_BYTES)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise trio.BrokenResourceError("the bytes cannot be decrypted") from error
            with suppress(BlockingIOError):  # replies of TLS itself, such as a key update
                self._push()
            if not await self._more():
                return b""

    async def _more(self) -> bool:
        """Wait for bytes of the client. Return False at their end."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self.socket)
                data = os.read(self.socket.fileno(), _READ_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError("the connection is lost") from error
            self._incoming.write(data)
            return bool(data)

    def write_now(self, data: bytes | memoryview) -> int:
        """Encrypt and send as much as the kernel takes. Return how many bytes of `data` were encrypted.

        Raises BlockingIOError if the kernel has no room for earlier encrypted bytes, OSError if the connection is lost.
        """
        if self.backlog:
            self._push()
        if not data:
            return 0
        try:
            taken = self._tls.write(data[:_STEP_BYTES])
        except ssl.SSLError as error:
            raise BrokenPipeError from error
        with suppress(BlockingIOError):
            self._push()
        return taken

    async def send_some(self, data: bytes | memoryview) -> int:
        """Call `write_now` once the kernel has room. Return 0 if earlier encrypted bytes took it."""
        await trio.lowlevel.wait_writable(self.socket)
        try:
            return self.write_now(data)
        except BlockingIOError:
            return 0

    async def send_all(self, data: bytes) -> None:
        """Send all bytes. Raises BrokenResourceError if the connection is lost."""
        view = memoryview(data)
        try:
            while view or self.backlog:
                view = view[await self.send_some(view) :]
        except OSError as error:
            raise trio.BrokenResourceError("the connection is lost") from error

    async def _push_all(self) -> None:
        await trio.lowlevel.checkpoint()
        await self.send_all(b"")

    def _push(self) -> None:
        """Send encrypted bytes. Raises BlockingIOError if the kernel does not take all."""
        while self.backlog:
            self._unsent = self._unsent or self._outgoing.read()
            self._unsent = self._unsent[os.write(self.socket.fileno(), self._unsent) :]

    def end(self) -> None:
        """Send close_notify if the kernel takes it, and shut down writing. Reading stays possible."""
        with suppress(OSError, ssl.SSLError):  # also BlockingIOError: then the client sees an end without close_notify
            with suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
            self._push()
        with suppress(OSError):
            self.socket.shutdown(trio.socket.SHUT_WR)

    async def send_eof(self) -> None:
        """Call `end`; a checkpoint."""
        self.end()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Call `end`, and close the socket."""
        if self.socket.fileno() >= 0:
            self.end()
            self.socket.close()

    async def aclose(self) -> None:
        """Call `close`; a checkpoint."""
        self.close()
        await trio.lowlevel.checkpoint()


Stream = trio.SocketStream | TlsStream
"""The stream of a connection, plain or encrypted."""


def close_now(stream: Stream) -> None:
    """Close without waiting; bytes that the kernel has taken are still delivered."""
    if isinstance(stream, TlsStream):
        stream.close()
    else:
        stream.socket.close()
