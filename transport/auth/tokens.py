"""Session tokens: JWTs under a shared secret (HS256), or signed by an identity provider.

The header's `alg` selects between the two, and each accepts keys of its own type only: a public key is never used as a
secret. Other header members are ignored or refused; none can name the location of a key. A reconnecting client's token
is found among those verified: a lookup instead of a signature check.

HS256 is the standard library's HMAC: a server without an identity provider does not load `cryptography`, of 8 MB.
"""

import contextlib
import hmac
import json
import math
import os
import re
import secrets
import stat
import tempfile
from codecs import BOM_UTF8
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NoReturn, TypeGuard

from attrs import frozen

from transport.auth import base64url
from transport.auth.identity import Identity
from transport.wire.errors import Unauthenticated

ALGORITHM: Final = "HS256"
# RFC 7518 section 3.2: a key for HS256 has at least as many bits as the hash.
MIN_SECRET_BYTES: Final = 32
MAX_TOKEN: Final = 8192  # characters; a longer token is refused
TENANT: Final = "tenant"
"""Default name of the claim that holds the tenant."""
MAX_CLAIM: Final = 255
"""Most characters of a claim: the bound of `sub` in OpenID Connect (Core, 2)."""
MAX_ROLES: Final = 100  # further roles of a token are ignored
MAX_RIGHTS: Final = 3_000
"""Most bytes of a user's roles and groups as JSON, so that a token with them and names fits into `MAX_TOKEN`."""
LEEWAY_S: Final = 60.0
"""Seconds by which an issuer's clock may differ from ours: leeway for `exp`, `iat` and `nbf` (RFC 7519, 4.1.4). Under a
shared secret, with which other programs sign too, only `nbf` has it: `exp` is this server's own, to the second."""
CAPACITY: Final = 10_000
"""Tokens in the cache, about 3 MB; beyond that the least recently used is evicted."""
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_SIGNED_HEADER: Final = base64url.encode(json.dumps({"alg": ALGORITHM, "typ": "JWT"}, separators=(",", ":")).encode())


@frozen
class JoseHeader:
    """The unverified header of a token. `key_id` is its `kid`, or None."""

    algorithm: str
    key_id: str | None


class Tokens:
    """Issues and verifies session tokens: JWTs signed with HS256 and a shared secret.

    `secret` signs; tokens signed with one of `accepted` are valid too, so that a secret can be replaced while tokens of
    the previous one are in use. Each must have at least 32 bytes, else ValueError is raised. `clock` returns Unix
    seconds. `tenant_claim` is the claim that names the user's tenant.
    """

    def __init__(
        self,
        secret: str | bytes,
        clock: Callable[[], float],
        tenant_claim: str = TENANT,
        accepted: Sequence[str | bytes] = (),
    ) -> None:
        keys = tuple(key.encode() if isinstance(key, str) else key for key in (secret, *accepted))
        if any(len(key) < MIN_SECRET_BYTES for key in keys):
            raise ValueError(f"the secret must have at least {MIN_SECRET_BYTES} bytes")
        self._keys = keys
        self._clock = clock
        self._tenant_claim = tenant_claim

    def __repr__(self) -> str:
        return "Tokens(secret=…)"

    def issue(
        self,
        user: str,
        session: str,
        *,
        roles: Sequence[str] = (),
        groups: Sequence[str] = (),
        tenant: str | None = None,
        ttl_s: float,
        signed_in_at: float | None = None,
        name: str = "",
    ) -> str:
        """Issue a token for this user and session, valid for `ttl_s` seconds from now.

        `signed_in_at` (Unix seconds) is when the session began; defaults to now. `name` is what people call the user.
        """
        now = self._clock()
        claims: dict[str, Any] = {
            "sub": user,
            "sid": session,
            "jti": secrets.token_hex(8),
            # Not in whole seconds: a token may be issued in the same second in which earlier ones are revoked.
            "iat": round(now, 3),
            "auth_time": int(now if signed_in_at is None else signed_in_at),
            "exp": math.ceil(now + ttl_s),
        }
        if tenant is not None:
            claims[self._tenant_claim] = tenant
        if roles:
            claims["roles"] = list(roles)
        if groups:
            claims["groups"] = list(groups)
        if name:
            claims["name"] = name
        signed = f"{_SIGNED_HEADER}.{base64url.encode(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{base64url.encode(_signature(self._keys[0], signed))}"

    def verify(self, token: str) -> Identity:
        """Verify a token and return its identity.

        Raises Unauthenticated: `token_expired` if it was valid once, `unauthenticated` otherwise. The message never
        says which check failed, as that would only help a forger.
        """
        if read_jose_header(token).algorithm != ALGORITHM:
            refuse_token()
        signed, _, signature = token.rpartition(".")
        try:
            mac = base64url.decode(signature)
            if not any(hmac.compare_digest(mac, _signature(key, signed)) for key in self._keys):
                refuse_token()
            claims = read_claims(base64url.decode(signed.partition(".")[2]))
        except ValueError:  # not base64url
            refuse_token()
        return identity_from_claims(claims, self._clock(), tenant_claim=self._tenant_claim)


def _signature(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), "sha256")


def refuse_token() -> NoReturn:
    """Refuse a token without giving the reason."""
    raise Unauthenticated("unauthenticated") from None


def read_jose_header(token: str, most: int = MAX_TOKEN) -> JoseHeader:
    """Parse the header of an unverified token. Raises Unauthenticated if it is not a token of `most` characters."""
    if len(token) > most or _SHAPE.fullmatch(token) is None:
        refuse_token()
    try:
        head = _read_object(base64url.decode(token.partition(".")[0]))
    except (ValueError, RecursionError):
        refuse_token()
    algorithm, key_id = head.get("alg"), head.get("kid")
    # RFC 7515 section 4.1.11: a critical header that is not understood invalidates the token. None is understood here.
    if not isinstance(algorithm, str) or "crit" in head or head.get("b64", True) is not True:
        refuse_token()
    if key_id is not None and not (isinstance(key_id, str) and key_id):
        refuse_token()
    return JoseHeader(algorithm, key_id)


def read_claims(payload: bytes) -> Mapping[str, Any]:
    """Parse the payload of a token whose signature was verified. Its claims are not checked yet. Raises
    Unauthenticated."""
    try:
        return _read_object(payload)
    except (ValueError, RecursionError):
        refuse_token()


def identity_from_claims(
    claims: Mapping[str, Any], now: float, *, leeway_s: float = 0.0, tenant_claim: str = TENANT
) -> Identity:
    """Return the identity of verified claims, valid at `now`, and for `leeway_s` after their `exp`.

    Raises Unauthenticated: `token_expired`, or `unauthenticated` for claims that are early, missing or of wrong types.
    """
    tenant = claims.get(tenant_claim)
    issued_at, token_id = _time_or_none(claims.get("iat")), claims.get("jti")
    identity = Identity(
        user=_claim_text(claims.get("sub")),
        session=_claim_text(claims.get("sid")),
        tenant=None if tenant is None else _claim_text(tenant),
        roles=tuple(filter(is_claim_text, _listed(claims.get("roles"))))[:MAX_ROLES],
        groups=tuple(group for group in _listed(claims.get("groups")) if isinstance(group, str) and group),
        expires_at=_claim_time(claims.get("exp")) + leeway_s,
        # RFC 7519 section 4.1.7: no two tokens of an issuer have the same jti. The signature cannot serve as an id, as
        # its last letter can be written in several ways.
        token_id=token_id if isinstance(token_id, str) else f"{issued_at}/{claims.get('exp')}",
        issued_at=issued_at,
        signed_in_at=_time_or_none(claims.get("auth_time")),
        name=_display_name(claims),
    )
    if now + LEEWAY_S < _claim_time(claims.get("nbf", 0)):
        refuse_token()
    if now >= identity.expires_at:
        raise Unauthenticated("token_expired")
    return identity


def _display_name(claims: Mapping[str, Any]) -> str:
    """Return what people call the user (OpenID Connect Core 1.0, 5.1). A bad one counts as missing."""
    for claim in ("name", "preferred_username", "email"):
        value = claims.get(claim)
        if is_claim_text(value):
            return value.strip()
    return ""


def _listed(claim: Any) -> list[Any]:
    """Return the entries of a claim; none if it is not a list, since roles and groups only grant rights."""
    return claim if isinstance(claim, list) else []


def is_claim_text(value: Any) -> TypeGuard[str]:
    """Return whether a value can be the name of a user, a tenant or a role: printable, of `MAX_CLAIM` letters."""
    return isinstance(value, str) and bool(value.strip()) and len(value) <= MAX_CLAIM and value.isprintable()


def rights_fit(names: Sequence[str]) -> bool:
    """Return whether a token has room for these roles and groups."""
    return len(json.dumps(names)) <= MAX_RIGHTS


def _read_object(text: bytes) -> dict[str, Any]:
    """Parse a JSON object with unique names and finite numbers. Raises ValueError."""
    value = json.loads(text, object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _claim_text(value: Any) -> str:
    if not is_claim_text(value):
        refuse_token()
    return value


def _claim_time(value: Any) -> float:
    time = _time_or_none(value)
    if time is None:
        refuse_token()
    return time


def _time_or_none(value: Any) -> float | None:
    """Return an optional time of a token; an invalid one counts as missing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return float(value)


def load_or_create_secret(path: Path) -> bytes:
    """Read the secret from the file `path`; create it, readable by its owner only, if there is no such file.

    Several processes may call this at once and all get the same secret. Raises PermissionError if others than the owner
    may read the file, ValueError if the secret is too short.
    """
    try:
        return _read_secret(path)
    except FileNotFoundError:
        pass
    # Written to a temporary file and linked into place, so that no process reads half a secret and the first one wins.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PermissionError(f"{path} may be read by others than its owner: chmod 600 {path.name}")
    secret = path.read_bytes().removeprefix(BOM_UTF8).strip()
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"{path} holds fewer than {MIN_SECRET_BYTES} bytes: remove it to have a new one made")
    return secret


class VerifiedTokens:
    """The identities of verified tokens, valid until they expire or the keys are replaced.

    Tokens are stored as digests, so that a memory dump reveals none. Revoked sessions are not considered here; the
    caller checks them each time.
    """

    __slots__ = ("_capacity", "_entries")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, tuple[Identity, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, token: str, keys: object, now: float) -> Identity | None:
        """Return the identity of a token at `now` (Unix seconds); None if it has to be verified.

        `keys` is the current key set: a token verified by another one has to be verified again.
        """
        if len(token) > MAX_TOKEN:
            return None
        digest = _digest(token)
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if entry[1] is not keys or now >= entry[0].expires_at:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry[0]

    def add(self, token: str, keys: object, identity: Identity) -> None:
        """Add a token that was just verified."""
        self._entries[_digest(token)] = identity, keys
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()  # a client may send any text as a token
