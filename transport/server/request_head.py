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
# RFC 9112 section 3: a method is a token; RFC 9110 section 9.1: methods are case-sensitive.
_REQUEST: Final = re.compile(rb"(?:\r?\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP/1\.[0-9]\r?\n")
METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""Methods that are served; any other method is answered with 501."""
_PREFACE: Final = b"PRI * HTTP/2"  # RFC 9113 section 3.4
_READ_BYTES: Final = 4096  # most bytes of one read


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
    def path(self) -> bytes:
        """The path as it was sent, without the query; b"" if the head has no request line."""
        request = _REQUEST.match(self.raw)
        return b"" if request is None else request[2].partition(b"?")[0]

    @property
    def refusal_status(self) -> int | None:
        """The HTTP status that refuses the request; None if it is acceptable.

        505: the HTTP/2 connection preface. 400: parsers may differ about the head, which has both a length and a
        transfer coding (RFC 9112 section 6.3), or a blank after the value of `Origin` or `Host`. 501: the method is not
        one of METHODS.
        """
        raw = self.raw
        if raw.startswith(_PREFACE):
            return 505
        if (_LENGTH.search(raw) and _CODING.search(raw)) or _BLURRED.search(raw):
            return 400
        request = _REQUEST.match(raw)
        return 501 if request is not None and request[1] not in METHODS else None


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
