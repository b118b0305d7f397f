"""The link to Redis: one client for the server, held by one actor; while Redis is down, calls fail at once.

1. No call waits longer than its timeout, and none waits at all while Redis is known to be down.
2. Only the connector probes whether Redis is back; no user's command does.
3. Nothing is sent twice: XADD and INCR would count twice. A caller that may repeat a call does so.
4. The address may hold a password, so it is in no log and no error.
5. After a fault a new client is made. A pool of coredis loses a slot with each connection that is cancelled while it
   connects, and a connection that was interrupted may be in the middle of a reply.
"""

import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn, Protocol, TypeVar

import trio

from actors import Actor, Backoff, ChildSpec, Context
from actors.behaviours import Breaker, CircuitChange, CircuitOpen, CircuitSpec, CircuitState, FailureCount
from understudy.extensions.nodes.redis_address import parse_redis_address
from understudy.storage.errors import ExtraNotInstalled, RedisRefused, RedisUnavailable

try:
    import anyio
    import coredis
    from coredis.exceptions import AuthenticationError, ReadOnlyError, RedisError
    from coredis.exceptions import ConnectionError as Unconnected
    from coredis.patterns.pipeline import Pipeline
    from coredis.response._callbacks import NoopCallback
    from coredis.retry import NoRetryPolicy
except ModuleNotFoundError as missing:
    raise ExtraNotInstalled("redis.url", "redis") from missing

T = TypeVar("T")
log = logging.getLogger(__name__)

CALL_S: Final = 1.0
"""Default timeout of a call: a thousand times the round trip on a local network."""
CONNECT_S: Final = 1.0
ANSWER_S: Final = 3.0
"""Timeout of a connection that owes a reply: longer than any blocking read."""
PROBE_S: Final = 1.0
"""Interval of the connector's probes."""
CIRCUIT: Final = CircuitSpec(
    trip=FailureCount(limit=2),
    reset=Backoff(min_s=0.05, max_s=1.0),
    counts=(RedisUnavailable,),
    excuses=(RedisRefused,),
)
"""Redis is down after two failures in a row, probes included, and up again within about a second of its return."""
LISTEN_AGAIN_S: Final = 0.1
IDLE_S: Final = 5.0
"""After this long without a message, the connection of a subscription is probed."""
PLACES: Final = 32
FAULTS: Final = (
    RedisError, OSError, RuntimeError, ReferenceError, EOFError, trio.TooSlowError,
    anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream,
)  # fmt: skip
"""The errors that coredis raises if Redis or its own pool is not available."""
AWAY: Final = (Unconnected, AuthenticationError, ReadOnlyError)
"""The errors of coredis that any other command would get too."""


USED: Final = tuple(
    each.strip().split()
    for each in """
    ping; time; scan 0; eval return 1 understudy:; get understudy:; set understudy: x; exists understudy:
    del understudy:; unlink understudy:; pexpire understudy: 1; hget understudy: f; hmget understudy: f
    hgetall understudy:; hlen understudy:; hset understudy: f x; hdel understudy: f; sadd understudy: x
    srem understudy: x; srandmember understudy:; xadd understudy: * f x; xlen understudy:; xdel understudy: 1
    xack understudy: g 1; xgroup create understudy: g 0; xautoclaim understudy: g c 1 0
    xreadgroup group g c streams understudy: >; publish understudy: x; subscribe understudy:
    """.replace("\n", ";").split(";")
    if each.strip()
)
"""The commands that nodes use, also in scripts, each with a key or channel of theirs."""


class RedisMetrics(Protocol):
    """Counts calls and the state of the link."""

    def redis_up(self, up: bool) -> None:
        """Record that Redis went up or down."""

    def redis_called(self, outcome: str) -> None:
        """Count a call: `answered`, `refused` by Redis, `failed`, or `away` (not made)."""


class RedisLink:
    """Calls Redis through the client that the actor of `connector_spec` holds. `up` while Redis answers.

    `since` is when `up` last changed, on `clock`; `last_error` why Redis went down. Raises ValueError for an invalid
    address.
    """

    def __init__(
        self, url: str, observer: RedisMetrics | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        try:
            place = parse_redis_address(url)
        except ValueError as error:
            raise ValueError(f"redis.url {error}") from None
        tls = place.tls_context()

        def make() -> coredis.Redis[bytes]:
            return coredis.Redis(
                place.host,
                place.port,
                place.database,
                username=place.username,
                password=place.password,
                unix_socket_path=place.socket or None,
                ssl_context=tls,
                client_name="understudy",
                connect_timeout=CONNECT_S,
                stream_timeout=ANSWER_S,
                max_connections=PLACES,
                retry_policy=NoRetryPolicy(),
            )

        self._make = make
        self.where = place.where
        self.database = place.database
        """The number of the database there; channels are shared by all databases, so their names include it."""
        self.last_error = "not connected yet"
        self.since = clock()
        self.on_change: list[Callable[[bool], None]] = []
        """Callbacks for when Redis goes down (False) and is back (True); called at once, they must be quick."""
        self._clock = clock
        self._observer = observer
        # No call timeout: each call has one, and if both expired, as after a pause, this one would be reported.
        self._breaker = Breaker("redis", CIRCUIT, call_timeout_s=math.inf, on_change=self._circuit_changed)
        self._client: coredis.Redis[bytes] | None = None
        self._up = False
        self._silent = True  # until the first log line about the link
        self._doubt = trio.Event()
        self._change = trio.Event()
        logging.getLogger("coredis").setLevel(logging.CRITICAL)  # coredis logs each attempt; the link logs each change

    def connector_spec(self) -> ChildSpec:
        """Return the child that holds the client."""
        return ChildSpec("redis", lambda: RedisConnector(self), backoff=Backoff(min_s=0.05, max_s=30.0))

    @property
    def up(self) -> bool:
        """Whether Redis answered last."""
        return self._up and self._client is not None

    async def wait_up(self) -> None:
        """Wait until Redis answers."""
        while not self._up:
            await self._change.wait()

    async def call(self, command: Callable[[coredis.Redis[bytes]], Awaitable[T]], *, timeout_s: float = CALL_S) -> T:
        """Run one command, as in `await link.call(lambda redis: redis.get("key"))`; answers are bytes.

        Raises RedisRefused if Redis answers with an error, RedisUnavailable if it does not answer in time: then the
        command may or may not have been executed.
        """
        return await self._through(command, timeout_s)

    async def batch(self, fill: Callable[[Pipeline[bytes]], object], *, timeout_s: float = CALL_S) -> tuple[Any, ...]:
        """Send several commands in one round trip. Return their results in order, RedisRefused for failed ones.

        Not a transaction. Raises RedisUnavailable: each of them may or may not have been executed. For a few errors,
        such as those of consumer groups, it raises RedisRefused, because coredis raises them in any case.
        """

        async def send(client: coredis.Redis[bytes]) -> tuple[Any, ...]:
            async with client.pipeline(transaction=False, raise_on_error=False) as pipe:
                fill(pipe)
            return pipe.results or ()

        results = await self._through(send, timeout_s)
        answers = tuple(_to_unavailable(each) if isinstance(each, Exception) else each for each in results)
        for each in answers:
            if isinstance(each, RedisUnavailable) and not isinstance(each, RedisRefused):
                self._doubt.set()
                raise each
        return answers

    async def missing_rights(self) -> list[str]:
        """Return the commands of `USED` that this user's ACL refuses; raises as `call`. Changes nothing.

        Redis judges a command when a transaction queues it, and this one is discarded. A user without a right to
        transactions is not judged: the commands would run.
        """

        def fill(pipe: Pipeline[bytes], commands: Sequence[Sequence[str]]) -> None:
            for name, *arguments in (["multi"], *commands, ["discard"]):
                pipe.create_request(name.upper().encode(), *arguments, callback=NoopCallback())

        opened, _ = await self.batch(lambda pipe: fill(pipe, ()))
        if isinstance(opened, RedisRefused):
            return []
        answers = await self.batch(lambda pipe: fill(pipe, USED))
        refused = zip(USED, answers[1:-1], strict=True)
        return [name for (name, *_), answer in refused if isinstance(answer, RedisRefused)]

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, bytes], None], joined: Callable[[], None]
    ) -> NoReturn:
        """Pass every message published on these channels to `take`, until cancelled.

        `joined` is called at each subscription, the first and those after a fault; messages published in between are
        lost.
        """
        while True:
            await self.wait_up()
            if (client := self._client) is not None:
                with contextlib.suppress(*FAULTS):
                    await _listen(client, channels, take, joined)
                self._doubt.set()
            await trio.sleep(LISTEN_AGAIN_S)

    async def keep(self) -> NoReturn:
        """Hold a client while Redis answers, and make a new one when it is back; the connector's task."""
        while True:
            try:
                async with self._make() as client:
                    await self._hold(client)
            finally:
                self._client = None
            self._tell()
            statistics = self._breaker.statistics()
            await trio.sleep(max(statistics.retry_after_s, CIRCUIT.reset.min_s / 2))

    async def _hold(self, client: coredis.Redis[bytes]) -> None:
        """Probe Redis periodically; return if it does not answer."""
        while True:
            self._doubt = trio.Event()
            try:
                await self._ask(client, lambda redis: redis.ping(), CALL_S)
            except RedisUnavailable as error:
                self.last_error = error.reason
                if self._breaker.state is not CircuitState.CLOSED or self._client is None:
                    return
                continue
            self._client = client
            self._tell()
            with trio.move_on_after(PROBE_S):
                await self._doubt.wait()

    async def _through(self, command: Callable[[coredis.Redis[bytes]], Awaitable[T]], timeout_s: float) -> T:
        client = self._client
        if client is None or self._breaker.state is not CircuitState.CLOSED:
            self._count("away")
            raise RedisUnavailable(self.last_error)
        try:
            result = await self._ask(client, command, timeout_s)
        except RedisRefused:
            self._count("refused")
            raise
        except RedisUnavailable as error:
            self._count("failed")
            self.last_error = error.reason
            self._doubt.set()
            raise
        self._count("answered")
        return result

    async def _ask(
        self, client: coredis.Redis[bytes], command: Callable[[coredis.Redis[bytes]], Awaitable[T]], timeout_s: float
    ) -> T:
        try:
            return await self._breaker.call(_bounded, client, command, timeout_s)
        except CircuitOpen:
            raise RedisUnavailable(self.last_error) from None

    def _circuit_changed(self, change: CircuitChange) -> None:
        if change.new is CircuitState.OPEN:
            self._doubt.set()
        self._tell()

    def _tell(self) -> None:
        """Report a change of `up`: to the log, the metrics and the callbacks of `on_change`."""
        up = self._client is not None and self._breaker.state is CircuitState.CLOSED
        if up == self._up:
            if not up and self._silent:  # Redis was down from the start
                self._silent = False
                log.warning("redis.away", extra={"server": self.where, "reason": self.last_error})
            return
        self._silent = False
        now = self._clock()
        away_s, self._up, self.since = now - self.since, up, now
        if up:
            log.info("redis.answers", extra={"server": self.where, "away_s": round(away_s, 3)})
        else:
            log.warning("redis.away", extra={"server": self.where, "reason": self.last_error})
        if self._observer is not None:
            self._observer.redis_up(up)
        changed, self._change = self._change, trio.Event()
        changed.set()
        for hear in self.on_change:
            hear(up)

    def _count(self, outcome: str) -> None:
        if self._observer is not None:
            self._observer.redis_called(outcome)


async def _bounded(
    client: coredis.Redis[bytes], command: Callable[[coredis.Redis[bytes]], Awaitable[T]], timeout_s: float
) -> T:
    try:
        with trio.fail_after(timeout_s):
            return await command(client)
    except trio.TooSlowError:
        raise RedisUnavailable(f"no answer within {timeout_s:g} s") from None
    except FAULTS as error:
        raise _to_unavailable(error) from None  # the chain may name more than an operator should read


class RedisConnector(Actor):
    """Holds the link's client; its connections live in this actor's task."""

    def __init__(self, link: RedisLink) -> None:
        self.link = link

    async def on_start(self, context: Context) -> None:
        """Start connecting; the server starts also if Redis is down."""
        context.start_soon(self.link.keep, name="keep")


async def _listen(
    client: coredis.Redis[bytes],
    channels: Sequence[str],
    take: Callable[[str, bytes], None],
    joined: Callable[[], None],
) -> None:
    """Listen until it fails. An exception group of several tasks of coredis is raised as one fault."""
    line = client.pubsub(
        channels=list(channels),
        ignore_subscribe_messages=True,
        retry_policy=NoRetryPolicy(),
        max_idle_seconds=IDLE_S,
    )
    try:
        async with line:
            joined()
            async for message in line:
                channel, data = message["channel"], message["data"]
                if isinstance(data, bytes):
                    take(channel.decode() if isinstance(channel, bytes) else str(channel), data)
    except BaseExceptionGroup as group:
        _, others = group.split(FAULTS)
        if others is not None:
            raise others from None


def _to_unavailable(error: BaseException) -> RedisUnavailable:
    """Convert an error of coredis. Of a reply only the kind is kept: its text repeats arguments."""
    if not isinstance(error, RedisError):
        return RedisUnavailable(str(error) or type(error).__name__)
    if isinstance(error, AWAY):
        return RedisUnavailable(str(error))
    return RedisRefused(type(error).__name__)
