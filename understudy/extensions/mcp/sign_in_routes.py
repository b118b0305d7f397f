"""`/api/mcp/{name}/…`: a user's sign-in at an MCP server: its start, the redirect back, and the sign-out.

1. A cookie binds the redirect back to the browser in which the user began, because a navigation carries no token.
2. After the sign-in the browser is sent only to a path of this origin.
"""

import logging
from typing import Any, Final, Literal

from attrs import frozen
from quart import Response, request

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.extensions.mcp.link import LinkState
from understudy.extensions.mcp.oauth import storage
from understudy.extensions.mcp.oauth.client_document import DOCUMENT, WAY_BACK, describe_client, document_of
from understudy.extensions.mcp.oauth.storage import SIGNED_OUT, SignInRow
from understudy.extensions.mcp.user_links import UserLinks
from understudy.extensions.oauth.errors import SignInFailed
from understudy.extensions.oauth.way_back import is_own_path, way_back_page
from understudy.storage.errors import StorageUnavailable
from understudy.tools.mcp_server import McpServer
from understudy.web.acts import say
from understudy.web.context import (
    agents_of_caller,
    identity,
    page_url,
    public_path,
    read_json,
    set_cookie,
    web_context,
)
from understudy.web.operators import MOST, OF_OPERATOR, listed, owned, scope
from understudy.web.routes import STORED, JsonObject, Routes, as_json
from understudy.wire.codes import ERRORS
from understudy.wire.commands import Respond

log = logging.getLogger(__name__)

blueprint = Routes("sign_ins", __name__, url_prefix="/api/mcp/<name>")
of_operators = Routes("admin_sign_ins", __name__, url_prefix="/api/admin/sign-ins")

COOKIE: Final = "understudy_sign_in"
COOKIE_S: Final = 600
BODY_BYTES: Final = 4096
MAX_CODE: Final = 4096
"""Limit in characters of each value that a browser brings back."""
NONE: Final = "There is no MCP server of that name at which users sign in."
FORM: Final = '{"return_to": "/#thread", "question_id": "…"}'


@frozen
class SignInRequest:
    """The body of a request to sign in. `question_id`: the question of a run that is answered once that is done."""

    return_to: str = ""
    question_id: str = ""


@blueprint.post(
    "/sign-in", body=SignInRequest, errors=("not_found", "forbidden", "busy", "rate_limited", *STORED),
    answer=dict[Literal["url"], str | None],
)  # fmt: skip
async def start(name: str) -> Response:
    """Begin to sign in at an MCP server: answer the `url` for the browser.

    If the user is signed in already, `url` is null, and the question is answered.
    """
    caller, (server, users) = identity(), _server_of_caller(name)
    body = await read_json(SignInRequest, FORM, BODY_BYTES)
    if body.return_to and not is_own_path(body.return_to):
        raise CommandRejected("invalid_command", "return_to must be a path of this server, such as /#thread.")
    if body.question_id:
        check_id("question_id", body.question_id)
        if await users.of(server, caller.user).signed_in_for_all():
            await _answer(caller, body.question_id)
            return as_json({"url": None})
    from understudy.extensions.mcp.oauth import flow

    address = page_url() + public_path(f"/api/mcp/{name}{WAY_BACK}")
    back = flow.Return(body.return_to, body.question_id)
    try:
        started = await flow.start(users.accounts, caller.user, server, address, back)
    except SignInFailed as error:
        raise CommandRejected(error.code, error.message) from None
    response = as_json({"url": started.url})
    secure = address.startswith("https:")
    set_cookie(response, COOKIE, started.cookie, COOKIE_S, f"/api/mcp/{name}{WAY_BACK}", "Lax", secure=secure)
    return response


@blueprint.delete("/sign-in", errors=("not_found", "rate_limited", *STORED))
async def end(name: str) -> None:
    """Sign out of an MCP server: its tokens are removed here, and revoked there if it does that."""
    caller, (server, users) = identity(), _server_of_caller(name)
    await say(SIGNED_OUT, target=caller.user, server=server.name)
    existed = await users.accounts.sign_out(caller.user, server)
    users.of(server, caller.user).close(LinkState.SIGNED_OUT)
    if not existed:
        raise CommandRejected("not_found", "You are not signed in there.")


@blueprint.get(DOCUMENT, token=False, errors=("not_found",))
async def client_document(name: str) -> JsonObject:
    """Answer the document that describes this server to authorization servers.

    Its addresses are https whatever the scheme of this request is: a proxy may have ended TLS.
    """
    if name not in web_context().parts[McpCatalogue].signing_in:
        raise CommandRejected("not_found", NONE)
    way_back = f"https://{request.host}" + public_path(f"/api/mcp/{name}{WAY_BACK}")
    return {"client_id": document_of(way_back), **describe_client(way_back, "none")}


@blueprint.get(
    WAY_BACK, media="text/html", query={"state": str, "code": str, "iss": str, "error": str}, token=False,
    also={303: "Signed in: back to the page.", 404: "It has expired.", 503: "A server does not answer."},
)  # fmt: skip
async def callback(name: str) -> Response:
    """Finish a sign-in at an MCP server in the browser that began it."""
    catalogue = web_context().parts[McpCatalogue]
    server, users = catalogue.signing_in.get(name), catalogue.users
    if server is None or users is None:
        return way_back_page("not_found", NONE)
    from understudy.extensions.mcp.oauth import flow

    query = {key: request.args.get(key, "") for key in ("state", "code", "iss", "error")}
    if any(len(value) > MAX_CODE for value in query.values()):
        return way_back_page("invalid_command", "This is no answer of a sign-in.")
    cookie = request.cookies.get(COOKIE, "")
    callback = flow.Callback(query["state"], query["code"], query["iss"], query["error"], cookie)
    try:
        owner, back = await flow.finish(users.accounts, server, callback)
    except SignInFailed as error:
        return way_back_page(error.code, error.message)
    except StorageUnavailable:
        return way_back_page("storage_unavailable", ERRORS["storage_unavailable"].text)
    await users.of(server, owner).look()
    if back.question_id:
        await _answer(Identity(owner, ""), back.question_id)
    response = way_back_page("", f"You are signed in to {name}. You can close this page.")
    if back.path:
        response.status_code, response.headers["Location"] = 303, back.path
    response.delete_cookie(COOKIE, path=public_path(f"/api/mcp/{name}{WAY_BACK}"))
    return response


@of_operators.get("", query={"tenant": str}, errors=OF_OPERATOR, answer=listed("sign_ins", SignInRow))
async def of_users() -> dict[str, Any]:
    """List who is signed in at which MCP server, and since when."""
    rows = await web_context().store.archive.read(storage.of_all, MOST, scope())
    return {"sign_ins": [owned(row) for row in rows]}


def _server_of_caller(name: str) -> tuple[McpServer, UserLinks]:
    """Return a server of the caller's agents at which users sign in, and the links of users.

    Raises:
        CommandRejected: `not_found`: there is no such server.
    """
    users = web_context().parts[McpCatalogue].users
    for agent in agents_of_caller().values():
        for server in agent.servers:
            if server.name == name and server.per_user and users is not None:
                return server, users
    raise CommandRejected("not_found", NONE)


async def _answer(caller: Identity, question_id: str) -> None:
    """Answer the question of a run that waits for the sign-in, if it still waits."""
    try:
        await web_context().chat.answer(caller, Respond(question_id, {}))
    except CommandRejected as error:
        log.info("mcp.question_gone", extra={"code": error.code})
