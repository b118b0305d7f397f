"""What agents remember of a user, told to the models of a run."""

from attrs import frozen

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.run.part import RunPart
from understudy.chat.run.work import RunWork
from understudy.extensions.memory.agent_memory import AgentMemories


@frozen
class MemoryOfRun(RunPart):
    """What agents of a run remember of their user, told to their models."""

    memories: AgentMemories

    async def note(self, work: RunWork) -> str:
        """Return what the agent at work remembers."""
        agent = work.agent
        if not agent.remembers:
            return ""
        memory = self.memories.of(work.job.owner, agent.notebook)
        return await memory.for_model(work.job.content, searchable=agent.tool("search_memory") is not None)


def memory_of_run(memories: AgentMemories, _job: RunRequest, agent: Agent) -> MemoryOfRun | None:
    """Return the part of a run whose agent remembers, or may hand it over to one that does."""
    return MemoryOfRun(memories) if agent.remembers or agent.colleagues else None
