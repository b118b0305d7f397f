"""The broker between nodes: what carries their packets, and counts what they count together.

`RedisBroker` is over Redis. `understudy.cluster.local_link.WorkerLink` is for the worker processes of one server, over
a socket to their parent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn, Protocol

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


class Broker(Protocol):
    """Each node has an inbox, whose entries stay until they are acknowledged; and there are channels, whose messages
    reach those who listen.

    Every method raises BrokerUnavailable if the broker does not answer in time: the call may or may not have been
    executed. Those that name an inbox raise BrokerRefused if there is none.
    """

    @property
    def on_change(self) -> list[Callable[[bool], None]]:
        """Callbacks for when the broker goes down (False) and is back (True)."""

    @property
    def up(self) -> bool:
        """Whether the broker answered last."""

    @property
    def last_error(self) -> str:
        """Why the broker went down."""

    @property
    def database(self) -> int:
        """A number for the names of channels, which differ between installations that share a broker."""

    async def wait_up(self) -> None:
        """Wait until the broker answers."""

    async def send(
        self,
        packets: Sequence[tuple[str, bytes]],
        published: Sequence[tuple[str, bytes]],
        acks: Mapping[str, Sequence[bytes]],
        *,
        timeout_s: float = CALL_S,
    ) -> Sequence[object]:
        """Add packets to nodes' inboxes, publish messages to channels, and delete acknowledged entries of inboxes.

        Return a result for each packet: None if its node has no inbox, a BrokerUnavailable if it was refused.
        """

    async def open_inbox(self, node: str) -> tuple[float, bool]:
        """Make a node's inbox if there is none. Return the broker's clock, in Unix seconds, and whether it was made."""

    async def read_new(self, node: str, reader: str, *, wait: bool = False) -> Sequence[BusEntry]:
        """Read entries of a node's inbox that nobody has read, as `reader`; with `wait` up to BLOCK_S for one."""

    async def claim(
        self, node: str, reader: str, start: str, idle_ms: int = CLAIM_MS
    ) -> tuple[str, Sequence[BusEntry]]:
        """Claim entries that have been unacknowledged for `idle_ms`, from `start` on.

        Return the next `start`, `0-0` at the end, and the entries.
        """

    async def remove_if_empty(self, node: str) -> bool:
        """Delete a node's inbox if it is empty. Return whether it was."""

    async def inboxes(self) -> tuple[Sequence[str], float]:
        """Return the nodes that have an inbox, and the broker's clock in Unix seconds."""

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, bytes], None], joined: Callable[[], None]
    ) -> NoReturn:
        """Pass every message published on these channels to `take`, until cancelled.

        `joined` is called at each subscription, the first and those after a fault; messages published in between are
        lost.
        """

    async def renew_presence(self, node: str) -> bool:
        """Renew a node's presence for ALIVE_S. Return whether it had one."""

    async def count(self, key: str, node: str, mine: int, cap: int, *, timeout_s: float = CALL_S) -> bool:
        """Set the count of `node` for a key. Return False, with nothing changed, if the nodes exceed `cap` together."""

    async def report_counts(self, node: str, counts: Mapping[str, int]) -> None:
        """Set the counts of `node` for several keys, without a limit."""

    async def take_tokens(self, taken: Sequence[TokensTaken]) -> Sequence[float]:
        """Take tokens from shared buckets. Return the tokens left in each, at least minus one burst."""
