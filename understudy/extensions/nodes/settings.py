"""The settings of several servers over one database."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from actors import ActorSystem
    from understudy.agents.agent import Agent
    from understudy.app.settings import Settings
    from understudy.cli.doctor import CheckResult
    from understudy.storage.store import Store


@frozen
class RedisSettings:
    """Where several servers reach each other."""

    url: str = field(default="", repr=False)
    """`redis://HOST:PORT`: the Redis through which several servers over one PostgreSQL work as one; `rediss://` with
    TLS, `unix:///PATH` for a socket, `:PASSWORD@` before the host, `/NUMBER` at the end for another of its
    databases."""

    def faults(self, settings: "Settings") -> Iterator[str]:
        """Yield what does not go together, a sentence each."""
        if not self.url:
            return
        from understudy.extensions.nodes.redis_address import parse_redis_address  # most servers have none

        try:
            parse_redis_address(self.url)
        except ValueError as error:
            yield f"redis.url (UNDERSTUDY_REDIS_URL) {error}"
        if not settings.on_postgresql:
            yield (
                "redis.url (UNDERSTUDY_REDIS_URL) is for several servers over one PostgreSQL: set database_url to "
                "postgresql://USER@HOST/NAME, or leave redis.url out; a server alone needs no Redis"
            )

    def checks(self, settings: "Settings", _: "Sequence[Agent]", offline: bool) -> "Iterator[CheckResult]":
        """Check that Redis answers, that it does not evict messages between nodes, and that these can be encrypted."""
        if self.url:
            from understudy.extensions.nodes.check import check

            yield from check(self.url, settings)

    async def attach(
        self, settings: "Settings", system: "ActorSystem", store: "Store", tell: Callable[[str], object]
    ) -> None:
        """Have a command that changes stored data drop what servers keep in Redis of it. Raises ValueError if a server
        uses the database, or the address cannot be used."""
        if settings.on_postgresql:
            from understudy.extensions.nodes.offline import attach

            await attach(self.url, system, store, tell)
