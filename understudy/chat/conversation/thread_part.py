"""What an extension does in the conversations of threads."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from attrs import define, frozen

from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.run_queue import RunQueue
from understudy.chat.conversation.thread_log import ThreadLog
from understudy.chat.conversation.workers import Workers
from understudy.chat.messages import RunRequest
from understudy.storage.changes import Change
from understudy.storage.records import RunRecord, StepRecord
from understudy.storage.store import Store
from understudy.wire.events import Envelope

if TYPE_CHECKING:
    from sqlalchemy import Select

Unfinished: TypeAlias = "tuple[Select[tuple[str]], ...]"
"""Queries for the ids of runs."""

ReadAcceptance: TypeAlias = Callable[[Store, str, str, Any], Awaitable[Envelope | None]]
"""Of the store, the owner, the thread's id, and what was asked."""


@define(eq=False)
class ThreadPart:
    """What an extension does in the conversation of one thread, which makes it when it starts.

    Its methods are called in the turn of the thread. It overrides those that it needs, and may raise the errors of
    `ThreadLog` by which a conversation ends, but no others.
    """

    messages: ClassVar[tuple[type[Any], ...]] = ()
    """What other actors ask of it. On another node than the thread's these are forwarded."""
    acceptances: ClassVar[Mapping[type[Any], ReadAcceptance]] = {}
    """What reads the event by which such a message was accepted: a connection of another node may lack it."""
    unfinished: ClassVar["Select[tuple[str]] | None"] = None
    """The ids of the ended runs of which it has something to finish, as their steps say."""

    thread: ThreadLog
    workers: Workers
    queue: RunQueue

    def handlers(self) -> Mapping[type[Any], Callable[[Any], Awaitable[None]]]:
        """Return what handles its messages, and those that it sends itself by `workers.call_later`."""
        return {}

    @property
    def at_work(self) -> Collection[str]:
        """The ended runs of which it is finishing something: the conversation does not stop before that."""
        return ()

    async def resume(self, run: RunRecord, steps: Sequence[StepRecord]) -> None:
        """Go on with what a server has begun that died since; `steps` are those of an ended run."""

    def suspended(self) -> Sequence[StepRecord]:
        """Return the steps of what it has begun and a stop of the server interrupts, to be stored."""
        return ()

    def clear(self) -> None:
        """Forget all of the thread, which is deleted."""

    def committed(self, change: Change, began_at: float, error: BaseException | None) -> None:
        """Take note of a commit of the thread that began then (Unix seconds), and of the error with which it failed."""

    def run_starts(self, active: ActiveRun) -> None:
        """Take note that a run has started."""

    async def run_ends(self, active: ActiveRun) -> None:
        """Act on the end of a run before it is committed. Raises `StorageUnavailable`: the end is tried again later."""

    async def run_answered(self, request: RunRequest) -> None:
        """Take note that a run has ended with an answer, and no other waits."""


@frozen
class ThreadHooks:
    """The parts of a thread, by the hooks that they have."""

    committed: tuple[ThreadPart, ...] = ()
    run_starts: tuple[ThreadPart, ...] = ()
    run_ends: tuple[ThreadPart, ...] = ()
    run_answered: tuple[ThreadPart, ...] = ()


def unfinished(parts: "Iterable[type[ThreadPart]]") -> Unfinished:
    """Return what finds the runs of which these parts have something to finish."""
    return tuple(part.unfinished for part in parts if part.unfinished is not None)
