"""Headers of the door's own answers: what a browser may do with them, which is nothing."""

from collections.abc import Mapping
from typing import Final

GUARDS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Run nothing, show it in no frame, guess no other type, tell nobody the address, keep nothing."""
HSTS: Final = ("Strict-Transport-Security", "max-age=31536000")
"""Speak TLS with this host for a year (RFC 6797). For answers over TLS only: nobody heeds it elsewhere."""


def guards(*, secure: bool) -> list[tuple[bytes, bytes]]:
    """GUARDS as ASGI has headers; `secure`: the answer goes over TLS."""
    named = [*GUARDS.items(), HSTS] if secure else GUARDS.items()
    return [(name.lower().encode(), value.encode()) for name, value in named]
