"""Who is connecting: signed session tokens, where a token is carried, and which pages and hosts are trusted."""

import base64
import binascii
import contextlib
import ipaddress
import math
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import jwt
from attrs import field, frozen

from transport.dialects import JWT_PREFIX
from transport.errors import Unauthenticated

ALGORITHM: Final = "HS256"
# RFC 7518 section 3.2: a key for HS256 has at least as many bits as the hash.
MIN_SECRET_BYTES: Final = 32
MAX_TOKEN: Final = 8192
MAX_CLAIM: Final = 200
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@frozen
class Identity:
    """Who a token speaks for, until `expires_at` (Unix seconds)."""

    user: str
    session: str
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    expires_at: float = field(default=math.inf)


class Tokens:
    """Issues and verifies session tokens: JWTs signed with HS256 and one shared secret.

    `secret` has at least 32 bytes, else ValueError is raised. `clock` gives Unix seconds.
    """

    def __init__(self, secret: str | bytes, clock: Callable[[], float]) -> None:
        key = secret.encode() if isinstance(secret, str) else secret
        if len(key) < MIN_SECRET_BYTES:
            raise ValueError(f"the secret must have at least {MIN_SECRET_BYTES} bytes")
        self._key = key
        self._clock = clock

    def __repr__(self) -> str:
        return "Tokens(secret=…)"

    def issue(
        self, user: str, session: str, *, roles: Sequence[str] = (), tenant: str | None = None, ttl_s: float
    ) -> str:
        """A token for this user and session, valid for `ttl_s` seconds from now."""
        now = self._clock()
        claims: dict[str, Any] = {"sub": user, "sid": session, "iat": int(now), "exp": math.ceil(now + ttl_s)}
        if tenant is not None:
            claims["tenant"] = tenant
        if roles:
            claims["roles"] = list(roles)
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def verify(self, token: str) -> Identity:
        """The identity a token speaks for.

        Raises Unauthenticated: `token_expired` when it was good once, `unauthenticated` for everything else.
        The message never says which check failed: that helps nobody but a forger.
        """
        identity, not_before = _identity(self._claims(token))
        now = self._clock()
        if now < not_before:
            _refuse()
        if now >= identity.expires_at:
            raise Unauthenticated("token_expired")
        return identity

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN:
            _refuse()
        # Times are checked here against our own clock, types too; the library is left with the signature.
        options: Any = {"verify_signature": True, "require": ["sub", "sid", "exp"]}
        options |= {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
        try:
            return dict(jwt.decode(token, self._key, algorithms=[ALGORITHM], options=options))
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            _refuse()


def _refuse() -> NoReturn:
    raise Unauthenticated("unauthenticated") from None


def _identity(claims: Mapping[str, Any]) -> tuple[Identity, float]:
    """The identity in the claims, and the time before which it does not count."""
    roles = claims.get("roles", [])
    if not isinstance(roles, list):
        _refuse()
    tenant = claims.get("tenant")
    return (
        Identity(
            user=_word(claims["sub"]),
            session=_word(claims["sid"]),
            tenant=None if tenant is None else _word(tenant),
            roles=tuple(_word(role) for role in roles),
            expires_at=_time(claims["exp"]),
        ),
        _time(claims.get("nbf", 0)),
    )


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CLAIM or not value.isprintable():
        _refuse()
    return value


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        _refuse()
    return float(value)


def find_token(headers: Mapping[str, str], query: Mapping[str, str], subprotocols: Sequence[str]) -> str | None:
    """The token of a handshake, from the first carrier that is present; None when none is.

    Carriers in order: subprotocol `jwt.<token>` (the JWT, or its base64url form), `Authorization: Bearer`,
    `session_token` in the query. What the first one holds is returned as it is, be it empty or damaged: it is
    refused then, and no other carrier is tried.
    """
    for offered in subprotocols:
        if offered.startswith(JWT_PREFIX):
            return _unwrapped(offered.removeprefix(JWT_PREFIX))
    for name in headers:
        if name.lower() == "authorization":
            scheme, _, credentials = headers[name].strip().partition(" ")
            if scheme.lower() == "bearer":
                return credentials.strip()
    return query.get("session_token")


def _unwrapped(carried: str) -> str:
    if carried.count(".") == 2:
        return carried
    try:
        return base64.urlsafe_b64decode(carried + "=" * (-len(carried) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return carried


def origin_allowed(
    origin: str | None, host: str | None, allow_list: Collection[str], *, loopback: bool = False
) -> bool:
    """Whether a page of `origin` may connect to the server that it called `host` (the two headers).

    A client that sends no Origin is no browser, and allowed. Else the origin must be the server's own, or stand on
    the allow-list as `https://example.org[:port]`. Set `loopback` on a server that trusts whoever reaches its
    loopback address: then `host` must itself be a loopback name, or a page could reach it by pointing a name of its
    own at 127.0.0.1.
    """
    if origin is None:
        return True
    here = _place(origin)
    if here is None:
        return False
    if any(_place(entry) == here for entry in allow_list):
        return True
    if host is None or (loopback and not is_loopback(host)):
        return False
    return _place(f"{here[0]}://{host}") == here


def _place(origin: str) -> tuple[str, str, int | None] | None:
    """(scheme, host, port) of an origin; None for what is not one, such as `null`."""
    try:
        parts = urlsplit(origin)
        if not parts.scheme or not parts.hostname or parts.path not in ("", "/") or parts.query or "@" in parts.netloc:
            return None
        return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether `host`, with or without a port, can only mean this machine: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        name = urlsplit(f"//{host}" if host.count(":") < 2 or host.startswith("[") else f"//[{host}]").hostname
        if name == "localhost":
            return True
        address = ipaddress.ip_address(name or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def load_or_create_secret(path: Path) -> bytes:
    """The secret in the file `path`; made, readable by its owner alone, when there is no such file.

    Several processes may call this at once and all get the same secret. Raises PermissionError when others than
    the owner may read the file, ValueError when it is too short to be a secret.
    """
    try:
        return _read_secret(path)
    except FileNotFoundError:
        pass
    # Written aside and linked into place, so that nobody ever reads half a secret and the first one wins.
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        os.unlink(aside)
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PermissionError(f"{path} may be read by others than its owner: chmod 600 {path.name}")
    secret = path.read_bytes().strip()
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"{path} holds fewer than {MIN_SECRET_BYTES} bytes: remove it to have a new one made")
    return secret
