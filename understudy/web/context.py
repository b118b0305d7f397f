"""The context of HTTP handlers: the server's parts, the caller's identity, the request's body, and error responses."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import trio
from attrs import define
from quart import Response, current_app, g, jsonify, request
from werkzeug.exceptions import RequestTimeout

from actors import ActorRef
from transport.auth.identity import Identity, find_token
from transport.connection.limits import Ledger
from transport.server.connection_limiter import ConnectionPermit
from transport.server.http import error_body
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions
from understudy.auth.rights import Rights, rights_of
from understudy.auth.sessions import Sessions
from understudy.chat.chat import Chat
from understudy.chat.presence import Presence
from understudy.chat.services import Services
from understudy.content.filter import ContentFilter
from understudy.extension import Extension, Parts
from understudy.models.registry import Models
from understudy.observe.actor_events import ActorEventRecorder
from understudy.observe.health import ServerStatus
from understudy.observe.logs import new_error_id
from understudy.observe.metrics import Metrics
from understudy.storage.cache import CachedReads
from understudy.storage.store import Store
from understudy.web.websocket import WebSettings
from understudy.wire.codes import ERRORS

if TYPE_CHECKING:
    from understudy.chat.placement import Node

log = logging.getLogger(__name__)

_T = TypeVar("_T")

DRAIN_BODY_S: Final = 10.0
"""Seconds for which a client may continue to send a body that is too large, enough for 20 MiB at 17 Mbit/s."""


@define
class WebContext:
    """The parts of the server that HTTP handlers use. `recorder` has the events of the actor tree; `ledger` records
    requests for the limits that nodes share; `find` returns the actor at a path."""

    settings: WebSettings
    services: Services
    sessions: Sessions
    metrics: Metrics
    status: ServerStatus
    recorder: ActorEventRecorder
    chat: Chat
    reads: CachedReads
    find: Callable[[str], ActorRef | None]
    extensions: Mapping[str, Extension]
    ledger: Ledger | None = None

    @property
    def node(self) -> "Node | None":
        """This node of a cluster; None for a single server."""
        return self.chat.commands.registry.node

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents by their names."""
        return self.services.agents

    @property
    def content_filter(self) -> ContentFilter:
        """The filter that every text passes."""
        return self.services.content_filter

    @property
    def models(self) -> Models:
        """The models."""
        return self.services.models

    @property
    def parts(self) -> Parts:
        """The parts that extensions have built."""
        return self.services.parts

    @property
    def permissions(self) -> Permissions:
        """The rules for which users may use which agents and tools."""
        return self.services.permissions

    @property
    def presence(self) -> Presence:
        """The open connections of users."""
        return self.services.presence

    @property
    def store(self) -> Store:
        """The store."""
        return self.services.store


async def read_body(max_bytes: int | None = None) -> bytes:
    """Return the body of the current request, at most `max_bytes`; None: the limit of a frame.

    Raises:
        CommandRejected: `message_too_large`. The rest of the body was read and discarded, because a client that is cut
            off while it sends would not read the answer.
        RequestTimeout: The body took longer than BODY_TIMEOUT.
    """
    limit = web_context().settings.limits.frame_bytes if max_bytes is None else max_bytes
    body = bytearray()
    try:
        with trio.fail_after(request.body_timeout or math.inf):
            async for piece in request.body:
                if len(body) <= limit:
                    body += piece
    except trio.TooSlowError:
        raise RequestTimeout from None
    if len(body) > limit:
        raise CommandRejected("message_too_large", f"A message may have at most {limit} bytes.")
    return bytes(body)


async def read_json(kind: type[_T], form: str, max_bytes: int | None = None) -> _T:
    """Return the body of the current request, which must be JSON of this type. `form` describes it in the refusal.

    Raises:
        CommandRejected: The body is not of this type (`invalid_command`), or too large, see `read_body`.
    """
    return decode_json(await read_body(max_bytes), kind, form)


def decode_json(body: bytes, kind: type[_T], form: str) -> _T:
    """Return JSON as an object of this type.

    Raises:
        CommandRejected: `body` is not JSON of this type (`invalid_command`). `form` describes it in the refusal.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandRejected("invalid_command", f"The body must be {form}.") from error


async def drain_body() -> None:
    """Discard the rest of a body that is too large, for DRAIN_BODY_S at most.

    A client that is cut off while it sends would not read the answer.
    """
    with trio.move_on_after(DRAIN_BODY_S):
        await request.body._complete.wait()  # quart has no public name for the end of the body


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """Return the whole number of this query parameter, or the default if it is absent.

    Raises:
        CommandRejected: The value is no whole number, or not from `low` to `high` (`invalid_command`).
    """
    try:
        value = int(request.args.get(name, default))
    except ValueError as error:
        raise CommandRejected("invalid_command", f"{name} must be a whole number.") from error
    if not low <= value <= high:
        raise CommandRejected("invalid_command", f"{name} must be from {low} to {high}.")
    return value


def one_of(name: str, value: object, known: Iterable[_T]) -> _T:
    """Return the member of `known` that equals the value of a request's parameter `name`.

    Raises:
        CommandRejected: The value is not in `known` (`invalid_command`).
    """
    choices = tuple(known)
    for choice in choices:
        if choice == value:
            return choice
    raise CommandRejected("invalid_command", f"{name} must be one of {', '.join(map(str, choices))}.")


def web_context() -> WebContext:
    """Return the context of the current request's server."""
    context: WebContext = current_app.extensions["context"]
    return context


def connection_permit() -> ConnectionPermit:
    """Return the permit of the current request's connection."""
    permit: ConnectionPermit = request.scope["state"]["permit"]
    return permit


def bearer(*, in_query: bool = False) -> str:
    """Return the current request's token, unverified; with `in_query`, also a token in the query.

    Raises:
        Unauthenticated: The request has no token.
    """
    headers = request.headers.getlist("Authorization")
    token = find_token({"authorization": ", ".join(headers)} if headers else {}, request.args if in_query else {}, ())
    if token is None:
        raise Unauthenticated("unauthenticated")
    return token


def identity(*, in_query: bool = False) -> Identity:
    """Return the identity of the current request's token; with `in_query`, also that of a token in the query.

    Raises:
        Unauthenticated: There is no valid token.
    """
    if "identity" not in g:
        g.identity = web_context().sessions.verify(bearer(in_query=in_query))
        connection_permit().authenticate()
    caller: Identity = g.identity
    return caller


def rights() -> Rights:
    """Return the rights that the roles of the current request's token grant.

    Raises:
        Unauthenticated: There is no valid token.
    """
    caller = identity()
    return rights_of(caller.user, caller.roles, tenants=web_context().sessions.tenants)


def agents_of_caller() -> dict[str, Agent]:
    """Return the agents that the user of the current request may see and use; the default one is first.

    Raises:
        Unauthenticated: There is no valid token.
    """
    context = web_context()
    return context.permissions.usable(context.agents, identity())


def own_url() -> str:
    """Return the address by which clients reach this server, without a slash at its end."""
    return (web_context().settings.public_url or request.host_url).rstrip("/")


def page_url() -> str:
    """Return the address by which the browser reaches this server. The scheme is that of the page's `Origin`."""
    origin = request.headers.get("Origin", "")
    is_own = urlsplit(origin).netloc == request.host and origin.startswith(("http://", "https://"))
    return origin if is_own else request.host_url.rstrip("/")


def set_cookie(
    answer: Response, name: str, value: str, life_s: int, path: str, same_site: str, *, secure: bool
) -> None:
    """Set a cookie that scripts cannot read, for a path of this server."""
    answer.set_cookie(
        name, value, max_age=life_s, path=public_path(path), secure=secure, httponly=True, samesite=same_site
    )


def public_path(path: str) -> str:
    """Return a path of this server, such as /auth, below the path of `public_url`, as browsers request it."""
    return web_context().settings.public_path + path


def error_response(code: str, message: str | None = None, retry_after: float | None = None) -> Response:
    """Build the response for an error code, and log the refusal with its error id."""
    error_id = new_error_id()
    answer: Response = jsonify(error_body(code, message, error_id))
    answer.status_code = ERRORS[code].http_status
    if retry_after is not None:
        answer.headers["Retry-After"] = str(max(1, round(retry_after)))
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    web_context().metrics.connections.on_error(code)
    path = "(unknown)" if request.url_rule is None else request.url_rule.rule  # the path itself may contain secrets
    extra = {"code": code, "path": path, "error_id": error_id, "peer": current_app.extensions["admission"].peer()}
    log.info("request.refused", extra=extra)
    return answer
