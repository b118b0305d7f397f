"""What `understudy doctor` finds out about Redis."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import trio

from actors import ActorSystem
from understudy.cli.doctor import CheckResult
from understudy.storage.errors import ExtraNotInstalled, RedisRefused, RedisUnavailable

if TYPE_CHECKING:
    from understudy.app.settings import Settings

REDIS_TIMEOUT_S: Final = 3.0
"""Seconds within which Redis must answer, as at the start of a node."""
SAFE_POLICIES: Final = ("noeviction", "volatile-")
"""Prefixes of the eviction policies under which a full Redis removes no key without a time to live."""


def check(url: str, settings: "Settings") -> Iterator[CheckResult]:
    """Check Redis, and that there is a secret."""
    if not settings.secret:
        text = "none in the settings: nodes need the same one, as they encrypt what they put into Redis with it; "
        yield CheckResult("secret", "mend", f"{text}set UNDERSTUDY_SECRET on all of them")
    yield _redis(url)


def _redis(url: str) -> CheckResult:
    """Check that Redis answers, and that it does not evict messages between nodes."""
    try:
        from understudy.extensions.nodes.redis import RedisLink  # needs an extra

        link = RedisLink(url)
    except (ValueError, ExtraNotInstalled) as error:
        return CheckResult("redis", "mend", str(error))

    async def ask() -> tuple[list[str], dict[str, Any]]:
        async with ActorSystem("doctor", [link.connector_spec()]):
            with trio.move_on_after(REDIS_TIMEOUT_S):
                await link.wait_up()
            missing = await link.missing_rights()
            try:
                return missing, dict(await link.call(lambda redis: redis.info("server", "memory")))
            except RedisRefused:  # nodes do not need it
                return missing, {}

    try:
        missing, info = trio.run(ask)
    except RedisUnavailable as error:
        return CheckResult("redis", "mend", f"{link.where} does not answer: {error.reason}")
    text = f"Redis {info.get('redis_version', '')} at {link.where}"
    if missing:
        wanted = "give it ~understudy:* &understudy:* +@all -@admin"
        return CheckResult("redis", "mend", f"{text} refuses its user {', '.join(missing)}: {wanted}")
    if not info:
        return CheckResult("redis", "note", f"{text}; what it removes when it is full is unknown: INFO is refused")
    policy = str(info.get("maxmemory_policy", SAFE_POLICIES[0]))
    if policy.startswith(SAFE_POLICIES):
        return CheckResult("redis", "ok", text)
    wanted = "set maxmemory-policy to volatile-lru"
    return CheckResult(
        "redis", "note", f"{text}; when it is full it removes what nodes still need ({policy}): {wanted}"
    )
