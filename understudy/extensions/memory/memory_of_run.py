"""Gives the models of a run the values that their agents remember about the user."""

from attrs import frozen

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.run.part import RunPart
from understudy.chat.run.work import RunWork
from understudy.extensions.memory.agent_memory import AgentMemories


@frozen
class MemoryOfRun(RunPart):
    """The part of a run that adds its agents' memory about the user to models' inputs."""

    memories: AgentMemories

    async def note(self, work: RunWork) -> str:
        """Return the memory of the agent at work; empty if it has none."""
        agent = work.agent
        if not agent.remembers:
            return ""
        memory = self.memories.of(work.request.owner, agent.notebook)
        return await memory.for_model(work.request.content, searchable=agent.tool("search_memory") is not None)


def memory_of_run(memories: AgentMemories, _request: RunRequest, agent: Agent) -> MemoryOfRun | None:
    """Return the part of a run whose agent remembers or has colleagues, which may remember; else None."""
    return MemoryOfRun(memories) if agent.remembers or agent.colleagues else None
