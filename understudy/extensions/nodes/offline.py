"""Drops cached answers in Redis when a command changes stored data while no server runs."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from actors import ActorSystem
from understudy.extensions.nodes.storage import living
from understudy.storage.cache import drop_changed_answers
from understudy.storage.store import Store

WAIT_S: Final = 2.0
"""Seconds within which Redis must answer."""
IN_USE: Final = "a server uses the database: have it erase them, by DELETE /api/users/NAME with an operator's token"
REDIS_AWAY: Final = (
    "Redis does not answer: what servers kept there of what was read lately stays until its hour is over, for when the "
    "database is away"
)


async def attach(url: str, system: ActorSystem, store: Store, tell: Callable[[str], object]) -> None:
    """Check that no server uses the database, and have the writes of `store` drop answers in the Redis at `url`."""
    if await store.read(living):
        raise ValueError(IN_USE)
    if url:
        from understudy.extensions.nodes.redis import RedisLink  # most servers use no Redis
        from understudy.extensions.nodes.redis_cache import RedisCache, cipher

        link = RedisLink(url)
        await system.spawn(link.connector_spec())
        with trio.move_on_after(WAIT_S):
            await link.wait_up()
        if not link.up:
            tell(REDIS_AWAY)
        # This cache only drops answers, so any key will do.
        store.on_write = partial(drop_changed_answers, RedisCache(link, cipher(secrets.token_hex())))
