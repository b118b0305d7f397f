"""The client of an identity provider (OpenID Connect Discovery): its discovery document, its keys, and its answers.

1. The discovery document is fetched when it is needed, and used for `FRESH_S`; while the provider is away, `STALE_S`.
2. The provider's keys are in a keyring, which fetches them anew when a token names an unknown one.
3. Every request is bounded in time and size, and follows no redirect.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import trio
from attrs import define, evolve, field, frozen

from transport.auth.keyring import KeyFetcher, Keyring, KeySet, read_key_set, signed_claims
from transport.wire.errors import FetchFailed, Unauthenticated, UnknownKey
from understudy.extensions.oauth import token_endpoint
from understudy.extensions.oauth.errors import OAuthError, Unreachable, Untrusted
from understudy.extensions.oauth.guarded_http import GuardedHttp
from understudy.extensions.oauth.token_endpoint import (
    MAX_ID_TOKEN,
    METHODS,
    GivenTokens,
    OAuthClient,
    ask_for_tokens,
    decode_members,
)
from understudy.extensions.openid.claims import (
    ClaimNames,
    LoggedOut,
    ProviderUser,
    check_id_token,
    check_logout_token,
    kept_elsewhere,
    merged,
    user_of,
)

log = logging.getLogger(__name__)

DISCOVERY: Final = "/.well-known/openid-configuration"
FRESH_S: Final = 300.0
"""Seconds for which a discovery document is used before it is fetched again."""
STALE_S: Final = 86_400.0
"""Seconds for which a discovery document is used while the provider does not answer."""
AWAY_S: Final = 3.0
"""Seconds after a failed fetch of the document in which further attempts fail at once, so that no requests queue up."""
KEY_WAIT_S: Final = 5.0
"""Seconds for which the check of a token waits until the key that it names is fetched."""


@frozen
class Metadata:
    """The members of a provider's discovery document that are used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    revocation_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool | None = None


@frozen
class Registration:
    """This server's registration at the provider. `title` is the name of the provider for users."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    prompt: str = ""
    title: str = ""
    claims: ClaimNames = field(factory=ClaimNames)


@frozen
class ProviderAnswer:
    """A user's tokens, the user, and the provider's session. `user` None: the provider did not say who the user is."""

    tokens: GivenTokens = field(repr=False)
    user: ProviderUser | None
    provider_session: str = ""


@define(eq=False)
class Provider:
    """The identity provider. `clock` is in Unix seconds."""

    registration: Registration
    clock: Callable[[], float]
    keyring: Keyring = field(factory=Keyring)
    # The operator names the provider, which is often in a private network.
    http: GuardedHttp = field(default=GuardedHttp(private=True))
    _found: Metadata | None = field(default=None, init=False)
    _found_at: float = field(default=0.0, init=False)
    _away: tuple[float, str] | None = field(default=None, init=False)  # since when, by trio's clock, and why
    _lock: trio.Lock = field(factory=trio.Lock, init=False, repr=False)

    def keeper(self) -> KeyFetcher:
        """Build the actor that fetches the keys."""
        return KeyFetcher(self.keyring, self._fetch_keys)

    async def metadata(self) -> Metadata:
        """Return the provider's discovery document. Raises `Untrusted` and `Unreachable`."""
        async with self._lock:
            age_s = self.clock() - self._found_at
            if self._found is None or not 0 <= age_s < FRESH_S:
                try:
                    if self._away is not None and trio.current_time() < self._away[0] + AWAY_S:
                        raise Unreachable(self._away[1])
                    self._found, self._away = await self._discover(), None
                    self._found_at = self.clock()
                except Unreachable as error:
                    if self._away is None or trio.current_time() >= self._away[0] + AWAY_S:
                        self._away = trio.current_time(), str(error)
                    if self._found is None or not 0 <= age_s < STALE_S:
                        raise
            return self._found

    async def claims_of(self, token: str) -> Mapping[str, Any]:
        """Verify a token's signature, waiting for a key that may just have come into use. Return its claims.

        Raises:
            Untrusted: It is not signed by the provider.
            Unreachable: The provider's keys cannot be fetched.
        """
        with trio.move_on_after(KEY_WAIT_S):
            for _ in range(2):  # a fetch already in flight may have started before the key was published
                try:
                    return signed_claims(token, self.keyring.find, MAX_ID_TOKEN)
                except UnknownKey:
                    await self.keyring.wait_fetched(KEY_WAIT_S)
                except Unauthenticated:
                    break
        try:
            return signed_claims(token, self.keyring.find, MAX_ID_TOKEN)
        except UnknownKey:
            if self.keyring.stale:
                raise Unreachable("its keys cannot be fetched") from None
            raise Untrusted("its token is signed with a key that it does not publish") from None
        except Unauthenticated:
            raise Untrusted("its token is malformed, or not signed by it with one of its public keys") from None

    async def exchange(self, code: str, verifier: str, nonce: str, redirect_uri: str) -> ProviderAnswer:
        """Exchange a code for tokens. Raises `Untrusted`, `Unreachable` and `GrantRefused`."""
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        at, tokens = await self._ask(form | {"redirect_uri": redirect_uri})
        if tokens.id_token is None:
            raise Untrusted("its answer holds no ID token: the scope openid is missing")
        claims = await self._checked(tokens.id_token, nonce=nonce)
        userinfo = await self._userinfo(at, tokens.access_token, claims["sub"])
        user = self._user(claims if userinfo is None else merged(claims, userinfo))
        session = claims.get("sid")
        return ProviderAnswer(tokens, user, session if isinstance(session, str) else "")

    async def refresh(self, refresh_token: str, subject: str) -> ProviderAnswer:
        """Exchange a refresh token for new tokens, and ask again who the user is. Raises as `exchange` does."""
        at, tokens = await self._ask({"grant_type": "refresh_token", "refresh_token": refresh_token})
        tokens = evolve(tokens, refresh_token=tokens.refresh_token or refresh_token)  # none: the old one stays valid
        claims: Mapping[str, Any] = {"sub": subject}
        try:
            if tokens.id_token is not None:
                claims = await self._checked(tokens.id_token, subject=subject)
            elif at.userinfo_endpoint is None:
                return ProviderAnswer(tokens, None)
            userinfo = await self._userinfo(at, tokens.access_token, subject)
        except Unreachable:  # the new tokens must not be lost
            return ProviderAnswer(tokens, None)
        if userinfo is None and tokens.id_token is None:
            return ProviderAnswer(tokens, None)
        return ProviderAnswer(tokens, self._user(claims if userinfo is None else merged(claims, userinfo)))

    def _user(self, claims: Mapping[str, Any]) -> ProviderUser:
        """Return the user of checked claims, and log the claims that the provider serves at another address."""
        registration = self.registration
        if elsewhere := kept_elsewhere(claims, registration.claims):
            log.warning("sign_in.claims_elsewhere", extra={"issuer": registration.issuer, "claims": elsewhere})
        return user_of(claims, registration.claims)

    async def revoke(self, refresh_token: str) -> None:
        """Have a refresh token revoked, if the provider supports that. Raises `Untrusted` and `Unreachable`."""
        at = await self.metadata()
        if at.revocation_endpoint is not None:
            await token_endpoint.revoke(at.revocation_endpoint, self._client(at), refresh_token, self.http)

    async def logged_out(self, logout_token: str) -> LoggedOut:
        """Verify a logout token, and return its content. Raises `Untrusted` and `Unreachable`."""
        claims, client = await self.claims_of(logout_token), self.registration
        return check_logout_token(claims, issuer=client.issuer, client_id=client.client_id, now=self.clock())

    async def _checked(
        self, id_token: str, *, nonce: str | None = None, subject: str | None = None
    ) -> Mapping[str, Any]:
        claims, client = await self.claims_of(id_token), self.registration
        check_id_token(
            claims, issuer=client.issuer, client_id=client.client_id, now=self.clock(), nonce=nonce, subject=subject
        )
        return claims

    async def _ask(self, form: Mapping[str, str]) -> tuple[Metadata, GivenTokens]:
        at = await self.metadata()
        return at, await ask_for_tokens(at.token_endpoint, self._client(at), form, self.http)

    def _client(self, at: Metadata) -> OAuthClient:
        registration = self.registration
        if not registration.client_secret:
            return OAuthClient(registration.client_id)
        offered = at.token_endpoint_auth_methods_supported or ("client_secret_basic",)  # the default of Discovery, 3
        method = next((method for method in METHODS[:2] if method in offered), "client_secret_basic")
        return OAuthClient(registration.client_id, registration.client_secret, method)

    async def _userinfo(self, at: Metadata, access_token: str, subject: str) -> Mapping[str, Any] | None:
        """Return the claims of the userinfo endpoint (OpenID Connect Core, 5.3), None if there are none.

        The endpoint refuses access tokens for another API, such as those of Entra ID with the scope of an API.

        Raises:
            Untrusted: The claims are of another user, or are not JSON.
            Unreachable: The endpoint does not answer now.
        """
        if at.userinfo_endpoint is None:
            return None
        response = await self.http.get(at.userinfo_endpoint, {"Authorization": f"Bearer {access_token}"})
        if response.status == 429 or response.status >= 500:
            raise Unreachable(f"its userinfo endpoint answers {response.status}")
        if response.status != 200:
            extra = {"issuer": self.registration.issuer, "status": response.status}
            log.warning("sign_in.userinfo_refused", extra=extra)
            return None
        if "json" not in response.headers.get("content-type", ""):
            return None  # signed or encrypted, as the provider's operator has chosen: the ID token must suffice
        userinfo: dict[str, Any] = _decoded(response.body, dict[str, Any], "what it says of a user is malformed")
        if userinfo.get("sub") != subject:
            raise Untrusted("its userinfo endpoint speaks of another user (sub)")
        return userinfo

    async def _discover(self) -> Metadata:
        issuer = self.registration.issuer
        response = await self.http.get(issuer.rstrip("/") + DISCOVERY)
        if response.status != 200:
            raise Unreachable(f"its discovery document answers {response.status}")
        try:
            metadata = decode_members(response.body, Metadata)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeError, RecursionError):
            raise Untrusted("its discovery document is malformed") from None
        if metadata.issuer != issuer:
            raise Untrusted(f"it calls itself {metadata.issuer[:200]}: oidc.issuer must be that, letter by letter")
        for url in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
            if urlsplit(self.http.check(url)).scheme != "https" and issuer.startswith("https:"):
                raise Untrusted("it names an address that is not https")
        return evolve(
            metadata,
            userinfo_endpoint=self._usable(metadata.userinfo_endpoint),
            end_session_endpoint=self._usable(metadata.end_session_endpoint),
            revocation_endpoint=self._usable(metadata.revocation_endpoint),
        )

    def _usable(self, url: str | None) -> str | None:
        """Return the address of an optional endpoint, None if it is missing or may not be used."""
        try:
            secure = url is not None and urlsplit(self.http.check(url)).scheme == "https"
        except Untrusted:
            return None
        return url if secure or not self.registration.issuer.startswith("https:") else None

    async def _fetch_keys(self) -> KeySet:
        """Return the provider's keys. Raises FetchFailed and KeySetInvalid."""
        try:
            response = await self.http.get((await self.metadata()).jwks_uri)
        except OAuthError as error:
            raise FetchFailed(urlsplit(self.registration.issuer).netloc, str(error)) from None
        if response.status != 200:
            raise FetchFailed(urlsplit(self.registration.issuer).netloc, f"its keys answer {response.status}")
        return await trio.to_thread.run_sync(read_key_set, response.body)  # a hundred keys take some milliseconds


def _decoded(body: bytes, kind: Any, why: str) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Untrusted(why) from None
