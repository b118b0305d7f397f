"""A cache of verified tokens: a reconnecting client costs a lookup instead of a signature check. Pure."""

from collections import OrderedDict
from hashlib import sha256
from typing import Any, Final

from transport.auth.identity import Identity
from transport.auth.tokens import MAX_TOKEN

CAPACITY: Final = 10_000
"""Tokens in the cache, about 3 MB; beyond that the least recently used is evicted."""


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
        found = self._entries.get(digest)
        if found is None:
            return None
        if found[1] is not keys or now >= found[0].expires_at:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return found[0]

    def add(self, token: str, keys: object, who: Identity) -> None:
        """Add a token that was just verified."""
        self._entries[_digest(token)] = who, keys
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()  # a client may send any text as a token
