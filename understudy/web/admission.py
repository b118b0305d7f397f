"""Checks of every HTTP request before it is served: origin, token, and rate; and cross-origin resource sharing.

Pages of allowed origins may read the answers, by the Fetch standard's CORS protocol. Credentials are never allowed, as
no cookie authenticates a user here: a page sends its user's token in a header. Whether an origin is allowed is decided
in one place for sockets and HTTP (`understudy.auth.sessions.check_origin`), so there is no second list, as a CORS
library would need.
"""

import contextlib
import time
from typing import Final

from quart import Response, current_app, g, request

from transport.auth.forwarded import TrustedProxies
from transport.auth.identity import origin_listed
from transport.connection.limits import Ledger, RequestLimits
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.sessions import check_origin
from understudy.web.context import bearer, connection_permit, web_context
from understudy.web.websocket import TOO_MANY_CONNECTIONS, WebSettings

UNLIMITED_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Paths that a supervisor polls, and that are answered even if its address exceeds its limits."""

EXPOSED: Final = (
    "Age, Allow, Content-Disposition, Deprecation, ETag, Link, Retry-After, Sunset, Warning, WWW-Authenticate"
)
"""Response headers that pages may read, beside those that the Fetch standard exposes always."""
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS: Final = (
    "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Requested-With, *"
)
"""Headers that pages may send. The star stands for all but `Authorization`: SDKs of doors have some of their own."""
PREFLIGHT_S: Final = 7200
"""Seconds for which a browser may cache the answer to a preflight: the maximum of Chromium."""


class Admission:
    """Limits the rate of requests of each user, and of each address without a valid token.

    `ledger`: records requests for the limits that nodes share.
    """

    def __init__(self, settings: WebSettings, ledger: Ledger | None = None) -> None:
        self._proxies = TrustedProxies(settings.trusted_proxies)
        self._requests = RequestLimits(settings.limits.requests_per_minute, ledger)

    async def admit_request(self) -> Response | None:
        """Check the current request. Return the answer to a CORS preflight, None for a request to be served.

        An invalid token is not refused here, but by the handlers that need one.

        Raises:
            OriginRefused: The request is from a page of another origin.
            CommandRejected: Too many requests (`rate_limited`).
        """
        origins, hosts = (request.headers.getlist(name) for name in ("Origin", "Host"))
        settings, origin = web_context().settings, _joined(origins)
        check_origin(settings, origin, _joined(hosts))
        if origin is not None and origin_listed(origin, settings.allowed_origins):
            g.cross_origin = origin
        if request.path in UNLIMITED_PATHS:
            return None
        if not connection_permit().claim(self.peer()):
            raise CommandRejected("rate_limited", TOO_MANY_CONNECTIONS, 1.0)
        user = None
        with contextlib.suppress(Unauthenticated):
            g.identity = await web_context().sessions.verify_awaiting_keys(bearer())
            connection_permit().authenticate()
            user = g.identity.user
        retry_after = self._requests.take(user, self.peer(), time.monotonic())
        if retry_after > 0:
            raise CommandRejected("rate_limited", "Too many requests in a short time; wait a moment.", retry_after)
        return _preflight()

    def peer(self) -> str:
        """Return the client address that limits count."""
        return self._proxies.client_address(
            request.remote_addr or "", _joined(request.headers.getlist("X-Forwarded-For"))
        )


def peer() -> str:
    """Return the client address of the current request, which limits count."""
    admission: Admission = current_app.extensions["admission"]
    return admission.peer()


def _preflight() -> Response | None:
    """Answer a browser that asks whether an allowed page may make a request; None for any other request.

    It is answered for every path and method: what the request itself is refused with can then be read by the page.
    """
    if request.method != "OPTIONS" or "cross_origin" not in g or "Access-Control-Request-Method" not in request.headers:
        return None
    answer = Response(b"", status=204)
    answer.headers["Access-Control-Allow-Methods"] = METHODS
    answer.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
    answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)
    answer.vary.update(["Access-Control-Request-Method", "Access-Control-Request-Headers"])
    return answer


def add_cors_headers(answer: Response) -> None:
    """Let the page that the current request was admitted from read the answer."""
    answer.vary.add("Origin")  # on every answer, or a cache could give one page another's
    if "cross_origin" not in g:
        return
    answer.headers["Access-Control-Allow-Origin"] = g.cross_origin
    answer.headers["Access-Control-Expose-Headers"] = EXPOSED
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"


def _joined(values: list[str]) -> str | None:
    """Join several headers of one name to one list (RFC 9110 section 5.3). For a header with one value that is an
    invalid value."""
    return ", ".join(values) if values else None
