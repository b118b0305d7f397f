"""What `understudy doctor` finds about what several nodes share: PostgreSQL and Redis."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import trio

from actors import ActorSystem
from understudy.cli.doctor.result import CheckResult, describe_schema
from understudy.storage.cluster_check import NODE_CONNECTIONS, ClusterCheck, check_cluster
from understudy.storage.errors import DatabaseUnusable, RedisUnavailable
from understudy.storage.extras import ExtraNotInstalled

if TYPE_CHECKING:
    from understudy.storage.redis import RedisLink

MAX_CLOCK_SKEW_S: Final = 1.0
"""From here on a clock is noted: messages of one thread may be answered by several nodes, and are shown with times."""
REDIS_TIMEOUT_S: Final = 3.0
"""How long Redis may take to answer, as long as a node is given that starts."""
SAFE_POLICIES: Final = ("noeviction", "volatile-")
"""How the policies begin by which Redis, when it is full, removes nothing that has no time to live."""


def check_postgresql(address: str) -> Iterator[CheckResult]:
    """What is there, whether clocks agree, and whether there is room for a node."""
    try:
        found = check_cluster(address)
    except DatabaseUnusable as error:
        yield CheckResult("database", "mend", str(error))
        return
    if not found.writable:
        text = f"PostgreSQL {found.version} takes no writes: it is a standby, or was set to be read-only; "
        yield CheckResult(
            "database", "mend", f"{text}name all hosts, with ?target_session_attrs=read-write behind the name"
        )
        return
    alive = f", {found.nodes} nodes alive" if found.nodes else ""
    yield CheckResult("database", "ok", f"PostgreSQL {found.version}, {describe_schema(found.revision)}{alive}")
    yield _clocks(found)
    yield _free_connections(found)


def _clocks(found: ClusterCheck) -> CheckResult:
    if abs(found.ahead_s) < MAX_CLOCK_SKEW_S:
        return CheckResult("database clock", "ok", "agrees with this machine's")
    which = "ahead of" if found.ahead_s > 0 else "behind"
    return CheckResult(
        "database clock",
        "note",
        f"this machine's clock is {abs(found.ahead_s):.1f} s {which} the database's: have both set by NTP, or times "
        "that users see do not fit together; who has a thread is judged by the database's alone",
    )


def _free_connections(found: ClusterCheck) -> CheckResult:
    text = f"{found.free} more can be opened, a node has {NODE_CONNECTIONS} at most"
    if found.free >= NODE_CONNECTIONS:
        return CheckResult("database connections", "ok", text)
    text += ": raise max_connections, or put PgBouncer between"
    return CheckResult("database connections", "note" if found.nodes else "mend", text)


def check_redis(url: str) -> CheckResult:
    """Whether it answers, and whether it would throw away what nodes have for one another."""
    try:
        from understudy.storage.redis import RedisLink  # needs an extra

        link = RedisLink(url)
    except (ValueError, ExtraNotInstalled) as error:
        return CheckResult("redis", "mend", str(error))
    try:
        told = trio.run(_ask, link)
    except RedisUnavailable as error:
        return CheckResult("redis", "mend", f"{link.where} does not answer: {error.reason}")
    policy = str(told.get("maxmemory_policy", SAFE_POLICIES[0]))
    text = f"Redis {told.get('redis_version', '')} at {link.where}"
    if policy.startswith(SAFE_POLICIES):
        return CheckResult("redis", "ok", text)
    wanted = "set maxmemory-policy to volatile-lru"
    return CheckResult(
        "redis", "note", f"{text}; when it is full it removes what nodes still need ({policy}): {wanted}"
    )


async def _ask(link: "RedisLink") -> dict[str, Any]:
    async with ActorSystem("doctor", [link.connector_spec()]):
        with trio.move_on_after(REDIS_TIMEOUT_S):
            await link.wait_up()
        return dict(await link.call(lambda redis: redis.info("server", "memory")))
