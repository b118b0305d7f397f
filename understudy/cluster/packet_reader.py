"""What other processes put into Redis for this node: decrypted, known to be theirs, and none of it heard twice.

1. What is not authentic (`understudy.storage.redis_cipher`) is dropped before anything of it is read.
2. Packets from a sender to a place (a stream, a channel) have rising numbers. A number that is not higher than the last
   one is a replay, unless it is the same entry of the same stream, read again since it was not done.
3. The first packet of a sender has no number before it: it must be fresh by the clock. So must be what was for a node
   that has died: who can write to Redis can repeat that for `FRESH_S` at most, to another survivor.
4. What is dropped is counted and logged, and nothing is answered.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from attrs import define, field

from understudy.cluster.codec import Packet, UnreadablePacket, decode_packet
from understudy.storage.redis_cipher import Cipher, NotAuthentic

log = logging.getLogger(__name__)
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

FRESH_S: Final = 300.0
"""How far apart the clocks of two nodes may be, and how old the first packet of a sender: as Kerberos has it (RFC 4120,
section 8.2)."""
REMEMBERED: Final = 20_000
"""Entries that are remembered, of those being dealt with and of those taken over: twice as many as a stream holds."""


class BusMetrics(Protocol):
    """Counts what is dropped."""

    def node_message_dropped(self, reason: str) -> None:
        """Something in Redis was not heard: it was `not_authentic`, `replayed` or `unreadable`."""


@define(eq=False)
class PacketReader:
    """Reads packets. `clock` gives Unix seconds."""

    cipher: Cipher = field(repr=False)
    metrics: BusMetrics | None = None
    clock: Callable[[], float] = time.time
    _numbers: dict[tuple[str, str], int] = field(factory=dict, init=False)  # the last one, by place and sender
    _open: dict[tuple[str, bytes], tuple[str, int]] = field(factory=dict, init=False)  # by place and entry
    _orphaned: dict[tuple[str, str, int], bytes] = field(
        factory=dict, init=False
    )  # entries, by place, sender and number
    _gone: deque[tuple[float, str]] = field(factory=deque, init=False)

    def read(self, place: str, data: bytes, entry: bytes | None = None) -> tuple[Packet, bool] | None:
        """Return a packet, and whether some before it are missing; None if it is to be dropped.

        `entry` is its id in the stream `place`, None on a channel. `done` must be told of every entry that was read.
        """
        packet = self._decrypt(place, data)
        if packet is None:
            return None
        key = place, packet.sender
        last = self._numbers.get(key)
        if entry is not None and self._open.get((place, entry)) == (packet.sender, packet.number):
            return packet, False
        if not (self._is_fresh(packet) if last is None else packet.number > last):
            self._drop("replayed", place)
            return None
        self._numbers[key] = packet.number
        if entry is not None:
            _remember(self._open, (place, entry), (packet.sender, packet.number))
        return packet, packet.number != (last or 0) + 1

    def read_orphaned(self, place: str, data: bytes, entry: bytes) -> Packet | None:
        """Return a packet for a node that is gone, from its stream `place`; None if it is to be dropped.

        These are read in any order, so each number may occur in one entry.
        """
        packet = self._decrypt(place, data)
        if packet is None:
            return None
        key = place, packet.sender, packet.number
        if not self._is_fresh(packet) or self._orphaned.get(key, entry) != entry:
            self._drop("replayed", place)
            return None
        _remember(self._orphaned, key, entry)
        return packet

    def mark_done(self, place: str, entries: Iterable[bytes]) -> None:
        """Note that entries of a stream have been dealt with: read again, they are replays."""
        for entry in entries:
            self._open.pop((place, entry), None)

    def forget_sender(self, node: str) -> None:
        """Forget a node that is gone, as soon as nothing that it said is fresh any more."""
        now = self.clock()
        self._gone.append((now, node))
        while self._gone and self._gone[0][0] < now - 2 * FRESH_S:
            _, past = self._gone.popleft()
            self._numbers = {key: number for key, number in self._numbers.items() if key[1] != past}

    def _decrypt(self, place: str, data: bytes) -> Packet | None:
        try:
            return decode_packet(self.cipher.decrypt(data, place))
        except NotAuthentic:
            self._drop("not_authentic", place)
        except UnreadablePacket:
            self._drop("unreadable", place)
        return None

    def _is_fresh(self, packet: Packet) -> bool:
        return abs(self.clock() - packet.made_at) <= FRESH_S

    def _drop(self, reason: str, place: str) -> None:
        log.warning(f"inbox.{reason}", extra={"place": place})
        if self.metrics is not None:
            self.metrics.node_message_dropped(reason)


def _remember(known: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
    """Keep a value; the oldest make room."""
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]
