"""The head of an HTTP request: read within bounds of size and time, and told apart (WebSocket upgrade or not)."""

import re
from typing import Final

import trio
from attrs import frozen

from transport.server.tls import Stream

_END: Final = re.compile(rb"\r?\n\r?\n")
_UPGRADE: Final = re.compile(rb"^upgrade:[ \t]*websocket[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_LENGTH: Final = re.compile(rb"^content-length[ \t]*:", re.IGNORECASE | re.MULTILINE)
_CODING: Final = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
# What no browser sends: parsers differ in whether the blank belongs to the name of the page or the host.
_BLURRED: Final = re.compile(rb"^(?:origin|host):[ \t]*[^ \t\r\n][^\r\n]*[ \t]\r?$", re.IGNORECASE | re.MULTILINE)
# RFC 9112 section 3: a method is a token; RFC 9110 section 9.1: in capitals, where it is one of these.
_REQUEST: Final = re.compile(rb"(?:\r?\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]+) [!-~\x80-\xff]+ HTTP/1\.[0-9]\r?\n")
METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""What HTTP can be asked for here; any other method is answered with 501."""
_PREFACE: Final = b"PRI * HTTP/2"  # RFC 9113 section 3.4
_READ_BYTES: Final = 4096


@frozen
class Head:
    """What a connection began with: `raw` up to and with the empty line, and the `rest` that came along with it."""

    raw: bytes
    rest: bytes

    @property
    def upgrade(self) -> bool:
        """Whether this asks for a WebSocket."""
        return _UPGRADE.search(self.raw) is not None

    @property
    def http2(self) -> bool:
        """Whether the client takes it for granted that HTTP/2 is spoken here."""
        return self.raw.startswith(_PREFACE)

    @property
    def unheard_of(self) -> bool:
        """Whether this is a request by a method that nothing here implements."""
        request = _REQUEST.match(self.raw)
        return request is not None and request[1] not in METHODS

    @property
    def blurred(self) -> bool:
        """Whether a blank follows the name of the page (Origin) or of the host that the request is for."""
        return _BLURRED.search(self.raw) is not None

    @property
    def ambiguous(self) -> bool:
        """Whether it says in two ways where the body ends, so that two readers may differ (RFC 9112 section 6.3)."""
        return _LENGTH.search(self.raw) is not None and _CODING.search(self.raw) is not None


@frozen
class Unreadable:
    """There was no head to read. `status` is the HTTP answer that fits; None where nobody waits for one."""

    status: int | None


async def read_head(stream: Stream, max_bytes: int, within_s: float) -> Head | Unreadable:
    """Read a request's head.

    Unreadable with 431 when it is longer than `max_bytes`, with 408 when it is not complete after `within_s`
    seconds, without a status when the client left, never said a word, or speaks TLS.
    """
    data = bytearray()
    with trio.move_on_after(within_s):
        while (end := _END.search(data)) is None and len(data) <= max_bytes:
            try:
                chunk = await stream.receive_some(_READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return Unreadable(None)
            data += chunk
            if not chunk or data[0] == 0x16:  # 22: the type of a TLS handshake record (RFC 8446 section 5.1)
                return Unreadable(None)
        if end is None or end.end() > max_bytes:
            return Unreadable(431)
        return Head(bytes(data[: end.end()]), bytes(data[end.end() :]))
    return Unreadable(408 if data else None)
