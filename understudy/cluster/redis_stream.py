"""A node's stream in Redis: reading it, having what others read and did not do, removing it."""

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen
from coredis.response.types import StreamEntry

from understudy.storage.redis import RedisLink

GROUP: Final = "nodes"
"""The consumer group of every stream: its node reads as one consumer, and who takes over its work as another."""
FIELD: Final = b"p"
"""The one field of an entry, which holds a packet."""
NODES_WITH_STREAM: Final = "understudy:inboxes"
"""The set of the nodes that have a stream."""
ENTRIES: Final = 100
"""Entries read at a time."""
BLOCK_S: Final = 1.0
"""How long a read waits for something."""
CLAIM_MS: Final = 1000
"""How long what was read must lie before another takes it: two survivors do not take the same."""


@frozen
class Entry:
    """An entry: `id` begins with the time of Redis at which it was made, in milliseconds."""

    id: bytes
    data: bytes

    @property
    def made_at(self) -> float:
        """When it was made, in Unix seconds by the clock of Redis."""
        return int(self.id.partition(b"-")[0]) / 1000


def stream_name(node: str) -> str:
    """The stream in which a node is told what must not be lost."""
    return f"understudy:inbox:{node}"


async def read_new(link: RedisLink, node: str, reader: str, *, wait: bool = False) -> Sequence[Entry]:
    """Read of a node's stream what nobody has, as `reader`.

    Raises RedisRefused when there is no stream, RedisUnavailable.
    """
    stream, block = stream_name(node), int(BLOCK_S * 1000) if wait else None
    found = await link.call(
        lambda redis: redis.xreadgroup(GROUP, reader, {stream: ">"}, count=ENTRIES, block=block),
        timeout_s=2.5 * BLOCK_S,
    )
    return _entries(found[stream.encode()] if found else ())


async def claim(
    link: RedisLink, node: str, reader: str, start: str, idle_ms: int = CLAIM_MS
) -> tuple[str, Sequence[Entry]]:
    """Have what was read so long ago and not done, from `start` on; returns where to go on, `0-0` for the end.

    What was removed meanwhile, as the stream had grown too long, is left out: to read it again would be an error.

    Raises RedisRefused when there is no stream, RedisUnavailable.
    """
    onward, entries, *_ = await link.call(
        lambda redis: redis.xautoclaim(stream_name(node), GROUP, reader, idle_ms, start, count=ENTRIES)
    )
    return _text(onward), _entries(each for each in entries if isinstance(each, StreamEntry))


async def remove_if_empty(link: RedisLink, node: str) -> bool:
    """Remove a node's stream if nothing is left in it. Raises RedisUnavailable."""
    if await link.call(lambda redis: redis.xlen(stream_name(node))):
        return False
    await link.batch(lambda pipe: (pipe.delete([stream_name(node)]), pipe.srem(NODES_WITH_STREAM, [node])))
    return True


def _entries(found: Iterable[StreamEntry]) -> list[Entry]:
    return [Entry(_bytes(each.identifier), _bytes(each.field_values.get(FIELD, b""))) for each in found]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
