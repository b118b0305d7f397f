"""Read the public keys of an identity provider (RFC 7517), and verify its tokens: RS256 and ES256. Pure."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import jwt
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from transport.auth.identity import Identity
from transport.auth.tokens import (
    MAX_CLAIM,
    TENANT,
    JoseHeader,
    identity_from_claims,
    read_jose_header,
    refuse_token,
    verified_claims,
)
from transport.wire.errors import KeySetInvalid, UnknownKey

ALGORITHMS: Final = ("RS256", "ES256")
MAX_KEYS: Final = 100
# RFC 7518 section 3.3 wants 2048 bits; beyond 4096 a check of one signature takes longer than a step of the loop may.
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
MAX_EXPONENT: Final = 2**32
SKEW_S: Final = 10.0
"""Seconds that a provider's clock may be ahead of ours: its `nbf` is usually the time of signing."""

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey


@frozen
class KeySet:
    """Public keys by algorithm and `kid` (None for one without). `skipped` counts unusable keys of the document."""

    keys: Mapping[tuple[str, str | None], PublicKey]
    skipped: int = 0

    def find(self, head: JoseHeader) -> PublicKey | None:
        """Return the key that a token names; for a token without `kid`, the only key of its algorithm; else None.

        A key is found only under the algorithm of its own type, whatever the token says.
        """
        if head.key_id is not None:
            return self.keys.get((head.algorithm, head.key_id))
        fitting = [key for (algorithm, _), key in self.keys.items() if algorithm == head.algorithm]
        return fitting[0] if len(fitting) == 1 else None


def read_key_set(document: bytes) -> KeySet:
    """Return the keys of a JWKS document that can verify RS256 or ES256 signatures.

    Skipped: shared secrets, private keys, keys for encryption or another algorithm, weak or huge ones, and those whose
    `kid` is not text or a duplicate.

    Raises:
        KeySetInvalid: It is not a JWKS, has more than `MAX_KEYS` keys, or no usable one.
    """
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise KeySetInvalid("it is not a JSON object with a list of keys") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise KeySetInvalid(f"its keys are not a list of at most {MAX_KEYS}")
    found: dict[tuple[str, str | None], PublicKey] = {}
    for entry in listed:
        named = _read_key(entry)
        if named is not None and named[0] not in found:
            found[named[0]] = named[1]
    if not found:
        raise KeySetInvalid("it holds no public key for RS256 (2048 bits or more) or ES256")
    return KeySet(MappingProxyType(found), len(listed) - len(found))


def _read_key(entry: Any) -> tuple[tuple[str, str | None], PublicKey] | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    key_id, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= MAX_CLAIM):
        return None
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    try:
        key = RSAAlgorithm.from_jwk(entry) if algorithm == "RS256" else ECAlgorithm.from_jwk(entry)
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError):
        return None
    if isinstance(key, RSAPublicKey):
        strong = MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and key.public_numbers().e < MAX_EXPONENT
        return ((algorithm, key_id), key) if strong else None
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return (algorithm, key_id), key
    return None


@frozen
class ProviderTokens:
    """Verifies tokens of an identity provider.

    `find` returns the key for a token's JOSE header, or None. `issuer` and `audience`, unless None, must match the
    token's `iss` and `aud`. `clock` returns Unix seconds. `tenant_claim` is the claim that names the user's tenant.
    """

    find: Callable[[JoseHeader], PublicKey | None]
    clock: Callable[[], float]
    issuer: str | None = None
    audience: str | None = None
    tenant_claim: str = TENANT

    def verify(self, token: str) -> Identity:
        """Verify a token and return its identity.

        Raises:
            UnknownKey: It names an unknown key, which may be fetched later.
            Unauthenticated: It is invalid, or expired (`token_expired`).
        """
        head = read_jose_header(token)
        if head.algorithm not in ALGORITHMS:
            refuse_token()
        key = self.find(head)
        if key is None:
            raise UnknownKey("unauthenticated")
        claims = verified_claims(token, key, head.algorithm)
        if self.issuer is not None and claims.get("iss") != self.issuer:
            refuse_token()
        if self.audience is not None and not _names(claims.get("aud"), self.audience):
            refuse_token()
        return identity_from_claims(claims, self.clock(), skew_s=SKEW_S, tenant_claim=self.tenant_claim)


def _names(claim: Any, audience: str) -> bool:
    """Return whether an `aud`, a text or a list of texts, names this audience (RFC 7519 section 4.1.3)."""
    return claim == audience or (isinstance(claim, list) and audience in claim)
