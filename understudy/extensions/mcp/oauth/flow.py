"""One sign-in from its start to the tokens: two requests of one browser, which different nodes may answer.

1. A state is random, stored as a digest, valid for `START_S`, and taken once. It is bound to a user, a server and, by a
   cookie, to the browser that began, so no other browser can finish the sign-in.
2. Each server has its own redirect URL, and an answer that names another issuer is refused (RFC 9207). So a code is
   sent only to the server that issued it.
"""

import hashlib
import hmac
import logging
import secrets
from typing import Final

import trio
from attrs import evolve, field, frozen

from understudy.extensions.mcp.oauth import grants
from understudy.extensions.mcp.oauth import storage as sign_ins
from understudy.extensions.mcp.oauth.accounts import Accounts
from understudy.extensions.mcp.oauth.client_document import document_of, is_readable
from understudy.extensions.mcp.oauth.discovery import AuthorizationServer, discover
from understudy.extensions.mcp.oauth.storage import SIGNED_IN, add_client, add_start, drop_client, take_start
from understudy.extensions.oauth.errors import GrantRefused, OAuthError, SignInFailed, Unreachable
from understudy.extensions.oauth.token_endpoint import OAuthClient
from understudy.storage.acts import PAGE, Deed, say
from understudy.storage.errors import StorageUnavailable
from understudy.tools.mcp_server import McpServer

log = logging.getLogger(__name__)

BEGIN_S: Final = 20.0
"""Seconds for the requests before the browser is redirected: up to eight, each with its own timeout."""
START_S: Final = 600.0
"""Seconds within which the user must return from the authorization server."""


@frozen
class Return:
    """The target of a sign-in: a `path` of this server, and the question of a run that waits for it."""

    path: str = ""
    question_id: str = ""


@frozen
class Started:
    """A started sign-in: the URL for the browser, and the value of the cookie that it must send back."""

    url: str
    cookie: str = field(repr=False)


@frozen
class Callback:
    """The parameters and the cookie that the browser brings back."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    issuer: str = ""
    error: str = ""
    cookie: str = field(default="", repr=False)


@frozen
class _Start:
    """The stored data of a started sign-in. `cookie` is a digest."""

    server: str
    at: AuthorizationServer
    client: OAuthClient
    verifier: str = field(repr=False)
    redirect_uri: str
    cookie: str = field(repr=False)
    back: Return


async def start(accounts: Accounts, owner: str, server: McpServer, redirect_uri: str, back: Return) -> Started:
    """Begin a sign-in of a user. Raises `SignInFailed`."""
    http = accounts.http(server)
    try:
        with trio.fail_after(BEGIN_S):
            provider = await discover(server, http, await accounts.wanted(owner, server))
            client = await _client(accounts, server, provider, redirect_uri)
    except trio.TooSlowError:
        raise _failed(server, Unreachable(f"no answers within {BEGIN_S:g} s"), "cannot be started now") from None
    except OAuthError as error:
        raise _failed(server, error, "cannot be started now") from None
    state, verifier, cookie = (secrets.token_urlsafe(32) for _ in range(3))
    pending = _Start(server.name, provider, client, verifier, redirect_uri, _digest(cookie), back)
    now, name = accounts.clock(), _digest(state)
    sealed = accounts.seal.seal(pending, "start", owner, name)
    if not await accounts.store.commit(add_start(name, owner, sealed, now + START_S, now)):
        raise SignInFailed("busy", "Too many unfinished sign-ins; finish one, or try again in some minutes.")
    return Started(grants.authorization_url(provider, client, redirect_uri, state, verifier), cookie)


async def finish(accounts: Accounts, server: McpServer, answer: Callback) -> tuple[str, Return]:
    """Finish a sign-in. Return its user and its target. Raises `SignInFailed`."""
    name = _digest(answer.state)
    stored = await accounts.store.read(sign_ins.start, name, accounts.clock())
    if stored is None or not await accounts.store.commit(take_start(name)):
        raise SignInFailed("not_found", "This sign-in has expired, or was finished already. Start it again.")
    owner, sealed = stored
    pending = accounts.seal.open(sealed, _Start, "start", owner, name)
    if pending is None or pending.server != server.name:
        raise SignInFailed("forbidden", "This answer is not for this server. Start the sign-in again.")
    if not hmac.compare_digest(_digest(answer.cookie), pending.cookie):
        raise SignInFailed("forbidden", "This sign-in was begun in another browser. Start it again in this one.")
    if answer.issuer != pending.at.issuer and (answer.issuer or pending.at.names_itself):
        log.warning("mcp.issuer_mismatch", extra={"server": server.name, "issuer": answer.issuer[:200]})
        raise SignInFailed("forbidden", "The answer comes from another server than the one that was asked.")
    if answer.error or not answer.code:
        outcome = "was not allowed" if answer.error == "access_denied" else f"failed ({answer.error[:60] or 'no code'})"
        raise SignInFailed("forbidden", f"The sign-in at {server.name} {outcome}.")
    try:
        tokens = await grants.exchange(
            pending.at,
            pending.client,
            answer.code,
            pending.verifier,
            pending.redirect_uri,
            accounts.http(server),
            accounts.clock(),
        )
    except OAuthError as error:
        if isinstance(error, GrantRefused) and error.code == "invalid_client":
            await accounts.store.commit(drop_client(pending.client.registered_as))
        raise _failed(server, error, "could not be finished") from None
    await say(accounts.store, Deed(SIGNED_IN, owner, PAGE, owner, detail={"server": server.name}))
    if not await accounts.keep(owner, server, tokens):
        raise SignInFailed("not_found", "Your account here is gone.")
    log.info("mcp.signed_in", extra={"server": server.name})
    return owner, pending.back


async def _client(accounts: Accounts, server: McpServer, at: AuthorizationServer, redirect_uri: str) -> OAuthClient:
    """Return the client: the developer's, the one that a document describes, or one that is registered once."""
    if server.client_id:
        wanted = at.method if server.client_secret else "none"
        method = "client_secret_basic" if server.client_secret and wanted == "none" else wanted
        return OAuthClient(server.client_id, server.client_secret, method)
    document = document_of(redirect_uri)
    if at.takes_documents and (not at.registration_endpoint or await is_readable(document, accounts.http(server))):
        return OAuthClient(document)
    name = _digest("\n".join((at.issuer, server.url, redirect_uri, at.scope)))
    for _ in range(2):
        sealed = await accounts.store.read(sign_ins.client, name)
        client = None if sealed is None else accounts.seal.open(sealed, OAuthClient, "client", name)
        if client is not None:
            return client
        registered = evolve(await grants.register(at, redirect_uri, accounts.http(server)), registered_as=name)
        if sealed is not None:  # it was sealed with another secret
            await accounts.store.commit(drop_client(name))
        if await accounts.store.commit(add_client(name, accounts.seal.seal(registered, "client", name))):
            return registered
    raise StorageUnavailable("the registration of a client")


def _failed(server: McpServer, error: OAuthError, what: str) -> SignInFailed:
    """Log the reason of a failure, and return the error for the user."""
    log.warning("mcp.sign_in_failed", extra={"server": server.name, "why": str(error)})
    if isinstance(error, Unreachable):
        return SignInFailed("busy", f"The sign-in at {server.name} {what}: a server does not answer. Try again later.")
    if isinstance(error, GrantRefused):
        return SignInFailed("forbidden", f"The sign-in at {server.name} {what}: it was refused there.")
    return SignInFailed("forbidden", f"The sign-in at {server.name} {what}: its server cannot be trusted.")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
