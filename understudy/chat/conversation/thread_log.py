"""The log of one thread, which its conversation alone writes: `ThreadLog.append` makes true what a run has done.

1. Events are published only after the commit that holds them has succeeded, in the order of their numbers; `last_seq`
   and a run's protocol move on only then.
2. At the first sign that another node has the thread (`Fenced`), or that the log holds more than was committed here
   (`SequenceConflict`, `NotStored`, `Outrun`: a commit whose answer was lost succeeded), the conversation ends. What it
   was asked stays unanswered: its sender asks the next conversation of the thread, which starts from the log.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final

from attrs import define, evolve, field

from actors import ActorRef
from transport.wire.errors import CommandRejected
from transport.wire.events import Event
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.branch import RecentBranch
from understudy.chat.conversation.event_log import read_unfinished_run
from understudy.chat.conversation.fair_lock import FairLock
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.envelope import wrap
from understudy.chat.run.agent_spans import commit_attributes, error_type
from understudy.chat.run_protocol import RunProtocol
from understudy.chat.services import Services
from understudy.chat.storage_away import AWAY
from understudy.observe.spans import SpanKind, span_of
from understudy.observe.traces import Traces
from understudy.storage.changes import Change
from understudy.storage.errors import Fenced, NotStored, SequenceConflict, StorageUnavailable, Unstorable
from understudy.storage.records import Fence, LoggedEvent, RunAttempt, StepRecord, Thread
from understudy.storage.store import Store
from understudy.storage.write import Write
from understudy.wire.events import ANSWER, AgentProgress, Envelope
from understudy.wire.vocabulary import to_log

BUSY_S: Final = 5.0
"""Seconds after which a client that was refused with `busy` is advised to retry."""
RETRY_S: Final = 1.0
"""Seconds before anything that could not be stored is tried again."""


class Outrun(Exception):
    """The log holds more than its conversation has committed, or read."""


LOST: Final = (Fenced, SequenceConflict, NotStored, Outrun)
"""The errors with which a conversation ends: see 2."""


def reason_of(lost: Exception) -> str | None:
    """Return the reason of such an error for the log, None if another node has the thread.

    It is no more than a name: the text of the error may have the thread's id, which is the user's own word.
    """
    return None if isinstance(lost, Fenced) else type(lost).__name__


@define(eq=False)
class ThreadLog:
    """The log of one thread. `last_seq` is the number of its last event, 0 if there is none.

    `runs` has all runs without a committed end, by id. `newest_answer` is the id of the answer with which the newest
    branch ends or will end. `fence` is the right of this node to write the log, None on a single node. Who changes
    anything has the `turn`.
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

    async def append(
        self,
        live: ActiveRun,
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
        opening, run_id, before, ended = not live.protocol.accepted, live.request.run_id, list[Envelope](), None
        if beside is not None:
            ended, before = self._number(*beside, self.last_seq)
        protocol, envelopes = self._number(live, events, self.last_seq + len(before))
        new = None if self.exists else self.subscribers.incarnation
        change = live.change(envelopes, self.fence, steps=steps, new_thread=new)
        if beside is not None:
            change = evolve(change, events=(*beside[0].change(before, self.fence).events, *change.events))
        # The dispatcher notifies the sender of a message until it is accepted.
        await self.commit(change, None if opening else live)
        if subscribe is not None:
            self.subscribe(subscribe)
        live.protocol = protocol
        if beside is not None and ended is not None:
            beside[0].protocol = ended
        self.exists = True
        if opening:
            self.newest_answer = ANSWER + run_id
        self.show_text(live)
        self._publish([*before, *envelopes], arrived_at)

    async def append_after_end(self, template: Envelope, event: Event, steps: Sequence[StepRecord]) -> None:
        """Number, commit and publish an event about an ended run, with steps. Raises `StorageError`."""
        envelope = wrap(event, template, now=self.now, seq=self.last_seq + 1)
        logged = LoggedEvent(self.last_seq + 1, event.type, template.run_id, to_log(envelope))
        await self.commit(self.change(events=(logged,), steps=tuple(steps)))
        self._publish([envelope])

    def _number(self, live: ActiveRun, events: Sequence[Event], last: int) -> tuple[RunProtocol, list[Envelope]]:
        """Number events of a run from `last` + 1. Return the protocol state after them, and their envelopes.

        Raises:
            RunProtocolError: An event breaks the run's protocol.
        """
        protocol, envelopes, now = live.protocol.copy(), [], self.now
        for number, event in enumerate(events, last + 1):
            protocol.apply(event)
            envelopes.append(wrap(event, live.envelope_template, now=now, seq=number))
        return protocol, envelopes

    def _publish(self, envelopes: Sequence[Envelope], arrived_at: float | None = None) -> None:
        self.last_seq += len(envelopes)
        self.subscribers.publish(envelopes, self.last_seq, arrived_at=arrived_at)

    def change(self, **parts: Any) -> Change:
        """Return a change of this thread, under its fence."""
        return Change(self.owner, self.thread_id, fence=self.fence, **parts)

    async def commit(self, change: Change, live: ActiveRun | None = None) -> None:
        """Commit a change, with what extensions store beside its events. Raises `StorageError`.

        If it takes long, subscribers are told that the run `live` waits.
        """
        services = self.services
        if services.settings.message:
            change = evolve(change, also=tuple(self._beside(change.events)))
        notify = None if live is None else partial(self.show, live, AgentProgress(0, AWAY))
        with nullcontext() if notify is None else services.storage_waits.notify_if_slow(notify):
            if (traces := services.parts.find(Traces)) is None:
                await self.store.commit(change)
            else:
                await self._commit_traced(change, traces)
        self.branch.committed(change)

    def _beside(self, events: Iterable[LoggedEvent]) -> Iterator[Write]:
        """Yield what extensions store beside events, by the settings of the messages of their runs."""
        for event in events:
            if (live := self.runs.get(event.run_id or "")) is not None:
                for name in self.services.settings.message.keys() & live.request.settings:
                    yield from self.services.settings.message[name].writes(live.request, event)

    async def _commit_traced(self, change: Change, traces: Traces) -> None:
        """Commit a change to the database, and record the span of the commit if its run is traced."""
        attempts = [] if change.attempt is None else [change.attempt]
        parts: tuple[LoggedEvent | RunAttempt | StepRecord, ...] = (*change.events[-1:], *attempts, *change.steps)
        run_id = parts[0].run_id if parts else None
        if run_id is None or not traces.of_run(run_id):
            await self.store.commit(change)
            return
        live, began, error = self.runs.get(run_id), self.now, ""
        try:
            await self.store.commit(change)
        except BaseException as failure:
            error = error_type(failure)
            raise
        finally:
            parent = (None if live is None else live.span) or span_of(run_id)
            about = commit_attributes(traces.database, len(change.events), len(change.steps))
            span = traces.new_context(parent.trace_id)
            traces.add("commit", span, parent, began, self.now, about, kind=SpanKind.CLIENT, error=error)

    def subscribe(self, outbox: ActorRef | None, *, after: int | None = None, unasked: bool = False) -> None:
        """Subscribe an outbox, from its own cursor or from `after`. `unasked`: its client has not named the thread."""
        self.subscribers.subscribe(outbox, self.last_seq, after=after, unasked=unasked)

    def replay_acceptance(self, outbox: ActorRef | None, accepted: Envelope, *, resend: bool = True) -> None:
        """Send an outbox the stored acceptance of what was sent again, and all that came after.

        `resend`: also if its client was sent it before.
        """
        if resend:
            self.services.metrics.repeated()
        self.subscribers.replay_acceptance(outbox, accepted, self.last_seq, resend=resend)

    def show(self, live: ActiveRun, event: Event, outbox: ActorRef | None = None) -> None:
        """Send every subscriber, or one outbox, an event of a run that is not logged."""
        self.subscribers.show(wrap(event, live.envelope_template, now=self.now), outbox)

    def show_text(self, live: ActiveRun) -> None:
        """Send every subscriber what has not been shown of a run's text."""
        if (piece := live.text.take()) is not None:
            self.subscribers.show(live.wrap_text(piece, self.now))

    def show_whole_text(self, live: ActiveRun, outbox: ActorRef | None = None) -> None:
        """Send every subscriber, or one outbox, a run's text from its beginning, if there is any."""
        self.show_text(live)
        if len(live.text) and not live.protocol.ended:
            self.subscribers.show(live.wrap_text(live.text.whole, self.now), outbox)

    def show_alert(self, live: ActiveRun, alert: Event) -> None:
        """Send an alert about a run's message to all connections of the user, ahead of their queues."""
        self.subscribers.send_alert(wrap(alert, live.envelope_template, now=self.now))


def refusal_of(error: Exception) -> Exception:
    """Return the refusal to reply to a request that could not be committed; an error that is one already, as it is."""
    match error:
        case StorageUnavailable():
            return CommandRejected("storage_unavailable", retry_after=RETRY_S)
        case Unstorable():
            return CommandRejected("invalid_command", "That text cannot be stored.")
    return error
