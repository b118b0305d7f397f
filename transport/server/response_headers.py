"""Headers of the door's own answers: what a browser may do with them, which is nothing."""

from collections.abc import Mapping
from typing import Final

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of the listener's own responses: no scripts, no framing, no type sniffing, no referrer, no caching."""
HSTS: Final = ("Strict-Transport-Security", "max-age=31536000")
"""Use TLS with this host for a year (RFC 6797). Sent over TLS only; browsers ignore it elsewhere."""


def security_headers(*, secure: bool) -> list[tuple[bytes, bytes]]:
    """Return SECURITY_HEADERS in ASGI form; with HSTS if the response goes over TLS (`secure`)."""
    named = [*SECURITY_HEADERS.items(), HSTS] if secure else SECURITY_HEADERS.items()
    return [(name.lower().encode(), value.encode()) for name, value in named]
