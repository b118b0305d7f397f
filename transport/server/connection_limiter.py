"""How many connections are open: in all, of one address, and of clients that have not authenticated. Pure.

1. At most `total` connections hold a permit, at most `per_peer` of one address, counted from accept.
2. At most `unauthenticated` of them have not authenticated, so the rest of `total` is left for users.
3. A connection that has authenticated is never closed for another one. One that has not, and that the server waits
   for (a handshake, a request's head, the next request, the first message), is closed when its permit is needed: the
   longest-waiting one of the address that has the most of them. So a client that says who it is at once gets in however
   many others stay silent.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable


class Counter:
    """How many of something each user has at the moment, at most `cap`. Users who have none are not kept."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self._held: dict[str, int] = {}

    def enter(self, user: str) -> bool:
        """Count one more for this user; False when the user has `cap` already, and then nothing is counted."""
        held = self._held.get(user, 0)
        if held >= self.cap:
            return False
        self._held[user] = held + 1
        return True

    def leave(self, user: str) -> None:
        """Count one less, once for each `enter` that returned True. Raises ValueError when the user has none."""
        held = self._held.get(user, 0)
        if held == 0:
            raise ValueError("left more often than entered")
        if held == 1:
            del self._held[user]
        else:
            self._held[user] = held - 1

    def held(self, user: str) -> int:
        """How many this user has."""
        return self._held.get(user, 0)


class Full(enum.Enum):
    """Which bound a connection met."""

    PEER = "peer"
    TOTAL = "total"


class Permit:
    """One open connection. `peer` is the address it is counted for, None while only a trusted proxy is known.

    `close` ends the connection when its permit is given to another one.
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
        """Whether the server waits for the client, and has nothing to do for it meanwhile."""
        return self._waiting

    @waiting.setter
    def waiting(self, waiting: bool) -> None:
        if waiting == self._waiting or not self.held:
            return
        self._waiting = waiting
        if self.peer is not None and not self.authenticated:
            (self._limiter.waiting.add if waiting else self._limiter.waiting.discard)(self, self.peer)

    def claim(self, peer: str) -> bool:
        """Count the connection for this address from now on; False when the address has as many as it may."""
        return self._limiter.move(self, peer)

    def authenticate(self) -> None:
        """Count the connection among those of users. Harmless when it is one already."""
        self._limiter.authenticate(self)

    def release(self) -> None:
        """Give the permit back. Harmless when it was given back already, or taken."""
        self._limiter.release(self)


class ConnectionLimiter:
    """Gives permits. `unauthenticated` is half of `total` unless given, and one at least."""

    def __init__(self, total: int, per_peer: int, unauthenticated: int | None = None) -> None:
        self.total = total
        self.unauthenticated = max(1, total // 2) if unauthenticated is None else unauthenticated
        self.waiting = _Waiting()
        self._peers = Counter(per_peer)
        self._held = 0
        self._strangers = 0

    def __len__(self) -> int:
        return self._held

    def enter(self, peer: str | None, close: Callable[[], object]) -> Permit | Full:
        """Give a connection that was just accepted a permit, or say why it gets none. It waits for its client."""
        if peer is not None and not self._room_of(peer):
            return Full.PEER
        if (self._held >= self.total or self._strangers >= self.unauthenticated) and not self._evict(
            self.waiting.longest()
        ):
            return Full.TOTAL
        permit = Permit(self, peer, close)
        self._held += 1
        self._strangers += 1
        if peer is not None:
            self._peers.enter(peer)
        permit.waiting = True
        return permit

    def move(self, permit: Permit, peer: str) -> bool:
        """As `Permit.claim`."""
        if peer == permit.peer or not permit.held:
            return permit.held
        waiting, permit.waiting = permit.waiting, False
        room = self._room_of(peer)
        if room and permit.held:
            if permit.peer is not None:
                self._peers.leave(permit.peer)
            self._peers.enter(peer)
            permit.peer = peer
        permit.waiting = waiting
        return room

    def authenticate(self, permit: Permit) -> None:
        """As `Permit.authenticate`."""
        if permit.held and not permit.authenticated:
            permit.waiting = False
            permit.authenticated = True
            self._strangers -= 1

    def release(self, permit: Permit) -> None:
        """As `Permit.release`."""
        if not permit.held:
            return
        permit.waiting = False
        permit.held = False
        self._held -= 1
        self._strangers -= not permit.authenticated
        if permit.peer is not None:
            self._peers.leave(permit.peer)

    def _room_of(self, peer: str) -> bool:
        return self._peers.held(peer) < self._peers.cap or self._evict(self.waiting.longest_of(peer))

    def _evict(self, permit: Permit | None) -> bool:
        if permit is None:
            return False
        self.release(permit)
        permit.close()
        return True


class _Waiting:
    """Unauthenticated connections that the server waits for, by address, the longest-waiting first.

    `_by_size` has the addresses by how many they have, so that the largest is found without going through all.
    """

    def __init__(self) -> None:
        self._of: dict[str, OrderedDict[Permit, None]] = {}
        self._by_size: dict[int, OrderedDict[str, None]] = {}
        self._largest = 0

    def add(self, permit: Permit, peer: str) -> None:
        """Add one that begins to wait."""
        own = self._of.setdefault(peer, OrderedDict())
        own[permit] = None
        self._resized(peer, len(own) - 1, len(own))

    def discard(self, permit: Permit, peer: str) -> None:
        """Remove one that waits no longer."""
        own = self._of[peer]
        del own[permit]
        self._resized(peer, len(own) + 1, len(own))
        if not own:
            del self._of[peer]

    def longest_of(self, peer: str) -> Permit | None:
        """Give the longest-waiting one of an address."""
        return next(iter(self._of.get(peer, ())), None)

    def longest(self) -> Permit | None:
        """Give the longest-waiting one of an address that has the most."""
        return self.longest_of(next(iter(self._by_size[self._largest]))) if self._largest else None

    def _resized(self, peer: str, before: int, after: int) -> None:
        if before:
            del self._by_size[before][peer]
            if not self._by_size[before]:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, OrderedDict())[peer] = None
        if after > self._largest or (self._largest == before and before not in self._by_size):
            self._largest = after
