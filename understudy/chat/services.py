"""What the actors of a chat are given to work with; put together in `understudy.app` and nowhere else."""

from collections.abc import Callable, Mapping
from typing import Protocol

from attrs import define

from actors import ActorRef
from sanitization import Scrubber
from transport.events import Envelope
from transport.limits import Limits
from understudy.agents.agent import Agent
from understudy.chat.attachments import Attachments
from understudy.chat.slots import Slots
from understudy.models.model import Model
from understudy.storage.store import Store
from understudy.tools.tool import ServerView


class Observer(Protocol):
    """Whoever counts what happens to runs."""

    def event(self, envelope: Envelope) -> None:
        """A durable event of a run was committed."""

    def tool_ended(self, tool: str, status: str, seconds: float) -> None:
        """A tool call ended."""


@define
class Services:
    """The parts of the house that conversations and runs use.

    `outboxes(owner)` gives the outboxes of all the user's live connections; `attachments(owner)` the user's files.
    `clock` gives Unix seconds. `summary_from` is the number of findings from which the user is told what was taken
    out; `silence_s` after how long without an event a run gives a sign of life; `idle_s` after how long without runs
    and followers a conversation ends.
    """

    store: Store
    agents: Mapping[str, Agent]
    model_of: Callable[[Agent], Model]
    scrubber: Scrubber
    limits: Limits
    slots: Slots[ActorRef]
    attachments: Callable[[str], Attachments]
    server: ServerView
    outboxes: Callable[[str], tuple[ActorRef, ...]]
    observer: Observer
    clock: Callable[[], float]
    summary_from: int = 1
    silence_s: float = 10.0
    idle_s: float = 300.0
