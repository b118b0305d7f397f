"""The actors that work for a conversation, as its children: the runs, and calls beside them, for which no run waits;
and the messages that it sends itself."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio
from attrs import define, field, frozen

from actors import ActorRef, ChildSpec, Context, Crashed, Exit, Lane, Restart, StopMode
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.conversation.thread_log import ThreadLog
from understudy.chat.effects import GRACE_S, Attempt
from understudy.chat.messages import Begin
from understudy.chat.run.executor import STOP_S
from understudy.chat.run.run import Run
from understudy.chat.run_state.past import Past
from understudy.storage.records import StepRecord
from understudy.wire.events import CallSettled, Envelope


@frozen
class CheckIdle:
    """Stop if the conversation is idle."""


@frozen
class RetryFinish:
    """Store the ends of runs that could not be stored before."""


@frozen
class BackoffOver:
    """The run at the front of the queue has backed off long enough before its next attempt."""

    run_id: str


@frozen
class PublishPositions:
    """Send every queued run its position again."""


@frozen
class Settled:
    """Store whether a call of an ended run took effect, which could not be stored before; `steps` record its result."""

    template: Envelope
    event: CallSettled
    steps: Sequence[StepRecord]


@frozen
class RunExited:
    """The actor of a run has ended; `crash` is the error if it crashed."""

    run_id: str
    reason: str
    crash: BaseException | None = None


@frozen
class ResumeExited:
    """Resume a run whose actor died, and which could not be read before."""

    died: RunExited
    error_id: str


@frozen
class AttemptOverdue:
    """To a conversation: the time of an attempt is over; kill its actor if it has not stopped."""

    ref: ActorRef


@define(eq=False)
class Workers:
    """The actors at work: `runs` by id, and `attempts`, each with the function to call once it has ended."""

    thread: ThreadLog
    context: Context = field(init=False, repr=False)
    runs: dict[str, ActorRef] = field(factory=dict, init=False)
    attempts: dict[ActorRef, tuple[Attempt, Callable[[], Awaitable[None]]]] = field(factory=dict, init=False)

    async def start_run(self, run_log: RunLog, past: Past | None) -> None:
        """Start the actor of a run; with a `past` it resumes."""
        run_id = run_log.active.request.run_id
        make = partial(Run, run_log, past, self.thread.branch.before(run_id))
        spec = ChildSpec(run_id, make, restart=Restart.TEMPORARY, shutdown_s=3.0)
        self.runs[run_id] = ref = await self.context.spawn(spec)
        self.context.watch(ref)
        ref.tell(Begin())

    def tell_run(self, run_id: str, message: object, lane: Lane = Lane.NORMAL) -> None:
        """Send the actor of a run a message. `lane` HIGH: ahead of the messages that wait in its mailbox."""
        self.runs[run_id].tell(message, lane=lane)

    async def stop_run(self, run_id: str) -> None:
        """Stop the actor of a run now, and wait until it has stopped; a tool that shields itself is left behind."""
        with trio.move_on_after(STOP_S):
            await self.runs[run_id].stop(StopMode.NOW)

    async def start_attempt(self, attempt: Attempt, then: Callable[[], Awaitable[None]]) -> None:
        """Start a call beside the runs; `then` is called once it has ended."""
        ref = await attempt.start(self.context)
        self.attempts[ref] = attempt, then
        self.call_later(f"{attempt.role} {attempt.call_id}", attempt.timeout_s + GRACE_S, AttemptOverdue(ref))

    def call_later(self, name: str, after_s: float, message: object) -> None:
        """Send the conversation `message` after `after_s` seconds; it replaces one of the same name that waits."""
        self.context.set_timer(name, after_s, message)

    async def overdue(self, ref: ActorRef) -> None:
        """Kill an attempt that has not stopped in its time, and go on without it."""
        if (entry := self.attempts.pop(ref, None)) is not None:
            attempt, then = entry
            ref.kill()
            attempt.expire()
            await then()

    async def exited(self, ref: ActorRef, reason: Exit) -> RunExited | None:
        """Go on after an attempt whose actor has stopped. Return `RunExited` if it was the actor of a run."""
        if (entry := self.attempts.pop(ref, None)) is not None:
            attempt, then = entry
            attempt.exited(reason)
            await then()
            return None
        run_id = next((key for key, run in self.runs.items() if run == ref), None)
        if run_id is None:
            return None
        del self.runs[run_id]
        return RunExited(run_id, str(reason), reason.error if isinstance(reason, Crashed) else None)
