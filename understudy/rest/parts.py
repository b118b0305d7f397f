"""What the HTTP door works with: the parts of the house, who is asking, and how a refusal looks."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define
from quart import Response, current_app, g, jsonify, request

from transport.auth import Identity, find_token
from transport.codes import ERRORS
from transport.errors import Unauthenticated
from transport.http import error_body
from understudy.agents.agent import Agent
from understudy.config import Settings
from understudy.models.model import Model
from understudy.observe.logs import new_error_id
from understudy.observe.metrics import Metrics
from understudy.sessions import Sessions
from understudy.storage.files import FileStore
from understudy.storage.store import Store

log = logging.getLogger(__name__)


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
    delete_thread: Callable[[str, str], Awaitable[None]]


def parts() -> Rest:
    """Give the parts the current request may use."""
    rest: Rest = current_app.extensions["rest"]
    return rest


def bearer() -> str:
    """Give the token that the current request brings, whatever it is worth.

    Raises:
        Unauthenticated: It brings none.
    """
    token = find_token(dict(request.headers), {}, ())
    if token is None:
        raise Unauthenticated("unauthenticated")
    return token


def identity() -> Identity:
    """Give who makes the current request.

    Raises:
        Unauthenticated: There is no valid token.
    """
    if "identity" not in g:
        g.identity = parts().sessions.tokens.verify(bearer())
    who: Identity = g.identity
    return who


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
    log.info("request.refused", extra={"code": code, "path": request.path, "error_id": error_id})
    return answer
