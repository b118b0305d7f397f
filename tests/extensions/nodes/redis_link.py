"""A node with a link to Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors import open_system
from understudy.extensions.nodes.redis import RedisLink

SOON_S = 60.0


class Counts:
    def __init__(self) -> None:
        self.up: list[bool] = []
        self.outcomes: list[str] = []


@asynccontextmanager
async def linked(url: str, counts: Counts | None = None) -> AsyncIterator[RedisLink]:
    counts = counts or Counts()
    link = RedisLink(url, counts.outcomes.append, counts.up.append)
    async with open_system("system", [link.connector_spec()]):
        yield link
