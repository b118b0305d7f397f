"""What a run at work writes into the log of its thread: no mailbox lies between them.

1. What the run records is committed when the call returns. A cancelled run waits for a commit that has begun; one whose
   turn has not come writes nothing. Events that the run has gathered are committed by the next writer of the thread.
2. Text and progress are shown at once, or with the next window, and are not logged.
"""

import enum
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field

from actors import Context
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.streamed_text import WINDOW_S
from understudy.chat.conversation.thread_log import LOST, TURN_S, ThreadLog
from understudy.chat.run.progress_notes import ProgressNotes
from understudy.chat.run_state.state import RunState
from understudy.chat.run_state.turns import steer_step
from understudy.chat.services import Services
from understudy.chat.storage_away import AWAY
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import StepRecord
from understudy.wire.events import (
    TERMINAL,
    AgentProgress,
    FinalResponse,
    RunStatus,
    SteerAccepted,
    SteerTaken,
    ToolPartial,
)

if TYPE_CHECKING:
    from understudy.chat.conversation.run_queue import RunQueue

UNYIELDED = 8
"""Pieces of text that a model may write without letting other tasks run: under a millisecond of work."""
GATHER_S = 0.033
"""Seconds for which a thought waits for what comes after it, to be committed together: two frames of a screen."""


class RunTimer(enum.Enum):
    """To a run, by its own timers: the work that is due."""

    ALIVE = "send a sign of life if there was none for long"
    PAUSE = "release the text that is held back, if the model has written none for a while"
    TEXT = "show the text that was written since the last piece that was shown"
    EVENTS = "commit what was gathered"


def _never(_name: str, _after_s: float, _timer: RunTimer) -> None:
    """Set no timer."""


async def _drop(_done: float, _total: float | None, _note: str) -> None:
    """Publish nothing."""


@define
class Uncommitted:
    """Events and steps of a run that are committed before what it writes next: thoughts, starts of calls that may be
    made again, the step of a finished turn, and those of requests that were cut off."""

    events: tuple[Event, ...] = ()
    steps: tuple[StepRecord, ...] = ()

    def add(self, *events: Event, steps: tuple[StepRecord, ...] = ()) -> None:
        """Gather what has been done."""
        self.events, self.steps = (*self.events, *events), (*self.steps, *steps)

    def take(self) -> tuple[tuple[Event, ...], tuple[StepRecord, ...]]:
        """Remove and return the gathered events and steps; the caller commits them."""
        events, steps = self.events, self.steps
        self.events, self.steps = (), ()
        return events, steps


@define(eq=False)
class RunLog:
    """What the run `active` writes, in the `attempt` of that name, into the log of its `thread`.

    Its events come from the `speaker`, the agent at work, which the run sets. `last_step` is the number of the last
    step, `last_sent_at` when it last wrote anything, on trio's clock. `waiting_note` returns a line about the approval
    or permit that the run waits for, if any. `notes` are those of the calls. `wake` has a message sent to the run
    later. `now` is trio's clock; once the run is at work, it takes a third of the time of `trio.current_time`.
    """

    active: ActiveRun
    queue: "RunQueue"
    last_step: int = 0
    speaker: Agent = field(init=False, repr=False)
    activity: str = field(default="thinking", init=False)
    waiting_note: Callable[[], str] = field(default=str, init=False)
    last_sent_at: float = field(default=-math.inf, init=False)
    gathered: Uncommitted = field(factory=Uncommitted, init=False)
    wake: Callable[[str, float, RunTimer], None] = field(default=_never, init=False, repr=False)
    now: Callable[[], float] = field(default=trio.current_time, init=False, repr=False)
    notes: ProgressNotes = field(init=False, repr=False)
    thread: ThreadLog = field(init=False, repr=False)
    services: Services = field(init=False, repr=False)
    attempt: str = field(init=False)
    _unyielded: int = field(default=0, init=False)

    scope = ""  # the call of the subagent whose work it records, if it is one's

    def __attrs_post_init__(self) -> None:
        self.thread, self.attempt = self.queue.thread, self.active.request.attempt
        self.services, self.notes = self.thread.services, ProgressNotes(self._publish_note)

    def open(self, context: Context) -> None:
        """Begin, as the work of the run begins, which is an actor with this context."""
        self.now, self.wake = trio.lowlevel.current_clock().current_time, context.set_timer
        self.last_sent_at, self.notes.start_soon = self.now(), context.start_soon
        self.wake("alive", self.services.settings.silence_s, RunTimer.ALIVE)

    def close(self) -> None:
        """Drop the callbacks: they refer to the run, and would keep all its text until a garbage collection."""
        self.waiting_note, self.wake, self.notes.publish = str, _never, _drop

    # Events and steps

    async def record(self, *events: Event, steps: tuple[StepRecord, ...] = ()) -> None:
        """Commit the gathered events, then these; return after the commit. The last event may be the run's end.

        If cancelled, events whose turn has not come are withdrawn, and those being committed are committed. In both
        cases the conversation's state equals the log, and it closes open calls.

        Raises:
            StorageUnavailable: They could not be stored.
            LookupError: The run has ended.
        """
        await self.thread.in_turn(self.commit, events, steps)
        self.last_sent_at = self.now()

    async def commit(self, events: Sequence[Event], steps: Sequence[StepRecord]) -> None:
        """Commit events and steps in the turn of the thread, which the caller has; see `record`."""
        active, thread, (before, finished) = self.active, self.thread, self.gathered.take()
        events, steps = (*before, *events), (*finished, *steps)
        if not (events or steps):  # another writer has committed the gathered events meanwhile
            return
        if active.state.end is not None:
            raise LookupError(f"run {active.request.run_id} has ended")
        final = events[-1] if events else None
        active.set_speaker(self.speaker.agent_type, self.speaker.pillar)
        try:
            if isinstance(final, TERMINAL):
                await self.queue.before_end(active)
            await thread.append(active, events, steps=steps)
        except (StorageUnavailable, *LOST) as error:
            gathered = self.gathered  # what could not be stored comes before what was gathered since
            gathered.events, gathered.steps = (*before, *gathered.events), (*finished, *gathered.steps)
            if isinstance(error, StorageUnavailable):
                thread.show(active, AgentProgress(0, AWAY))
            raise
        if isinstance(final, FinalResponse) and final.status is RunStatus.SUCCESS and thread.hooks.run_answered:
            await self.queue.answered(active)

    def gather(self, *events: Event, steps: tuple[StepRecord, ...] = (), within_s: float = GATHER_S) -> None:
        """Have events and steps committed with the next ones, or by themselves if none come within `within_s` seconds.
        Events that were gathered earlier wait as long."""
        if not self.gathered.events or within_s > GATHER_S:
            self.wake("flush", within_s, RunTimer.EVENTS)
        self.gathered.add(*events, steps=steps)

    async def flush(self) -> None:
        """Commit the gathered events. If the storage is away they are committed with the next events, which say so."""
        with suppress(StorageUnavailable):
            await self.record()

    async def take_steers(self, turn: int) -> tuple[SteerAccepted, ...]:
        """Take the steers that wait for the run, before turn `turn` of its model; return after the commit.

        A steer that is being committed now is taken before a later turn; the conversation makes it a message if there
        is none.

        Raises:
            StorageUnavailable: They could not be stored as taken.
        """
        return await self.thread.in_turn(self.take_waiting, turn) if self.active.state.waiting_steers else ()

    async def take_waiting(self, turn: int) -> tuple[SteerAccepted, ...]:
        """Commit that the run takes its waiting steers after the gathered events; the caller has the thread's turn."""
        waiting, run_id = tuple(self.active.state.waiting_steers), self.active.request.run_id
        if waiting:
            now, numbered = self.thread.now, enumerate(waiting, self.last_step + 1)
            steps = [steer_step(run_id, number, steer, now) for number, steer in numbered]
            await self.commit([SteerTaken(steer.steer_id, turn) for steer in waiting], steps)
            self.last_step += len(waiting)
        return waiting

    def next_step(self, kind: str, name: str, call_id: str | None, arguments: Any, began: float) -> StepRecord:
        """Return the run's next step, started at `began` (Unix seconds)."""
        self.last_step += 1
        run_id = self.active.request.run_id
        return StepRecord(run_id, self.last_step, kind, name, call_id, arguments, None, "started", began)

    def save_checkpoint(self, step: StepRecord) -> None:
        """Save an unfinished step with the next commit. It may be lost."""
        if self.active.state.end is None:
            self.thread.commit_later(step)

    async def read_state(self) -> RunState:
        """Return the run's state as the log has it, after the commits in progress. It must not be changed."""
        with trio.fail_after(TURN_S):
            async with self.thread.turn:
                return self.active.state

    # What is shown, and not logged

    async def send_delta(self, text: str, stored: str | None = None, *, restart: bool = False) -> None:
        """Publish the next text of the answer.

        Thoughts that came before it are committed first. Other tasks run only at every `UNYIELDED`th piece: a model
        mostly waits for its next piece anyway.

        `stored` is the text as it is stored, if different; `restart`: it replaces all text published before.

        Raises:
            StorageUnavailable: A thought could not be stored.
        """
        self._unyielded += 1
        if text or stored or restart:
            if self.gathered.events:
                await self.record()
            self.append_text(text, stored, restart=restart)
        if self._unyielded >= UNYIELDED:
            self._unyielded = 0
            await trio.lowlevel.checkpoint()

    def append_text(self, text: str, stored: str | None = None, *, restart: bool = False) -> None:
        """Append a piece to the answer, and show it now or with the next ones; the arguments are as in `send_delta`."""
        answer, now = self.active.text, self.now()
        self.last_sent_at = now
        if not self.active.takes(self.attempt):
            return
        if restart:
            answer.restart()
        answer.append(text, stored)
        if now >= answer.shown_at + WINDOW_S:
            self.show_text()
        elif not answer.due:
            answer.due = True
            self.wake("text", answer.shown_at + WINDOW_S - now, RunTimer.TEXT)

    def show_text(self) -> None:
        """Show every subscriber the text that it has not been shown."""
        self.active.text.due, self.active.text.shown_at = False, self.now()
        self.thread.show_text(self.active)

    async def send_partial(self, call_id: str, offset: int, items: Sequence[Any]) -> None:
        """Publish what a call at work has yielded, and let other tasks run. The start of the call is committed first.

        Raises:
            StorageUnavailable: It could not be stored.
        """
        if self.gathered.events:
            await self.record()
        self.last_sent_at = self.now()
        call = self.active.state.calls.get(call_id)
        if self.active.takes(self.attempt) and call is not None and not call.ended:
            self.thread.show(self.active, ToolPartial(call_id, offset, items))
        await trio.lowlevel.checkpoint()

    def send_progress(self, done: float, total: float | None, note: str) -> None:
        """Publish progress."""
        self.last_sent_at = self.now()
        self.thread.show(self.active, AgentProgress(done, note, total))

    async def _publish_note(self, done: float, total: float | None, note: str) -> None:
        self.send_progress(done, total, await self.services.content_filter.filter_progress(note))

    def send_heartbeat(self) -> None:
        """Publish what the run waits for, or its current activity."""
        self.send_progress(0, None, self.waiting_note() or f"Still {self.activity}")

    def keep_alive(self) -> float:
        """Send a heartbeat if there was no event for `silence_s`. Return the seconds until the next one may be due."""
        quiet, silence_s = self.now() - self.last_sent_at, self.services.settings.silence_s
        if quiet >= silence_s:
            self.send_heartbeat()
            quiet = 0.0
        return silence_s - quiet
