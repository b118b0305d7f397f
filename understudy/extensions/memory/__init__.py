"""Memory: agents remember values about a user between conversations; the user can see, change and delete them."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, TerminalCommands, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.web.context import WebContext


class MemoryOfAgents(Extension):
    """See the module."""

    name = "memory"
    about = "have agents remember facts about their user"

    def tables(self) -> "Sequence[Table]":
        """Return the table of remembered values."""
        from understudy.extensions.memory.tables import contexts

        return [contexts]

    def user_data(self) -> Sequence[UserData]:
        """Return the values that agents remember about a user."""
        from understudy.extensions.memory.storage import record_of
        from understudy.extensions.memory.tables import contexts

        return [UserData("contexts", contexts, record_of)]

    async def open(self, server: "WebContext") -> None:
        """Add the memories that tools use, and the note about them in models' inputs."""
        from understudy.extensions.memory.agent_memory import AgentMemories
        from understudy.extensions.memory.memory_of_run import memory_of_run
        from understudy.extensions.memory.storage import CHANGES, question_of
        from understudy.tools.memory import Memories

        services = server.services
        memories = AgentMemories(services.store, server.reads, services.content_filter, services.clock)
        server.reads.changed_by |= dict.fromkeys(CHANGES, question_of)
        server.parts.add(memories, Memories)
        server.parts.of_runs.append(partial(memory_of_run, memories))

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/memory`."""
        from understudy.extensions.memory.routes import blueprint

        return [blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actor that deletes expired values."""
        from actors import ChildSpec
        from understudy.extensions.memory.agent_memory import memory_expiry

        return [ChildSpec("expiry", partial(memory_expiry, server.store, server.services.clock))]

    def terminal(self) -> TerminalCommands:
        """`/memory` and `/forget` in a chat."""
        from understudy.extensions.memory.terminal import CHAT

        return TerminalCommands(chat=CHAT)


EXTENSION: Final = MemoryOfAgents()
