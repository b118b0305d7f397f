"""The checks by `understudy doctor` of the wakeups between servers, and of Redis."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio

from actors import ActorSystem
from understudy.cli.check_result import CheckResult
from understudy.storage.errors import CannotConnect, ExtraNotInstalled, RedisUnavailable, driver_words

if TYPE_CHECKING:
    import coredis

    from understudy.app.settings import Settings
    from understudy.extensions.nodes.settings import NodeSettings

REDIS_TIMEOUT_S: Final = 3.0
"""Seconds within which Redis must answer, as at the start of a node."""
HEARD_S: Final = 2.0
"""Seconds within which the notification that the check sends to itself must arrive."""
POOLED: Final = "is a pooler that pools transactions, so that no notification arrives"
POLLS: Final = (
    "several servers would poll ten times a second, and text of others come with the next event; set nodes.listen_url "
    "to PostgreSQL's own address"
)


def check(node_settings: "NodeSettings", settings: "Settings") -> Iterator[CheckResult]:
    """Check that wakeups arrive, that Redis answers, and that a secret is set if Redis is used."""
    if settings.on_postgresql and not node_settings.wakeups_by_redis:
        yield from _wakeups(node_settings.listen_url or settings.database_url, bool(node_settings.listen_url))
    if not node_settings.redis_url:
        return
    if not settings.secret:
        text = "none in the settings: nodes need the same one, as they encrypt what they put into Redis with it; "
        yield CheckResult("secret", "mend", f"{text}set UNDERSTUDY_SECRET on all of them")
    yield _redis(node_settings.redis_url, node_settings.wakeups_by_redis)


def _wakeups(address: str, direct: bool) -> Iterator[CheckResult]:
    """Check that PostgreSQL's notifications arrive. `direct`: the address is `nodes.listen_url`."""
    try:
        from understudy.storage.postgresql import alone  # most servers do not use PostgreSQL
    except ExtraNotInstalled:
        return  # another check reports it
    import psycopg

    try:
        connect = alone(address)
        with connect("understudy-doctor") as listens, connect("understudy-doctor") as sends:
            listens.execute("LISTEN understudy_doctor")
            sends.execute("NOTIFY understudy_doctor")
            arrived = any(True for _ in listens.notifies(timeout=HEARD_S, stop_after=1))
    except (CannotConnect, psycopg.Error) as error:
        if direct:  # another check reports what is wrong with database_url
            why = error.reason if isinstance(error, CannotConnect) else driver_words(error)
            yield CheckResult("wakeups", "mend", f"nodes.listen_url: {why}")
        return
    if arrived:
        yield CheckResult("wakeups", "ok", "PostgreSQL's notifications arrive")
    elif direct:
        yield CheckResult("wakeups", "mend", f"nodes.listen_url {POOLED}: it must be PostgreSQL's own address")
    else:
        yield CheckResult("wakeups", "note", f"database_url {POOLED}: {POLLS}")


def _redis(url: str, carries: bool) -> CheckResult:
    """Check that Redis answers, and that its user may execute the commands of servers. `carries`: also `PUBLISH`."""
    try:
        from understudy.extensions.nodes.redis import RedisLink  # needs an extra

        link = RedisLink(url)
    except (ValueError, ExtraNotInstalled) as error:
        return CheckResult("redis", "mend", str(error))

    async def use(redis: "coredis.Redis[bytes]") -> None:
        async with redis.pipeline(transaction=True) as pipe:  # Redis refuses all of them before it executes any
            pipe.eval("return 1", ["understudy:doctor"], ())
            pipe.hset("understudy:doctor", {"field": "value"})
            pipe.hget("understudy:doctor", "field")
            pipe.hlen("understudy:doctor")
            pipe.hdel("understudy:doctor", ["field"])
            pipe.set("understudy:doctor", "", px=1000)
            pipe.pexpire("understudy:doctor", 1000)
            pipe.pttl("understudy:doctor")
            pipe.unlink(["understudy:doctor"])
            if carries:
                pipe.publish("understudy:doctor", "")

    async def ask() -> tuple[str, dict[str, Any]]:
        async with ActorSystem("doctor", [link.connector_spec()]):
            with trio.move_on_after(REDIS_TIMEOUT_S):
                await link.wait_up()
            if not link.up:
                raise RedisUnavailable(link.last_error)
            refused, info = "", dict[str, Any]()
            try:
                await link.call(use)
            except RedisUnavailable as error:
                refused = error.reason
            with suppress(RedisUnavailable):  # nodes do not need INFO
                info = dict(await link.call(lambda redis: redis.info("server")))
            return refused, info

    try:
        refused, info = trio.run(ask)
    except RedisUnavailable as error:
        return CheckResult("redis", "mend", f"{link.where} does not answer: {error.reason}")
    text = f"Redis {info.get('redis_version', '')} at {link.where}"
    if refused:
        remedy = "give it ~understudy:* &understudy:* +@all -@admin"
        return CheckResult("redis", "mend", f"{text} refuses its user what servers do ({refused}): {remedy}")
    sentence = text if info else f"{text}; its version is unknown: INFO is refused"
    return CheckResult("redis", "ok" if info else "note", sentence)
