"""The links to all MCP servers that agents name, and agents with the tools that these servers offer now."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import trio
from attrs import define, evolve, field

from actors import Backoff, ChildSpec
from understudy.agents.agent import Agent
from understudy.agents.tool_servers import ToolServers
from understudy.extensions.mcp import servers_off
from understudy.extensions.mcp.errors import SignedOut
from understudy.extensions.mcp.link import SHUTDOWN_S, WAIT_S, LinkState, McpActor, McpLink
from understudy.extensions.mcp.offer import Clean, keep
from understudy.extensions.mcp.tools import make_tool, resource_tools
from understudy.extensions.mcp.user_links import UserLink, UserLinks
from understudy.storage.store import Store
from understudy.tools.errors import ToolError
from understudy.tools.mcp_server import McpServer
from understudy.tools.tool import Tool

BACKOFF: Final = Backoff(min_s=0.2, max_s=30.0)
"""Delay before the connection to a server is made again."""


@define(eq=False)
class McpCatalogue(ToolServers):
    """The `links` to all servers by name, except those at which users sign in (`signing_in`): `users` has each user's
    links to these. `keepers` are the actors that keep sign-ins alive."""

    links: Mapping[str, McpLink] = field(factory=dict)
    signing_in: Mapping[str, McpServer] = field(factory=dict)
    store: Store | None = None
    users: UserLinks | None = field(default=None, init=False)
    keepers: list[ChildSpec] = field(factory=list, init=False)

    @classmethod
    def of(cls, servers: Iterable[McpServer], clean: Clean = keep, store: Store | None = None) -> "McpCatalogue":
        """Build the links to these servers. Raises ValueError if two different ones have the same name."""
        by_name: dict[str, McpServer] = {}
        for server in servers:
            if by_name.setdefault(server.name, server) != server:
                raise ValueError(
                    f"two different MCP servers are called {server.name!r}; give one another name with mcp(…, name='…')"
                )
        return cls(
            {name: McpLink(of_name, clean) for name, of_name in by_name.items() if not of_name.per_user},
            {name: of_name for name, of_name in by_name.items() if of_name.per_user},
            store,
        )

    async def off_in(self, owner: str, thread_id: str) -> list[str]:
        """Return the names of the servers that a user has switched off in a thread. Raises StorageUnavailable."""
        return [] if self.store is None else await self.store.read(servers_off.servers_off, owner, thread_id)

    async def switch(self, owner: str, thread_id: str, server: str, *, on: bool) -> None:
        """Switch a server off in a thread of a user, or on again. Raises NotStored without such a thread."""
        if self.store is not None:
            await self.store.commit(servers_off.set_server_on(owner, thread_id, server, on))

    def show_widgets(self) -> None:
        """Have the servers told that user interfaces of their tools are shown. Call it before any is connected."""
        for link in self.links.values():
            link.widgets = True
        if self.users is not None:
            self.users.widgets = True

    def children(self) -> list[ChildSpec]:
        """Return the actors that keep the servers connected."""
        actors = [
            ChildSpec(name, partial(McpActor, link), shutdown_s=SHUTDOWN_S, backoff=BACKOFF)
            for name, link in self.links.items()
        ]
        return [*actors, *self.keepers]

    def of_agent(self, agent: Agent, off: Collection[str] = (), owner: str | None = None) -> list[McpLink]:
        """Return the links to the servers of an agent, except those switched `off`.

        Without an `owner`, servers at which users sign in are left out.
        """
        links: list[McpLink] = []
        for server in agent.servers:
            if server.name in off:
                continue
            if server.name in self.links:
                links.append(self.links[server.name])
            elif owner is not None and self.users is not None and server.name in self.signing_in:
                links.append(self.users.of(server, owner))
        return links

    def with_tools(self, agent: Agent, off: Collection[str] = (), owner: str | None = None) -> Agent:
        """Return the agent with the tools that its servers offer now, after its own. `off`: servers to leave out.

        With an `owner` it also has the tools of servers at which this user is signed in, and for each other server at
        which users sign in a tool to do so.
        """
        if not agent.servers:
            return agent
        local = [tool for tool in agent.tools if not tool.server]
        names = {tool.name for tool in local}
        of_agent = self.of_agent(agent, off, owner)
        links = [link for link in of_agent if link.offered]
        tools = [tool for link in links for tool in self._tools_of(link) if tool.name not in names]
        if with_resources := [link for link in links if link.offer.has_resources]:
            tools += [tool for tool in self._readers_of(with_resources) if tool.name not in names]
        tools += [
            link.sign_in_tool()
            for link in of_agent
            if isinstance(link, UserLink) and link.state is LinkState.SIGNED_OUT and not link.offer.tools
        ]
        return agent.with_tools((*local, *tools))

    def for_widget(self, agent: Agent, server: str, off: Collection[str] = (), owner: str | None = None) -> Agent:
        """Return the agent with the tools that user interfaces of this server may call now, and no others."""
        links = [link for link in self.of_agent(agent, off, owner) if link.name == server and link.offered]
        tools = [make_tool(link, tool) for link in links for tool in link.offer.tools.values() if tool.for_widgets]
        return agent.with_tools(tools)

    def stamp(self, agent: Agent) -> object:
        """Return a value that changes when `with_tools` would return another agent."""
        return tuple((link.offer.version, link.offered, link.offer.has_resources) for link in self.of_agent(agent))

    def _tools_of(self, link: McpLink) -> tuple[Tool, ...]:
        def make() -> tuple[Tool, ...]:
            return tuple(make_tool(link, tool) for tool in link.offer.tools.values() if tool.for_model)

        return link.offer.cached("tools", link.offer.version, make)

    def _readers_of(self, links: Sequence[McpLink]) -> tuple[Tool, ...]:
        """Return the tools that read resources of these servers."""

        def make() -> tuple[Tool, ...]:
            return tuple(evolve(tool, server=links[0].name) for tool in resource_tools(links))

        return links[0].offer.cached("readers", tuple(links), make)

    async def settle(self, agent: Agent, off: Collection[str] = (), owner: str | None = None) -> None:
        """Wait until each server of the agent is ready or away, at most `WAIT_S`.

        The `owner`'s connections to servers at which users sign in are opened. Raises `StorageUnavailable`.
        """
        links = self.of_agent(agent, off, owner)
        for link in links:
            if isinstance(link, UserLink):
                with suppress(SignedOut, ToolError):
                    await link.wake()
        with trio.move_on_after(WAIT_S):
            for link in links:
                await link.settled()

    def missing(self, agent: Agent, off: Collection[str] = (), owner: str | None = None) -> list[str]:
        """Return a sentence for each server whose tools the agent lacks now."""
        return [
            f"The tools of the MCP server {link.name} are missing now: {_why(link)}"
            for link in self.of_agent(agent, off, owner)
            if not link.offered and (link.state is not LinkState.READY or link.offer.unread)
        ]


def _why(link: McpLink) -> str:
    if link.offer.unread:
        return link.offer.unread
    return "you are not signed in there." if link.state is LinkState.SIGNED_OUT else "it cannot be reached."
