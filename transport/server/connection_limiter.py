"""Limits on open connections: in total, per address, and of clients that have not authenticated. Pure.

1. At most `total` connections hold a permit, at most `per_peer` of one address, counted from accept.
2. At most `unauthenticated` of them have not authenticated, so the rest of `total` is left for users.
3. An authenticated connection is never closed for another one. An unauthenticated one for whose client the server waits
   (handshake, request head, next request, first message) is closed if its permit is needed: the longest-waiting one of
   the address with the most of them. So a client that authenticates at once is admitted however many others stay
   silent.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable


class Counter:
    """Count something per user, at most `cap` each. Users with a count of 0 take no memory."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self._counts: dict[str, int] = {}

    def enter(self, user: str) -> bool:
        """Count one more for this user. Return False, and count nothing, if the user has `cap` already."""
        count = self._counts.get(user, 0)
        if count >= self.cap:
            return False
        self._counts[user] = count + 1
        return True

    def leave(self, user: str) -> None:
        """Count one less; call once for each `enter` that returned True. Raises ValueError if the count is 0."""
        count = self._counts.get(user, 0)
        if count == 0:
            raise ValueError("left more often than entered")
        if count == 1:
            del self._counts[user]
        else:
            self._counts[user] = count - 1

    def held(self, user: str) -> int:
        """Return the count of this user."""
        return self._counts.get(user, 0)


class LimitReached(enum.Enum):
    """The limit that refused a connection."""

    PEER = "peer"
    TOTAL = "total"


def _never_closed() -> None:
    """Do nothing: an authenticated connection is not closed for another one."""


class ConnectionPermit:
    """The permit of one open connection. `peer` is the address it counts for, None while only the proxy is known.

    `close` is called to end the connection if its permit is given to another one.
    """

    __slots__ = ("_limiter", "_waiting", "authenticated", "close", "held", "peer")

    def __init__(self, limiter: "ConnectionLimiter", peer: str | None, close: Callable[[], object]) -> None:
        self.authenticated = False
        self.close = close
        self.held = True
        self.peer = peer
        self._limiter = limiter
        self._waiting = False

    @property
    def waiting(self) -> bool:
        """Whether the server is waiting for the client and has no work for it."""
        return self._waiting

    @waiting.setter
    def waiting(self, waiting: bool) -> None:
        if waiting == self._waiting or not self.held:
            return
        self._waiting = waiting
        if self.peer is not None and not self.authenticated:
            (self._limiter.waiting.add if waiting else self._limiter.waiting.discard)(self, self.peer)

    def claim(self, peer: str) -> bool:
        """Count the connection for this address from now on. Return False if the address is at its limit."""
        if peer == self.peer or not self.held:
            return self.held
        waiting, self.waiting = self.waiting, False
        room = self._limiter.has_room(peer)
        if room and self.held:
            if self.peer is not None:
                self._limiter.peers.leave(self.peer)
            self._limiter.peers.enter(peer)
            self.peer = peer
        self.waiting = waiting
        return room

    def authenticate(self) -> None:
        """Mark the connection as authenticated. Idempotent."""
        if self.held and not self.authenticated:
            self.waiting = False
            self.authenticated = True
            self.close = _never_closed
            self._limiter.unauthenticated_held -= 1

    def release(self) -> None:
        """Give the permit back. Idempotent, also after an eviction."""
        if not self.held:
            return
        self.waiting = False
        self.held = False
        self._limiter.held -= 1
        self._limiter.unauthenticated_held -= not self.authenticated
        if self.peer is not None:
            self._limiter.peers.leave(self.peer)


class ConnectionLimiter:
    """Issues permits. `unauthenticated` defaults to half of `total`, at least 1."""

    def __init__(self, total: int, per_peer: int, unauthenticated: int | None = None) -> None:
        self.total = total
        self.unauthenticated = max(1, total // 2) if unauthenticated is None else unauthenticated
        self.waiting = _Waiting()
        self.peers = Counter(per_peer)
        self.held = 0
        self.unauthenticated_held = 0

    def __len__(self) -> int:
        return self.held

    def enter(self, peer: str | None, close: Callable[[], object]) -> ConnectionPermit | LimitReached:
        """Admit a connection that was just accepted and waits for its client. Return its permit or the limit it hit."""
        if peer is not None and not self.has_room(peer):
            return LimitReached.PEER
        full = self.held >= self.total or self.unauthenticated_held >= self.unauthenticated
        if full and not self._evict(self.waiting.longest()):
            return LimitReached.TOTAL
        permit = ConnectionPermit(self, peer, close)
        self.held += 1
        self.unauthenticated_held += 1
        if peer is not None:
            self.peers.enter(peer)
        permit.waiting = True
        return permit

    def has_room(self, peer: str) -> bool:
        """Return whether an address is below its limit, if need be after closing a connection of it that waits."""
        return self.peers.held(peer) < self.peers.cap or self._evict(self.waiting.longest_of(peer))

    def _evict(self, permit: ConnectionPermit | None) -> bool:
        if permit is None:
            return False
        permit.release()
        permit.close()
        return True


class _Waiting:
    """Unauthenticated connections for whose clients the server waits, by address, the longest-waiting first.

    `_by_size` groups addresses by their count, so that the largest is found without a scan.
    """

    def __init__(self) -> None:
        self._by_peer: dict[str, OrderedDict[ConnectionPermit, None]] = {}
        self._by_size: dict[int, OrderedDict[str, None]] = {}
        self._largest = 0

    def add(self, permit: ConnectionPermit, peer: str) -> None:
        """Add a connection that begins to wait."""
        permits = self._by_peer.setdefault(peer, OrderedDict())
        permits[permit] = None
        self._resize(peer, len(permits) - 1, len(permits))

    def discard(self, permit: ConnectionPermit, peer: str) -> None:
        """Remove a connection that stopped waiting."""
        permits = self._by_peer[peer]
        del permits[permit]
        self._resize(peer, len(permits) + 1, len(permits))
        if not permits:
            del self._by_peer[peer]

    def longest_of(self, peer: str) -> ConnectionPermit | None:
        """Return the longest-waiting connection of an address, or None."""
        return next(iter(self._by_peer.get(peer, ())), None)

    def longest(self) -> ConnectionPermit | None:
        """Return the longest-waiting connection of an address with the most of them, or None."""
        return self.longest_of(next(iter(self._by_size[self._largest]))) if self._largest else None

    def _resize(self, peer: str, old_size: int, new_size: int) -> None:
        if old_size:
            del self._by_size[old_size][peer]
            if not self._by_size[old_size]:
                del self._by_size[old_size]
        if new_size:
            self._by_size.setdefault(new_size, OrderedDict())[peer] = None
        if new_size > self._largest or (self._largest == old_size and old_size not in self._by_size):
            self._largest = new_size
