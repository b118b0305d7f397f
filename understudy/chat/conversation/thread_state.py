"""The end of a thread's log: the runs that have none there, and the numbers of the next events. Pure.

1. Events are published only after the `Commit` that holds them has succeeded, in the order of their numbers; `last_seq`
   and a run's protocol move on only then.
2. At the first sign that another node has the thread, or that the log holds more than was committed here, the
   conversation is relocated: see `understudy.chat.conversation.core`.
"""

from collections.abc import Sequence
from typing import Any, Final

from attrs import define, evolve, field

from actors import ActorRef
from transport.wire.codec import to_log
from transport.wire.errors import CommandRejected
from transport.wire.events import ANSWER, Envelope, Event, PartialResult
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.effects import Commit, PublishEvents, Query, Relocate, Send, Steps, Subscribe
from understudy.chat.envelope import wrap
from understudy.chat.run_protocol import RunProtocol
from understudy.storage.changes import Change
from understudy.storage.errors import StorageUnavailable, Unstorable
from understudy.storage.records import Fence, LoggedEvent, StepRecord, Thread

BUSY_S: Final = 5.0
"""Seconds after which a client that was refused with `busy` is advised to retry."""
RETRY_S: Final = 1.0
"""Seconds before anything that could not be stored is tried again."""


@define(eq=False)
class ThreadState:
    """The state of one thread. `last_seq` is the number of its last event, 0 if there is none.

    `runs` has all runs without a committed end, by id. `newest_answer` is the id of the answer with which the newest
    branch ends or will end. `fence` is the right of this node to write the log, None on a single node. `now` is the
    time in Unix seconds, set before each step. `created_at` tells the thread from others of the same id; it is set by
    the first message, before that is stored.
    """

    owner: str
    thread_id: str
    fence: Fence | None = None
    now: float = field(default=0.0, init=False)
    last_seq: int = field(default=0, init=False)
    exists: bool = field(default=False, init=False)
    created_at: float | None = field(default=None, init=False)
    newest_answer: str | None = field(default=None, init=False)
    title_due: bool = field(default=False, init=False)
    runs: dict[str, ActiveRun] = field(factory=dict, init=False)

    def load(self, thread: Thread) -> bool:
        """Continue at the end of the log. Return False if another node has claimed the thread since."""
        self.exists, self.last_seq, self.created_at = True, thread.last_seq, thread.created_at
        self.newest_answer = ANSWER + thread.newest_run if thread.newest_run is not None else None
        return self.owns(thread)

    def owns(self, thread: Thread) -> bool:
        """Return whether this node still has the right to write the log."""
        return self.fence is None or (thread.node, thread.fence) == (self.fence.node, self.fence.token)

    def ensure_queued(self, run_id: str) -> Steps[bool]:
        """Return True if a run is known or has ended; else the log holds more than this core knows: relocate."""
        if run_id not in self.runs:
            run = yield Query(lambda store: store.run(run_id))
            if run is not None and run.ended_at is None:
                yield Relocate("RunNotQueued")
                return False
        return True

    def commit(
        self,
        live: ActiveRun,
        events: Sequence[Event],
        *,
        steps: Sequence[StepRecord] = (),
        arrived_at: float | None = None,
        beside: tuple[ActiveRun, Sequence[Event]] | None = None,
        subscribe: Subscribe | None = None,
    ) -> Steps[None]:
        """Number, commit and publish events of a run.

        `arrived_at` is when the message came that the first event accepts. `beside` are events of another run that
        precede them in the same transaction. `subscribe` is done between the commit and the publication.

        Raises:
            RunProtocolError: An event breaks the run's protocol. Nothing was stored.
            StorageError: Nothing was stored, or its storing could not be confirmed.
        """
        opening, run_id, before, ended = not live.protocol.accepted, live.request.run_id, list[Envelope](), None
        if beside is not None:
            ended, before = self._number(*beside, self.last_seq)
        protocol, envelopes = self._number(live, events, self.last_seq + len(before))
        new = None if self.exists else self.created_at
        change = live.change(envelopes, self.fence, steps=steps, new_thread=new)
        if beside is not None:
            change = evolve(change, events=(*beside[0].change(before, self.fence).events, *change.events))
        # The dispatcher notifies the sender of a message until it is accepted.
        yield Commit(change, None if opening else live)
        if subscribe is not None:
            yield subscribe
        live.protocol = protocol
        if beside is not None and ended is not None:
            beside[0].protocol = ended
        envelopes = [*before, *envelopes]
        self.last_seq += len(envelopes)
        self.exists = True
        if opening:
            self.newest_answer = ANSWER + run_id
        yield PublishEvents(envelopes, arrived_at)

    def _number(self, live: ActiveRun, events: Sequence[Event], last: int) -> tuple[RunProtocol, list[Envelope]]:
        """Number events of a run from `last` + 1. Return the protocol state after them, and their envelopes.

        Raises:
            RunProtocolError: An event breaks the run's protocol.
        """
        protocol, envelopes = live.protocol.copy(), []
        for number, event in enumerate(events, last + 1):
            protocol.apply(event)
            envelopes.append(wrap(event, live.envelope_template, now=self.now, seq=number))
        return protocol, envelopes

    def commit_after_end(self, template: Envelope, event: Event, steps: Sequence[StepRecord]) -> Steps[None]:
        """Commit and publish an event about an ended run, with steps."""
        envelope = wrap(event, template, now=self.now, seq=self.last_seq + 1)
        logged = LoggedEvent(self.last_seq + 1, event.type, template.run_id, to_log(envelope))
        yield Commit(self.change(events=(logged,), steps=tuple(steps)))
        self.last_seq += 1
        yield PublishEvents([envelope])

    def send(self, live: ActiveRun, event: Event, outbox: ActorRef | None = None) -> Send:
        """Return the effect that sends every subscriber, or one outbox, an event that is not logged."""
        return Send(wrap(event, live.envelope_template, now=self.now), outbox)

    def wrap_text(self, live: ActiveRun, piece: PartialResult) -> Envelope:
        """Put a piece of a run's text into an envelope that names the text it is a piece of."""
        return live.envelope_template.replace(
            event=piece, timestamp=self.now, seq=None, message="", text_epoch=live.text_epoch
        )

    def change(self, **parts: Any) -> Change:
        """Return a change of this thread, under its fence."""
        return Change(self.owner, self.thread_id, fence=self.fence, **parts)


def refusal_of(error: Exception) -> Exception:
    """Return the refusal to reply to a request that could not be committed; an error that is one already, as it is."""
    match error:
        case StorageUnavailable():
            return CommandRejected("storage_unavailable", retry_after=RETRY_S)
        case Unstorable():
            return CommandRejected("invalid_command", "That text cannot be stored.")
    return error
