"""The inbox of an actor: the current message, the queues served before the lanes, the lanes, and the open calls.

1. The control queue comes first, then redelivered messages, then the lanes of the mailbox.
2. A request whose caller waits ends in that caller as an error, and is no dead letter.
3. A message lost in any other way becomes a dead letter, once.
4. A message that crashed its actor is handled again only if the spec has `redeliver`, and then at most that many times;
   the last failure makes it a dead letter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

from .ask import ActorDied, Ask, Call, call_of, death
from .context_propagation import ContextPropagator
from .errors import MailboxFull
from .events import DeadLetter
from .exit_reasons import Exit
from .lanes import Lane, LaneQueue, Overflow
from .mailbox import Barrier, Mailbox, MailboxSpec
from .redelivery import RedeliveryQueue, StashEntry, StashQueue, by_age

DEFAULT_MAILBOX = MailboxSpec()


class ActorInbox(Mailbox):
    """The mailbox of an actor, kept through all its restarts. `lose` takes its dead letters."""

    __slots__ = (
        "calls", "control", "current", "current_is_control", "lose", "path", "redeliveries", "stashed_current",
        "stashes",
    )  # fmt: skip

    def __init__(self, path: str, lose: Callable[[DeadLetter], None], carrier: ContextPropagator | None = None) -> None:
        Mailbox.__init__(self, DEFAULT_MAILBOX, carrier)
        self.path: str = path
        self.lose: Callable[[DeadLetter], None] = lose
        self.control: deque[Any] | None = None
        """Timers, requests to a supervisor and urgent notices: served before all lanes, never refused."""
        self.redeliveries: RedeliveryQueue | None = None
        """Messages to handle before the mailbox: unstashed ones, and ones that an incarnation crashed on."""
        self.stashes: list[StashQueue] | None = None
        """The messages that the running incarnation has set aside."""
        self.calls: dict[Call, None] | None = None
        """The asks that wait for an answer of this actor."""
        self.current: object = None
        """The message being handled, or None."""
        self.current_is_control: bool = False
        """True if the current message was served before all lanes, or is a notice."""
        self.stashed_current: StashEntry | None = None
        """The stash entry of the current message, if the actor has stashed it."""

    @property
    def message_type(self) -> str | None:
        """The type name of the current message, or None."""
        return None if self.current is None else type(self.current).__name__

    # Arrival

    def is_unique(self, message: object) -> bool:
        """Whether a caller waits for an answer to this message."""
        return call_of(message) is not None

    def overflow(self, queue: LaneQueue, message: object, died: Callable[[], ActorDied], why: str) -> None:
        """Handle a message that `tell` could not append: the lane is full or conflates, or takes no more messages.

        In the last case `died` makes the error for a caller, and `why` is the reason in the dead letter. Raises
        `MailboxFull` if the policy is `WAIT` or `REJECT`, and `WrongLoop`.
        """
        self.check_loop()
        lane = queue.lane.name.lower()
        if self.closed:
            self._lose(lane, message, why, died())
        elif queue.replace(message):
            self.wake()
        elif queue.overflow in (Overflow.WAIT, Overflow.REJECT):
            queue.rejected += 1
            raise MailboxFull(self.path, lane, queue.bound)
        else:
            lost = queue.displace(message)
            self._lose(lane, lost, "overflow", MailboxFull(self.path, lane, queue.bound))

    # Queued messages

    def has_work(self) -> bool:
        """Whether a message waits, or a request that outlives an incarnation."""
        asked = any(isinstance(item, Ask) for item in self.control or ())
        return asked or bool(self.redeliveries) or self.has_messages()

    def holds(self, request: object) -> bool:
        """Whether the request is being handled, or waits to be."""
        if self.current is request or any(queued is request for queued in self.waiting()):
            return True
        return any(item is request for item in (*(self.control or ()), *(entry.message for entry in self.entries())))

    def withdraw(self, request: object) -> None:
        """Take back a request that the actor has not taken yet."""
        if self.control:
            self.control = deque(item for item in self.control if item is not request)
        self.remove(request)
        if self.stashes is not None or self.redeliveries is not None:
            self.discard(request)

    # Stashed and redelivered

    def entry_of_current(self, message: object, *, lasting: bool = True) -> StashEntry:
        """Return the entry of `message` if it is current and was unstashed or redelivered, else a new one."""
        entry = None if self.redeliveries is None else self.redeliveries.current
        if entry is not None and entry.message is message:
            return entry
        values = () if self.propagator is None else self.propagator.current_values()
        of_control = self.current_is_control and self.current is message
        return StashEntry(message, values, lasting=lasting and not of_control)

    def entries(self) -> list[StashEntry]:
        """Return all stashed and unstashed entries, the oldest first."""
        return sorted((*chain.from_iterable(self.stashes or ()), *(self.redeliveries or ())), key=by_age)

    def redeliver(self, entries: Sequence[StashEntry]) -> None:
        """Add a non-empty, age-sorted batch of entries to the redelivery queue."""
        if self.redeliveries is None:
            self.redeliveries = RedeliveryQueue()
        self.redeliveries.merge(entries)

    def redeliver_crashed(self, error: str, most: int) -> None:
        """Queue the message that crashed the incarnation for the next one, or bury it after more than `most` tries.

        Timers, notices and requests whose callers waited are not redelivered.
        """
        message = self.current
        if message is None or self.current_is_control or call_of(message) is not None:
            return
        entry = self.entry_of_current(message)
        entry.history = (*entry.history, error)
        if len(entry.history) > most:
            self.lose(DeadLetter(self.path, "again", message, "poison", entry.history))
        else:
            self.redeliver([entry])

    def discard(self, message: object) -> None:
        """Remove a message, found by identity, from the stashes and the redelivery queue."""
        queues = [*(self.stashes or ())]
        if self.redeliveries is not None:
            queues.append(self.redeliveries)
        for queue in queues:
            for entry in tuple(queue):
                if entry.message is message:
                    queue.remove(entry)

    def discard_failed(self) -> None:
        """Remove the entry of the current message, whose handling failed, if the actor had stashed it.

        Other entries of the same object, such as a constant that is sent repeatedly, are messages of their own and
        stay.
        """
        entry, self.stashed_current = self.stashed_current, None
        if entry is None:
            return
        for queue in (*(self.stashes or ()), *((self.redeliveries,) if self.redeliveries is not None else ())):
            if entry in queue:
                queue.remove(entry)

    # Between two incarnations

    def carry_over(self, *, failed: bool) -> None:
        """Move the lasting entries of an ended incarnation to the next one, except the message that it crashed on."""
        if failed:
            self.discard_failed()
        lasting = [entry for entry in self.entries() if entry.lasting]
        for entry in lasting:
            entry.stash = None
        for stash in self.stashes or ():
            stash.clear()
        self.stashes = None
        if self.redeliveries is not None:
            self.redeliveries.clear()
        if lasting:
            self.redeliver(lasting)

    def let_go(self) -> None:
        """Clear the current message, and its entry in the stash or the redelivery queue."""
        self.current = self.stashed_current = None
        self.current_is_control = False
        if self.redeliveries is not None:
            self.redeliveries.current = None

    def renew(self) -> None:
        """Prepare for the next incarnation: of the control queue, keep only requests whose callers still wait."""
        self.let_go()
        self.barriers: deque[Barrier] | None = None
        if self.control:
            self.control = deque(item for item in self.control if isinstance(item, Ask) and item.waiting) or None

    # End

    def calls_in_work(self) -> dict[Call, Ask[Any] | None]:
        """Return the calls whose requests the ended incarnation had taken. The result keeps the requests alive.

        Calls whose requests are still in the mailbox go on waiting.
        """
        queued = {id(message) for message in self.waiting()} | {id(item) for item in self.control or ()}
        queued |= {id(entry.message) for entry in self.entries()}
        requests = {call: call.request for call in self.calls or ()}
        return {call: request for call, request in requests.items() if id(request) not in queued}

    def bury(self, reason: Exit) -> None:
        """Take no more messages, ever. Those that waited become dead letters, and all calls fail."""
        entries, self.redeliveries = self.redeliveries, None
        for entry in entries or ():
            if call_of(entry.message) is None:
                lane = "again" if entry.history else "stash"
                self.lose(DeadLetter(self.path, lane, entry.message, "stopped", entry.history))
        self.control = None
        self.close(partial(self._bury_message, reason))
        if self.calls:
            fail_calls(self.calls, self.path, reason, ActorDied)

    def _bury_message(self, reason: Exit, message: object, lane: Lane) -> None:
        self._lose(lane.name.lower(), message, "stopped", death(self.path, reason))

    def _lose(self, lane: str, message: object, why: str, error: Exception) -> None:
        if call_of(message) is not None:
            fail_request(message, error)
        else:
            self.lose(DeadLetter(self.path, lane, message, why))


def fail_calls(calls: Iterable[Call], path: str, reason: Exit, kind: type[ActorDied]) -> None:
    """Fail each call to the actor at `path` that has not ended with an error of this kind."""
    for call in tuple(calls):
        if not call.settled:
            call.settle(None, death(path, reason, kind))


def fail_request(request: object, error: Exception) -> None:
    """Fail the call of a request if it was asked and is not answered."""
    call = call_of(request)
    if call is not None and not call.settled:
        call.settle(None, error)
