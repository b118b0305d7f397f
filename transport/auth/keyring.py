"""The public keys of an identity provider: read from its JWKS (RFC 7517), kept current, and used to verify tokens.

1. Tokens are verified by public-key algorithms only (RFC 7518, 3.1; RFC 8037), each with a key of its own type.
2. Verification looks keys up and never waits. An unknown key triggers a fetch at once, but at most one per
   `cool_down_s`, however many tokens name one: a flood of forged tokens does not become requests to the provider.
"""

import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import jwt
import trio
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS

from actors import Actor, ActorRef, Context
from transport.auth.identity import Identity
from transport.auth.tokens import (
    LEEWAY_S,
    MAX_TOKEN,
    TENANT,
    JoseHeader,
    identity_from_claims,
    read_claims,
    read_jose_header,
    refuse_token,
)
from transport.wire.errors import FetchFailed, KeySetInvalid, UnknownKey

OF_KEYS: Final[Mapping[str, tuple[type[RSAAlgorithm | ECAlgorithm | OKPAlgorithm], Sequence[str]]]] = {
    "RSA": (RSAAlgorithm, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    "P-256": (ECAlgorithm, ("ES256",)),
    "P-384": (ECAlgorithm, ("ES384",)),
    "P-521": (ECAlgorithm, ("ES512",)),
    "Ed25519": (OKPAlgorithm, ("EdDSA",)),
    "Ed448": (OKPAlgorithm, ("EdDSA",)),
}
"""By type or curve of a key: its reader, and the algorithms for which the key may be used."""
ALGORITHMS: Final = sorted({name for _, names in OF_KEYS.values() for name in names})
MAX_KEYS: Final = 100  # in a document; one with more is refused
MAX_TRIED: Final = 8
"""Most keys with which a token is tried: each takes some 40 µs."""
# RFC 7518 section 3.3 wants 2048 bits; beyond 4096 a check of one signature takes longer than a step of the loop may.
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
MAX_EXPONENT: Final = 2**32  # a larger public exponent makes each check slow

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
_JWS: Final = PyJWS(algorithms=ALGORITHMS)


@frozen
class KeySet:
    """Public keys by algorithm and `kid` (None for those without): `number` of them. `skipped` counts unusable ones."""

    keys: Mapping[tuple[str, str | None], Sequence[PublicKey]]
    number: int
    skipped: int = 0

    def find(self, head: JoseHeader) -> Sequence[PublicKey]:
        """Return the keys that a token may be signed with, `MAX_TRIED` at most.

        They are those of its `kid`, else those without one; for a token without `kid`, all of its algorithm. A key is
        found only under the algorithm of its own type, whatever the token says.
        """
        if head.key_id is None:
            return [key for (algorithm, _), keys in self.keys.items() if algorithm == head.algorithm for key in keys][
                :MAX_TRIED
            ]
        named = self.keys.get((head.algorithm, head.key_id))
        return (named or self.keys.get((head.algorithm, None), ()))[:MAX_TRIED]


def read_key_set(document: bytes) -> KeySet:
    """Return the keys of a JWKS document that can verify signatures.

    Skipped: shared secrets, private keys, keys for encryption or another algorithm, weak or huge ones, and those whose
    `kid` is not text. A null or empty member counts as absent.

    Raises:
        KeySetInvalid: It is not a JWKS, has more than `MAX_KEYS` keys, or no usable one.
    """
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise KeySetInvalid("it is not a JSON object with a list of keys") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise KeySetInvalid(f"its keys are not a list of at most {MAX_KEYS}")
    keys: dict[tuple[str, str | None], list[PublicKey]] = {}
    usable = [read for entry in listed if (read := _read_key(entry)) is not None]
    for algorithms, key_id, key in usable:
        for algorithm in algorithms:
            keys.setdefault((algorithm, key_id), []).append(key)
    if not keys:
        raise KeySetInvalid("it holds no public key to verify with: RSA of 2048 bits or more, P-256 to P-521, Ed25519")
    return KeySet(MappingProxyType(keys), len(usable), len(listed) - len(usable))


def _read_key(entry: Any) -> tuple[Sequence[str], str | None, PublicKey] | None:
    """Return the algorithms of a key, its `kid` and the key itself; None for one that cannot verify."""
    if not isinstance(entry, dict):
        return None
    entry = {name: value for name, value in entry.items() if value not in (None, "", [])}
    if entry.get("use", "sig") != "sig":
        return None
    key_id, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if not isinstance(key_id, str | None):
        return None
    reader, algorithms = OF_KEYS.get(str(entry.get("crv", entry.get("kty"))), (None, ()))
    algorithms = [algorithm for algorithm in algorithms if entry.get("alg", algorithm) == algorithm]
    if reader is None or not algorithms:
        return None
    try:
        key = reader.from_jwk(entry)
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError):
        return None
    if isinstance(key, RSAPublicKey):
        strong = MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and key.public_numbers().e < MAX_EXPONENT
        return (algorithms, key_id, key) if strong else None
    if isinstance(key, EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey):
        return algorithms, key_id, key
    return None


@frozen
class ProviderTokens:
    """Verifies tokens of an identity provider.

    `find` returns the keys for a token's JOSE header. `issuer` and `audience`, unless None, must match the
    token's `iss` and `aud`. `clock` returns Unix seconds. `tenant_claim` is the claim that names the user's tenant.
    """

    find: Callable[[JoseHeader], Sequence[PublicKey]]
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
        claims = signed_claims(token, self.find)
        if self.issuer is not None and claims.get("iss") != self.issuer:
            refuse_token()
        if self.audience is not None and not names_audience(claims.get("aud"), self.audience):
            refuse_token()
        return identity_from_claims(claims, self.clock(), leeway_s=LEEWAY_S, tenant_claim=self.tenant_claim)


def signed_claims(
    token: str, find: Callable[[JoseHeader], Sequence[PublicKey]], most: int = MAX_TOKEN
) -> Mapping[str, Any]:
    """Verify the signature of a token of at most `most` characters with the keys that `find` returns. Return its
    claims, which are not checked yet.

    Raises:
        UnknownKey: It names an unknown key, which may be fetched later.
        Unauthenticated: It is no token, or not signed with one of those keys.
    """
    head = read_jose_header(token, most)
    if head.algorithm not in ALGORITHMS:
        refuse_token()
    keys = find(head)
    if not keys:
        raise UnknownKey("unauthenticated")
    for key in keys:
        with contextlib.suppress(jwt.PyJWTError, ValueError, TypeError, RecursionError):
            # The library checks the signature only: times, types and duplicate names are checked elsewhere.
            return read_claims(_JWS.decode(token, key, algorithms=[head.algorithm]))
    refuse_token()


def names_audience(claim: Any, audience: str) -> bool:
    """Return whether an `aud`, a text or a list of texts, names this audience (RFC 7519 section 4.1.3)."""
    return claim == audience or (isinstance(claim, list) and audience in claim)


MAX_WAITERS: Final = 100  # tasks that wait for a fetch at a time

log: Final = logging.getLogger("transport.keys")


@frozen
class KeyTimes:
    """The times of fetches, in seconds.

    `refresh_s`: after a success; a key withdrawn by the provider stays valid for at most that long. `retry_s`, doubled
    up to `max_retry_s`: after a failure. `cool_down_s`: between two fetches for unknown keys. `stale_s`: how long keys
    stay valid while none can be fetched.
    """

    refresh_s: float = 300.0
    retry_s: float = 1.0
    max_retry_s: float = 60.0
    cool_down_s: float = 10.0
    stale_s: float = 86_400.0


class Keyring:
    """The current keys. `clock` returns monotonic seconds."""

    def __init__(self, times: KeyTimes | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.times = times or KeyTimes()
        self._clock = clock
        self._keys: KeySet | None = None
        self._fresh_at = 0.0
        self._requested_at = -self.times.cool_down_s
        self._fetcher: ActorRef | None = None
        self._fetch_done: trio.Event | None = None
        self._waiters = 0

    def __repr__(self) -> str:
        return f"Keyring(keys={0 if self._keys is None else self._keys.number})"

    @property
    def stale(self) -> bool:
        """Whether no keys are valid: none were fetched yet, or more than `stale_s` ago."""
        return self._keys is None or self._clock() - self._fresh_at >= self.times.stale_s

    @property
    def current(self) -> KeySet | None:
        """The valid keys, or None."""
        return None if self.stale else self._keys

    def find(self, head: JoseHeader) -> Sequence[PublicKey]:
        """Return the keys for a token; if they are unknown, request a fetch and return none."""
        keys = () if self.current is None else self.current.find(head)
        if not keys:
            self._request_fetch()
        return keys

    def replace(self, keys: KeySet) -> None:
        """Replace the keys."""
        self._keys, self._fresh_at = keys, self._clock()

    def attach_fetcher(self, fetcher: ActorRef) -> None:
        """Attach the fetching actor, which fetches at once."""
        self._fetcher = fetcher
        self._mark_fetching()

    @contextlib.contextmanager
    def fetching(self) -> Iterator[None]:
        """Mark a fetch as running within the block. Waiting tasks resume at its end, whether it succeeded or not."""
        done = self._mark_fetching()
        try:
            yield
        finally:
            done.set()
            if self._fetch_done is done:
                self._fetch_done = None

    async def wait_fetched(self, within_s: float) -> None:
        """Wait at most `within_s` seconds for the end of the running fetch. Return at once if there is none.

        At most MAX_WAITERS tasks wait at a time; further calls return at once.
        """
        if self._fetch_done is None or self._waiters >= MAX_WAITERS:
            return
        self._waiters += 1
        try:
            with trio.move_on_after(within_s):
                await self._fetch_done.wait()
        finally:
            self._waiters -= 1

    def _request_fetch(self) -> None:
        if self._fetcher is None or self._fetch_done is not None:
            return  # the running fetch may bring the key
        if self._clock() - self._requested_at < self.times.cool_down_s:
            return
        self._requested_at = self._clock()
        self._mark_fetching()
        self._fetcher.tell(_Fetch())

    def _mark_fetching(self) -> trio.Event:
        """Return the event that is set at the end of the running or requested fetch; create it if there is none."""
        if self._fetch_done is None:
            self._fetch_done = trio.Event()
        return self._fetch_done


@frozen
class _Fetch:
    """Fetch the keys now."""


class KeyFetcher(Actor):
    """Fetches the keys at its start, periodically, and on request.

    `fetch` returns them, or raises FetchFailed, KeySetInvalid or OSError.
    """

    def __init__(self, keyring: Keyring, fetch: Callable[[], Awaitable[KeySet]]) -> None:
        self._keyring = keyring
        self._fetch = fetch
        self._failures = 0

    async def on_start(self, context: Context) -> None:
        """Request the first fetch, without waiting for it."""
        self._keyring.attach_fetcher(context.ref)
        context.ref.tell(_Fetch())

    async def receive(self, message: object, context: Context) -> None:
        """Fetch; after a failure retry with exponential backoff."""
        times = self._keyring.times
        with self._keyring.fetching():
            try:
                keys = await self._fetch()
            except (FetchFailed, KeySetInvalid, OSError) as error:
                self._failures += 1
                extra = {"reason": str(error), "failures": self._failures, "stale": self._keyring.stale}
                log.warning("keys.not_fetched", extra=extra)
            else:
                self._failures = 0
                self._keyring.replace(keys)
                log.info("keys.fetched", extra={"keys": keys.number, "left_out": keys.skipped})
        again_s = min(times.max_retry_s, times.retry_s * 2.0 ** min(self._failures - 1, 20))
        context.set_timer("fetch", again_s if self._failures else times.refresh_s, _Fetch())
