"""The link to Redis: one client, held by an actor. While Redis is away, calls fail at once.

1. No call waits longer than its timeout, and none waits at all while Redis is known to be away.
2. Only the actor probes whether Redis is back; no user's command waits for that.
3. No command is sent twice. A caller repeats a call if that is harmless.
4. The address may hold a password, so it is in no log and no error.
5. After a probe that failed a new client is made: a pool of coredis loses a slot with each connection that is cancelled
   while it connects, and a connection that was interrupted may be in the middle of a reply.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

import trio

from actors import Backoff, ChildSpec
from understudy.extensions.nodes.background import Background
from understudy.extensions.nodes.redis_address import redis_address
from understudy.storage.errors import ExtraNotInstalled, RedisUnavailable

try:
    import anyio
    import coredis
    from coredis import exceptions
    from coredis.retry import NoRetryPolicy
except ModuleNotFoundError as missing:
    raise ExtraNotInstalled("nodes.redis_url", "redis") from missing

T = TypeVar("T")
log = logging.getLogger(__name__)

CALL_S: Final = 1.0
"""Default timeout of a call: a thousand times the round trip on a local network."""
ANSWER_S: Final = 3.0
"""Timeout of a connection whose reply is outstanding, so that none is kept for a call that was given up."""
PROBE_S: Final = 0.5
"""Interval of the probes. Redis is away when one fails, and the next is made with a new client."""
FAULTS: Final = (
    OSError, RuntimeError, ReferenceError, EOFError,
    anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream,
)  # fmt: skip
"""The errors, besides its own, that coredis raises if Redis or a pool is not available."""


class RedisLink:
    """Calls Redis through the client that the actor of `connector_spec` holds. `up` is True while Redis answers.

    `since` is when `up` last changed, in Unix seconds; `last_error` is why Redis went away. `called` is called with the
    outcome of each call, and `changed` with `up` when it changes. Raises ValueError if the address cannot be used.
    """

    def __init__(self, url: str, called: Callable[[str], object] = id, changed: Callable[[bool], object] = id) -> None:
        try:
            make = partial(
                coredis.ConnectionPool.from_url, redis_address(url), decode_components=True, client_name="understudy",
                connect_timeout=CALL_S, stream_timeout=ANSWER_S, max_connections=32,
            )  # fmt: skip
            self.place = make()
        except OSError as error:
            files = url.partition("?")[2]
            raise ValueError(f"a file of nodes.redis_url ({files}) cannot be used: {error.strerror or error}") from None
        except ValueError as error:
            raise ValueError(f"nodes.redis_url {error}") from None
        tls = self.place.connection_kwargs.get("ssl_context")  # certificate files are read only once
        self._make: Callable[[], coredis.ConnectionPool[Any]] = lambda: make(ssl_context=tls)
        self.where = str(self.place.location)
        self.last_error = "not connected yet"
        self.since = time.time()
        self._called = called
        self._changed = changed
        self._client: coredis.Redis[bytes] | None = None
        self._answers = trio.Event()
        self._told: bool | None = None
        logging.getLogger("coredis").setLevel(logging.CRITICAL)  # coredis logs each attempt; the link logs each change

    def connector_spec(self) -> ChildSpec:
        """Return the specification of the actor that holds the client."""
        return ChildSpec("redis", partial(Background, self.keep), backoff=Backoff(min_s=0.05, max_s=30.0))

    @property
    def up(self) -> bool:
        """Whether Redis answered the last probe."""
        return self._answers.is_set()

    async def wait_up(self) -> None:
        """Wait until Redis answers."""
        await self._answers.wait()

    async def call(self, command: Callable[[coredis.Redis[bytes]], Awaitable[T]], *, timeout_s: float = CALL_S) -> T:
        """Run one command, as in `await link.call(lambda redis: redis.get("key"))`; strings in the answer are bytes.

        Raises RedisUnavailable if Redis does not answer or refuses the command; it may or may not have been executed.
        """
        client = self._client if self.up else None
        try:
            if client is None:
                raise RedisUnavailable(self.last_error)
            with bounded(timeout_s):
                result = await command(client)
        except RedisUnavailable as error:
            self._called("away" if client is None else "failed")
            self.last_error = error.reason
            raise
        self._called("answered")
        return result

    async def keep(self) -> NoReturn:
        """Hold a client while Redis answers, and make a new client when it does not, until cancelled."""
        while True:
            async with coredis.Redis(connection_pool=self._make(), retry_policy=NoRetryPolicy()) as client:
                try:
                    while await self._probe(client):
                        self._client = client
                        self._answers.set()
                        await trio.sleep(PROBE_S)
                finally:
                    if self.up:
                        self._answers = trio.Event()
            await trio.sleep(PROBE_S)

    async def _probe(self, client: coredis.Redis[bytes]) -> bool:
        """Return whether Redis answers. A change is reported to the log and the metrics."""
        try:
            with bounded(CALL_S):
                await client.ping()
            answers = True
        except RedisUnavailable as error:
            answers, self.last_error = False, error.reason
        if answers is not self._told:
            away_s = round(time.time() - self.since, 3)
            if answers:
                log.info("redis.answers", extra={"server": self.where, "away_s": away_s})
            else:
                log.warning("redis.away", extra={"server": self.where, "reason": self.last_error})
            self._told, self.since = answers, time.time()
            self._changed(answers)
        return answers


@contextmanager
def bounded(timeout_s: float) -> Iterator[None]:
    """Raise RedisUnavailable for each error of Redis within, and after the timeout.

    A refusal is named by its class alone, because its text repeats the arguments.
    """
    try:
        with trio.fail_after(timeout_s):
            yield
    except trio.TooSlowError:
        raise RedisUnavailable(f"no answer within {timeout_s:g} s") from None
    except (exceptions.ConnectionError, exceptions.AuthenticationError, *FAULTS) as error:
        raise RedisUnavailable(str(error) or type(error).__name__) from None
    except exceptions.RedisError as error:
        raise RedisUnavailable(f"it answers {type(error).__name__}") from None
