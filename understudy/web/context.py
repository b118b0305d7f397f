"""What the HTTP door works with: the parts of the house, who is asking, and how a refusal looks."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import trio
from attrs import define, field
from quart import Response, current_app, g, jsonify, request

from transport.auth.identity import Identity, find_token
from transport.connection.limits import Ledger
from transport.server.connection_limiter import Counter, Permit
from transport.server.http import error_body
from transport.wire.codes import ERRORS
from transport.wire.errors import Unauthenticated
from understudy.agents.agent import Agent
from understudy.auth.rights import Rights, Whose, rights_of
from understudy.auth.sessions import Sessions
from understudy.chat.answer.html import AnswerHtml
from understudy.content.filter import ContentFilter
from understudy.models.model import Model
from understudy.observe.logs import new_error_id
from understudy.observe.metrics import Metrics
from understudy.observe.tree_api import TreeApi
from understudy.privacy.erasure import Eraser
from understudy.privacy.export import Exporter
from understudy.storage.cache import CachedReads
from understudy.storage.export_queries import Archive
from understudy.storage.files import FileStore
from understudy.storage.quotas import Quotas
from understudy.storage.store import Store
from understudy.web.settings import WebSettings
from understudy.web.sse import EventStreams

log = logging.getLogger(__name__)


DRAIN_BODY_S: Final = 10.0
"""How long a client may go on sending what is too large; 20 MiB take that long at 17 Mbit/s."""
MAX_EXPORTS: Final = 1_000_000
"""More exports than are ever under way."""


@define
class WebContext:
    """The parts of the house that HTTP requests use."""

    settings: WebSettings
    sessions: Sessions
    store: Store
    files: FileStore
    agents: dict[str, Agent]
    model_of: Callable[[Agent], Model]
    metrics: Metrics
    health: Callable[[], dict[str, Any]]
    streams: EventStreams
    tree_api: TreeApi
    content_filter: ContentFilter
    reads: CachedReads
    archive: Archive
    exporter: Exporter
    eraser: Eraser
    counts: Callable[[Whose], Mapping[str, int]]
    quotas: Quotas
    html: AnswerHtml
    exports: Counter = field(factory=lambda: Counter(MAX_EXPORTS))
    ledger: Ledger | None = None


async def drain_body() -> None:
    """Let a client that sends too much finish, for a while: cut off in the middle, it would never read the answer.

    What it sends is thrown away as it comes; quart has no public name for the end of that.
    """
    with trio.move_on_after(DRAIN_BODY_S):
        await request.body._complete.wait()


def web_context() -> WebContext:
    """Give the parts the current request may use."""
    rest: WebContext = current_app.extensions["rest"]
    return rest


def connection_permit() -> Permit:
    """Give the permit of the current request's connection."""
    held: Permit = request.scope["state"]["permit"]
    return held


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
        g.identity = web_context().sessions.verify(bearer(in_query=in_query))
        connection_permit().authenticate()
    who: Identity = g.identity
    return who


def rights() -> Rights:
    """Return what the roles of the current request's token allow.

    Raises:
        Unauthenticated: There is no valid token.
    """
    who = identity()
    return rights_of(who.user, who.roles, tenants=web_context().sessions.tenants)


def error_response(code: str, message: str | None = None, retry_after: float | None = None) -> Response:
    """Make the answer for an error of the registry; what else is known stands in the log under its id."""
    error_id = new_error_id()
    answer: Response = jsonify(error_body(code, message, error_id))
    answer.status_code = ERRORS[code].http_status
    if retry_after is not None:
        answer.headers["Retry-After"] = str(max(1, round(retry_after)))
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    web_context().metrics.count_error(code)
    path = "(unknown)" if request.url_rule is None else request.url_rule.rule  # what stands in it is the client's
    extra = {"code": code, "path": path, "error_id": error_id, "peer": current_app.extensions["admission"].peer()}
    log.info("request.refused", extra=extra)
    return answer
