"""Checks the claims of ID tokens (OpenID Connect Core, 3.1.3.7) and logout tokens, and reads users from them. Pure.

The reason for which a token is refused is logged, and never shown to users.
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from transport.auth.keyring import names_audience
from transport.auth.tokens import LEEWAY_S, MAX_CLAIM, MAX_ROLES, is_claim_text, rights_fit
from understudy.extensions.oauth.errors import Untrusted

MAX_NAME_BYTES: Final = 512
"""Limit of bytes of a user's display name as JSON: a token of this server carries it beside names and rights."""
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"


@frozen
class ClaimNames:
    """The paths of the claims of a user that are used. `a.b.c` is the member `c` of the member `b` of the claim `a`, or
    its member `b.c`, whose name has a dot. `tenant` is empty on a server without tenants."""

    name: str = ""
    roles: str = "roles"
    groups: str = "groups"
    tenant: str = ""


@frozen
class LoggedOut:
    """The content of a logout token: the subject and the provider's session that end, one of which may be empty; when
    the token was issued and expires, in Unix seconds; and its id, which may be empty."""

    subject: str
    session: str
    issued_at: float
    expires_at: float
    id: str


@frozen
class ProviderUser:
    """A user as the provider describes them. `left_out` counts groups and roles that are malformed, or too many."""

    subject: str
    name: str = ""
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tenant: str | None = None
    left_out: int = 0


def check_id_token(
    claims: Mapping[str, Any], *, issuer: str, client_id: str, now: float, nonce: str | None, subject: str | None = None
) -> None:
    """Check the claims of an ID token whose signature was verified. `nonce` None: a refresh for `subject` returned it.

    Raises:
        Untrusted: It is not for this client, not from this issuer, not valid now, or of another sign-in or user.
    """
    _check_issued(claims, issuer, client_id, now)
    audience, party = claims.get("aud"), claims.get("azp")
    if (isinstance(audience, list) and len(audience) > 1 and party is None) or party not in (None, client_id):
        raise Untrusted("its ID token is for another party (azp)")
    if not _is_time(claims.get("exp")) or claims["exp"] + LEEWAY_S <= now:
        raise Untrusted("its ID token has expired, or does not say when it does (exp)")
    if nonce is not None and not hmac.compare_digest(_text(claims.get("nonce")).encode(), nonce.encode()):
        raise Untrusted("its ID token is of another sign-in (nonce)")
    if not is_claim_text(claims.get("sub")):
        raise Untrusted(f"its ID token names no user, or one of more than {MAX_CLAIM} characters (sub)")
    if subject is not None and claims["sub"] != subject:
        raise Untrusted("its ID token is of another user (sub)")


def check_logout_token(claims: Mapping[str, Any], *, issuer: str, client_id: str, now: float) -> LoggedOut:
    """Check the claims of a logout token whose signature was verified (OpenID Connect Back-Channel Logout, 2.6).

    Raises:
        Untrusted: It is not for this client, not from this issuer, not valid now, or no logout token.
    """
    _check_issued(claims, issuer, client_id, now)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict) or "nonce" in claims:
        raise Untrusted("it is no logout token")
    if not _is_time(claims.get("exp")) or claims["exp"] + LEEWAY_S <= now:
        raise Untrusted("its logout token has expired, or does not say when it does (exp)")
    subject, session = _text(claims.get("sub")), _text(claims.get("sid"))
    if not subject and not session:
        raise Untrusted("its logout token names nobody")
    return LoggedOut(subject, session, claims["iat"], claims["exp"], _text(claims.get("jti")))


def user_of(claims: Mapping[str, Any], names: ClaimNames) -> ProviderUser:
    """Return the user of checked claims, without malformed names, roles and groups.

    Raises:
        Untrusted: The tenant is not a name.
    """
    tenant = _find(claims, names.tenant) if names.tenant else None
    if tenant is not None and not is_claim_text(tenant):
        raise Untrusted("it names a tenant that is none")
    roles, groups = _list(_find(claims, names.roles)), _list(_find(claims, names.groups))
    granted: list[str] = []
    member: list[str] = []
    for taken, texts in ((granted, [role for role in roles if is_claim_text(role)][:MAX_ROLES]), (member, groups)):
        for right in filter(is_claim_text, texts):
            if not rights_fit([*granted, *member, right]):
                break
            taken.append(right)
    name = next(
        (
            value.strip()
            for claim in (names.name, "name", "preferred_username", "email")
            if claim and is_claim_text(value := _find(claims, claim)) and len(json.dumps(value)) <= MAX_NAME_BYTES
        ),
        "",
    )
    left_out = len(roles) + len(groups) - len(granted) - len(member)
    return ProviderUser(claims["sub"], name, tuple(granted), tuple(member), tenant, left_out)


def merged(claims: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of an ID token merged with those of userinfo, which win unless they are null or empty texts."""
    result = dict(claims)
    for name, value in userinfo.items():
        if isinstance(value, Mapping) and isinstance(inner := result.get(name), Mapping):
            result[name] = merged(inner, value)
        elif value is not None and value != "":
            result[name] = value
    return result


def kept_elsewhere(claims: Mapping[str, Any], names: ClaimNames) -> list[str]:
    """Return the used claims that the provider left out, and serves at another address (OpenID Connect Core, 5.6.2).

    Entra ID does so with more than 200 groups. That address requires another token than this server has.
    """
    elsewhere = claims.get("_claim_names")
    if not isinstance(elsewhere, Mapping):
        return []
    used = (names.groups, names.roles, names.tenant, names.name)
    return [claim for claim in used if claim and claim in elsewhere and _find(claims, claim) is None]


def _check_issued(claims: Mapping[str, Any], issuer: str, client_id: str, now: float) -> None:
    if claims.get("iss") != issuer:
        raise Untrusted("its token is from another issuer (iss)")
    if not names_audience(claims.get("aud"), client_id):
        raise Untrusted("its token is for another client (aud)")
    for claim in ("iat", "nbf"):
        if claim in claims and (not _is_time(claims[claim]) or claims[claim] > now + LEEWAY_S):
            raise Untrusted(f"its token is of the future ({claim}): one of the two clocks is wrong")
    if "iat" not in claims:
        raise Untrusted("its token does not say when it was issued (iat)")


def _find(claims: Mapping[str, Any], path: str) -> Any:
    """Return the claim at a path. Names may contain dots, such as a client's id in Keycloak's `resource_access`."""
    if path in claims:
        return claims[path]
    ends = (at for at in range(len(path) - 1, 0, -1) if path[at] == "." and isinstance(claims.get(path[:at]), Mapping))
    return next((value for at in ends if (value := _find(claims[path[:at]], path[at + 1 :])) is not None), None)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
