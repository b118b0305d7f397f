"""permessage-deflate (RFC 7692), for who pays for traffic: each message by itself, and only where it is worth it.

Neither side keeps a window from one message to the next, so that an idle connection costs nothing. What comes in is
inflated by `websockets`, which stops at the bound of a message's size; a message that would be larger ends the socket
with 1009.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from websockets.extensions import Extension
from websockets.extensions.base import ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory

MOST_BYTES: Final = 128 * 1024
"""A larger message goes out as it is: this much takes about a millisecond, which is as long as the loop may be held."""
_LEVEL: Final = 1
_EMPTY_BLOCK: Final = b"\x00\x00\xff\xff"  # section 7.2.1: the end of a flush, which is not sent


def offered() -> list[ServerExtensionFactory]:
    """What the handshake may agree on."""
    return [ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)]


class Deflate:
    """Compresses the messages of one connection, of `from_bytes` and more."""

    __slots__ = ("_bits", "_from_bytes")

    def __init__(self, from_bytes: int, window_bits: int) -> None:
        self._from_bytes = from_bytes
        self._bits = window_bits

    def shrink(self, payload: bytes) -> bytes | None:
        """The payload compressed; None when it goes out as it is: it is too small or too large, or gains nothing."""
        if not self._from_bytes <= len(payload) <= MOST_BYTES:
            return None
        squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._bits)
        small = squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        return small.removesuffix(_EMPTY_BLOCK) if len(small) < len(payload) else None


def agreed(extensions: Sequence[Extension], from_bytes: int | None) -> Deflate | None:
    """What compresses for a connection on which these extensions were agreed; None where that is not one of them."""
    for extension in extensions:
        if isinstance(extension, PerMessageDeflate) and from_bytes is not None:
            return Deflate(from_bytes, extension.local_max_window_bits)
    return None
