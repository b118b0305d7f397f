"""The log of one thread, which its conversation alone writes: `ThreadLog.append` commits the events of its runs.

1. Events are published only after the commit that holds them has succeeded, in the order of their numbers; `last_seq`
   and a run's state move on only then.
2. At the first sign that another node has the thread (`Fenced`), or that the log holds more than was committed here
   (`SequenceConflict`, `NotStored`, `Outrun`: a commit whose answer was lost succeeded), the conversation ends. What it
   was asked stays unanswered: its sender asks the next conversation of the thread, which starts from the log.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import trio
from attrs import define, evolve, field

from actors import ActorRef
from transport.wire.errors import CommandRejected
from transport.wire.events import Event
from understudy.chat.conversation.active_run import ActiveRun, rows_of, spent_of
from understudy.chat.conversation.branch import RecentBranch
from understudy.chat.conversation.event_log import read_unfinished_run
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.envelope import wrap
from understudy.chat.messages import OwnershipLost
from understudy.chat.placement import RemoteNodes
from understudy.chat.run_state.state import RunState
from understudy.chat.services import Services
from understudy.chat.storage_away import AWAY
from understudy.storage.changes import Change
from understudy.storage.errors import Fenced, NotStored, SequenceConflict, StorageUnavailable, Unstorable
from understudy.storage.records import Fence, LoggedEvent, StepRecord, Thread
from understudy.storage.store import Store
from understudy.storage.write import Write
from understudy.wire.events import ANSWER, AgentProgress, Envelope
from understudy.wire.vocabulary import to_log

if TYPE_CHECKING:
    from understudy.chat.conversation.thread_part import ThreadHooks

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

BUSY_S: Final = 5.0
"""Seconds after which a client that was refused with `busy` is advised to retry."""
RETRY_S: Final = 1.0
"""Seconds before anything that could not be stored is tried again."""
TURN_S: Final = 15.0
"""Seconds for one commit with the wait for its turn, above the store's own limit for a commit; then the run fails."""


@define(eq=False)
class FairLock:
    """A lock that tasks hold in the order in which they came, within `async with`; `taken` while one holds it."""

    taken: bool = field(default=False, init=False)
    _waiting: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def __aenter__(self) -> None:
        if self.taken:
            await self._waiting.park()  # its holder hands it over, still `taken`
        self.taken = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._waiting:
            self._waiting.unpark()
        else:
            self.taken = False


class Outrun(Exception):
    """The log holds more than its conversation has committed, or read."""


LOST: Final = (Fenced, SequenceConflict, NotStored, Outrun)
"""The errors with which a conversation ends: see 2 above."""


def reason_of(lost: Exception) -> str | None:
    """Return the reason of such an error for the log, None if another node has the thread. It is no more than a name:
    the text of the error may have the thread's id, which is the user's own word."""
    return None if isinstance(lost, Fenced) else type(lost).__name__


@define(eq=False)
class ThreadLog:
    """The log of one thread. `last_seq` is the number of its last event, 0 if there is none.

    `runs` has all runs without a committed end, by id. `newest_answer` is the id of the answer with which the newest
    branch ends or will end. `fence` is the right of this node to write the log, None on a single node. Every
    change is made within the `turn`. `hooks` are those of extensions in its conversation.
    """

    owner: str
    thread_id: str
    services: Services
    subscribers: Subscribers
    fence: Fence | None = None
    last_seq: int = field(default=0, init=False)
    exists: bool = field(default=False, init=False)
    newest_answer: str | None = field(default=None, init=False)
    runs: dict[str, ActiveRun] = field(factory=dict, init=False)
    branch: RecentBranch = field(factory=RecentBranch, init=False)
    turn: FairLock = field(factory=FairLock, init=False)
    store: Store = field(init=False, repr=False)
    hooks: "ThreadHooks" = field(init=False, repr=False)
    restore: Callable[[str], str] = field(init=False, repr=False)
    """Return a stored text as its user is shown it."""

    def __attrs_post_init__(self) -> None:
        self.store, vault = self.services.store, self.services.content_filter.vault
        self.restore = partial(vault.restore_text, self.owner, self.thread_id)

    @property
    def now(self) -> float:
        """The time in Unix seconds."""
        return self.services.clock()

    def load(self, thread: Thread) -> bool:
        """Continue at the end of the log. Return False if another node has claimed the thread since."""
        self.exists, self.last_seq, self.subscribers.incarnation = True, thread.last_seq, thread.created_at
        self.newest_answer = ANSWER + thread.newest_run if thread.newest_run is not None else None
        return self.owns(thread)

    def owns(self, thread: Thread) -> bool:
        """Return whether this node still has the right to write the log."""
        return self.fence is None or (thread.node, thread.fence) == (self.fence.node, self.fence.token)

    async def check_queued(self, run_id: str) -> None:
        """Check that a run is known, or has ended. Raises `Outrun`, `StorageUnavailable`."""
        if run_id not in self.runs:
            run = await self.store.run(run_id)
            if run is not None and run.ended_at is None:
                raise Outrun(f"run {run_id} is not queued")

    async def read_run(self, run_id: str) -> ActiveRun | None:
        """Read an unfinished run, after the checkpoint that is being stored; None if it has ended in the log."""
        await self.store.flush()
        run = await self.store.run(run_id)
        if run is None or run.ended_at is not None:
            return None
        return await read_unfinished_run(self.store, run, self.restore)

    async def in_turn(self, act: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Call `act` for a run in the turn of the thread. Once it has begun, a run that is cancelled waits for its end.
        If the conversation is to end (see 2), the run waits to be ended with it: the next one resumes it."""
        with trio.fail_after(TURN_S) if self.turn.taken else nullcontext():  # else there is no wait to bound
            async with self.turn:
                try:
                    with trio.CancelScope(shield=True):
                        return await act(*arguments, **options)
                except LOST as error:
                    why = reason_of(error)
        self.subscribers.context.ref.tell(OwnershipLost(why))
        with trio.fail_after(TURN_S):
            await trio.sleep_forever()

    async def append(
        self,
        active: ActiveRun,
        events: Sequence[Event],
        *,
        steps: Sequence[StepRecord] = (),
        arrived_at: float | None = None,
        beside: tuple[ActiveRun, Sequence[Event]] | None = None,
        subscribe: ActorRef | None = None,
    ) -> None:
        """Number, commit and publish events of a run.

        `arrived_at` is when the message came that the first event accepts (Unix seconds). `beside` are events of
        another run that precede them in the same transaction. The outbox `subscribe` is subscribed between the commit
        and the publication.

        Raises:
            RunProtocolError: An event breaks the run's protocol. Nothing was stored.
            StorageError: Nothing was stored, or its storing could not be confirmed.
        """
        now, envelopes, logged, states = self.now, list[Envelope](), list[LoggedEvent](), list[RunState]()
        parts = [(active, events)] if beside is None else [beside, (active, events)]
        for run, its_events in parts:
            states.append(self._fold(run, its_events, now, envelopes, logged))
        rows = rows_of(active, states[-1], now, None if self.exists else self.subscribers.incarnation)
        opening, spent = "run" in rows, spent_of(self.owner, steps)
        change = self.change(events=tuple(logged), steps=tuple(steps), spent=spent, **rows)
        # The dispatcher notifies the sender of a message until it is accepted.
        await self.commit(change, None if opening else active)
        if subscribe is not None:
            self.subscribers.subscribe(subscribe, self.last_seq)
        for (run, _), state in zip(parts, states, strict=True):
            run.state = state
        self.exists = True
        if opening:
            self.newest_answer = ANSWER + active.request.run_id
        self.show_text(active)
        self.last_seq += len(envelopes)
        self.subscribers.publish(envelopes, self.last_seq, arrived_at=arrived_at)

    async def append_after_end(self, template: Envelope, event: Event, steps: Sequence[StepRecord]) -> None:
        """Number, commit and publish an event about an ended run, with steps. Raises `StorageError`."""
        envelope = wrap(event, template, now=self.now, seq=self.last_seq + 1)
        logged = LoggedEvent(self.last_seq + 1, event.type, template.run_id, to_log(envelope))
        await self.commit(self.change(events=(logged,), steps=tuple(steps)))
        self.last_seq += 1
        self.subscribers.publish([envelope], self.last_seq)

    def _fold(
        self, active: ActiveRun, events: Iterable[Event], now: float, envelopes: list[Envelope], rows: list[LoggedEvent]
    ) -> RunState:
        """Number events of a run and encode each once: add their envelopes and rows. Return the run's state after them.

        Raises:
            RunProtocolError: An event breaks the run's protocol.
        """
        state, template = active.state.copy(), active.envelope_template
        for seq, event in enumerate(events, self.last_seq + len(envelopes) + 1):
            state.apply(event)
            envelope = wrap(event, template, now=now, seq=seq)
            envelopes.append(envelope)
            rows.append(LoggedEvent(seq, event.type, active.request.run_id, to_log(envelope)))
        return state

    def change(self, **parts: Any) -> Change:
        """Return a change of this thread, under its fence."""
        return Change(self.owner, self.thread_id, fence=self.fence, **parts)

    async def commit(self, change: Change, active: ActiveRun | None = None) -> None:
        """Commit a change, with what extensions store beside its events. Raises `StorageError`.

        If it takes long, subscribers are told that the run `active` waits.
        """
        services = self.services
        if services.settings.message:
            change = evolve(change, also=tuple(self._writes_of_settings(change.events)))
        notify = None if active is None else partial(self.show, active, AgentProgress(0, AWAY))
        with nullcontext() if notify is None else services.storage_waits.notify_if_slow(notify):
            if self.hooks.committed:
                await self._commit_observed(change)
            else:
                await self.store.commit(change)
        self.branch.committed(change)

    def commit_later(self, step: StepRecord) -> None:
        """Store an unfinished step with the next commit. It may be lost: the next step has its text as well."""

        def refused(error: Exception) -> None:
            if isinstance(error, Fenced):
                self.subscribers.context.ref.try_tell(OwnershipLost())
            else:
                log.info("run.step_not_kept", extra={"run_id": step.run_id, "reason": str(error)})

        change = self.change(steps=(step,))
        self.branch.committed(change)
        self.store.commit_later((step.run_id, step.number), change, refused)

    def _writes_of_settings(self, events: Iterable[LoggedEvent]) -> Iterator[Write]:
        """Yield what extensions store beside events, by the settings of the messages of their runs."""
        for event in events:
            if (active := self.runs.get(event.run_id or "")) is not None:
                for name in self.services.settings.message.keys() & active.request.settings:
                    yield from self.services.settings.message[name].writes(active.request, event)

    async def _commit_observed(self, change: Change) -> None:
        """Commit a change to the database, and call the hooks `committed`, also if it fails."""
        began, error = self.now, None
        try:
            await self.store.commit(change)
        except BaseException as failure:
            error = failure
            raise
        finally:
            for part in self.hooks.committed:
                part.committed(change, began, error)

    def replay_acceptance(self, outbox: ActorRef | None, accepted: Envelope, *, resend: bool = True) -> None:
        """Send an outbox the stored acceptance of a message that was sent again, and all that came after.

        `resend`: also if its client was sent it before. Raises `Outrun` if another node has accepted it since.
        """
        if (accepted.seq or 0) > self.last_seq:
            raise Outrun("a message was accepted that this conversation does not know")
        if resend:
            self.services.metrics.repeated()
        self.subscribers.replay_acceptance(outbox, accepted, self.last_seq, resend=resend)

    def show(self, active: ActiveRun, event: Event, outbox: ActorRef | RemoteNodes | None = None) -> None:
        """Send every subscriber, or one outbox, an event of a run that is not logged."""
        self.subscribers.show(wrap(event, active.envelope_template, now=self.now), outbox)

    def show_text(self, active: ActiveRun) -> None:
        """Send every subscriber what has not been shown of a run's text."""
        if (piece := active.text.take()) is not None:
            self.subscribers.show(active.wrap_text(piece, self.now))

    def show_whole_text(self, active: ActiveRun, outbox: ActorRef | RemoteNodes | None = None) -> None:
        """Send every subscriber, or one outbox, a run's text from its beginning, if there is any."""
        self.show_text(active)
        if len(active.text) and active.state.end is None:
            self.subscribers.show(active.wrap_text(active.text.whole, self.now), outbox)

    def show_alert(self, active: ActiveRun, alert: Event) -> None:
        """Send an alert about a run's message to all connections of the user, ahead of their queues."""
        self.subscribers.send_alert(wrap(alert, active.envelope_template, now=self.now))


def refusal_of(error: Exception) -> Exception:
    """Return the refusal to reply to a request that could not be committed; an error that is one already, as it is."""
    match error:
        case StorageUnavailable():
            return CommandRejected("storage_unavailable", retry_after=RETRY_S)
        case Unstorable():
            return CommandRejected("invalid_command", "That text cannot be stored.")
    return error
