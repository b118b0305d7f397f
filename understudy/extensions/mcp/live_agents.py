"""Agents whose tools change while the server works, as their MCP servers change."""

from collections.abc import Callable, Iterator, Mapping

from understudy.agents.agent import Agent


class LiveAgents(Mapping[str, Agent]):
    """Agents by name, each with the tools that `with_tools` gives it, again whenever `stamp` returns something else."""

    def __init__(
        self, agents: Mapping[str, Agent], with_tools: Callable[[Agent], Agent], stamp: Callable[[Agent], object]
    ) -> None:
        self._agents, self._with_tools, self._stamp = agents, with_tools, stamp
        self._made: dict[str, tuple[object, Agent]] = {}

    def __getitem__(self, name: str) -> Agent:
        agent = self._agents[name]
        stamp, made = self._stamp(agent), self._made.get(name)
        if made is None or made[0] != stamp:
            made = self._made[name] = stamp, self._with_tools(agent)
        return made[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)
