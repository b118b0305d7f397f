"""The dependencies of the actors of a chat; put together in `understudy.app.build` and nowhere else."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import define, field

from actors import ActorRef
from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions, model_names
from understudy.chat.presence import Presence
from understudy.chat.run.abilities import abilities_tool
from understudy.chat.run.patience import Patience
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_settings import MessageSetting
from understudy.chat.stops import Stops
from understudy.chat.storage_away import StorageWaits
from understudy.chat.user_files import FilesOfUsers, UserFiles
from understudy.content.filter import ContentFilter
from understudy.extension import Parts
from understudy.models.registry import Models
from understudy.observe.health import RestrictedStatus, ServerStatus
from understudy.observe.run_metrics import RunMetrics
from understudy.storage.limits import Limits
from understudy.storage.store import Store
from understudy.tools.context import ToolContext
from understudy.tools.loop import ToolLoop
from understudy.tools.memory import Memories
from understudy.tools.tool import Tool

if TYPE_CHECKING:
    from understudy.chat.registry import ConversationRegistry


@define
class ChatSettings:
    """The settings of all conversations, and the `limits` of users and runs. `summary_from` is the number of findings
    from which the user is sent a summary. After `silence_s` without an event a run sends its progress; after `idle_s`
    without runs, and without subscribers on other nodes, a conversation stops. `undo`: users are offered the `undo` of
    tools, as an extension carries it out.
    """

    limits: Limits = field(factory=Limits)
    summary_from: int = 1
    silence_s: float = 10.0
    idle_s: float = 300.0
    undo: bool = False
    message: dict[str, MessageSetting] = field(factory=dict)
    """Settings of messages that extensions have, by name."""


@define
class Services:
    """The dependencies of conversations and runs.

    `presence` has the users' live connections. `clock` gives Unix seconds. `content_filter` filters every text.
    `on_relocated(owner, thread_id, conversation)` is called when a conversation stops whose subscribers are to go on
    with the next actor of the thread: another node owns it, it restarts from the log, or it was deleted, and there may
    be another thread of its id. `storage_waits` has the current waits for the database. `stops` are what operators have
    stopped, `permissions` who may use what. `parts` are what extensions have built, such as `FilesOfUsers`; the
    `ServerStatus` that tools read; and what not every server has: `Quotas` of what users store, `SpendingOfUsers`,
    `Memories`, and the `ToolLoop` on which users' async tools run, on this loop without it.
    """

    store: Store
    agents: Mapping[str, Agent]
    models: Models
    content_filter: ContentFilter
    limiter: RunLimiter[ActorRef]
    presence: Presence
    metrics: RunMetrics
    clock: Callable[[], float]
    settings: ChatSettings = field(factory=ChatSettings)
    on_relocated: Callable[[str, str, ActorRef], None] = field(default=lambda *_: None)
    storage_waits: StorageWaits = field(factory=StorageWaits)
    stops: Stops = field(factory=Stops)
    permissions: Permissions = field(factory=Permissions)
    parts: Parts = field(factory=Parts)

    conversations: "ConversationRegistry" = field(init=False)
    """The actors of the threads, set by what makes them."""

    @cached_property
    def default_agent(self) -> str:
        """The name of the agent that answers messages which name none."""
        return next(iter(self.agents))

    @cached_property
    def patience(self) -> Patience:
        """How long questions wait for their users."""
        return Patience(self.settings.limits)

    @cached_property
    def abilities(self) -> Tool:
        """The tool that lists what can be done without a language model, made with the first run that has it."""
        return abilities_tool(self.models)

    def attachments(self, owner: str) -> UserFiles:
        """Return the files of a user."""
        files = self.parts.find(FilesOfUsers)
        return UserFiles(owner) if files is None else files.of(owner)

    def models_of(self, agent: Agent) -> tuple[str, ...]:
        """Return the names of the models with which an agent works: those of a chain in their order."""
        return model_names(agent, self.models.default)

    def forget(self, owner: str, thread_id: str) -> None:
        """Drop the placeholders of a deleted thread."""
        self.content_filter.vault.forget(owner, thread_id)


def tool_context(
    services: Services,
    owner: str,
    thread_id: str,
    run_id: str,
    call_id: str,
    *,
    agent: str,
    notebook: str,
    roles: tuple[str, ...] = (),
) -> ToolContext:
    """Return the context of a call for the tool of an agent. It has no files, and can show and ask its user nothing."""
    loop = services.parts.find(ToolLoop)
    return ToolContext(
        owner=owner,
        thread_id=thread_id,
        run_id=run_id,
        call_id=call_id,
        references=(),
        files=services.attachments(owner),
        server=RestrictedStatus(services.parts[ServerStatus], owner, roles),
        progress=lambda *_: None,
        memory=(services.parts.find(Memories) or Memories()).of(owner, notebook),
        roles=roles,
        state=None if loop is None else loop.state(agent),
    )
