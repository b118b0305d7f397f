"""What the actors of a chat say to each other."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen

from actors import ActorRef, Ask
from transport.commands import Say
from transport.events import Block, Event
from understudy.chat.arc import Ending
from understudy.chat.routing import Route
from understudy.storage.rows import Step


@define(eq=False)
class Accept(Ask[str]):
    """To a conversation: take this message in. The answer is the id of its run.

    Fails with `CommandRejected` (`busy`, `storage_unavailable`, `not_found`): nothing was stored then.
    """

    must_finish = True

    say: Say
    route: Route
    run_id: str
    message_id: str
    outbox: ActorRef


@define(eq=False)
class FollowThread(Ask[None]):
    """To a conversation: send this outbox the thread's events after `after`, then every new one.

    Fails with `CommandRejected` (`not_found`) when the thread has no events.
    """

    must_finish = True

    outbox: ActorRef
    after: int


@define(eq=False)
class Record(Ask[None]):
    """To a conversation: commit these events and steps of a run, in order, then show them to the followers.

    `speaker` is the (agent_type, pillar) that the events come from. Fails with `StorageUnavailable`.
    """

    must_finish = True

    run_id: str
    events: Sequence[Event] = field(repr=False)
    speaker: tuple[str, str | None]
    steps: Sequence[Step] = field(default=(), repr=False)


@define(eq=False)
class Close(Ask[None]):
    """To a conversation: end this run as its arc demands; its work has stopped without an answer."""

    must_finish = True

    run_id: str
    ending: Ending
    sentence: str = ""
    error_id: str = ""


@define(eq=False)
class Delete(Ask[None]):
    """To a conversation: end what runs, delete the thread, and end. Fails with `StorageUnavailable`."""

    must_finish = True


@define(eq=False)
class CancelRun(Ask[bool]):
    """To a conversation: stop this run. The answer is False when it has ended already."""

    must_finish = True

    run_id: str


@frozen
class Delta:
    """To a conversation: the next piece of a run's answer, and the blocks it closed."""

    run_id: str
    text: str = field(repr=False)
    blocks: Sequence[Block] = field(default=(), repr=False)


@frozen
class Progress:
    """To a conversation: a sign of life from a run."""

    run_id: str
    note: str
    done: float = 0.0
    total: float | None = None


@frozen
class WantSnapshot:
    """To a conversation: this outbox has a hole in a running answer; send the text from its beginning."""

    outbox: ActorRef


@frozen
class SomebodyTypes:
    """To a conversation: its user is typing on the connection of this outbox."""

    outbox: ActorRef


@frozen
class SlotFree:
    """To a conversation: the place its run waited for is free, and taken for it."""

    run_id: str


@frozen
class Wake:
    """To a conversation: the store has this run as one without an end; see to it."""

    run_id: str


@frozen
class Stop:
    """To a run: end now; the user asked for it."""


@frozen
class Job:
    """All that a run needs to begin: the message it answers and who is to answer it."""

    run_id: str
    owner: str
    thread_id: str
    message_id: str
    content: str = field(repr=False)
    references: tuple[str, ...]
    agent: str
    findings: tuple[Any, ...] = field(default=(), repr=False)
