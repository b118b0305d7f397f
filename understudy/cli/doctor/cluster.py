"""Checks of the services that several nodes share: PostgreSQL and Redis."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import trio
from understudy.cli.doctor.result import CheckResult, describe_schema

from actors import ActorSystem
from understudy.storage.errors import DatabaseUnusable, ExtraNotInstalled, RedisUnavailable
from understudy.storage.postgresql import NODE_CONNECTIONS, ClusterCheck, check_cluster

if TYPE_CHECKING:
    from understudy.storage.redis import RedisLink

MAX_CLOCK_SKEW_S: Final = 1.0
"""Clock skew in seconds above which it is reported: nodes may answer in one thread, and times are shown to users."""
REDIS_TIMEOUT_S: Final = 3.0
"""Seconds within which Redis must answer, as at the start of a node."""
SAFE_POLICIES: Final = ("noeviction", "volatile-")
"""Prefixes of the eviction policies under which a full Redis removes no key without a time to live."""


def check_postgresql(address: str) -> Iterator[CheckResult]:
    """Check that PostgreSQL answers, its clock agrees, and it has connections for a node."""
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
    """Check that Redis answers, and that it does not evict messages between nodes."""
    try:
        from understudy.storage.redis import RedisLink  # needs an extra

        link = RedisLink(url)
    except (ValueError, ExtraNotInstalled) as error:
        return CheckResult("redis", "mend", str(error))
    try:
        info = trio.run(_ask, link)
    except RedisUnavailable as error:
        return CheckResult("redis", "mend", f"{link.where} does not answer: {error.reason}")
    policy = str(info.get("maxmemory_policy", SAFE_POLICIES[0]))
    text = f"Redis {info.get('redis_version', '')} at {link.where}"
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
