"""All MCP servers of this server, by name, and agents with the tools that these offer now."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import trio
from attrs import define, evolve, field

from actors import Backoff, ChildSpec
from understudy.tools.mcp.link import WAIT_S, Clean, LinkState, McpActor, McpLink, keep
from understudy.tools.mcp.server import McpServer
from understudy.tools.mcp.tools import make_tool, resource_tools
from understudy.tools.tool import Tool

BACKOFF: Final = Backoff(min_s=0.2, max_s=30.0)
"""Delay before a server is connected again."""
SHUTDOWN_S: Final = 8.0
"""Grace of a server's actor: a process that does not end by itself takes 3.5 s, which cannot be cancelled."""


class HasTools(Protocol):
    """An agent, as far as it is known here."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Its tools."""

    @property
    def servers(self) -> tuple[McpServer, ...]:
        """The MCP servers whose tools it has too."""


A = TypeVar("A", bound=HasTools)


@define(eq=False)
class McpCatalogue:
    """The links to all servers, by name."""

    links: Mapping[str, McpLink] = field(factory=dict)
    _tools: dict[str, tuple[int, tuple[Tool, ...]]] = field(factory=dict, init=False, repr=False)
    _readers: dict[tuple[str, ...], tuple[Tool, ...]] = field(factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, servers: Iterable[McpServer], clean: Clean = keep) -> "McpCatalogue":
        """Make one of the servers that agents name. Raises ValueError if two different ones have the same name."""
        links: dict[str, McpLink] = {}
        for each in servers:
            known = links.setdefault(each.name, McpLink(each, clean))
            if known.server != each:
                raise ValueError(
                    f"two different MCP servers are called {each.name!r}; give one another name with mcp(…, name='…')"
                )
        return cls(links)

    def children(self) -> list[ChildSpec]:
        """Return the actors that keep the servers connected."""
        return [
            ChildSpec(name, partial(McpActor, link), shutdown_s=SHUTDOWN_S, backoff=BACKOFF)
            for name, link in self.links.items()
        ]

    def of_agent(self, agent: HasTools, off: Collection[str] = ()) -> list[McpLink]:
        """Return the links to the servers of an agent, without those that are switched `off`."""
        names = [each.name for each in agent.servers if each.name not in off]
        return [self.links[name] for name in names if name in self.links]

    def with_tools(self, agent: A, off: Collection[str] = ()) -> A:
        """Return the agent with the tools that its servers offer now, after its own. `off`: servers to leave out."""
        if not agent.servers:
            return agent
        own = [each for each in agent.tools if not each.server]
        taken = {each.name for each in own}
        links = [each for each in self.of_agent(agent, off) if each.offered]
        found = [each for link in links for each in self._tools_of(link) if each.name not in taken]
        if able := [each for each in links if each.has_resources]:
            found += [each for each in self._readers_of(able) if each.name not in taken]
        made: Any = evolve(agent, tools=(*own, *found))  # type: ignore[misc]
        return made  # type: ignore[no-any-return]

    def stamp(self, agent: HasTools) -> object:
        """Return a value that changes when what `with_tools` adds to the agent does."""
        return tuple((each.version, each.offered, each.has_resources) for each in self.of_agent(agent))

    def _tools_of(self, link: McpLink) -> tuple[Tool, ...]:
        known = self._tools.get(link.name)
        if known is None or known[0] != link.version:
            made = tuple(make_tool(link, each) for each in link.definitions.values())
            known = self._tools[link.name] = link.version, made
        return known[1]

    def _readers_of(self, links: Sequence[McpLink]) -> tuple[Tool, ...]:
        """Return the tools that read resources of these servers."""
        names = tuple(each.name for each in links)
        if names not in self._readers:
            self._readers[names] = tuple(evolve(each, server=names[0]) for each in resource_tools(links))
        return self._readers[names]

    async def settle(self, agent: HasTools, off: Collection[str] = ()) -> None:
        """Wait until each server of the agent is ready or away, for `WAIT_S` at most."""
        with trio.move_on_after(WAIT_S):
            for each in self.of_agent(agent, off):
                await each.settled()

    def missing(self, agent: HasTools, off: Collection[str] = ()) -> list[str]:
        """Return a sentence for each server of the agent whose tools it does not have now."""
        return [
            f"The tools of the MCP server {each.name} are missing now: it cannot be reached."
            for each in self.of_agent(agent, off)
            if not each.offered and each.state is not LinkState.READY
        ]
