"""Requests of a registered client to a token endpoint (RFC 6749, RFC 7009), and PKCE (RFC 7636)."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
from attrs import field, frozen

from transport.auth import base64url
from transport.auth.fetch import HttpResponse
from understudy.extensions.oauth.errors import GrantRefused, OAuthError, Unreachable, Untrusted
from understudy.extensions.oauth.guarded_http import GuardedHttp

T = TypeVar("T")
METHODS: Final = ("client_secret_post", "client_secret_basic", "none")
"""How a client may authenticate at the token endpoint, the preferred first: MCP SDK servers revoke by that one only."""
MAX_TOKEN: Final = 16 * 1024
"""Limit of characters of a token; one in a header has fewer."""
MAX_ID_TOKEN: Final = 64 * 1024
"""Limit of characters of an ID token, which may name all groups of a user."""
TRANSIENT: Final = ("temporarily_unavailable", "server_error", "slow_down")
"""Errors of an authorization server that are no verdict on the request."""
MAX_LIFE_S: Final = 365 * 24 * 3600.0
"""Seconds after which an access token is taken to expire, even if its server says later."""


@frozen
class OAuthClient:
    """This server as a client of an authorization server. `method` is how it authenticates.

    `registered_as` is the id under which its registration is stored, if it registered itself.
    """

    id: str
    secret: str = field(default="", repr=False)
    method: str = "none"
    registered_as: str = ""


@frozen
class GivenTokens:
    """The answer of a token endpoint. `expires_in` is in seconds, None if the answer does not say."""

    access_token: str = field(repr=False)
    expires_in: float | None = None
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    scope: Any = None
    token_type: str = "Bearer"  # noqa: S105

    def expires_at(self, now: float) -> float | None:
        """Return the time at which the access token expires, in the unit of `now` (Unix seconds)."""
        return None if self.expires_in is None else now + min(max(0.0, self.expires_in), MAX_LIFE_S)


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """Return an address with these parameters added to its query, and without a fragment."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(parameters)))), fragment=""))


def challenge_of(verifier: str) -> str:
    """Return the challenge of a PKCE verifier, by S256."""
    return base64url.encode(hashlib.sha256(verifier.encode()).digest())


async def ask_for_tokens(url: str, client: OAuthClient, form: Mapping[str, str], http: GuardedHttp) -> GivenTokens:
    """Ask for tokens by a grant. Raises `Untrusted`, `Unreachable` and `GrantRefused`."""
    fields, headers = _proof(client, form)
    response = await http.post_form(url, fields, headers)
    if response.status != 200:
        raise refusal(response)
    try:
        tokens = decode_members(response.body, GivenTokens)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeError, RecursionError):
        raise Untrusted("its authorization server's answer is no token") from None
    for token, most in (
        (tokens.access_token, MAX_TOKEN),
        (tokens.refresh_token, MAX_TOKEN),
        (tokens.id_token, MAX_ID_TOKEN),
    ):
        if token is None:
            continue
        if not 0 < len(token) <= most or not token.isascii() or not token.isprintable() or " " in token:
            raise Untrusted("its authorization server's answer is no token")
    if tokens.token_type.lower() != "bearer":
        raise Untrusted("its authorization server's answer is a token of another type")
    return tokens


def decode_members(body: bytes, kind: type[T]) -> T:
    """Decode a JSON object as this type. A member that is null or an empty text counts as absent.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError: The body is no such object.
    """
    return msgspec.convert(members_of(body), kind, strict=False)  # some servers send a number as a text


def members_of(body: bytes) -> dict[str, Any]:
    """Decode the members of a JSON object, without those that are null or an empty text.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError: The body is no such object.
    """
    members = msgspec.json.decode(body, type=dict[str, Any])
    return {name: value for name, value in members.items() if value is not None and value != ""}


async def revoke(url: str, client: OAuthClient, token: str, http: GuardedHttp) -> None:
    """Have a token revoked. Raises `Untrusted` and `Unreachable`."""
    form, headers = _proof(client, {"token": token})
    await http.post_form(url, form, headers)


def _proof(client: OAuthClient, form: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the form and headers with which a client authenticates."""
    if client.method == "client_secret_basic":
        pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
        proof = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {**form, "client_id": client.id}, proof  # some servers look for the id in the form too
    secret = {"client_secret": client.secret} if client.method == "client_secret_post" else {}
    return {**form, "client_id": client.id, **secret}, {}


def refusal(response: HttpResponse) -> OAuthError:
    """Return the error for an unsuccessful response."""
    if response.status == 429 or response.status >= 500:
        return Unreachable(f"its authorization server answers {response.status}")
    try:
        members: Any = msgspec.json.decode(response.body)
        code = members["error"]
    except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, TypeError):
        code = None
    if not isinstance(code, str) or response.status < 400 or code in TRANSIENT:
        return Unreachable(f"its authorization server answers {response.status}")
    return GrantRefused(code[:100], f"its authorization server refuses ({code[:100]})")
