"""Cross-origin resource sharing: lets pages of allowed origins read the answers, by the Fetch standard's CORS protocol.

Credentials are never allowed, as no cookie speaks for anybody here: a page brings its user's token in a header. Whether
an origin is allowed is decided in one place for sockets and HTTP (`understudy.auth.sessions.check_origin`), so there is
no second list, as a CORS library would need.
"""

from typing import Final

from quart import Response, g, request

EXPOSED: Final = (
    "Age, Allow, Content-Disposition, Deprecation, ETag, Link, Retry-After, Sunset, Warning, WWW-Authenticate"
)
"""Response headers that pages may read, beside those that the Fetch standard exposes always."""
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS: Final = "Authorization, Cache-Control, Content-Type, If-None-Match, Last-Event-ID, X-Requested-With"
PREFLIGHT_S: Final = 7200
"""Seconds for which a browser may cache the answer to a preflight: the maximum of Chromium."""


def allow_origin(origin: str) -> None:
    """Note that the current request is from a page of this origin, which is another than ours and is allowed."""
    g.cross_origin = origin


def preflight() -> Response | None:
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


def add_headers(answer: Response) -> None:
    """Let the page that the current request was admitted from read the answer."""
    answer.vary.add("Origin")  # on every answer, or a cache could give one page another's
    if "cross_origin" not in g:
        return
    answer.headers["Access-Control-Allow-Origin"] = g.cross_origin
    answer.headers["Access-Control-Expose-Headers"] = EXPOSED
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
