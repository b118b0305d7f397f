"""Checks of every HTTP request before it is served: origin, token, and rate."""

import contextlib
import time
from typing import Final

from quart import Response, current_app, g, request

from transport.auth.forwarded import TrustedProxies
from transport.auth.identity import origin_listed
from transport.connection.limits import Ledger, RequestLimits
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.sessions import check_origin
from understudy.web import cross_origin
from understudy.web.context import bearer, connection_permit, web_context
from understudy.web.settings import WebSettings
from understudy.web.websocket import TOO_MANY_CONNECTIONS

UNLIMITED_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Paths that a supervisor polls, and that are answered even if its address exceeds its limits."""


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
            cross_origin.allow_origin(origin)
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
        return cross_origin.preflight()

    def peer(self) -> str:
        """Return the client address that limits count."""
        return self._proxies.client_address(
            request.remote_addr or "", _joined(request.headers.getlist("X-Forwarded-For"))
        )


def peer() -> str:
    """Return the client address of the current request, which limits count."""
    admission: Admission = current_app.extensions["admission"]
    return admission.peer()


def _joined(values: list[str]) -> str | None:
    """Join several headers of one name to one list (RFC 9110 section 5.3). For a header with one value that is an
    invalid value."""
    return ", ".join(values) if values else None
