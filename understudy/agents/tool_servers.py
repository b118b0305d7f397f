"""What a run needs of the servers whose tools its agent has, as an extension brings them."""

from collections.abc import Collection

from understudy.agents.agent import Agent


class ToolServers:
    """Servers of tools by name; here there are none. `off` are those that a user has switched off in a thread."""

    async def off_in(self, owner: str, thread_id: str) -> list[str]:
        """Return the names of the servers that a user has switched off in a thread. Raises as `Store.read`."""
        return []

    async def switch(self, owner: str, thread_id: str, server: str, *, on: bool) -> None:
        """Switch a server off in a thread of a user, or on again. Raises NotStored if there is no such thread."""

    async def settle(self, agent: Agent, off: Collection[str] = (), owner: str | None = None) -> None:
        """Wait for a while until each server of the agent is ready or away. Raises `StorageUnavailable`."""

    def with_tools(self, agent: Agent, off: Collection[str] = (), owner: str | None = None) -> Agent:
        """Return the agent with the tools that its servers offer now, to this `owner`, after its own."""
        return agent

    def for_widget(self, agent: Agent, server: str, off: Collection[str] = (), owner: str | None = None) -> Agent:
        """Return the agent with the tools that user interfaces of this server may call now, and no others."""
        return agent

    def missing(self, agent: Agent, off: Collection[str] = (), owner: str | None = None) -> list[str]:
        """Return a sentence for each server of the agent whose tools it does not have now."""
        return []
