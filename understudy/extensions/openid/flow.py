"""One sign-in from its start to the user: two requests of one browser, which different nodes may answer.

1. What belongs to a sign-in (verifier, nonce, where it leads) is sealed in a cookie of the browser that began it, for
   its `state`: an answer with another state, or in another browser, finds none.
2. The code comes back to where it was asked for, with the issuer that was asked (RFC 9207), and is worth nothing
   without the verifier (RFC 7636). The ID token holds the nonce.
"""

import hashlib
import logging
import secrets
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from transport.auth import base64url
from understudy.auth.seal import Seal
from understudy.extensions.oauth.errors import GrantRefused, OAuthError, SignInFailed, Unreachable
from understudy.extensions.oauth.token_endpoint import challenge_of, with_query
from understudy.extensions.openid.provider import Provider, ProviderAnswer

log = logging.getLogger(__name__)

START_S: Final = 600
"""Seconds within which a user comes back from the provider."""
COOKIE: Final = "understudy_sign_in_"
"""Begin of the names of cookies: each sign-in has its own, so that two tabs can begin one."""


@frozen
class BegunSignIn:
    """A sign-in that was begun: the address for the browser, and the cookie that it is to bring back."""

    url: str
    cookie: str
    value: str = field(repr=False)


@frozen
class BroughtBack:
    """What the browser brought back. `cookies` are all of its cookies for this address."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    issuer: str
    error: str
    cookies: Mapping[str, str] = field(repr=False)


@frozen
class _Start:
    """What the cookie holds."""

    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    leads_to: str
    redirect_uri: str
    until: float


def cookie_of(state: str) -> str:
    """Return the name of the cookie of a sign-in."""
    return COOKIE + hashlib.sha256(state.encode(errors="replace")).hexdigest()[:16]


async def start(provider: Provider, seal: Seal, leads_to: str, redirect_uri: str) -> BegunSignIn:
    """Begin a sign-in. Raises `SignInFailed`."""
    try:
        at = await provider.metadata()
    except OAuthError as error:
        raise _failed(provider, error, "cannot be started now") from None
    state, verifier, nonce = (secrets.token_urlsafe(32) for _ in range(3))
    registration = provider.registration
    query = {
        "response_type": "code",
        "client_id": registration.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(registration.scopes),
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        **({"prompt": registration.prompt} if registration.prompt else {}),
    }
    kept = _Start(verifier, nonce, leads_to, redirect_uri, provider.clock() + START_S)
    value = base64url.encode(seal.seal(kept, "openid start", state))
    return BegunSignIn(with_query(at.authorization_endpoint, query), cookie_of(state), value)


async def finish(provider: Provider, seal: Seal, given: BroughtBack) -> tuple[ProviderAnswer, str]:
    """End a sign-in. Return the provider's answer, and the path to which it leads. Raises `SignInFailed`."""
    kept = _kept(seal, given)
    if kept is None or provider.clock() >= kept.until:
        raise SignInFailed(
            "not_found", "This sign-in has expired, was finished already, or was begun in another browser. Start again."
        )
    registration = provider.registration
    try:
        at = await provider.metadata()
        if given.issuer != registration.issuer and (given.issuer or at.authorization_response_iss_parameter_supported):
            log.warning("sign_in.issuer_mismatch", extra={"issuer": given.issuer[:200]})
            raise SignInFailed("forbidden", "The answer comes from another server than the one that was asked.")
        if given.error or not given.code:
            if given.error in ("temporarily_unavailable", "server_error"):
                raise Unreachable(f"it answers {given.error}")
            why = "was not allowed" if given.error == "access_denied" else f"failed ({given.error[:60] or 'no code'})"
            raise SignInFailed("forbidden", f"The sign-in at {registration.title} {why}.")
        answer = await provider.exchange(given.code, kept.verifier, kept.nonce, kept.redirect_uri)
    except OAuthError as error:
        raise _failed(provider, error, "could not be finished") from None
    return answer, kept.leads_to


def _kept(seal: Seal, given: BroughtBack) -> _Start | None:
    try:
        sealed = base64url.decode(given.cookies.get(cookie_of(given.state), ""))
    except ValueError:
        return None
    return seal.open(sealed, _Start, "openid start", given.state)


def _failed(provider: Provider, error: OAuthError, what: str) -> SignInFailed:
    """Return the failure for a user, and log why."""
    log.warning("sign_in.failed", extra={"issuer": provider.registration.issuer, "why": str(error)})
    name = provider.registration.title
    if isinstance(error, Unreachable):
        return SignInFailed("busy", f"The sign-in at {name} {what}: it does not answer. Try again later.")
    if isinstance(error, GrantRefused):
        return SignInFailed("forbidden", f"The sign-in at {name} {what}: it was refused there. Start again.")
    return SignInFailed("forbidden", f"The sign-in at {name} {what}: its answer cannot be trusted.")
