"""A node's stream in Redis: read new entries, claim unacknowledged ones, delete it."""

from collections.abc import Iterable, Sequence
from typing import Final

from coredis.response.types import StreamEntry

from understudy.extensions.nodes.broker import BLOCK_S, CLAIM_MS, ENTRIES, BusEntry, inbox_name
from understudy.extensions.nodes.redis import RedisLink

GROUP: Final = "nodes"
"""The consumer group of every stream: its node is one consumer, a node that takes over its work another."""
FIELD: Final = b"p"
"""The only field of an entry; it holds a packet."""
NODES_WITH_STREAM: Final = "understudy:inboxes"
"""Key of the set of nodes that have a stream."""


async def read_new(link: RedisLink, node: str, reader: str, *, wait: bool = False) -> Sequence[BusEntry]:
    """Read new entries of a node's stream as consumer `reader` (XREADGROUP `>`).

    Raises RedisRefused if there is no stream, RedisUnavailable.
    """
    stream, block = inbox_name(node), int(BLOCK_S * 1000) if wait else None
    found = await link.call(
        lambda redis: redis.xreadgroup(GROUP, reader, {stream: ">"}, count=ENTRIES, block=block),
        timeout_s=2.5 * BLOCK_S,
    )
    return _entries(found[stream.encode()] if found else ())


async def claim(
    link: RedisLink, node: str, reader: str, start: str, idle_ms: int = CLAIM_MS
) -> tuple[str, Sequence[BusEntry]]:
    """Claim entries that have been unacknowledged for `idle_ms`, from `start` on (XAUTOCLAIM).

    Return the next `start`, `0-0` at the end, and the entries. Entries that were trimmed from the stream are left out.

    Raises RedisRefused if there is no stream, RedisUnavailable.
    """
    onward, entries, *_ = await link.call(
        lambda redis: redis.xautoclaim(inbox_name(node), GROUP, reader, idle_ms, start, count=ENTRIES)
    )
    return _text(onward), _entries(each for each in entries if isinstance(each, StreamEntry))


async def remove_if_empty(link: RedisLink, node: str) -> bool:
    """Delete a node's stream if it is empty. Return whether it was. Raises RedisUnavailable."""
    if await link.call(lambda redis: redis.xlen(inbox_name(node))):
        return False
    await link.batch(lambda pipe: (pipe.delete([inbox_name(node)]), pipe.srem(NODES_WITH_STREAM, [node])))
    return True


def _entries(found: Iterable[StreamEntry]) -> list[BusEntry]:
    return [BusEntry(_bytes(each.identifier), _bytes(each.field_values.get(FIELD, b""))) for each in found]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
