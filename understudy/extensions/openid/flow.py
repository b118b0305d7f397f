"""One sign-in from its start to the user: two requests of one browser, which different nodes may answer.

1. The state of a sign-in (verifier, nonce, path to return to) is sealed in a cookie of the browser that began it, under
   its `state`: an answer with another `state`, or in another browser, is refused.
2. The provider returns the code to the requested address, with the issuer that was asked (RFC 9207); it is worth
   nothing without the verifier (RFC 7636). The ID token contains the nonce.
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
"""Seconds within which a user must come back from the provider."""
COOKIE: Final = "understudy_sign_in_"
"""Prefix of the names of cookies: each sign-in has a cookie of its own, so that two tabs can begin one each."""


@frozen
class BegunSignIn:
    """A started sign-in: the address for the browser, and the name and value of the cookie that it must bring back."""

    url: str
    cookie: str
    value: str = field(repr=False)


@frozen
class BroughtBack:
    """The provider's answer as the browser brought it. `cookies` are all of its cookies for this address."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    issuer: str
    error: str
    cookies: Mapping[str, str] = field(repr=False)


@frozen
class _Start:
    """The content of the sealed cookie; it expires at `until`, in Unix seconds."""

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
    start_state = _Start(verifier, nonce, leads_to, redirect_uri, provider.clock() + START_S)
    value = base64url.encode(seal.seal(start_state, "openid start", state))
    return BegunSignIn(with_query(at.authorization_endpoint, query), cookie_of(state), value)


async def finish(provider: Provider, seal: Seal, brought: BroughtBack) -> tuple[ProviderAnswer, str]:
    """Finish a sign-in. Return the provider's answer, and the path to return to. Raises `SignInFailed`."""
    started = _kept(seal, brought)
    if started is None or provider.clock() >= started.until:
        raise SignInFailed(
            "not_found", "This sign-in has expired, was finished already, or was begun in another browser. Start again."
        )
    registration, issuer, error_code = provider.registration, brought.issuer, brought.error
    try:
        at = await provider.metadata()
        if issuer != registration.issuer and (issuer or at.authorization_response_iss_parameter_supported):
            log.warning("sign_in.issuer_mismatch", extra={"issuer": issuer[:200]})
            raise SignInFailed("forbidden", "The answer comes from another server than the one that was asked.")
        if error_code or not brought.code:
            if error_code in ("temporarily_unavailable", "server_error"):
                raise Unreachable(f"it answers {error_code}")
            why = "was not allowed" if error_code == "access_denied" else f"failed ({error_code[:60] or 'no code'})"
            raise SignInFailed("forbidden", f"The sign-in at {registration.title} {why}.")
        answer = await provider.exchange(brought.code, started.verifier, started.nonce, started.redirect_uri)
    except OAuthError as error:
        raise _failed(provider, error, "could not be finished") from None
    return answer, started.leads_to


def _kept(seal: Seal, brought: BroughtBack) -> _Start | None:
    try:
        sealed = base64url.decode(brought.cookies.get(cookie_of(brought.state), ""))
    except ValueError:
        return None
    return seal.open(sealed, _Start, "openid start", brought.state)


def _failed(provider: Provider, error: OAuthError, what: str) -> SignInFailed:
    """Return the error for the user, whose sign-in `what` (such as "could not be finished"), and log the reason."""
    log.warning("sign_in.failed", extra={"issuer": provider.registration.issuer, "why": str(error)})
    name = provider.registration.title
    if isinstance(error, Unreachable):
        return SignInFailed("busy", f"The sign-in at {name} {what}: it does not answer. Try again later.")
    if isinstance(error, GrantRefused):
        return SignInFailed("forbidden", f"The sign-in at {name} {what}: it was refused there. Start again.")
    return SignInFailed("forbidden", f"The sign-in at {name} {what}: its answer cannot be trusted.")
