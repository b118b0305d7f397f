"""Routing strategies: choose the worker for a message, without a clock.

A strategy ranks workers for one message, the preferred first; the pool takes the first that has room. Workers that a
strategy does not yield must not get the message at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol, TypeVar

from attrs import frozen

Key = str | bytes | int
"""The key of a message for `ConsistentHash`: messages with equal keys go to one worker."""


class Routee(Protocol):
    """A worker as a strategy sees it."""

    @property
    def id(self) -> str:
        """The worker's name in its pool, which it keeps after a restart."""
        ...

    @property
    def load(self) -> tuple[int, int]:
        """The number of messages in the worker's mailbox, and of asks that it has not answered yet."""
        ...


R = TypeVar("R", bound=Routee)


class Routing(Protocol):
    """A strategy. One belongs to one pool: it may keep a count of its own."""

    def rank(self, workers: Sequence[R], message: object) -> Iterator[R]:
        """Yield those of `workers` (at least one, in start order) that may have `message`, the preferred first."""
        ...


@frozen
class Broadcast:
    """When sent to a pool, `message` goes to every worker, whatever the pool's strategy."""

    message: object


class RoundRobin:
    """Each worker in turn. One without room is skipped for the next."""

    def __init__(self) -> None:
        self._next = 0

    def rank(self, workers: Sequence[R], message: object) -> Iterator[R]:
        """Yield the next in turn, then those after it; each that is yielded advances the turn."""
        start, count = self._next, len(workers)
        for position in range(start, start + count):
            self._next = (position + 1) % count
            yield workers[position % count]


class LeastLoaded:
    """The shortest mailbox; among equal ones the fewest unanswered asks, and among those in turn.

    A message that is being handled is in no mailbox: the unanswered asks tell a busy worker from an idle one.
    """

    def __init__(self) -> None:
        self._turn = 0

    def rank(self, workers: Sequence[R], message: object) -> Iterator[R]:
        """Yield the workers by load; those with the least load take turns to be the first."""
        loads = [worker.load for worker in workers]
        ranked = sorted(range(len(workers)), key=loads.__getitem__)
        equals = loads.count(loads[ranked[0]])
        self._turn = (self._turn + 1) % equals
        first = ranked.pop(self._turn)
        return (workers[index] for index in (first, *ranked))


class ConsistentHash:
    """Messages with equal keys go to the same worker while it is in the pool.

    Rendezvous hashing: the worker with the highest hash of its id and the key is chosen. If a worker leaves, only its
    own keys move, evenly to all others; if one joins, it takes its share and no other key moves. The hashes come from
    BLAKE2b and are the same in every process. Only the chosen worker is yielded: if it is full, no other gets the
    message. Raises `TypeError` for a key of another type, and the errors of `key`.
    """

    def __init__(self, key: Callable[[object], Key]) -> None:
        self._key = key

    def rank(self, workers: Sequence[R], message: object) -> Iterator[R]:
        """Yield the one worker for the message's key."""
        key = _number(*_kind_and_bytes(self._key(message)))
        yield max(workers, key=lambda worker: (_mixed(key ^ _number(b"worker", worker.id.encode())), worker.id))


def _kind_and_bytes(key: Key) -> tuple[bytes, bytes]:
    if isinstance(key, str):
        return b"str", key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return b"bytes", key
    if isinstance(key, int):
        return b"int", b"%d" % key
    raise TypeError(f"the key of a message must be a str, bytes or int, not {type(key).__name__}")


_BITS = (1 << 64) - 1


@lru_cache(maxsize=4096)
def _number(kind: bytes, data: bytes) -> int:
    """Return a 64-bit hash; `1`, `"1"` and `b"1"` have unrelated ones."""
    return int.from_bytes(blake2b(data, digest_size=8, person=kind).digest(), "big")


def _mixed(number: int) -> int:
    """Mix 64 bits so that near numbers get distant results: the finaliser of SplitMix64."""
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _BITS
    return number ^ (number >> 31)
