"""Kills and faults: servers, their actors, the database, Redis, and connections."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, TypeAlias

import psycopg
import trio
from attrs import define, field

from tests.cluster.balancer import Balancer
from tests.cluster.node import LOST, Node
from tests.network.proxy import Proxy
from tests.rigs.http import request
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis

LEASE_S = 2.0
"""Lease of a node: how long a silent server counts as alive."""

AWAY_S = (0.5, 1.5, 3.0, 5.0)
"""Seconds for which PostgreSQL cannot be reached, or is slow: below and above a lease."""
SLOW_S = (0.02, 0.1, 0.3)
"""Delays of a piece of the traffic in each direction."""
CUT_OFF = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY(%s)"

Kill: TypeAlias = Callable[[Random], Awaitable[bool]]
"""Inject one fault of a kind. Return False if there was no target."""


@define(eq=False)
class FaultInjector:
    """Injects faults. `operator` is the token of an operator who may kill actors, `lines` lead each node to
    PostgreSQL."""

    nodes: Sequence[Node]
    balancer: Balancer
    postgres: Postgres | None
    redis: Redis | None
    operator: str
    lines: Sequence[Proxy] = ()
    hold_s: tuple[float, float] = (1.5 * LEASE_S, 2.5 * LEASE_S)
    kinds: Mapping[str, tuple[int, Kill]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        cut, actor, part = self._cut, self._actor, self._part
        self.kinds = {
            "node, SIGKILL": (8, self._node_killed),
            "node, SIGTERM": (4, self._node_stopped),
            "node, held past its lease": (4, self._node_held),
            "storage writer": (8, partial(actor, ("storage", "writer"))),
            "conversation": (10, partial(actor, ("conversations", "*"))),
            "run": (10, partial(actor, ("conversations", "*", "*"))),
            "tool call": (4, partial(actor, ("conversations", "*", "*", "*"))),
            "connection": (8, partial(actor, ("connections", "*"))),
            "outbox": (4, partial(actor, ("connections", "*", "outbox"))),
            "all conversations of a node": (3, partial(part, "conversations")),
            "all connections of a node": (3, partial(part, "connections")),
            "storage of a node": (3, partial(part, "storage")),
            "sockets, reset": (8, partial(cut, "reset")),
            "sockets, closed": (4, partial(cut, "fin")),
            "sockets, half open": (4, partial(cut, "swallow")),
        }
        if self.postgres is not None:
            self.kinds |= {
                "PostgreSQL, restarted": (3, partial(self._postgres, "fast")),
                "PostgreSQL, crashed": (3, partial(self._postgres, "immediate")),
                "cluster of a node": (3, partial(part, "cluster")),
                "PostgreSQL, cut from a node": (4, self._line_cut),
                "PostgreSQL, silent to a node": (3, self._line_silent),
                "PostgreSQL, slow": (3, self._lines_slow),
                "wakeups, cut off": (6, self._wakeups_cut_off),
            }
        if self.redis is not None:
            self.kinds |= {
                "Redis, killed": (4, partial(self._redis, "kill")),
                "Redis, restarted": (3, partial(self._redis, "stop")),
                "Redis, flushed": (4, self._redis_flushed),
            }

    def drawn(self, chance: Random) -> str:
        names = list(self.kinds)
        return chance.choices(names, [self.kinds[name][0] for name in names])[0]

    # servers

    def _living(self) -> list[Node]:
        return [node for node in self.nodes if node.ready and not node.held]

    async def _of_node(self, chance: Random, use: Callable[[Node], Awaitable[None]]) -> bool:
        living = self._living()
        if not living:
            return False
        await use(chance.choice(living))
        return True

    async def _node_killed(self, chance: Random) -> bool:
        return await self._of_node(chance, Node.kill)

    async def _node_stopped(self, chance: Random) -> bool:
        return await self._of_node(chance, Node.stop)

    async def _node_held(self, chance: Random) -> bool:
        for_s = chance.uniform(*self.hold_s)
        return await self._of_node(chance, lambda node: node.hold(for_s))

    # actors

    async def _actor(self, pattern: tuple[str, ...], chance: Random) -> bool:
        """Kill an actor at this path on any node; `*` matches a name made at run time."""
        for node in chance.sample(self._living(), len(self._living())):
            top = f"/system/{pattern[0]}"
            status, body = await self._ask(node, "GET", f"tree?path={top}&levels={len(pattern) - 1}&limit=100")
            if status != 200:
                continue
            paths = [path for path in _paths(body["tree"], len(pattern)) if _fits(path, pattern)]
            if paths and await self._kill_in(node, {"path": chance.choice(paths)}):
                return True
        return False

    async def _part(self, name: str, chance: Random) -> bool:
        living = self._living()
        return bool(living) and await self._kill_in(chance.choice(living), {"path": f"/system/{name}", "part": True})

    async def _kill_in(self, node: Node, body: dict[str, Any]) -> bool:
        status, _ = await self._ask(node, "POST", "kill", json.dumps(body).encode())
        return status == 202

    async def _ask(self, node: Node, method: str, what: str, body: bytes = b"") -> tuple[int, Any]:
        try:
            with trio.fail_after(5):
                path = f"/api/observer/{what}"
                status, _, answer = await request(node.address, method, path, token=self.operator, body=body)
                return status, answer
        except LOST:  # the server is stopping
            return 0, None

    # the database and Redis

    async def _postgres(self, mode: str, chance: Random) -> bool:
        assert self.postgres is not None
        with trio.CancelScope(shield=True):  # restore the state also when cancelled
            await trio.to_thread.run_sync(self.postgres.stop, mode)
            await trio.sleep(chance.choice((0.0, 0.0, 0.5, 2.0)))
            await trio.to_thread.run_sync(self.postgres.start)
        return True

    async def _line_cut(self, chance: Random) -> bool:
        """Reset all connections of a node to PostgreSQL, and refuse new ones, for longer than its lease or shorter."""
        line, for_s = chance.choice(self.lines), chance.choice(AWAY_S)
        line.refusing_until = trio.current_time() + for_s
        line.cut("reset", 1.0, chance)
        await trio.sleep(for_s)
        return True

    async def _line_silent(self, chance: Random) -> bool:
        """Let no byte pass between a node and PostgreSQL for a while; then all that was sent arrives."""
        line, for_s = chance.choice(self.lines), chance.choice(AWAY_S)
        line.frozen_until = trio.current_time() + for_s
        await trio.sleep(for_s)
        return True

    async def _lines_slow(self, chance: Random) -> bool:
        """Delay all that passes between PostgreSQL and a node, or all nodes."""
        slow = chance.choice((self.lines, [chance.choice(self.lines)]))
        for line in slow:
            line.slow_s = chance.choice(SLOW_S)
        try:
            await trio.sleep(chance.choice(AWAY_S))
        finally:
            for line in slow:
                line.slow_s = 0.0
        return True

    async def _wakeups_cut_off(self, chance: Random) -> bool:
        """End the connections by which nodes wake each other: those that listen, those that send, or all."""
        postgres = self.postgres
        assert postgres is not None
        names = chance.choice((["listener"], ["sender"], ["listener", "sender"]))

        def cut_off() -> int:
            with psycopg.connect(postgres.address("postgres"), autocommit=True) as connection:
                return connection.execute(CUT_OFF, [[f"understudy-{name}" for name in names]]).rowcount

        return await trio.to_thread.run_sync(cut_off) > 0

    async def _redis(self, how: str, chance: Random) -> bool:
        assert self.redis is not None
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(getattr(self.redis, how))
            await trio.sleep(chance.choice((0.0, 0.0, 0.5, 2.0)))
            await trio.to_thread.run_sync(self.redis.start)
        return True

    async def _redis_flushed(self, _: Random) -> bool:
        assert self.redis is not None
        await trio.to_thread.run_sync(self.redis.flush)
        return True

    # sockets

    async def _cut(self, how: str, chance: Random) -> bool:
        await trio.lowlevel.checkpoint()
        return self.balancer.cut(how, chance.choice((0.0, 0.1, 0.5)), chance) > 0


def _paths(node: Any, depth: int) -> list[str]:
    """Return the paths of the actors this many levels below the root."""
    if depth == 1 or not node["children"]:
        return [node["path"]]
    return [path for child in node["children"] for path in _paths(child, depth - 1)]


def _fits(path: str, pattern: tuple[str, ...]) -> bool:
    parts = path.strip("/").split("/")[1:]
    return len(parts) == len(pattern) and all(n in ("*", p) for n, p in zip(pattern, parts, strict=True))
