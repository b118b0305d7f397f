"""What the actors of a chat are given to work with; put together in `understudy.app.build` and nowhere else."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from attrs import define, field

from actors import ActorRef
from transport.connection.limits import Limits
from transport.wire.events import Envelope
from understudy.agents.agent import Agent
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.attachments import Attachments
from understudy.chat.memory import AgentMemory
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.storage_retry import StorageRetry
from understudy.chat.storage_waits import StorageWaits
from understudy.content.filter import ContentFilter
from understudy.models.model import Model
from understudy.storage.quotas import Quotas
from understudy.storage.store import Store
from understudy.tools.tool import ServerView


class RunMetrics(Protocol):
    """Whoever counts what happens to runs."""

    def event(self, envelope: Envelope, arrived_at: float | None = None) -> None:
        """A durable event of a run was committed; `arrived_at`: when the message came that it accepts, if known."""

    def feedback(self, rating: str | None) -> None:
        """A user rated an answer, or took that back."""

    def run_resumed(self, what: str) -> None:
        """A run that lost its server goes on (`resumed`), or cannot, and why."""

    def tool_ended(self, tool: str | None, status: str, seconds: float) -> None:
        """A tool call ended; `tool` None: the model asked for a tool that its agent does not have."""


def announce_nothing(owner: str, thread_id: str, after: int) -> None:
    """Announce nothing: there is no other server."""


@define
class Services:
    """The parts of the house that conversations and runs use.

    `outboxes(owner, thread_id)` gives the outboxes of the user's live connections that may be told of a thread;
    `attachments(owner)` the user's files; `server(owner, roles)` what the user may see of the server, by the roles they
    asked with. `clock` gives Unix seconds. `content_filter` filters every text. `summary_from`
    is the number of findings from which the user is told what was taken out; `silence_s` after how long without an
    event a run gives a sign of life; `idle_s` after how long without runs, and without followers on
    other servers, a conversation ends.
    `quotas` bounds what users store, None for no bounds. `memory(owner, agent)` is what an agent remembers of a user,
    `patience` lets messages wait for a database that is away.
    `moved(owner, thread_id, conversation)` is told when a conversation is ending whose followers are to go on with what
    is found of the thread then: another server has it, or it begins anew. `announce(owner, thread_id, after)` tells
    other servers that something happens in a thread after its event of that number. `waits` has what waits for the
    database, so that clients are given a sign.
    """

    store: Store
    agents: Mapping[str, Agent]
    model_of: Callable[[Agent], Model]
    content_filter: ContentFilter
    html: AnswerHtml
    limits: Limits
    limiter: RunLimiter[ActorRef]
    attachments: Callable[[str], Attachments]
    server: Callable[[str, Collection[str]], ServerView]
    outboxes: Callable[[str, str], tuple[ActorRef, ...]]
    metrics: RunMetrics
    clock: Callable[[], float]
    summary_from: int = 1
    silence_s: float = 10.0
    idle_s: float = 300.0
    on_relocated: Callable[[str, str, ActorRef], None] = field(default=lambda *_: None)
    announce: Callable[[str, str, int], None] = announce_nothing
    memory: Callable[[str, str], AgentMemory] | None = None
    storage_retry: StorageRetry | None = None
    quotas: Quotas | None = None
    storage_waits: StorageWaits = field(factory=StorageWaits)

    def forget(self, owner: str, thread_id: str) -> None:
        """Drop what this process remembers of a deleted thread: its placeholders, and the HTML of its answers."""
        self.content_filter.vault.forget(owner, thread_id)
        self.html.cache.clear_user(owner)
