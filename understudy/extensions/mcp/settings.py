"""The setting of MCP servers at which users sign in."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from understudy.agents.agent import Agent
    from understudy.app.settings import Settings
    from understudy.cli.check_result import CheckResult


@frozen
class McpSettings:
    """Where users may sign in."""

    private: bool = False
    """Whether the authorization servers of MCP servers may have private addresses, and http."""

    def checks(self, _: "Settings", agents: "Sequence[Agent]", offline: bool) -> "Iterator[CheckResult]":
        """Yield the results of connecting to the MCP servers of agents, as the server would; none if `offline`."""
        if not offline:
            from understudy.extensions.mcp.check import check_mcp_servers

            yield from check_mcp_servers(agents, private=self.private)
