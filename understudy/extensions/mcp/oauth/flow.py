"""One sign-in from its start to the tokens: two requests of one browser, which different nodes may answer.

1. A state is random, kept as a digest, valid for `START_S`, and taken once. It belongs to a user, a server and the
   browser that has the cookie of its start: nobody's browser ends a sign-in that another began.
2. Each server has a redirect address of its own, and an answer that names another issuer is refused (RFC 9207): a code
   reaches only the server that issued it.
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
"""Seconds for the requests before the user's browser is sent there: up to eight, of bounded time each."""
START_S: Final = 600.0
"""Seconds within which a user comes back from the authorization server."""


@frozen
class Return:
    """Where a sign-in leads: `path`, of this server, and the question of a run that waits for it."""

    path: str = ""
    question_id: str = ""


@frozen
class Started:
    """A sign-in that was begun: the address for the browser, and the value of the cookie that it is to bring back."""

    url: str
    cookie: str = field(repr=False)


@frozen
class Callback:
    """What the browser brought back."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    issuer: str = ""
    error: str = ""
    cookie: str = field(default="", repr=False)


@frozen
class _Start:
    """What is kept of a sign-in that was begun."""

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
            at = await discover(server, http, await accounts.wanted(owner, server))
            client = await _client(accounts, server, at, redirect_uri)
    except trio.TooSlowError:
        raise _failed(server, Unreachable(f"no answers within {BEGIN_S:g} s"), "cannot be started now") from None
    except OAuthError as error:
        raise _failed(server, error, "cannot be started now") from None
    state, verifier, cookie = (secrets.token_urlsafe(32) for _ in range(3))
    kept = _Start(server.name, at, client, verifier, redirect_uri, _digest(cookie), back)
    now, name = accounts.clock(), _digest(state)
    sealed = accounts.seal.seal(kept, "start", owner, name)
    if not await accounts.store.commit(add_start(name, owner, sealed, now + START_S, now)):
        raise SignInFailed("busy", "Too many sign-ins were begun; finish one, or try again in some minutes.")
    return Started(grants.authorization_url(at, client, redirect_uri, state, verifier), cookie)


async def finish(accounts: Accounts, server: McpServer, given: Callback) -> tuple[str, Return]:
    """End a sign-in. Return its user, and where it leads. Raises `SignInFailed`."""
    name = _digest(given.state)
    begun = await accounts.store.read(sign_ins.start, name, accounts.clock())
    if begun is None or not await accounts.store.commit(take_start(name)):
        raise SignInFailed("not_found", "This sign-in has expired, or was finished already. Start it again.")
    owner, sealed = begun
    kept = accounts.seal.open(sealed, _Start, "start", owner, name)
    if kept is None or kept.server != server.name:
        raise SignInFailed("forbidden", "This answer is not for this server. Start the sign-in again.")
    if not hmac.compare_digest(_digest(given.cookie), kept.cookie):
        raise SignInFailed("forbidden", "This sign-in was begun in another browser. Start it again in this one.")
    if given.issuer != kept.at.issuer and (given.issuer or kept.at.names_itself):
        log.warning("mcp.issuer_mismatch", extra={"server": server.name, "issuer": given.issuer[:200]})
        raise SignInFailed("forbidden", "The answer comes from another server than the one that was asked.")
    if given.error or not given.code:
        outcome = "was not allowed" if given.error == "access_denied" else f"failed ({given.error[:60] or 'no code'})"
        raise SignInFailed("forbidden", f"The sign-in at {server.name} {outcome}.")
    try:
        tokens = await grants.exchange(
            kept.at, kept.client, given.code, kept.verifier, kept.redirect_uri, accounts.http(server), accounts.clock()
        )
    except OAuthError as error:
        if isinstance(error, GrantRefused) and error.code == "invalid_client":
            await accounts.store.commit(drop_client(kept.client.registered_as))
        raise _failed(server, error, "could not be finished") from None
    await say(accounts.store, Deed(SIGNED_IN, owner, PAGE, owner, detail={"server": server.name}))
    if not await accounts.keep(owner, server, tokens):
        raise SignInFailed("not_found", "Your account here is gone.")
    log.info("mcp.signed_in", extra={"server": server.name})
    return owner, kept.back


async def _client(accounts: Accounts, server: McpServer, at: AuthorizationServer, redirect_uri: str) -> OAuthClient:
    """Return the client that the developer has given, that a document describes, or that was registered once."""
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
        made = evolve(await grants.register(at, redirect_uri, accounts.http(server)), registered_as=name)
        if sealed is not None:  # sealed with another secret
            await accounts.store.commit(drop_client(name))
        if await accounts.store.commit(add_client(name, accounts.seal.seal(made, "client", name))):
            return made
    raise StorageUnavailable("the registration of a client")


def _failed(server: McpServer, error: OAuthError, what: str) -> SignInFailed:
    """Return the failure for a user, and log why."""
    log.warning("mcp.sign_in_failed", extra={"server": server.name, "why": str(error)})
    if isinstance(error, Unreachable):
        return SignInFailed("busy", f"The sign-in at {server.name} {what}: a server does not answer. Try again later.")
    if isinstance(error, GrantRefused):
        return SignInFailed("forbidden", f"The sign-in at {server.name} {what}: it was refused there.")
    return SignInFailed("forbidden", f"The sign-in at {server.name} {what}: its server cannot be trusted.")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
