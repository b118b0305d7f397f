"""Requests to an authorization server: registration of this server as a client (RFC 7591), and tokens (OAuth 2.1)."""

from attrs import evolve, field, frozen
from mcp.client.auth.utils import union_scopes
from mcp.shared.auth import OAuthClientInformationFull

from understudy.extensions.mcp.errors import RefusedToken
from understudy.extensions.mcp.oauth.client_document import describe_client
from understudy.extensions.mcp.oauth.discovery import MALFORMED, AuthorizationServer
from understudy.extensions.oauth import token_endpoint
from understudy.extensions.oauth.errors import GrantRefused, Untrusted
from understudy.extensions.oauth.guarded_http import GuardedHttp
from understudy.extensions.oauth.token_endpoint import (
    METHODS,
    OAuthClient,
    ask_for_tokens,
    challenge_of,
    members_of,
    refusal,
    with_query,
)


@frozen
class UserTokens:
    """The tokens of a user at a server, with the data to refresh them. `expires_at` is in Unix seconds.

    `scope` are their scopes. `wanted` are the scopes for which the user must sign in again since the server refused
    the tokens: None if it did not, empty if it named none. `barred`: without these the tokens are of no use at all.
    """

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_at: float | None
    client: OAuthClient
    token_endpoint: str
    revocation_endpoint: str
    resource: str
    refresh_at: float | None = None
    scope: str = ""
    wanted: str | None = None
    barred: bool = False

    def wanting(self, refused: RefusedToken) -> "UserTokens | None":
        """Return the tokens marked as lacking scopes; None if they lack none, so that a new sign-in would not help."""
        scope = refused.scope
        if scope is None or (scope and set(scope.split()) <= set(self.scope.split())):
            return None
        return evolve(self, wanted=scope and union_scopes(self.scope, scope), barred=refused.bars)


async def register(at: AuthorizationServer, redirect_uri: str, http: GuardedHttp) -> OAuthClient:
    """Register this server at an authorization server. Raises `Untrusted`, `Unreachable` and `GrantRefused`."""
    if not at.registration_endpoint:
        raise GrantRefused("invalid_client", "its authorization server registers no clients: give mcp(…) a client_id")
    scope = {"scope": at.scope} if at.scope else {}
    response = await http.post_json(at.registration_endpoint, describe_client(redirect_uri, at.method) | scope)
    if response.status not in (200, 201):
        raise refusal(response)
    try:
        registered = OAuthClientInformationFull.model_validate(members_of(response.body))
    except MALFORMED:
        raise Untrusted("the answer to the registration is malformed") from None
    method = registered.token_endpoint_auth_method or at.method
    if method not in METHODS or (method != "none" and not registered.client_secret):
        raise Untrusted("its authorization server registers clients with a method that is not supported here")
    return OAuthClient(registered.client_id, registered.client_secret or "", method)


def authorization_url(
    at: AuthorizationServer, client: OAuthClient, redirect_uri: str, state: str, verifier: str
) -> str:
    """Return the URL to which the user's browser is redirected."""
    query = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        "resource": at.resource,
        **({"scope": at.scope} if at.scope else {}),
        **({"prompt": "consent"} if "offline_access" in at.scope.split() else {}),  # OpenID Connect, section 11
    }
    return with_query(at.authorization_endpoint, query)


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
    response = await ask_for_tokens(at.token_endpoint, client, form, http)
    return UserTokens(
        response.access_token,
        response.refresh_token,
        response.expires_at(now),
        client,
        at.token_endpoint,
        at.revocation_endpoint,
        at.resource,
        scope=response.scope.replace(",", " ") if isinstance(response.scope, str) and response.scope else at.scope,
    )


async def refresh(tokens: UserTokens, http: GuardedHttp, now: float) -> UserTokens:
    """Exchange a refresh token for new tokens. Raises `Untrusted`, `Unreachable` and `GrantRefused`."""
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh or "", "resource": tokens.resource}
    issued = await ask_for_tokens(tokens.token_endpoint, tokens.client, form, http)
    newer = issued.refresh_token or tokens.refresh  # without a new one the old one stays valid
    return evolve(tokens, access=issued.access_token, refresh=newer, expires_at=issued.expires_at(now), refresh_at=None)


async def revoke(tokens: UserTokens, http: GuardedHttp) -> None:
    """Revoke the tokens if their server supports that (RFC 7009). Raises `Untrusted` and `Unreachable`."""
    if tokens.revocation_endpoint:
        await token_endpoint.revoke(tokens.revocation_endpoint, tokens.client, tokens.refresh or tokens.access, http)
