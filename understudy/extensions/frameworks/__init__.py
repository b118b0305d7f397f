"""Agents of other frameworks, one module each. They hold what is particular to a framework, whose extra may be missing.

A module is imported by those who use its framework. All share `work`; `understudy.agents.framework` shows them a run.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from actors import ChildSpec
from understudy.extension import Extension, UserData

if TYPE_CHECKING:
    from sqlalchemy import Table

    from understudy.models.model import Model
    from understudy.web.context import WebContext


class Frameworks(Extension):
    """See the module."""

    name = "frameworks"
    about = "run agents of other frameworks"
    requires = ("providers",)

    def tables(self) -> "Sequence[Table]":
        """A row an entry of a run's state."""
        from understudy.extensions.frameworks.tables import agent_states

        return [agent_states]

    def user_data(self) -> Sequence[UserData]:
        """The checkpoints of runs, their bytes as Base64."""
        from understudy.extensions.frameworks.tables import agent_states

        shown = ("run_id", "key", "body", "updated_at")  # of at most 8 MiB each
        return [UserData("agent_states", agent_states, lambda row: {name: row._mapping[name] for name in shown}, 4)]

    def models(self) -> "Mapping[str, Callable[..., Model]]":
        """Models that Pydantic AI asks: of Google, Cohere, and those of Amazon."""
        from understudy.extensions.frameworks import pydantic_ai_model as models

        return {"gemini": models.gemini, "converse": models.converse, "cohere": models.cohere}

    async def open(self, server: "WebContext") -> None:
        """Open the loop on which such agents run, if there are any."""
        from understudy.agents.agent import with_subagents

        if not any("frameworks" in agent.extensions for agent in with_subagents(server.agents.values()).values()):
            return
        from understudy.chat.run.hand_written import FrameworkRuns
        from understudy.extensions.frameworks.asyncio_thread import AsyncioLoop, AsyncioThread
        from understudy.extensions.frameworks.framework_run import FrameworkRun

        loop = AsyncioLoop({}, asyncio=False, thread=AsyncioThread)
        await loop.open(server.status.system)
        server.parts.add(loop)
        server.parts.add(FrameworkRuns(FrameworkRun))
        server.parts.closing.push_async_callback(loop.close)

    def children(self, server: "WebContext") -> Sequence[ChildSpec]:
        """What watches the loop."""
        from understudy.extensions.frameworks.asyncio_thread import AsyncioLoop
        from understudy.tools.loop import ToolLoopActor

        loop = server.parts.find(AsyncioLoop)
        return [] if loop is None else [ChildSpec("loop", partial(ToolLoopActor, loop))]


EXTENSION: Final = Frameworks()
