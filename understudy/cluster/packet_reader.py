"""Decrypts packets from Redis and drops forged and replayed ones.

1. A packet that is not authentic (`understudy.storage.redis_cipher`) is dropped before any of it is decoded.
2. Packets from a sender to a place (a stream or a channel) have rising numbers. A number that is not higher than the
   last one is a replay, unless it is the same entry of the same stream, read again because it was not acknowledged.
3. The first packet of a sender has no predecessor, so it must be fresh by the clock. The same holds for packets to a
   node that has died: an attacker who can write to Redis can replay these for at most `FRESH_S`, to another survivor.
4. A dropped packet is counted and logged; its sender gets no reply.
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
"""Allowed clock skew between nodes and age of the first packet of a sender, as in Kerberos (RFC 4120, section 8.2)."""
REMEMBERED: Final = 20_000
"""Limit of remembered entries, of those in handling and of those taken over each: twice the length of a stream; the
oldest are forgotten first."""


class BusMetrics(Protocol):
    """Counts dropped packets."""

    def node_message_dropped(self, reason: str) -> None:
        """Count a dropped packet; `reason` is `not_authentic`, `replayed` or `unreadable`."""


@define(eq=False)
class PacketReader:
    """Decrypts and checks packets. `clock` gives Unix seconds."""

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
        """Return a packet, and whether packets before it are missing; None if it must be dropped.

        `entry` is its id in the stream `place`, None on a channel. Call `mark_done` for every entry that was read.
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
        """Return a packet from the stream `place` of a dead node; None if it must be dropped.

        These packets are read in any order, so instead of rising, each number may occur in only one entry.
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
        """Forget handled entries of a stream: if one is read again, it is a replay."""
        for entry in entries:
            self._open.pop((place, entry), None)

    def forget_sender(self, node: str) -> None:
        """Forget the numbers of a dead node, as soon as none of its packets can be fresh any more."""
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
    """Store a value; beyond REMEMBERED entries the oldest is dropped."""
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]
