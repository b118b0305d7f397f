"""What carries wakeups between nodes, and a node that listens."""

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import psycopg
import pytest
import trio
from attrs import define, field

from actors import ActorSystem
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy.extensions.nodes.notify import NotifyWakeups
from understudy.extensions.nodes.redis import RedisLink
from understudy.extensions.nodes.redis_wakeups import RedisWakeups
from understudy.extensions.nodes.wakeups import LISTENER, Wakeups, channel_of
from understudy.storage.errors import WakeupsUnavailable
from understudy.storage.postgresql import alone, connect_database

ONE, TWO = channel_of("one"), channel_of("two")


class Carrier(Protocol):
    """A carrier, and what can be done to its server."""

    wakeups: Wakeups

    async def stop(self) -> None: ...

    async def start(self) -> None: ...

    async def listen_slowly(self) -> Callable[[], bool]: ...

    def stored(self) -> object: ...


@define
class ByPostgres:
    server: Postgres
    address: str
    wakeups: Wakeups
    lines: list[psycopg.Connection[Any]] = field(factory=list)

    async def stop(self) -> None:
        await trio.to_thread.run_sync(self.server.stop)

    async def start(self) -> None:
        await trio.to_thread.run_sync(self.server.start)

    async def listen_slowly(self) -> Callable[[], bool]:
        """Listen, and never take what comes. Return a function that says whether the connection is still there."""
        line = psycopg.connect(self.address, application_name=LISTENER)
        self.lines.append(line)
        line.execute(f'LISTEN "{ONE}"')
        line.commit()
        line.execute("SELECT 1")  # within a transaction nothing is taken from the queue

        def there() -> bool:
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.address) as other:
                pids = other.execute("SELECT pid FROM pg_stat_activity").fetchall()
                return (line.info.backend_pid,) in pids
            return False

        return there

    def stored(self) -> object:
        with psycopg.connect(self.address) as line:
            return line.execute("SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM shared_counts)").fetchone()


@define
class ByRedis:
    server: Redis
    wakeups: Wakeups
    lines: list[socket.socket] = field(factory=list)

    async def stop(self) -> None:
        await trio.to_thread.run_sync(self.server.kill)

    async def start(self) -> None:
        await trio.to_thread.run_sync(self.server.start)

    async def listen_slowly(self) -> Callable[[], bool]:
        """As `ByPostgres.listen_slowly`."""
        assert self.server.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 32kb 1") == "+OK"
        line = socket.create_connection(("127.0.0.1", self.server.port))
        self.lines.append(line)
        line.sendall(f"SUBSCRIBE understudy:0:{ONE}\r\n".encode())
        assert b"subscribe" in line.recv(100)
        return lambda: self.server.command("PUBSUB", "NUMSUB", f"understudy:0:{ONE}") == "*2" and self._connected()

    def _connected(self) -> bool:
        return self.server.command("PUBLISH", f"understudy:0:{ONE}", "") != ":0"

    def stored(self) -> object:
        return self.server.command("DBSIZE")


@pytest.fixture(params=["postgresql", "redis"])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    async with ActorSystem("system", []) as system:
        if request.param == "redis":
            redis: Redis = request.getfixturevalue("own_redis")
            link = RedisLink(redis.url)
            await system.spawn(link.connector_spec())
            with trio.fail_after(60):
                await link.wait_up()
            by_redis = ByRedis(redis, RedisWakeups(link))
            yield by_redis
            for line in by_redis.lines:
                line.close()
        else:
            server: Postgres = request.getfixturevalue("own_postgres")
            address = server.create()
            await trio.to_thread.run_sync(lambda: connect_database(address).close())
            wakeups = NotifyWakeups(alone(address))
            by_postgres = ByPostgres(server, address, wakeups)
            yield by_postgres
            for slow in by_postgres.lines:
                slow.close()
            wakeups.close()


@define
class Ear:
    """Listens, and keeps what it has heard."""

    wakeups: Wakeups
    heard: list[tuple[str, str]] = field(factory=list)
    begun: trio.Event = field(factory=trio.Event)
    lost: str = ""

    async def listen(self, *channels: str) -> None:
        try:
            await self.wakeups.listen(channels, lambda *message: self.heard.append(message), self.begun.set)
        except WakeupsUnavailable as error:
            self.lost = error.reason

    async def has(self, count: int) -> list[tuple[str, str]]:
        await until(lambda: len(self.heard) >= count)
        return self.heard


async def until(holds: Callable[[], Any], within_s: float = 60.0) -> None:
    """Wait until `holds()` is true; an awaitable result is awaited."""
    with trio.fail_after(within_s):
        while True:
            value = holds()
            if await value if isinstance(value, Awaitable) else value:
                return
            await trio.sleep(0.01)


@contextlib.asynccontextmanager
async def listening(carrier: Carrier, *channels: str) -> AsyncIterator[Ear]:
    ear = Ear(carrier.wakeups)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ear.listen, *channels)
        with trio.fail_after(60):
            await ear.begun.wait()
        yield ear
        nursery.cancel_scope.cancel()
