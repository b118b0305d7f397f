"""Who is let in to make a request, and how often: judged before anything is done for it."""

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
"""What a supervisor asks all the time, and must be answered while others ask too much."""


class Admission:
    """Counts requests: of each user, and of each address from which come requests without a valid token.

    `ledger` is told of them where nodes share their limits.
    """

    def __init__(self, settings: WebSettings, ledger: Ledger | None = None) -> None:
        self._proxies = TrustedProxies(settings.trusted_proxies)
        self._requests = RequestLimits(settings.limits.requests_per_minute, ledger)

    async def admit_request(self) -> Response | None:
        """Judge the current request. Return the answer to a preflight, None for a request that is to be served.

        An invalid token is refused where one is needed, not here.

        Raises:
            OriginRefused: It comes from a page of another origin.
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
        """Give the address that limits are counted for."""
        return self._proxies.client_address(
            request.remote_addr or "", _joined(request.headers.getlist("X-Forwarded-For"))
        )


def peer() -> str:
    """Give the address that the current request's limits are counted for."""
    admission: Admission = current_app.extensions["admission"]
    return admission.peer()


def _joined(values: list[str]) -> str | None:
    """Several headers of one name are one list (RFC 9110 section 5.3); of names that have one value, they are none."""
    return ", ".join(values) if values else None
