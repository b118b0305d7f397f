"""The link to Redis: one client for the whole server, which one actor keeps; while Redis is away, calls fail at once.

1. No call waits longer than its timeout, and none at all while Redis is known to be away.
2. Only the keeper tries whether it is back: no user's command is the one that finds out.
3. Nothing is sent twice: XADD and INCR would count twice. Who may repeat a call does so.
4. The address may hold a password: it is in no log, and in no error.
5. After a fault the client is made anew. A pool of coredis loses a place with each connection that is given up while
   it is being made, and a connection that was held may be anywhere in its answers.
"""

import contextlib
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn, Protocol, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import trio
from attrs import field, frozen

from actors import Actor, Backoff, ChildSpec, Context
from actors.behaviours import Breaker, CircuitChange, CircuitOpen, CircuitSpec, CircuitState, FailureCount

from .errors import RedisRefused, RedisUnavailable
from .extras import ExtraNotInstalled

try:
    import anyio
    import coredis
    from coredis.exceptions import AuthenticationError, ReadOnlyError, RedisError
    from coredis.exceptions import ConnectionError as Unconnected
    from coredis.patterns.pipeline import Pipeline
    from coredis.retry import NoRetryPolicy
except ModuleNotFoundError as missing:
    raise ExtraNotInstalled("redis_url", "redis") from missing

T = TypeVar("T")
log = logging.getLogger(__name__)

CALL_S: Final = 1.0
"""How long a call may take unless told otherwise: a thousand times what one takes in the same room."""
CONNECT_S: Final = 1.0
ANSWER_S: Final = 3.0
"""How long a connection may be silent when it owes an answer: longer than any blocking read waits."""
PROBE_S: Final = 1.0
"""How often the keeper looks whether Redis answers when nothing else tells."""
CIRCUIT: Final = CircuitSpec(
    trip=FailureCount(limit=2),
    reset=Backoff(min_s=0.05, max_s=1.0),
    counts=(RedisUnavailable,),
    excuses=(RedisRefused,),
)
"""Away after two failures in a row, of which the keeper's own look is one; back within about a second of it."""
LISTEN_AGAIN_S: Final = 0.1
IDLE_S: Final = 5.0
"""After so much silence on a subscription, its connection is tried."""
PLACES: Final = 32
FAULTS: Final = (
    RedisError, OSError, RuntimeError, ReferenceError, EOFError, trio.TooSlowError,
    anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream,
)  # fmt: skip
"""What coredis raises when the other side, or its own pool, is not there."""
AWAY: Final = (Unconnected, AuthenticationError, ReadOnlyError)
"""Of the errors of coredis, those that any other command would meet too."""


class RedisMetrics(Protocol):
    """Who counts what becomes of the link."""

    def redis_up(self, up: bool) -> None:
        """Redis answers, or does no more."""

    def redis_called(self, outcome: str, seconds: float) -> None:
        """A call ended: `answered`, `refused` by Redis, `failed`, or `away`: not made."""


class RedisLink:
    """What everyone calls. It works as long as the actor of `keeper` lives, and says `up` as long as Redis answers.

    `since` is when that last changed, on `clock`; `last_error` why it went away. Raises ValueError for an address that
    is none.
    """

    def __init__(
        self, url: str, observer: RedisMetrics | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        place = _parse_url(url)
        self._make = place.client
        self.where = f"{place.host}:{place.port}"
        self.database = place.db
        """The number of the database there; channels are not its own, so it belongs into their names."""
        self.last_error = "not connected yet"
        self.since = clock()
        self.on_change: list[Callable[[bool], None]] = []
        """Who is told when Redis goes away (False) and when it is back (True); called at once, must be quick."""
        self._clock = clock
        self._observer = observer
        # No limit of its own: each call has one, and of two that are over, as after a pause, the outer one would speak.
        self._breaker = Breaker("redis", CIRCUIT, call_timeout_s=math.inf, on_change=self._circuit_changed)
        self._client: coredis.Redis[bytes] | None = None
        self._up = False
        self._silent = True  # until the log was told anything
        self._doubt = trio.Event()
        self._change = trio.Event()
        logging.getLogger("coredis").setLevel(logging.CRITICAL)  # it tells each try; the link tells each change

    def connector_spec(self) -> ChildSpec:
        """The actor that holds the client."""
        return ChildSpec("redis", lambda: RedisConnector(self), backoff=Backoff(min_s=0.05, max_s=30.0))

    @property
    def up(self) -> bool:
        """Whether Redis answers, as far as is known."""
        return self._up and self._client is not None

    async def wait_up(self) -> None:
        """Return as soon as Redis answers."""
        while not self._up:
            await self._change.wait()

    async def call(self, command: Callable[[coredis.Redis[bytes]], Awaitable[T]], *, timeout_s: float = CALL_S) -> T:
        """Run one command, as in `await link.call(lambda redis: redis.get("key"))`; answers are bytes.

        Raises RedisRefused when Redis answers with an error, RedisUnavailable when it does not answer in time: then
        the command may or may not have been carried out.
        """
        return await self._through(command, timeout_s)

    async def batch(self, fill: Callable[[Pipeline[bytes]], object], *, timeout_s: float = CALL_S) -> tuple[Any, ...]:
        """Send several commands in one go; returns their results in order, RedisRefused for those that failed.

        Not a transaction. Raises RedisUnavailable: any of them may or may not have been carried out. For a few
        errors, as of consumer groups, that is RedisRefused: coredis raises them in any case.
        """

        async def send(client: coredis.Redis[bytes]) -> tuple[Any, ...]:
            async with client.pipeline(transaction=False, raise_on_error=False) as pipe:
                fill(pipe)
            return pipe.results or ()

        results = await self._through(send, timeout_s)
        told = tuple(_to_unavailable(each) if isinstance(each, Exception) else each for each in results)
        for each in told:
            if isinstance(each, RedisUnavailable) and not isinstance(each, RedisRefused):
                self._doubt.set()
                raise each
        return told

    async def listen(
        self, channels: Sequence[str], take: Callable[[str, bytes], None], joined: Callable[[], None]
    ) -> NoReturn:
        """Hand every message that is published on these channels to `take`, until cancelled.

        `joined` is called at each subscription, the first and those after a fault: what was published meanwhile is
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
        """Hold a client as long as Redis answers, make a new one when it does again; the keeper's own task."""
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
        """Look again and again whether Redis answers; return when it does not."""
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
            self._count("away", 0.0)
            raise RedisUnavailable(self.last_error)
        began = trio.current_time()
        try:
            result = await self._ask(client, command, timeout_s)
        except RedisRefused:
            self._count("refused", trio.current_time() - began)
            raise
        except RedisUnavailable as error:
            self._count("failed", trio.current_time() - began)
            self.last_error = error.reason
            self._doubt.set()
            raise
        self._count("answered", trio.current_time() - began)
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
        """Say so when it changed: once in the log, to the observer, to those who asked to be told."""
        up = self._client is not None and self._breaker.state is CircuitState.CLOSED
        if up == self._up:
            if not up and self._silent:  # it never was there
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

    def _count(self, outcome: str, seconds: float) -> None:
        if self._observer is not None:
            self._observer.redis_called(outcome, seconds)


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
    """Holds the link's client: its connections live in this actor's task."""

    def __init__(self, link: RedisLink) -> None:
        self.link = link

    async def on_start(self, context: Context) -> None:
        """Begin; a Redis that is away is no reason not to start."""
        context.start_soon(self.link.keep, name="keep")


@frozen
class _Endpoint:
    """Where a Redis is, and how to sign in there."""

    host: str
    port: int
    db: int
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None

    def client(self) -> coredis.Redis[bytes]:
        """A client of this Redis, not connected yet."""
        return coredis.Redis(
            self.host,
            self.port,
            self.db,
            username=self.username,
            password=self.password,
            ssl_context=self.tls,
            client_name="understudy",
            connect_timeout=CONNECT_S,
            stream_timeout=ANSWER_S,
            max_connections=PLACES,
            retry_policy=NoRetryPolicy(),
        )


def _parse_url(url: str) -> _Endpoint:
    parts = urlsplit(url)
    try:
        db, port = int(parts.path.strip("/") or 0), parts.port or 6379
    except ValueError:
        raise ValueError("the address of Redis is not of the form redis://HOST:PORT/NUMBER") from None
    tls = None
    if parts.scheme == "rediss":  # with the server's name checked, which coredis leaves out
        tls = _tls(parse_qs(parts.query).get("ssl_ca_certs", [None])[0])
    username, password = (unquote(each) if each else None for each in (parts.username, parts.password))
    return _Endpoint(parts.hostname or "localhost", port, db, username, password, tls)


def _tls(authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ValueError(f"ssl_ca_certs of redis_url, {authority}, cannot be used: {error.strerror}") from error


async def _listen(
    client: coredis.Redis[bytes],
    channels: Sequence[str],
    take: Callable[[str, bytes], None],
    joined: Callable[[], None],
) -> None:
    """Until it fails. What several tasks of coredis raise together is one fault."""
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
    """The error of ours for one of coredis; of what Redis answered only the kind is told, as it repeats arguments."""
    if not isinstance(error, RedisError):
        return RedisUnavailable(str(error) or type(error).__name__)
    if isinstance(error, AWAY):
        return RedisUnavailable(str(error))
    return RedisRefused(type(error).__name__)
