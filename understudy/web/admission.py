"""Checks origin, token and rate of every HTTP request before it is served, and adds CORS headers.

1. Pages of allowed origins may read the answers (CORS, in the Fetch standard). Credentials are never allowed, because
   no cookie authenticates a user here: a page sends its user's token in a header.
2. `understudy.auth.sessions.check_origin` alone decides whether an origin is allowed, for sockets and HTTP. A CORS
   library would need a second list.
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
"""Paths that a service manager polls. They are answered even if its address exceeds its limits."""

EXPOSED: Final = (
    "Age, Allow, Content-Disposition, Deprecation, ETag, Link, Retry-After, Sunset, Warning, WWW-Authenticate"
)
"""Response headers that pages may read, in addition to those that the Fetch standard always exposes."""
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS: Final = (
    "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Requested-With, *"
)
"""Headers that pages may send. The star, which does not cover `Authorization`, is for those of other APIs' SDKs."""
PREFLIGHT_S: Final = 7200
"""Seconds for which a browser may cache the answer to a preflight: the maximum of Chromium."""


class Admission:
    """Limits the rate of requests of each user, and of each address without a valid token.

    `ledger` records requests for the limits that nodes share.
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
    """Return the answer to a CORS preflight of an allowed page; None for any other request.

    Every path and method is allowed, so that the page can read the refusal of the request itself.
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
    """Allow the page that sent the current request to read the answer."""
    answer.vary.add("Origin")  # on every answer, or a cache could give a page the answer to another one
    if "cross_origin" not in g:
        return
    answer.headers["Access-Control-Allow-Origin"] = g.cross_origin
    answer.headers["Access-Control-Expose-Headers"] = EXPOSED
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"


def _joined(values: list[str]) -> str | None:
    """Join headers of one name to one list (RFC 9110 section 5.3), which a header of a single value then refuses."""
    return ", ".join(values) if values else None
