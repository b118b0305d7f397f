"""What the parent of a server's workers holds for them: inboxes, counts and buckets, in memory. Pure.

It does for the workers of one machine what Redis does for several machines, see `understudy.cluster.broker.Broker`.
Everything is bounded: inboxes in entries, the rest by what living workers report.
"""

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from attrs import define, field

from understudy.cluster.broker import ALIVE_S, CLAIM_MS, ENTRIES, INBOX_MAXLEN, BusEntry, TokensTaken

END: Final = "0-0"
"""Where a scan of claims starts, and what it returns at its end."""
BUCKETS: Final = 100_000
"""Buckets beyond which those that have refilled are dropped."""


class NoInbox(LookupError):
    """There is no inbox of this node."""


@define(eq=False)
class _Held:
    """An entry of an inbox: who read it last, and when (None: nobody has)."""

    data: bytes
    reader: str | None = None
    read_at: float = 0.0


@define(eq=False)
class _Inbox:
    entries: OrderedDict[bytes, _Held] = field(factory=OrderedDict)
    unread: deque[bytes] = field(factory=partial(deque, maxlen=INBOX_MAXLEN))
    """Those that nobody has read, and some that were trimmed."""


@define(eq=False)
class LocalHub:
    """`clock` returns Unix seconds. Methods raise NoInbox where `Broker` raises BrokerRefused."""

    clock: Callable[[], float]
    _inboxes: dict[str, _Inbox] = field(factory=dict, init=False)
    _numbers: "itertools.count[int]" = field(factory=itertools.count, init=False)
    _alive_until: dict[str, float] = field(factory=dict, init=False)
    _counts: dict[str, dict[str, int]] = field(factory=dict, init=False)
    _buckets: dict[str, tuple[float, float, float]] = field(factory=dict, init=False)  # tokens, when, when full again

    def send(self, packets: Sequence[tuple[str, bytes]], acks: Mapping[str, Sequence[bytes]]) -> list[bool]:
        """Add packets to inboxes, and delete acknowledged entries. Return for each packet whether it has an inbox."""
        sent = [self._add(node, data) for node, data in packets]
        for node, entries in acks.items():
            if (inbox := self._inboxes.get(node)) is not None:
                for entry in entries:
                    inbox.entries.pop(entry, None)
        return sent

    def _add(self, node: str, data: bytes) -> bool:
        inbox = self._inboxes.get(node)
        if inbox is None:
            return False
        entry = f"{int(self.clock() * 1000)}-{next(self._numbers)}".encode()
        inbox.entries[entry] = _Held(data)
        inbox.unread.append(entry)
        if len(inbox.entries) > INBOX_MAXLEN:
            inbox.entries.popitem(last=False)
        return True

    def open_inbox(self, node: str) -> bool:
        """Make an inbox if there is none. Return whether it was made."""
        made = node not in self._inboxes
        self._inboxes.setdefault(node, _Inbox())
        return made

    def read_new(self, node: str, reader: str) -> list[BusEntry]:
        """Return up to ENTRIES entries that nobody has read, as read by `reader`."""
        inbox, found = self._inbox(node), list[BusEntry]()
        while inbox.unread and len(found) < ENTRIES:
            entry = inbox.unread.popleft()
            if (held := inbox.entries.get(entry)) is not None:  # otherwise it was trimmed
                held.reader, held.read_at = reader, self.clock()
                found.append(BusEntry(entry, held.data))
        return found

    def claim(self, node: str, reader: str, start: str, idle_ms: int = CLAIM_MS) -> tuple[str, list[BusEntry]]:
        """Claim entries that were read `idle_ms` ago or earlier; see `Broker.claim`."""
        now, found, first = self.clock(), list[BusEntry](), _number(start.encode())
        for entry, held in self._inbox(node).entries.items():
            if _number(entry) < first or held.reader is None or (now - held.read_at) * 1000 < idle_ms:
                continue
            if len(found) == ENTRIES:
                return entry.decode(), found
            held.reader, held.read_at = reader, now
            found.append(BusEntry(entry, held.data))
        return END, found

    def remove_if_empty(self, node: str) -> bool:
        """Delete an inbox without entries. Return whether there is none now."""
        inbox = self._inboxes.get(node)
        if inbox is not None and inbox.entries:
            return False
        self._inboxes.pop(node, None)
        return True

    def inboxes(self) -> list[str]:
        """Return the nodes that have an inbox."""
        return list(self._inboxes)

    def renew_presence(self, node: str) -> bool:
        """Renew a node's presence for ALIVE_S. Return whether it had one; forget the counts of those that lost it."""
        now = self.clock()
        known = self._alive_until.get(node, 0.0) > now
        self._alive_until[node] = now + ALIVE_S
        for gone in [each for each, until in self._alive_until.items() if until <= now]:
            del self._alive_until[gone]
            for key in [key for key, nodes in self._counts.items() if gone in nodes]:
                self._set_count(key, gone, 0)
        return known

    def count(self, key: str, node: str, mine: int, cap: int) -> bool:
        """Set the count of a node for a key. Return False, with nothing changed, beyond `cap` (0: no limit) in all."""
        now = self.clock()
        others = sum(
            count
            for each, count in self._counts.get(key, {}).items()
            if each != node and self._alive_until.get(each, 0.0) > now
        )
        if 0 < cap < others + mine:
            return False
        self._set_count(key, node, mine)
        return True

    def take_tokens(self, taken: Sequence[TokensTaken]) -> list[float]:
        """Take tokens from buckets. Return the tokens left in each, at least minus one burst."""
        now, lefts = self.clock(), list[float]()
        if len(self._buckets) > BUCKETS:
            self._buckets = {key: each for key, each in self._buckets.items() if each[2] > now}
        for each in taken:
            had, at, _ = self._buckets.get(each.bucket, (each.burst, now, now))
            refilled = min(each.burst, had + max(0.0, now - at) * each.rate_per_min / 60)
            left = max(-each.burst, refilled - each.count)
            self._buckets[each.bucket] = left, now, now + (each.burst - left) * 60 / each.rate_per_min
            lefts.append(left)
        return lefts

    def _set_count(self, key: str, node: str, mine: int) -> None:
        nodes = self._counts.setdefault(key, {})
        if mine:
            nodes[node] = mine
        else:
            nodes.pop(node, None)
        if not nodes:
            del self._counts[key]

    def _inbox(self, node: str) -> _Inbox:
        try:
            return self._inboxes[node]
        except KeyError:
            raise NoInbox(node) from None


def _number(entry: bytes) -> int:
    """Return the part of an entry's id by which all entries are ordered."""
    return int(entry.rpartition(b"-")[2])
