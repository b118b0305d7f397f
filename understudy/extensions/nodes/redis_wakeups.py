"""Wakeups by Redis pub/sub, for clusters that outgrow PostgreSQL's NOTIFY. Nothing is stored in Redis.

1. Pub/sub channels are shared by all databases of a Redis, so their names contain the number of the database.
2. The listening connection is read no faster than its messages are handled. Redis buffers messages for it up to its
   `client-output-buffer-limit pubsub`, and then closes it. Only the parser of coredis is used, as its pub/sub reads
   without bound and hands over one message per round of the event loop, too few for a busy node.
3. Commands, counts and membership never go through Redis.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio
from anyio.abc import ByteStream
from attrs import define
from coredis.connection import UnixDomainSocketLocation
from coredis.exceptions import RedisError
from coredis.parser import NotEnoughData, Parser

from understudy.extensions.nodes.redis import RedisLink, bounded
from understudy.storage.errors import RedisUnavailable, WakeupsUnavailable

if TYPE_CHECKING:
    import coredis

CALL_S: Final = 2.0
"""Timeout of sending, of connecting and of subscribing."""
BEHIND: Final = 16 * 1024 * 1024
"""Limit of bytes in the parser, which frees none before it has parsed all. A node with more is too slow, and
reconnects."""


@define(eq=False)
class RedisWakeups:
    """Wakeups through the Redis of `link`. `largest` is enough for some forty windows of streamed text together."""

    link: RedisLink
    largest: int = 60_000

    async def publish(self, messages: Sequence[tuple[str, str]]) -> None:
        """As `Wakeups.publish`."""

        async def send(redis: "coredis.Redis[bytes]") -> None:
            async with redis.pipeline(transaction=False) as pipe:
                for channel, text in messages:
                    pipe.publish(self._named(channel), text)

        try:
            await self.link.call(send, timeout_s=CALL_S)
        except RedisUnavailable as error:
            raise WakeupsUnavailable(error.reason) from None

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, str], None], begun: Callable[[], None]
    ) -> NoReturn:
        """As `Wakeups.listen`."""
        names, subscribed = {self._named(channel).encode(): channel for channel in channels}, 0
        parser = Parser()
        try:
            with bounded(CALL_S):
                line = await self._connect()
            async with line:
                with bounded(CALL_S):
                    await line.send(self._greeting() + b"SUBSCRIBE %s\r\n" % b" ".join(names))
                while parser.bytes_written <= BEHIND:
                    with bounded(CALL_S if subscribed < len(names) else math.inf):
                        parser.feed(await line.receive())
                    for reply in _replies(parser):
                        match reply:
                            case [b"message", bytes(name), bytes(text)] if name in names:
                                take(names[name], text.decode(errors="replace"))
                            case [b"subscribe", *_]:
                                subscribed += 1
                                if subscribed == len(names):
                                    begun()
                            case RedisError():
                                raise RedisUnavailable(f"it answers {type(reply).__name__}")
            raise RedisUnavailable("this node is behind")
        except RedisUnavailable as error:
            raise WakeupsUnavailable(error.reason) from None

    async def cut_off(self) -> None:
        """Do nothing: Redis cuts off slow listeners by itself."""

    def close(self) -> None:
        """Do nothing: other parts of the server use the link too."""

    def _named(self, channel: str) -> str:
        return f"understudy:{self.link.place.connection_kwargs.get('db') or 0}:{channel}"

    async def _connect(self) -> ByteStream:
        location: Any = self.link.place.location
        if isinstance(location, UnixDomainSocketLocation):
            return await anyio.connect_unix(location.path)
        tls: Any = self.link.place.connection_kwargs.get("ssl_context")
        return await anyio.connect_tcp(location.host, location.port, ssl_context=tls, tls_standard_compatible=False)

    def _greeting(self) -> bytes:
        user, password = (self.link.place.connection_kwargs.get(name) for name in ("username", "password"))
        words = [str(word).encode() for word in ("AUTH", user, password) if word]
        packed = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        return b"*%d\r\n%s" % (len(words), packed) if password else b""


def _replies(parser: Parser) -> Iterator[object]:
    try:
        while not isinstance(reply := parser.parse(), NotEnoughData):
            yield reply[1]
    except (ValueError, LookupError, TypeError, RedisError):
        raise RedisUnavailable("that is no reply of Redis") from None
