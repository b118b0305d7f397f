"""What is asked of an authorization server: to register this one as a client (RFC 7591), and for tokens (OAuth 2.1)."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
from attrs import evolve, field, frozen
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import ValidationError

from transport.auth import base64url
from transport.auth.fetch import HttpResponse
from understudy.tools.mcp.oauth.discovery import METHODS, AuthorizationServer
from understudy.tools.mcp.oauth.errors import GrantRefused, OAuthError, Unreachable, Untrusted
from understudy.tools.mcp.oauth.guarded_http import GuardedHttp

MAX_TOKEN: Final = 16 * 1024
"""Characters of a token; one in a header has fewer."""
TRANSIENT: Final = ("temporarily_unavailable", "server_error", "slow_down")
"""Errors of an authorization server that say nothing of the request."""
MAX_LIFE_S: Final = 365 * 24 * 3600.0
"""Seconds after which an access token is taken to expire, whatever its server says."""


@frozen
class OAuthClient:
    """This server as an authorization server knows it. `method` is how it proves itself.

    `registered_as` is the id under which its registration is stored, if it has registered itself.
    """

    id: str
    secret: str = field(default="", repr=False)
    method: str = "none"
    registered_as: str = ""


@frozen
class UserTokens:
    """The tokens of a user at a server, with all that is needed to refresh them. `expires_at` is in Unix seconds."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_at: float | None
    client: OAuthClient
    token_endpoint: str
    revocation_endpoint: str
    resource: str
    refresh_at: float | None = None


async def register(at: AuthorizationServer, redirect_uri: str, http: GuardedHttp) -> OAuthClient:
    """Register this server at an authorization server. Raises `Untrusted`, `Unreachable` and `GrantRefused`."""
    if not at.registration_endpoint:
        raise GrantRefused("invalid_client", "its authorization server registers nobody: give mcp(…) a client_id")
    wanted = {
        "client_name": "understudy",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": at.method,
        "application_type": "web",
        **({"scope": at.scope} if at.scope else {}),
    }
    response = await http.post_json(at.registration_endpoint, wanted)
    if response.status not in (200, 201):
        raise _refusal(response)
    try:
        given = OAuthClientInformationFull.model_validate_json(response.body)
    except ValidationError:
        raise Untrusted("the answer to the registration is malformed") from None
    method = given.token_endpoint_auth_method or at.method
    if method not in METHODS or (method != "none" and not given.client_secret):
        raise Untrusted("its authorization server registers clients that prove themselves in another way")
    return OAuthClient(given.client_id, given.client_secret or "", method)


def authorization_url(
    at: AuthorizationServer, client: OAuthClient, redirect_uri: str, state: str, verifier: str
) -> str:
    """Return the address to which the user's browser is sent."""
    challenge = base64url.encode(hashlib.sha256(verifier.encode()).digest())
    asked = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "resource": at.resource,
        **({"scope": at.scope} if at.scope else {}),
        **({"prompt": "consent"} if "offline_access" in at.scope.split() else {}),  # OpenID Connect, section 11
    }
    parts = urlsplit(at.authorization_endpoint)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(asked)))), fragment=""))


async def exchange(
    at: AuthorizationServer,
    client: OAuthClient,
    code: str,
    verifier: str,
    redirect_uri: str,
    http: GuardedHttp,
    now: float,
) -> UserTokens:
    """Exchange a code for tokens. Raises `Untrusted`, `Unreachable` and `GrantRefused`."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
        "resource": at.resource,
    }
    given = await _ask(at.token_endpoint, client, form, http)
    return UserTokens(
        given.access_token,
        given.refresh_token,
        _expiry(given, now),
        client,
        at.token_endpoint,
        at.revocation_endpoint,
        at.resource,
    )


async def refresh(tokens: UserTokens, http: GuardedHttp, now: float) -> UserTokens:
    """Exchange a refresh token for new tokens. Raises `Untrusted`, `Unreachable` and `GrantRefused`."""
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh or "", "resource": tokens.resource}
    given = await _ask(tokens.token_endpoint, tokens.client, form, http)
    newer = given.refresh_token or tokens.refresh  # it may go on with the same one
    return evolve(tokens, access=given.access_token, refresh=newer, expires_at=_expiry(given, now), refresh_at=None)


async def revoke(tokens: UserTokens, http: GuardedHttp) -> None:
    """Have the tokens revoked, if their server does that (RFC 7009). Raises `Untrusted` and `Unreachable`."""
    if tokens.revocation_endpoint:
        form, headers = _proof(tokens.client, {"token": tokens.refresh or tokens.access})
        await http.post_form(tokens.revocation_endpoint, form, headers)


async def _ask(url: str, client: OAuthClient, form: Mapping[str, str], http: GuardedHttp) -> OAuthToken:
    fields, headers = _proof(client, form)
    response = await http.post_form(url, fields, headers)
    if response.status != 200:
        raise _refusal(response)
    try:
        given = OAuthToken.model_validate_json(response.body)
    except ValidationError:
        raise Untrusted("its authorization server's answer is no token") from None
    for token in (given.access_token, given.refresh_token or "x"):
        if not 0 < len(token) <= MAX_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise Untrusted("its authorization server's answer is no token")
    return given


def _proof(client: OAuthClient, form: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the form and headers with which a client proves itself."""
    if client.method == "client_secret_basic":
        pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
        proof = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {**form, "client_id": client.id}, proof  # servers look there for the id, too
    secret = {"client_secret": client.secret} if client.method == "client_secret_post" else {}
    return {**form, "client_id": client.id, **secret}, {}


def _expiry(given: OAuthToken, now: float) -> float | None:
    return None if given.expires_in is None else now + min(max(0.0, float(given.expires_in)), MAX_LIFE_S)


def _refusal(response: HttpResponse) -> OAuthError:
    """Return the error for a response that is no success."""
    if response.status == 429 or response.status >= 500:
        return Unreachable(f"its authorization server answers {response.status}")
    try:
        said: Any = msgspec.json.decode(response.body)
        code = said["error"]
    except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, TypeError):
        code = None
    if not isinstance(code, str) or response.status < 400 or code in TRANSIENT:
        return Unreachable(f"its authorization server answers {response.status}")
    return GrantRefused(code[:100], f"its authorization server refuses ({code[:100]})")
