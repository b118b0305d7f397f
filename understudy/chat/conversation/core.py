"""What a conversation decides, without I/O: requests in, effects out.

`ConversationCore.handle` returns the steps of one request, a generator of effects. The conversation actor performs each
effect, sends its result back (or throws its `StorageError`), and sets the thread's `now` before each step. The limiter
is the one thing outside that is called: it is a table in memory, and never waits.

Each noun has a module of its own: `thread_state` numbers and commits, `run_queue` starts and ends runs, `acceptance`
accepts messages, `steering` has the steers, `undo` the undos, and `settling` the calls that are in doubt at the end of
their run. Their modules list what holds of them. Of all:

1. A request that is refused has changed nothing.
2. If another node has the thread, or the log holds more than this core has committed (a commit whose answer was lost
   succeeded), `Relocate` ends the conversation and the request stays unanswered: its sender asks the next conversation
   of the thread, which starts from the log.
"""

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import define, field

from transport.wire.errors import CommandRejected
from transport.wire.events import AgentProgress, AnswerOutcome, Envelope, FeedbackGiven, Resync, ToolPartial
from understudy.agents.agent import Agent
from understudy.chat.conversation.acceptance import Acceptance
from understudy.chat.conversation.effects import (
    AnswerRequest,
    BackoffOver,
    Commit,
    ForgetThread,
    PublishPositions,
    Query,
    Relocate,
    ResumeEffects,
    ResumeExited,
    RetryFinish,
    RetryUndo,
    RunExited,
    Send,
    SendFeedback,
    Settled,
    Steps,
    StopRun,
    Subscribe,
    TellRun,
    UndoEnded,
)
from understudy.chat.conversation.run_queue import RunQueue
from understudy.chat.conversation.settling import UNSETTLED, Settling
from understudy.chat.conversation.thread_state import ThreadState
from understudy.chat.conversation.undo import Undos, UndoWalk
from understudy.chat.messages import (
    Accept,
    AcceptSteer,
    AnswerAgain,
    AnswerQuestion,
    CallsLinger,
    CancelRun,
    Decide,
    Delete,
    Delta,
    EnsureEffects,
    EnsureRunning,
    FinishRun,
    FollowThread,
    HandBack,
    OwnershipLost,
    Partial,
    PermitGranted,
    PositionChanged,
    Progress,
    RateAnswer,
    ReadProtocol,
    Record,
    RequestSnapshot,
    TakeOver,
    TakeSteers,
    UndoCalls,
    WithdrawSteer,
)
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_protocol import Ending
from understudy.storage import queries
from understudy.storage.errors import Fenced, NotStored, SequenceConflict, StorageUnavailable
from understudy.storage.records import RunAttempt
from understudy.storage.thread_writes import give_feedback

log = logging.getLogger(__name__)

RESYNC: Final = "You have seen more of this conversation than the server has; read the history and go on from here."
"""The message to a client that subscribes beyond the end of the log."""


@define(eq=False)
class ConversationCore:
    """The decisions about one thread. `summary_from` is the number of findings from which the user gets a summary,
    `silence_s` the interval of the positions of queued runs. `restore` gives a stored text as its user is shown it."""

    thread: ThreadState
    agents: Mapping[str, Agent]
    limiter: RunLimiter[Any]
    summary_from: int = 1
    silence_s: float = 10.0
    chance: random.Random = field(factory=random.Random)
    restore: Callable[[str], str] = str
    settling: Settling = field(init=False)
    queue: RunQueue = field(init=False)
    acceptance: Acceptance = field(init=False)
    undos: Undos = field(init=False)

    def __attrs_post_init__(self) -> None:
        thread, agents = self.thread, self.agents
        self.settling, self.undos = Settling(thread, agents), Undos(thread, agents)
        self.queue = RunQueue(thread, agents, self.limiter, self.settling, self.silence_s, self.chance)
        self.acceptance = Acceptance(thread, self.queue, self.limiter, agents, self.summary_from, self.restore)

    @property
    def idle(self) -> bool:
        """Whether no run, undo or settling of a call is left."""
        return not (self.thread.runs or self.undos.walks or self.settling.doubts)

    def suspend(self) -> Steps[None]:
        """Leave unfinished runs in the log, to be resumed by the thread's next owner.

        A stop of the server is no failed attempt, at a run, an undo or the settling of a call: those that were recorded
        are taken back.
        """
        for run_id, live in self.thread.runs.items():
            if live.protocol.ended:
                continue
            log.info("run.put_down", extra={"run_id": run_id})
            if (attempt := live.attempt) is not None and attempt.recorded:
                try:
                    yield Commit(self.thread.change(attempt=RunAttempt(run_id, attempt.number - 1, attempt.progress)))
                except StorageUnavailable:
                    log.warning("run.attempt_not_given_back", extra={"run_id": run_id})
        steps = [undo.attempted(-1) for undo in self.undos.walks.values() if undo.at_work]
        steps += [doubt.with_attempts(-1).step for doubt in self.settling.doubts.values()]
        if steps:
            try:
                yield Commit(self.thread.change(steps=tuple(steps)))
            except StorageUnavailable:
                log.warning("effects.attempts_not_given_back", extra={"calls": len(steps)})

    def handle(self, request: object) -> Steps[None]:
        """Return the steps of one request; `understudy.chat.messages` says what each request means."""
        try:
            match request:
                case Partial(run_id, call_id, offset, items, attempt):
                    live = self.thread.runs.get(run_id)
                    if live is not None and live.takes(attempt) and call_id in live.protocol.calls:
                        yield self.thread.send(live, ToolPartial(call_id, offset, items))
                case Progress(run_id, note, done, total):
                    if (live := self.thread.runs.get(run_id)) is not None:
                        yield self.thread.send(live, AgentProgress(done, note, total))
                case Record():
                    yield from self.queue.record(request)
                case Accept() | AnswerAgain():
                    yield from self.acceptance.accept(request)
                case FinishRun():
                    yield from self.queue.finish(request)
                    yield AnswerRequest(request)
                case RunExited():
                    yield from self.queue.exited(request)
                case ResumeExited(died, error_id):
                    live = self.thread.runs.get(died.run_id)
                    if live is not None and not live.started and not live.stopped:
                        yield from self.queue.resume_exited(live, died, error_id)
                case CancelRun():
                    yield from self.queue.cancel(request)
                case TakeOver() | HandBack():
                    yield from self.queue.steering.operate(request)
                case AcceptSteer():
                    yield from self.queue.steering.accept(request)
                case WithdrawSteer():
                    yield from self.queue.steering.withdraw(request)
                case TakeSteers():
                    yield from self.queue.steering.take(request)
                case ReadProtocol(run_id):
                    live = self.thread.runs.get(run_id)
                    ended = LookupError(f"run {run_id} has ended") if live is None else None
                    yield AnswerRequest(request, None if live is None else live.protocol, ended)
                case Decide():
                    yield from self._decide(request)
                case AnswerQuestion():
                    yield from self._answer_question(request)
                case UndoCalls():
                    yield from self.undos.begin(request)
                case ResumeEffects(run, steps):
                    if (undo := UndoWalk.resumed(run, steps)).left:
                        self.undos.walks[run.id] = undo
                        yield from self.undos.go_on(undo)
                    for step in steps:
                        if step.status == UNSETTLED:
                            yield from self.settling.resume(run, step)
                case UndoEnded(run_id, sentence):
                    if (undone := self.undos.walks.get(run_id)) is not None:
                        undone.outcome, undone.at_work = sentence, False
                        yield from self.undos.go_on(undone)
                case Settled():
                    yield from self.settling.settled(request)
                case RetryUndo(run_id):
                    if (undone := self.undos.walks.get(run_id)) is not None:
                        yield from self.undos.go_on(undone)
                case PermitGranted(run_id):
                    yield from self.queue.start(run_id)
                case BackoffOver(run_id):
                    live, order = self.thread.runs.get(run_id), self.queue.order
                    if live is not None and not live.started and live.attempt and order and order[0] is live:
                        live.attempt.due = True
                        yield from self.queue.start_next()
                case PositionChanged(run_id):
                    yield from self.queue.send_position(run_id)
                case CallsLinger(run_id, tools):
                    if (live := self.thread.runs.get(run_id)) is not None:
                        live.lingering = tools
                        yield from self.queue.publish_positions()
                case PublishPositions():
                    yield from self.queue.publish_positions()
                case RetryFinish():
                    for finish in list(self.queue.unfinished.values()):
                        yield from self.queue.finish(finish)
                case EnsureRunning(run_id):
                    with suppress(StorageUnavailable):  # the recovery actor asks again
                        yield from self.thread.ensure_queued(run_id)
                case EnsureEffects(run_id):
                    with suppress(StorageUnavailable):  # the recovery actor asks again
                        settled = (each.step.run_id for each in self.settling.doubts.values())
                        known = run_id in self.undos.walks or run_id in settled
                        if not known:
                            of = (self.thread.owner, self.thread.thread_id)
                            open_effects = yield Query(lambda store: store.read(queries.open_effects, *of))
                            if any(run.id == run_id for run in open_effects):
                                yield Relocate("EffectsNotKnown")
                case FollowThread():
                    yield from self._subscribe(request)
                case RequestSnapshot(outbox):
                    for live in self.thread.runs.values():
                        if (text := live.snapshot()) is not None:
                            yield Send(self.thread.wrap_text(live, text), outbox)
                    for live, note in self.queue.positions():
                        yield self.thread.send(live, AgentProgress(0, note), outbox)
                case RateAnswer():
                    yield from self._rate(request)
                case Delete():
                    yield from self._delete(request)
                case OwnershipLost(why):
                    yield Relocate(why)
        except Fenced:
            yield Relocate()
        except (SequenceConflict, NotStored) as outrun:
            yield Relocate(type(outrun).__name__)  # its text may have the thread's id, which is the user's own word

    def append_text(self, delta: Delta) -> list[Envelope]:
        """Append text to the answer of a run. Return the events that show it to every subscriber.

        No request: as nothing is committed or awaited, a piece of text does without effects, which cost as much again.
        """
        live, shown = self.thread.runs.get(delta.run_id), list[Envelope]()
        if live is None or not live.takes(delta.attempt):
            return shown
        if delta.restart:
            live.restart_text()
        piece = live.append_text(delta.text, delta.stored)
        if delta.text:
            shown.append(self.thread.wrap_text(live, piece))
        return shown

    def _decide(self, ask: Decide) -> Steps[None]:
        """Pass a decision to the run whose call waits for it, or keep it until that run is started."""
        live = next((each for each in self.thread.runs.values() if ask.call_id in each.protocol.calls), None)
        if live is None or not (call := live.protocol.calls[ask.call_id]).waits:
            same = live is not None and call.decision is ask.decision and call.parameters == ask.parameters
            yield AnswerRequest(ask, same)  # a repeat of the decision is fine
            return
        live.decisions = [*(each for each in live.decisions if each.waiting), ask]
        if live.started:
            yield TellRun(live.request.run_id, ask)

    def _answer_question(self, ask: AnswerQuestion) -> Steps[None]:
        """Pass an answer to the run that asked, or keep it until that run is started."""
        live = next((each for each in self.thread.runs.values() if ask.question_id in each.protocol.questions), None)
        if live is None or not (question := live.protocol.questions[ask.question_id]).waits:
            given = None if live is None else question.answer
            withheld = () if given is None else given.withheld or ()
            shown = None if ask.answer is None else {k: v for k, v in ask.answer.items() if k not in withheld}
            same = given is not None and given.outcome is not AnswerOutcome.EXPIRED and given.answer == shown
            yield AnswerRequest(ask, same)  # a repeat of the answer is fine
            return
        live.decisions = [*(each for each in live.decisions if each.waiting), ask]
        if live.started:
            yield TellRun(live.request.run_id, ask)

    def _subscribe(self, ask: FollowThread) -> Steps[None]:
        thread = self.thread
        if ask.after > thread.last_seq:
            # Verify the log before the client is told to reset: this server may have been suspended so long that
            # another one continued the thread, or a commit that seemed to fail may have succeeded.
            try:
                of = (thread.owner, thread.thread_id)
                opening = yield Query(lambda store: store.read(queries.thread_with_open_runs, *of))
            except StorageUnavailable as error:
                yield AnswerRequest(ask, error=error)
                return
            if opening is None:
                if thread.exists:
                    raise NotStored("thread", thread.thread_id)
            elif not thread.owns(found := opening[0]):
                raise Fenced(thread.thread_id, found.node)
            elif found.last_seq != thread.last_seq:
                raise SequenceConflict(thread.thread_id, found.last_seq + 1, thread.last_seq + 1)
        if not thread.exists:
            yield AnswerRequest(ask, error=CommandRejected("not_found", "There is no conversation of that name."))
            return
        yield Subscribe(ask.outbox, min(ask.after, thread.last_seq), unasked=ask.unasked)
        if ask.after > thread.last_seq:  # as after a restore of the database
            resync = Envelope(Resync(thread.last_seq), thread.now, thread_id=thread.thread_id, message=RESYNC)
            yield Send(resync, ask.outbox, reply=True)
        yield AnswerRequest(ask)

    def _rate(self, ask: RateAnswer) -> Steps[None]:
        answer = ask.answer
        try:
            given = give_feedback(answer.owner, answer.id, ask.rating, ask.note)
            found = yield Query(lambda store: store.commit(given))
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
            return
        if not found:
            yield AnswerRequest(ask, error=CommandRejected("not_found", "There is no answer of that name."))
            return
        yield SendFeedback(FeedbackGiven(answer.id, ask.rating), ask)
        yield AnswerRequest(ask)

    def _delete(self, ask: Delete) -> Steps[None]:
        """Cancel all runs so that their subscribers see an end, then delete the thread, then end."""
        thread, since = self.thread, ask.unless_since
        if since is not None and thread.runs:
            yield AnswerRequest(ask, False)
            return
        for live in thread.runs.values():
            live.stopped = True
        for run_id, live in list(thread.runs.items()):
            if live.started:
                yield StopRun(run_id)
            live.protocol.steers.clear()  # they go with the thread
            yield from self.queue.finish(FinishRun(run_id, Ending.CANCELLED))
        for live in reversed(list(self.queue.order)):  # the last first, so that none of them is started now
            if not live.started:
                yield from self.queue.dequeue(live)
        try:
            deleted = yield Query(
                lambda store: store.delete_thread(thread.owner, thread.thread_id, thread.fence, unless_since=since)
            )
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
            return
        if since is not None and not deleted:
            yield AnswerRequest(ask, False)
            return
        self.undos.walks.clear()
        self.settling.doubts.clear()
        yield ForgetThread()
        yield AnswerRequest(ask, True)
