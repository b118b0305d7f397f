"""How a run tells its conversation what happens: durable events and steps, pieces of the answer, signs of life."""

import math
from collections.abc import Callable
from typing import Any

import trio
from attrs import define

from actors import ActorRef
from transport.wire.events import Block, Event
from understudy.agents.agent import Agent
from understudy.chat.messages import Checkpoint, Delta, Progress, Record
from understudy.chat.services import Services
from understudy.storage.rows import StepRecord

RECORD_S = 15.0
"""Longest time one recording may take; above the store's own limit for a commit."""


@define
class Recorder:
    """One run's way to its conversation. `last_sent_at` is when anything was last told, on trio's clock.

    `last_step` is the number of the run's last step that was recorded before. `waiting` gives a line that says what the
    run waits for, empty when it does not wait.
    """

    run_id: str
    conversation: ActorRef
    services: Services
    speaker: Agent
    activity: str = "thinking"
    waiting_note: Callable[[], str] = str
    last_sent_at: float = -math.inf
    last_step: int = 0

    async def record(self, *events: Event, steps: tuple[StepRecord, ...] = ()) -> None:
        """Have events and steps committed; returns when they are.

        Cancelling takes them back as long as they wait; what is being committed is committed. Either way the
        conversation knows what the log says, and closes what is open.

        Raises:
            StorageUnavailable: They could not be stored.
        """
        request = Record(self.run_id, events, (self.speaker.agent_type, self.speaker.pillar), steps)
        await self.conversation.ask(request, timeout_s=RECORD_S)
        self.last_sent_at = trio.current_time()

    async def send_delta(
        self, text: str, blocks: tuple[Block, ...], kept: str | None = None, *, anew: bool = False
    ) -> None:
        """Show the next piece of the answer; waits for room, so that a model is not faster than its conversation.

        `kept` is the piece as it is stored, where that differs; `anew`: it takes the place of all that was shown.
        """
        if text or kept or anew:
            self.last_sent_at = trio.current_time()
            await self.conversation.send(Delta(self.run_id, text, blocks, kept, anew), timeout_s=RECORD_S)

    def save_checkpoint(self, step: StepRecord) -> None:
        """Have a step kept that is not finished; nobody waits for it, and it is left out when there is no room."""
        self.conversation.try_tell(Checkpoint(self.run_id, step))

    def send_progress(self, done: float, total: float | None, note: str) -> None:
        """Show a sign of life; dropped when the conversation has no room for it."""
        self.last_sent_at = trio.current_time()
        self.conversation.try_tell(Progress(self.run_id, note, done, total))

    def send_heartbeat(self) -> None:
        """Say what the run waits for, or is doing."""
        self.send_progress(0, None, self.waiting_note() or f"Still {self.activity}")

    async def keep_alive(self) -> None:
        """Nobody is left looking at silence: after `silence_s` without an event, say what the run is doing."""
        self.last_sent_at = trio.current_time()
        while True:
            quiet = trio.current_time() - self.last_sent_at
            if quiet < self.services.silence_s:
                await trio.sleep(self.services.silence_s - quiet)
            else:
                self.send_heartbeat()

    def next_step(self, kind: str, name: str, call_id: str | None, arguments: Any, began: float) -> StepRecord:
        """Begin the run's next step; `began` is in Unix seconds."""
        self.last_step += 1
        return StepRecord(self.run_id, self.last_step, kind, name, call_id, arguments, None, "started", began)
