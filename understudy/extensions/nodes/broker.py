"""What nodes send each other through a broker: entries of inboxes, and bounds. `RedisBroker` carries it."""

from typing import Final

from attrs import frozen

CALL_S: Final = 1.0
"""Default timeout of a call."""
ENTRIES: Final = 100
"""Entries per read."""
BLOCK_S: Final = 1.0
"""How long a waiting read waits for an entry."""
CLAIM_MS: Final = 1000
"""Minimum idle time in ms before another node may claim an entry, so that two survivors do not claim the same one."""
INBOX_MAXLEN: Final = 10_000
"""Limit of an inbox, in packets; the oldest are dropped. Only a node that is dead or stuck falls so far behind, and its
lease expires soon."""
ALIVE_S: Final = 1.2
"""Time to live of a node's presence."""


@frozen
class BusEntry:
    """An entry of an inbox. `id` starts with its creation time by the broker's clock, in milliseconds."""

    id: bytes
    data: bytes

    @property
    def made_at(self) -> float:
        """Creation time in Unix seconds, by the broker's clock."""
        return int(self.id.partition(b"-")[0]) / 1000


@frozen
class TokensTaken:
    """Tokens that a user took from a bucket of `burst` tokens, refilled with `rate_per_min`. `bucket` is its key."""

    bucket: str
    rate_per_min: float
    burst: float
    count: int


def inbox_name(node: str) -> str:
    """Return the name of a node's inbox, to which packets for it are bound."""
    return f"understudy:inbox:{node}"
