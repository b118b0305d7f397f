"""The dependencies of the actors of a chat; put together in `understudy.app.build` and nowhere else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from attrs import define, field

from actors import ActorRef
from transport.connection.limits import Limits
from transport.wire.events import Envelope, Usage
from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions, model_names
from understudy.chat.attachments import Attachments
from understudy.chat.memory import AgentMemory
from understudy.chat.run.patience import Patience
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.stops import Stops
from understudy.chat.storage_away import StorageWaits
from understudy.chat.webhooks import WebhookRules
from understudy.content.filter import ContentFilter
from understudy.models.prices import PriceTable
from understudy.models.registry import Models
from understudy.observe.traces import Traces
from understudy.storage.quotas import Quotas
from understudy.storage.spending_limits import SpendingLimits
from understudy.storage.store import Store
from understudy.tools.context import ServerView, ToolContext
from understudy.tools.loop import ToolLoop
from understudy.tools.mcp.catalogue import McpCatalogue
from understudy.tools.memory import Notebook


class RunMetrics(Protocol):
    """Hooks that count what happens to runs."""

    def event(
        self, envelope: Envelope, arrived_at: float | None = None, owner: str = "", *, watched: bool = False
    ) -> float | None:
        """Count a committed event of a run of `owner`; `arrived_at` is when the message came that it accepts, if
        known; `watched`: a client of the user is connected. Return how many seconds the run took, if the event ends it
        and its beginning is known."""

    def passing(self, envelope: Envelope) -> None:
        """Record an event that is not committed, such as a piece of an answer."""

    def repeated(self) -> None:
        """Count a message that a client sent again though it had been accepted."""

    def feedback(self, rating: str | None) -> None:
        """Count a rating of an answer; None: the rating was withdrawn."""

    def run_resumed(self, what: str) -> None:
        """Count a run that lost its server: `resumed`, or the reason why it cannot be."""

    def model_answered(self, model: str, seconds: float) -> None:
        """Record how long a turn of a model took, also if it failed or was cut off."""

    def model_used(self, model: str, usage: Usage) -> None:
        """Count the words or tokens of a model's turn, and what they cost if their price is known."""

    def tool_ended(self, tool: str | None, status: str, seconds: float) -> None:
        """Count a tool call that ended; `tool` None: the model asked for a tool that its agent does not have."""


@define
class Services:
    """The dependencies of conversations and runs.

    `outboxes(owner, thread_id)` gives the outboxes of the user's live connections that may receive a thread, None: all
    threads;
    `users()` gives the users with live connections;
    `attachments(owner)` the user's files; `server(owner, roles)` the view of the server that these roles allow. `clock`
    gives Unix seconds. `content_filter` filters every text. `summary_from` is the number of findings from which the
    user is sent a summary; after `silence_s` without an event a run sends its progress; after `idle_s` without runs,
    and without subscribers on other nodes, a conversation stops.
    `quotas` bounds what users store, None for no bounds. `memory(owner, agent)` is the memory of an agent about a user,
    `on_relocated(owner, thread_id, conversation)` is called when a conversation stops whose subscribers are to go on
    with the next actor of the thread: another node owns it, it restarts from the log, or it was deleted, and there may
    be another thread of its id.
    `announce(owner, thread_id, after)` tells other nodes that a thread has events after that number; None on a single
    node. `storage_waits` has the current waits for the database. `prices` are those of models. `spending` bounds what
    users spend in a day, None for no bounds. `webhooks` are the rules for addresses that messages name, None if the
    server calls none. Users' async tools run on `tool_loop`, or on this loop if it is None; agents of other frameworks
    on `asyncio_loop`.
    `mcp` has the MCP servers of agents. `widgets`: clients are told of the user interfaces that their tools have.
    `titles`: models that can make titles are asked for those of threads. `stops` are what operators have stopped,
    `permissions` who may use what. `traces` collects the spans of runs, None if nothing is traced.
    """

    store: Store
    agents: Mapping[str, Agent]
    models: Models
    content_filter: ContentFilter
    limits: Limits
    limiter: RunLimiter[ActorRef]
    attachments: Callable[[str], Attachments]
    server: Callable[[str, Collection[str]], ServerView]
    outboxes: Callable[[str, str | None], tuple[ActorRef, ...]]
    users: Callable[[], Sequence[str]]
    metrics: RunMetrics
    clock: Callable[[], float]
    summary_from: int = 1
    silence_s: float = 10.0
    idle_s: float = 300.0
    on_relocated: Callable[[str, str, ActorRef], None] = field(default=lambda *_: None)
    announce: Callable[[str, str, int], None] | None = None
    memory: Callable[[str, str], AgentMemory] | None = None
    quotas: Quotas | None = None
    storage_waits: StorageWaits = field(factory=StorageWaits)
    prices: PriceTable = field(factory=PriceTable)
    spending: SpendingLimits | None = None
    webhooks: WebhookRules | None = None
    tool_loop: ToolLoop | None = None
    asyncio_loop: ToolLoop | None = None
    mcp: McpCatalogue = field(factory=McpCatalogue)
    widgets: bool = False
    titles: bool = False
    stops: Stops = field(factory=Stops)
    traces: Traces | None = None
    permissions: Permissions = field(factory=Permissions)

    patience: Patience = field(init=False)
    """How long questions wait for their users."""

    def __attrs_post_init__(self) -> None:
        self.patience = Patience(self.limits)

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
    memory, loop = services.memory, services.tool_loop
    return ToolContext(
        owner=owner,
        thread_id=thread_id,
        run_id=run_id,
        call_id=call_id,
        references=(),
        files=services.attachments(owner),
        server=services.server(owner, roles),
        progress=lambda *_: None,
        memory=Notebook() if memory is None else memory(owner, notebook),
        roles=roles,
        state=None if loop is None else loop.state(agent),
    )
