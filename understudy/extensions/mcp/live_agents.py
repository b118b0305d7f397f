"""A mapping of agents whose tools follow the changing offers of their MCP servers."""

from collections.abc import Callable, Iterator, Mapping

from understudy.agents.agent import Agent


class LiveAgents(Mapping[str, Agent]):
    """Agents by name, each as `with_tools` returns it; it is called again when `stamp` of the agent has changed."""

    def __init__(
        self, agents: Mapping[str, Agent], with_tools: Callable[[Agent], Agent], stamp: Callable[[Agent], object]
    ) -> None:
        self._agents, self._with_tools, self._stamp = agents, with_tools, stamp
        self._made: dict[str, tuple[object, Agent]] = {}

    def __getitem__(self, name: str) -> Agent:
        agent = self._agents[name]
        stamp, entry = self._stamp(agent), self._made.get(name)
        if entry is None or entry[0] != stamp:
            entry = self._made[name] = stamp, self._with_tools(agent)
        return entry[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)
