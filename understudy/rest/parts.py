"""What the HTTP door works with: the parts of the house, who is asking, and how a refusal looks."""

import logging
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from quart import Response, current_app, g, jsonify, request

from transport import auth
from transport.auth import Identity, find_token
from transport.codes import ERRORS
from transport.errors import Unauthenticated
from transport.http import error_body
from transport.limits import Counter, Ledger
from understudy.agents.agent import Agent
from understudy.config import Settings
from understudy.erasure import Eraser
from understudy.export import Exporter
from understudy.models.model import Model
from understudy.observe.logs import new_error_id
from understudy.observe.metrics import Metrics
from understudy.observe.observatory import Observatory
from understudy.scrubbing.guard import Guard
from understudy.sessions import Sessions
from understudy.storage.archive import Archive
from understudy.storage.cache import CachedReads
from understudy.storage.files import FileStore
from understudy.storage.store import Store
from understudy.streams import Streams

log = logging.getLogger(__name__)


MANY: Final = 1_000_000
"""More exports than are ever under way."""


@define
class Rest:
    """The parts of the house that HTTP requests use."""

    settings: Settings
    sessions: Sessions
    store: Store
    files: FileStore
    agents: dict[str, Agent]
    model_of: Callable[[Agent], Model]
    metrics: Metrics
    health: Callable[[], dict[str, Any]]
    streams: Streams
    observatory: Observatory
    guard: Guard
    reads: CachedReads
    archive: Archive
    exporter: Exporter
    eraser: Eraser
    exports: Counter = field(factory=lambda: Counter(MANY))
    ledger: Ledger | None = None


def parts() -> Rest:
    """Give the parts the current request may use."""
    rest: Rest = current_app.extensions["rest"]
    return rest


def bearer(*, in_query: bool = False) -> str:
    """Give the token that the current request brings, whatever it is worth; also in its query if it may stand there.

    Raises:
        Unauthenticated: It brings none.
    """
    carried = request.headers.getlist("Authorization")
    token = find_token({"authorization": ", ".join(carried)} if carried else {}, request.args if in_query else {}, ())
    if token is None:
        raise Unauthenticated("unauthenticated")
    return token


def identity(*, in_query: bool = False) -> Identity:
    """Give who makes the current request, by the token in its header, or (`in_query`) in its query.

    Raises:
        Unauthenticated: There is no valid token.
    """
    if "identity" not in g:
        g.identity = parts().sessions.verify(bearer(in_query=in_query))
    who: Identity = g.identity
    return who


def require_role(role: str) -> Identity:
    """Give who makes the current request, when the token's roles name this one.

    Raises:
        Unauthenticated: There is no valid token.
        CommandRejected: The user has not that role (`forbidden`).
    """
    return auth.require_role(identity(), role)


def refusal(code: str, message: str | None = None, retry_after: float | None = None) -> Response:
    """Make the answer for an error of the registry; what else is known stands in the log under its id."""
    error_id = new_error_id()
    answer: Response = jsonify(error_body(code, message, error_id))
    answer.status_code = ERRORS[code].http_status
    if retry_after is not None:
        answer.headers["Retry-After"] = str(max(1, round(retry_after)))
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    parts().metrics.error(code)
    path = "(unknown)" if request.url_rule is None else request.url_rule.rule  # what stands in it is the client's
    log.info("request.refused", extra={"code": code, "path": path, "error_id": error_id})
    return answer
