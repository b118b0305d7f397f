"""A command of a user as it came, what its sender is told while it is carried out, and the checks that several commands
make before anything is changed: what a user may do, spend and refer to."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

from actors import ActorDied, ActorRef, Ask, AskTimeout, MailboxFull, StartFailed
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from transport.wire.messages import Deliver
from understudy.agents.permissions import FORBIDDEN, NotPermitted
from understudy.chat.conversation.thread_log import BUSY_S, RETRY_S
from understudy.chat.messages import Accept
from understudy.chat.routing import Route, find_agent
from understudy.chat.services import Services
from understudy.chat.spending import SpendingOfUsers
from understudy.chat.stops import stop_sentence
from understudy.chat.storage_away import AWAY
from understudy.storage.errors import StorageError
from understudy.storage.quotas import Quotas
from understudy.storage.records import Message, RunRecord
from understudy.wire.events import AgentProgress, Envelope

SOCKET: Final = "socket"
HTTP: Final = "http"
"""How a command came, for the log: over a connection of its own, or in an HTTP request."""
NAMES_SHOWN: Final = ("thread_id", "message_id", "conversation_id", "agent_type", "pillar")
"""Fields of a command that are repeated in a progress event which only its sender gets."""


C = TypeVar("C")


@frozen
class Accepted:
    """The ids of an accepted message or steer; of a repeated one those of the first time."""

    message_id: str
    run_id: str
    thread_id: str


@define(eq=False)
class Request(Generic[C]):
    """A `command` of the user whom the `identity` names.

    `outbox` is that of the connection which sent it; None if it came without a connection. `door` is the way that it
    came, for the log. `by` is the operator who sends it in place of the user, None if the user does. `attempts` are
    what conversations were asked to accept, each with another run id; `names` are added to those of the command in what
    its sender is told.
    """

    identity: Identity
    command: C
    outbox: ActorRef | None = None
    door: str = HTTP
    by: str | None = None
    attempts: list[Accept] = field(factory=list, init=False)
    names: dict[str, str | None] = field(factory=dict, init=False)

    @property
    def owner(self) -> str:
        """The user."""
        return self.identity.user

    @property
    def sender(self) -> str:
        """The user, or the operator."""
        return self.by or self.identity.user

    def waiting(self, services: Services) -> AbstractContextManager[None]:
        """Send the sender a progress event if the block, which waits for the database, takes long."""
        return services.storage_waits.notify_if_slow(partial(self.note, services, AWAY))

    def note(self, services: Services, note: str) -> None:
        """Send the sender a progress event."""
        if self.outbox is None:
            return
        names = {name: getattr(self.command, name, None) for name in NAMES_SHOWN} | self.names
        present = {name: value for name, value in names.items() if value is not None}
        progress = Envelope(AgentProgress(0, note), services.clock(), message=note).replace(**present)
        self.outbox.try_tell(Deliver(progress))


UNAVAILABLE: Final = (StorageError, StartFailed, AskTimeout, ActorDied, MailboxFull)
"""Errors that mean that the conversation cannot be asked now; the client is advised to retry."""


def refusal(error: Exception) -> CommandRejected:
    """Return what to tell a client if its conversation cannot be asked now. One that has not answered yet is busy."""
    if isinstance(error, AskTimeout | MailboxFull):
        return CommandRejected("busy", retry_after=BUSY_S)
    return CommandRejected("storage_unavailable", retry_after=RETRY_S)


def pillars(identity: Identity, services: Services) -> Mapping[str, str | None]:
    """Return the pillars of the agents that a user may use, by name; the others do not exist for them."""
    usable = services.permissions.usable(services.agents, identity)
    return {name: agent.pillar for name, agent in usable.items()}


def check_agent(identity: Identity, name: str, services: Services) -> None:
    """Refuse a message for an agent that is stopped, or that asks a model which the user may not use.

    Raises:
        CommandRejected: See above (`stopped`, `forbidden`).
    """
    agent = services.agents[name]
    if (stop := services.stops.find(("agent", name))) is not None:
        raise CommandRejected("stopped", stop_sentence(stop))
    if agent.run is None:
        try:
            services.permissions.check_models(services.models_of(agent), identity)
        except NotPermitted as denied:
            raise CommandRejected(FORBIDDEN, str(denied)) from denied


async def check_limits(identity: Identity, services: Services, stored: str | None = None) -> None:
    """Refuse what a user has no room to store, or may not spend. `stored` is the text, None if it is there already.

    Raises:
        CommandRejected: `quota_exceeded`.
        StorageUnavailable: It cannot be known.
    """
    parts = services.parts
    if stored is not None and (quotas := parts.find(Quotas)) is not None:
        await quotas.check_message(identity.user, stored)
    if (spending := parts.find(SpendingOfUsers)) is not None:
        await spending.check(identity)


async def own_run(owner: str, run_id: str, services: Services) -> RunRecord:
    """Return a run of a user. Raises CommandRejected (`not_found`)."""
    run = await services.store.run(run_id)
    if run is None or run.owner != owner:
        raise CommandRejected("not_found", "There is no run of that name.")
    return run


async def own_message(owner: str, message_id: str, role: str, services: Services) -> Message:
    """Return a message of a user, or an answer to one. Raises CommandRejected (`not_found`)."""
    message = await services.store.message(owner, message_id) if message_id else None
    if message is None or message.role != role:
        noun = "answer" if role == "assistant" else "message of yours"
        raise CommandRejected("not_found", f"There is no {noun} of that name.")
    return message


async def route_of(identity: Identity, message: Message, services: Services) -> Route:
    """Return the route of a stored message, which its edits and new answers take too."""
    agent = find_agent(message.agent_type, message.pillar, pillars(identity, services), services.default_agent)
    run = await services.store.run(message.run_id or "")
    conversation_id = (run.conversation_id if run is not None else None) or f"{agent}_{identity.session}"
    return Route(agent, message.agent_type, message.pillar, message.thread_id, conversation_id)


async def ask_open(
    owner: str, run: RunRecord | None, ask: Callable[[], Ask[bool]], unknown: str, services: Services
) -> None:
    """Ask the conversation of a run. Raises `not_found` if it is not an open one of the user, or it says no."""
    if (
        run is None
        or run.owner != owner
        or run.ended_at is not None
        or not await services.conversations.ask(owner, run.thread_id, ask)
    ):
        raise CommandRejected("not_found", unknown)
