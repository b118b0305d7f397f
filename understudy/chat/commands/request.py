"""A command of a user as it came, and what its sender is told while it is carried out."""

from contextlib import AbstractContextManager
from functools import partial
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

from actors import ActorRef
from transport.auth.identity import Identity
from transport.wire.messages import Deliver
from understudy.chat.services import Services
from understudy.chat.storage_away import AWAY
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
    came, for the log. `by` is the operator who sends it in place of the user, None if the user does. `attempts` are the
    ids of the runs that attempts at it gave, `names` are added to those of the command in what its sender is told.
    """

    identity: Identity
    command: C
    outbox: ActorRef | None = None
    door: str = HTTP
    by: str | None = None
    attempts: list[str] = field(factory=list, init=False)
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
        shown = {name: value for name, value in names.items() if value is not None}
        progress = Envelope(AgentProgress(0, note), services.clock(), message=note).replace(**shown)
        self.outbox.try_tell(Deliver(progress))
