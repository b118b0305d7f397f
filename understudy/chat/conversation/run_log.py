"""The log of a thread as a run at work writes it: no mailbox lies between them.

1. What the run writes is committed when the call returns. A cancelled run waits for a commit that has begun; one whose
   turn has not come writes nothing.
2. If the conversation is to end (`ThreadLog`), the run waits to be ended with it: the next one resumes it.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import trio
from attrs import define, field

from actors import ActorRef
from transport.wire.events import Event
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.streamed_text import WINDOW_S
from understudy.chat.conversation.thread_log import LOST, reason_of
from understudy.chat.messages import FinishRun, OwnershipLost
from understudy.chat.run.recorder import RECORD_S
from understudy.chat.run.replay import steer_step
from understudy.chat.run_protocol import RunProtocol
from understudy.chat.storage_away import AWAY
from understudy.observe.spans import SpanContext
from understudy.storage.errors import Fenced, StorageUnavailable
from understudy.storage.records import History, StepRecord
from understudy.wire.events import AgentProgress, SteerAccepted, SteerTaken, ToolPartial

if TYPE_CHECKING:
    from understudy.chat.conversation.run_queue import RunQueue

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)


def _never(_after_s: float) -> None:
    """Wake nobody."""


@define(eq=False)
class RunLog:
    """The log of the thread for the run `live`, in the `attempt` of that name.

    `wake_after` has the run call `show_text` after so many seconds, `flush_after` has it commit what it has gathered.
    """

    live: ActiveRun
    queue: "RunQueue"
    attempt: str
    wake_after: Callable[[float], None] = field(default=_never, init=False)
    flush_after: Callable[[float], None] = field(default=_never, init=False)
    _shown_at: float = field(default=-math.inf, init=False)
    _text_due: bool = field(default=False, init=False)

    @property
    def steers_wait(self) -> bool:
        """Whether steers wait for the run that it has not taken."""
        return bool(self.live.protocol.waiting_steers)

    @property
    def conversation(self) -> ActorRef:
        """The conversation of the run."""
        return self.queue.workers.context.ref

    def close(self) -> None:
        """Wake the run no more."""
        self.wake_after = self.flush_after = _never

    async def record(
        self,
        events: Sequence[Event],
        speaker: tuple[str, str | None],
        steps: Sequence[StepRecord],
        span: SpanContext | None,
    ) -> None:
        """Commit events and steps of the run, in order, and publish them. The last one may be its end.

        `speaker` is the (agent_type, pillar) that the events come from. `span` is that of the agent at work, None if
        the run is not traced. Raises `StorageUnavailable`, `LookupError` if the run has ended.
        """
        await self._in_turn(self.queue.record, self.live, events, speaker, steps, span)

    async def take_steers(self, turn: int, last_step: int, finished: Sequence[StepRecord]) -> tuple[SteerAccepted, ...]:
        """Take the steers that wait, before turn `turn` of the run's model.

        They are stored as steps of the run that follow `last_step`, after the `finished` steps; if none waits, nothing
        is stored. Raises `StorageUnavailable`, `LookupError` if the run has ended.
        """
        return await self._in_turn(self.take_waiting, turn, last_step, finished)

    async def take_waiting(
        self, turn: int, last_step: int, finished: Sequence[StepRecord]
    ) -> tuple[SteerAccepted, ...]:
        """Commit, in the turn of the thread, that the run takes the steers that wait; see `take_steers`."""
        live, thread = self.live, self.queue.thread
        run_id, waiting = live.request.run_id, tuple(live.protocol.waiting_steers)
        if live.protocol.ended:
            raise LookupError(f"run {run_id} has ended")
        events = [SteerTaken(each.steer_id, turn) for each in waiting]
        numbered = enumerate(waiting, last_step + 1)
        steps = [*finished, *(steer_step(run_id, number, each, thread.now) for number, each in numbered)]
        try:
            if waiting:
                await thread.append(live, events, steps=steps)
        except StorageUnavailable:
            thread.show(live, AgentProgress(0, AWAY))
            raise
        return waiting

    async def read_protocol(self) -> RunProtocol:
        """Return the run's protocol as the log has it, after the commits in progress. It must not be changed."""
        with trio.fail_after(RECORD_S):
            async with self.queue.thread.turn:
                return self.live.protocol

    async def _in_turn(self, act: Callable[P, Awaitable[T]], *given: P.args, **options: P.kwargs) -> T:
        with trio.fail_after(RECORD_S):
            async with self.queue.thread.turn:
                try:
                    with trio.CancelScope(shield=True):
                        return await act(*given, **options)
                except LOST as error:
                    why = reason_of(error)
            self.conversation.tell(OwnershipLost(why))
            await trio.sleep_forever()

    async def finish(self, finish: FinishRun) -> None:
        """End the run, whose work has stopped without an answer; see `RunQueue.finish`."""
        await self._in_turn(self.queue.finish, finish)

    def linger(self, tools: tuple[str, ...]) -> None:
        """Note that calls of these tools go on, which cannot be interrupted; the thread's next run waits for them."""
        self.live.lingering = tools
        self.queue.publish_positions()

    def append_text(self, text: str, stored: str | None = None, *, restart: bool = False) -> None:
        """Append a piece to the answer, and show it now or with the next ones.

        `stored` is the piece as it is stored, with placeholders, if that differs. `restart`: the answer starts again
        with this piece, which replaces what was written before.
        """
        if not self.live.takes(self.attempt):
            return
        if restart:
            self.live.text.restart()
        self.live.text.append(text, stored)
        wait_s = self._shown_at + WINDOW_S - trio.current_time()
        if wait_s <= 0:
            self.show_text()
        elif not self._text_due:
            self._text_due = True
            self.wake_after(wait_s)

    def show_text(self) -> None:
        """Show every subscriber the text that it has not been shown."""
        self._text_due, self._shown_at = False, trio.current_time()
        self.queue.thread.show_text(self.live)

    def show_progress(self, done: float, total: float | None, note: str) -> None:
        """Show every subscriber the progress of the run."""
        self.queue.thread.show(self.live, AgentProgress(done, note, total))

    def show_partial(self, call_id: str, offset: int, items: Sequence[Any]) -> None:
        """Show every subscriber what a call at work has yielded."""
        if self.live.takes(self.attempt) and call_id in self.live.protocol.calls:
            self.queue.thread.show(self.live, ToolPartial(call_id, offset, items))

    def save_checkpoint(self, step: StepRecord) -> None:
        """Store an unfinished step with the next commit. It may be lost."""
        if not self.live.protocol.ended:
            thread = self.queue.thread
            change = thread.change(steps=(step,))
            thread.branch.committed(change)
            thread.store.commit_later((step.run_id, step.number), change, self._not_kept)

    def _not_kept(self, error: Exception) -> None:
        """Note that a checkpoint was not stored: the next one has its text as well."""
        if isinstance(error, Fenced):
            self.conversation.try_tell(OwnershipLost())
        else:
            log.info("run.step_not_kept", extra={"run_id": self.live.request.run_id, "reason": str(error)})

    def history_read(self, history: History) -> None:
        """Keep what the store has before the message that the run answers."""
        self.queue.thread.branch.read(self.live.request.run_id, history)
