"""The settings of servers that share one database."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from actors import ActorSystem
    from understudy.agents.agent import Agent
    from understudy.app.settings import Settings
    from understudy.cli.check_result import CheckResult
    from understudy.storage.store import Store

NEEDS_REDIS: Final = (
    "nodes.wakeups_by_redis (UNDERSTUDY_NODES_WAKEUPS_BY_REDIS) needs the address of a Redis: set nodes.redis_url, or "
    "leave it out, and PostgreSQL carries them"
)


@frozen
class NodeSettings:
    """How several servers over one PostgreSQL wake each other, and what they keep beside it."""

    redis_url: str = field(default="", repr=False)
    """`redis://HOST:PORT`: the Redis in which servers over one PostgreSQL keep what was read lately, for when the
    database is away; `rediss://` with TLS, `unix:///PATH` for a socket, `:PASSWORD@` before the host, `/NUMBER` at the
    end for another of its databases."""
    wakeups_by_redis: bool = False
    """Have that Redis carry streamed text and what wakes other servers, for more than some twenty of them or a thousand
    commits a second; otherwise PostgreSQL does (`NOTIFY`)."""
    listen_url: str = field(default="", repr=False)
    """PostgreSQL's own address, if `database_url` is that of a pooler that pools transactions: without it servers
    cannot wake each other, and poll ten times a second."""

    def faults(self, settings: "Settings") -> Iterator[str]:
        """Yield a sentence for each contradiction between the settings."""
        if self.wakeups_by_redis and not self.redis_url:
            yield NEEDS_REDIS
        if self.listen_url and not settings.on_postgresql:
            yield "nodes.listen_url (UNDERSTUDY_NODES_LISTEN_URL) is PostgreSQL's own address: set database_url, too"
        if not self.redis_url:
            return
        from understudy.extensions.nodes.redis_address import redis_address  # most servers have none

        try:
            redis_address(self.redis_url)
        except ValueError as error:
            yield f"nodes.redis_url (UNDERSTUDY_NODES_REDIS_URL) {error}"
        if not settings.on_postgresql:
            yield (
                "nodes.redis_url (UNDERSTUDY_NODES_REDIS_URL) is for several servers over one PostgreSQL: set "
                "database_url to postgresql://USER@HOST/NAME, or leave nodes.redis_url out; a server alone needs no "
                "Redis"
            )

    def checks(self, settings: "Settings", _: "Sequence[Agent]", offline: bool) -> "Iterator[CheckResult]":
        """Check that servers can wake each other, that Redis answers, and that a key for its contents is set."""
        if settings.on_postgresql or self.redis_url:
            from understudy.extensions.nodes.check import check

            yield from check(self, settings)

    async def attach(
        self, settings: "Settings", system: "ActorSystem", store: "Store", tell: Callable[[str], object]
    ) -> None:
        """Have a command that changes stored data drop the copies of it that servers keep in Redis.

        Raises ValueError if a server uses the database, or the address cannot be used.
        """
        if settings.on_postgresql:
            from understudy.extensions.nodes.offline import attach

            await attach(self.redis_url, system, store, tell)
