"""Subagents: agents that other agents ask as tools (`Agent.as_tool`). Without it agents with such tools are refused."""

from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.web.context import WebContext


class AgentsAsTools(Extension):
    """See the module."""

    name = "subagents"
    about = "have agents ask other agents as tools"

    async def open(self, server: "WebContext") -> None:
        """Add the actor that carries out the calls of such tools."""
        from understudy.chat.run.call_attempt import AskedAgents
        from understudy.extensions.subagents.subagent import Subagent

        server.parts.add(AskedAgents(Subagent))


EXTENSION: Final = AgentsAsTools()
