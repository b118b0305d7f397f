"""permessage-deflate (RFC 7692): each message is compressed by itself, and only if that makes it smaller.

Neither side keeps a window between messages, so an idle connection costs no memory. Incoming messages are inflated by
`websockets`, which stops at the bound of a message's size and closes the socket with 1009.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from websockets.extensions import Extension
from websockets.extensions.base import ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory

MAX_BYTES: Final = 128 * 1024
"""Larger messages are sent uncompressed. Compressing 128 KiB takes about 1 ms, the longest the loop may be blocked."""
_LEVEL: Final = 1
_EMPTY_BLOCK: Final = b"\x00\x00\xff\xff"  # section 7.2.1: the end of a flush, which is not sent


def offered_extensions() -> list[ServerExtensionFactory]:
    """Return the extensions that the handshake may negotiate."""
    return [ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)]


class Deflate:
    """Compresses the messages of one connection that have at least `from_bytes` bytes."""

    __slots__ = ("_bits", "_from_bytes")

    def __init__(self, from_bytes: int, window_bits: int) -> None:
        self._from_bytes = from_bytes
        self._bits = window_bits

    def compress(self, payload: bytes) -> bytes | None:
        """Return the payload compressed; None if it is too small or too large, or would not become smaller."""
        if not self._from_bytes <= len(payload) <= MAX_BYTES:
            return None
        squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._bits)
        small = squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        return small.removesuffix(_EMPTY_BLOCK) if len(small) < len(payload) else None


def negotiated_deflate(extensions: Sequence[Extension], from_bytes: int | None) -> Deflate | None:
    """Return the compressor for a connection with these negotiated extensions; None without permessage-deflate."""
    for extension in extensions:
        if isinstance(extension, PerMessageDeflate) and from_bytes is not None:
            return Deflate(from_bytes, extension.local_max_window_bits)
    return None
