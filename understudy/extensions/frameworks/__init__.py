"""Frameworks: runs agents of other frameworks. Each framework has a module, which needs the framework's package.

Users import the module of their framework. All modules share `work`, and see a run by `understudy.agents.framework`.
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
        """Return the table of runs' states, a row per entry."""
        from understudy.extensions.frameworks.tables import agent_states

        return [agent_states]

    def user_data(self) -> Sequence[UserData]:
        """Return the states of a user's runs, with their bytes as Base64."""
        from understudy.extensions.frameworks.tables import agent_states

        columns = ("run_id", "key", "body", "updated_at")  # a body has at most 8 MiB
        return [UserData("agent_states", agent_states, lambda row: {name: row._mapping[name] for name in columns}, 4)]

    def models(self) -> "Mapping[str, Callable[..., Model]]":
        """Return the clients of models that Pydantic AI asks: of Google, Cohere and Amazon."""
        from understudy.extensions.frameworks import pydantic_ai_model as models

        return {"gemini": models.gemini, "converse": models.converse, "cohere": models.cohere}

    async def open(self, server: "WebContext") -> None:
        """Open the asyncio loop for agents of other frameworks, if the server has any."""
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
        """Return the actor that watches the asyncio loop; none without a loop."""
        from understudy.extensions.frameworks.asyncio_thread import AsyncioLoop
        from understudy.tools.loop import ToolLoopActor

        loop = server.parts.find(AsyncioLoop)
        return [] if loop is None else [ChildSpec("loop", partial(ToolLoopActor, loop))]


EXTENSION: Final = Frameworks()
