"""Writes what a run does into the log of its thread: durable events and steps, the text of the answer, and progress."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field

from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.chat.run.agent_spans import AgentSpans
from understudy.chat.run.progress_notes import ProgressNotes
from understudy.chat.services import Services
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import StepRecord
from understudy.wire.events import SteerAccepted

if TYPE_CHECKING:
    from understudy.chat.conversation.run_log import RunLog

UNYIELDED = 8
"""Pieces of text that a model may write without letting other tasks run: under a millisecond of work."""
GATHER_S = 0.033
"""Seconds for which a thought waits for what comes after it, to be committed together: two frames of a screen."""
RECORD_S = 15.0
"""Seconds for one commit with the wait for its turn, above the store's own limit for a commit; then the run fails."""


async def _drop(_done: float, _total: float | None, _note: str) -> None:
    """Publish nothing."""


@define
class Recorder:
    """Writes into the log of one run. `last_sent_at` is when it last wrote anything, on trio's clock.

    `last_step` is the number of the last step. `deferred` are steps that are committed together with the next event:
    that of a finished turn, and those of requests that were cut off; `deferred_events` precede it. `waiting_note`
    returns a line about the approval or permit that the run waits for, empty if it does not wait. `notes` are those of
    the calls. `spans` are those of the agents, None if the run is not traced. `scope` is the call of the subagent whose
    work it records, if it is one's. `now` is trio's clock, as `trio.current_time`, which takes three times as long.
    """

    run_id: str
    log: "RunLog" = field(repr=False)
    services: Services
    speaker: Agent
    activity: str = "thinking"
    waiting_note: Callable[[], str] = str
    last_sent_at: float = -math.inf
    last_step: int = 0
    deferred: tuple[StepRecord, ...] = ()
    deferred_events: tuple[Event, ...] = ()
    spans: AgentSpans | None = field(default=None, repr=False)
    scope: str = ""
    now: Callable[[], float] = field(factory=lambda: trio.lowlevel.current_clock().current_time, init=False, repr=False)
    _unyielded: int = field(default=0, init=False)
    notes: ProgressNotes = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.notes = ProgressNotes(self._publish_note)

    def close(self) -> None:
        """Call nobody back from now on: else the run, with all its text, would wait for the garbage collector."""
        self.waiting_note = str
        self.log.close()
        self.notes.publish = _drop

    async def record(self, *events: Event, steps: tuple[StepRecord, ...] = ()) -> None:
        """Commit events and steps; return after the commit.

        If cancelled, events whose turn has not come are withdrawn, and those being committed are committed. In both
        cases the conversation's state equals the log, and it closes open calls.

        Raises:
            StorageUnavailable: They could not be stored.
        """
        gathered, deferred = self.take_gathered()
        events, steps = (*gathered, *events), (*deferred, *steps)
        span = None if self.spans is None else self.spans.agent
        await self.log.record(events, (self.speaker.agent_type, self.speaker.pillar), steps, span)
        self.last_sent_at = trio.current_time()

    def gather(self, *events: Event, steps: tuple[StepRecord, ...] = (), within_s: float = GATHER_S) -> None:
        """Have events and steps committed with the next ones, or by themselves if none come within so many seconds.

        What was gathered before them waits as long.
        """
        if not self.deferred_events or within_s > GATHER_S:
            self.log.flush_after(within_s)
        self.deferred_events, self.deferred = (*self.deferred_events, *events), (*self.deferred, *steps)

    def take_gathered(self) -> tuple[tuple[Event, ...], tuple[StepRecord, ...]]:
        """Return the events and steps that are not committed yet, for the caller to commit them once."""
        events, steps = self.deferred_events, self.deferred
        self.deferred_events, self.deferred = (), ()
        return events, steps

    async def flush(self) -> None:
        """Commit what is gathered. What cannot be stored now is committed with the next events, which say so."""
        if self.deferred_events:
            events, steps = self.deferred_events, self.deferred
            try:
                await self.record()
            except StorageUnavailable:
                self.deferred_events, self.deferred = (*events, *self.deferred_events), (*steps, *self.deferred)

    async def take_steers(self, turn: int) -> tuple[SteerAccepted, ...]:
        """Take the steers that wait for the run, before turn `turn` of its model; return after the commit.

        A steer that is being committed now is taken before a later turn; the conversation makes it a message if there
        is none.

        Raises:
            StorageUnavailable: They could not be stored as taken.
        """
        if not self.log.steers_wait:
            return ()
        if self.deferred_events:
            await self.record()
        finished = self.deferred
        steers = await self.log.take_steers(turn, self.last_step, finished)
        if steers:
            self.deferred = self.deferred[len(finished) :]
        self.last_step += len(steers)
        return steers

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
            if self.deferred_events:
                await self.record()
            self.last_sent_at = self.now()
            self.log.append_text(text, stored, restart=restart)
        if self._unyielded >= UNYIELDED:
            self._unyielded = 0
            await trio.lowlevel.checkpoint()

    def save_checkpoint(self, step: StepRecord) -> None:
        """Save an unfinished step. It may be lost."""
        self.log.save_checkpoint(step)

    def send_progress(self, done: float, total: float | None, note: str) -> None:
        """Publish progress."""
        self.last_sent_at = trio.current_time()
        self.log.show_progress(done, total, note)

    async def _publish_note(self, done: float, total: float | None, note: str) -> None:
        self.send_progress(done, total, await self.services.content_filter.filter_progress(note))

    async def send_partial(self, call_id: str, offset: int, items: Sequence[Any]) -> None:
        """Publish what a call has yielded, and let other tasks run. The start of the call is committed first.

        Raises:
            StorageUnavailable: It could not be stored.
        """
        if self.deferred_events:
            await self.record()
        self.last_sent_at = trio.current_time()
        self.log.show_partial(call_id, offset, items)
        await trio.lowlevel.checkpoint()

    def send_heartbeat(self) -> None:
        """Publish what the run waits for, or its current activity."""
        self.send_progress(0, None, self.waiting_note() or f"Still {self.activity}")

    def keep_alive(self) -> float:
        """Send a heartbeat if there was no event for `silence_s`. Return the seconds until the next one may be due."""
        quiet = trio.current_time() - self.last_sent_at
        if quiet >= self.services.settings.silence_s:
            self.send_heartbeat()
            quiet = 0.0
        return self.services.settings.silence_s - quiet

    def defer(self, step: StepRecord) -> None:
        """Have a step committed together with the next events or steps."""
        self.deferred = (*self.deferred, step)

    def next_step(self, kind: str, name: str, call_id: str | None, arguments: Any, began: float) -> StepRecord:
        """Return the run's next step, started at `began` (Unix seconds)."""
        self.last_step += 1
        return StepRecord(self.run_id, self.last_step, kind, name, call_id, arguments, None, "started", began)
