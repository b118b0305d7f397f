"""Gives a run's agents, before each turn, the tools that their MCP servers offer now."""

from attrs import define, field

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.run.meter import Ended
from understudy.chat.run.part import RunPart
from understudy.chat.run.work import RunWork
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.extensions.mcp.catalogue import McpCatalogue


@define(eq=False)
class ToolsOfServers(RunPart):
    """The part of a run that gives its agents their servers' tools. `missing` has a sentence per unreachable server."""

    catalogue: McpCatalogue
    missing: list[str] = field(factory=list, init=False)
    _settled: set[str] = field(factory=set, init=False)  # names of agents whose servers were waited for
    _said: set[str] = field(factory=set, init=False)  # sentences that were shown to the user

    async def begin(self, work: RunWork) -> None:
        """Give a hand-written agent, which has no turns of a model, its tools."""
        if work.agent.run is not None:
            await self._use_servers(work)

    async def before_turn(self, work: RunWork, number: int) -> Ended | None:
        """Give the agent the tools that its servers offer now, and tell the user which servers are missing."""
        await self._use_servers(work)
        return None

    async def note(self, work: RunWork) -> str:
        """Return the sentences about missing servers, for the model."""
        return "\n".join(self.missing)

    async def _use_servers(self, work: RunWork) -> None:
        """Update the agent's tools. Starting servers are awaited once, so that a resumed run has its tools."""
        catalogue, request, agent = self.catalogue, work.request, work.agent
        self.missing = []
        if not agent.servers:
            return
        off = await catalogue.off_in(request.owner, request.thread_id)
        if agent.name not in self._settled:
            self._settled.add(agent.name)
            await catalogue.settle(agent, off, request.owner)
        widget = request.settings.get(WIDGET_SETTING)
        if widget is None:
            equipped = catalogue.with_tools(agent, off, request.owner)
        else:
            equipped = catalogue.for_widget(agent, widget["server"], off, request.owner)
        if [id(tool) for tool in equipped.tools] != [id(tool) for tool in agent.tools]:
            work.equip_with(equipped)
        self.missing = catalogue.missing(equipped, off, request.owner)
        for sentence in self.missing:
            if sentence not in self._said and not work.past.agents:  # a resumed run has shown it before
                self._said.add(sentence)
                work.thoughts.publish(await work.services.content_filter.filter_output(sentence))


def tools_of_run(catalogue: McpCatalogue, _request: RunRequest, agent: Agent) -> ToolsOfServers | None:
    """Return the part of a run whose agent has servers or has colleagues, which may have some; else None."""
    return ToolsOfServers(catalogue) if agent.servers or agent.colleagues else None
