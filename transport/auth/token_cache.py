"""Tokens that were verified before: a client that comes back costs a look-up instead of a signature. Pure."""

from collections import OrderedDict
from hashlib import sha256
from typing import Any, Final

from transport.auth.identity import Identity
from transport.auth.tokens import MAX_TOKEN

CAPACITY: Final = 10_000
"""Tokens that are remembered, those longest not seen forgotten first: about 3 MB."""


class VerifiedTokens:
    """Who verified tokens speak for, as long as they have not run out and the keys are those that proved them.

    A token is known by its digest: whoever reads this server's memory finds none here. Whether its session was ended
    is not known here, and to be asked each time.
    """

    __slots__ = ("_capacity", "_entries")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, tuple[Identity, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, token: str, keys: object, now: float) -> Identity | None:
        """Who this token speaks for at `now`, in Unix seconds; None when it has to be verified.

        `keys` is the set of keys in force: what was proven by another one has to be proven again.
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
        """Remember a token that was verified just now."""
        self._entries[_digest(token)] = who, keys
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()  # whatever a client calls a token
