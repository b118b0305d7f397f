"""Read the head of an HTTP request within bounds of size and time, and classify it (WebSocket upgrade or not)."""

import re
from typing import Final

import trio
from attrs import frozen

from transport.server.tls import Stream

_END: Final = re.compile(rb"\r?\n\r?\n")
_UPGRADE: Final = re.compile(rb"^upgrade:[ \t]*websocket[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_LENGTH: Final = re.compile(rb"^content-length[ \t]*:", re.IGNORECASE | re.MULTILINE)
_CODING: Final = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
# A trailing blank, which no browser sends: parsers differ in whether it belongs to the value.
_BLURRED: Final = re.compile(rb"^(?:origin|host):[ \t]*[^ \t\r\n][^\r\n]*[ \t]\r?$", re.IGNORECASE | re.MULTILINE)
# RFC 9112 section 3: a method is a token; RFC 9110 section 9.1: in capitals, where it is one of these.
_REQUEST: Final = re.compile(rb"(?:\r?\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]+) [!-~\x80-\xff]+ HTTP/1\.[0-9]\r?\n")
METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""Methods that are served; any other method is answered with 501."""
_PREFACE: Final = b"PRI * HTTP/2"  # RFC 9113 section 3.4
_READ_BYTES: Final = 4096


@frozen
class RequestHead:
    """The first request head of a connection: `raw` up to and including the empty line, and the bytes after it."""

    raw: bytes
    rest: bytes

    @property
    def upgrade(self) -> bool:
        """Whether the request asks for a WebSocket upgrade."""
        return _UPGRADE.search(self.raw) is not None

    @property
    def http2(self) -> bool:
        """Whether the client begins with the HTTP/2 connection preface."""
        return self.raw.startswith(_PREFACE)

    @property
    def unknown_method(self) -> bool:
        """Whether the request's method is not one of METHODS."""
        request = _REQUEST.match(self.raw)
        return request is not None and request[1] not in METHODS

    @property
    def has_trailing_blank(self) -> bool:
        """Whether a blank follows the value of `Origin` or `Host`."""
        return _BLURRED.search(self.raw) is not None

    @property
    def ambiguous(self) -> bool:
        """Whether the head has both a length and a transfer coding (RFC 9112 section 6.3: parsers may differ)."""
        return _LENGTH.search(self.raw) is not None and _CODING.search(self.raw) is not None


@frozen
class Unreadable:
    """No request head could be read. `status` is the HTTP status to answer with; None if no answer is expected."""

    status: int | None


async def read_request_head(stream: Stream, max_bytes: int, within_s: float) -> RequestHead | Unreadable:
    """Read a request's head.

    Return Unreadable with 431 if the head is longer than `max_bytes`, with 408 if it is not complete within `within_s`
    seconds, and without a status if the client disconnected, sent nothing, or speaks TLS.
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
        return RequestHead(bytes(data[: end.end()]), bytes(data[end.end() :]))
    return Unreadable(408 if data else None)
