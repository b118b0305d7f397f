"""Steers: what a user says to a run at work, or an operator who has taken it over.

1. Each accepted steer of a user is taken by its run once, or taken back by its user, or becomes an ordinary message in
   the transaction that withdraws it: before the end of its run is committed, none waits.
2. A steer of an operator is taken once, or withdrawn before that end: it is never a message of the user's.
"""

import uuid
from collections.abc import Container, Sequence
from typing import Final

from attrs import define, evolve

from actors import Lane
from transport.wire.errors import CommandRejected
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.event_log import read_steer
from understudy.chat.conversation.thread_log import BUSY_S, ThreadLog, refusal_of
from understudy.chat.conversation.workers import Workers
from understudy.chat.messages import AcceptSteer, EndTurn, WithdrawSteer
from understudy.chat.run.replay import SEPARATOR, steer_step
from understudy.chat.run_protocol import RunProtocol
from understudy.chat.storage_away import AWAY
from understudy.content.summary import build_alert, count_by_kind
from understudy.content.vault import equal_but_for_placeholders
from understudy.storage.errors import StorageUnavailable, Unstorable
from understudy.storage.records import StepRecord
from understudy.wire.commands import SteerMode
from understudy.wire.events import AgentProgress, AskedAgent, MessageAccepted, SteerAccepted, SteerTaken, SteerWithdrawn

MAX_STEERS: Final = 16
"""Steers that may wait for one run; more are refused with `busy`."""


@define(eq=False)
class Steering:
    """The steers of a thread's runs. `ending` has the ids of runs whose end is decided, but not stored yet."""

    thread: ThreadLog
    workers: Workers
    ending: Container[str]

    async def accept(self, ask: AcceptSteer) -> None:
        """Commit a steer of a run that has not ended, and notify the run if its turn is to end."""
        live, run_id, steer_id = self.thread.runs.get(ask.run_id), ask.run_id, ask.steer_id
        try:
            await self.thread.check_queued(run_id)
            if (live is None or steer_id in live.protocol.steers) and await self._accepted_before(ask):
                return
            if live is None or live.protocol.ended or live.stopped or run_id in self.ending:
                raise CommandRejected("run_ended")
            if len(live.protocol.waiting_steers) >= MAX_STEERS:
                raise CommandRejected("busy", f"{MAX_STEERS} messages wait for this run already.", BUSY_S)
            other = await self.thread.store.message(self.thread.owner, steer_id)
            if other is not None:
                raise CommandRejected("message_id_reused")
            mode = SteerMode.NOW if ask.now else SteerMode.NEXT
            findings = count_by_kind(ask.filtered.findings) or None
            self.thread.subscribe(ask.outbox)
            steer = SteerAccepted(steer_id, ask.filtered.text, mode.value, findings, ask.by)
            await self.thread.append(live, [steer])
        except (CommandRejected, StorageUnavailable, Unstorable) as error:
            ask.fail(refusal_of(error))
            return
        if ask.now and live.started:
            self.workers.tell_run(run_id, EndTurn(steer_id), Lane.HIGH)
        alert = build_alert(ask.filtered.findings, summarised=False)
        if alert is not None:
            self.thread.show_alert(live, alert)
        ask.reply(True)

    async def _accepted_before(self, ask: AcceptSteer) -> bool:
        """Reply to a repeated steer with its acceptance. Return False if it is not repeated, or not in the log.

        Raises:
            CommandRejected: Another steer was accepted under this id.
        """
        thread = self.thread
        accepted = await read_steer(thread.store, thread.owner, thread.thread_id, ask.run_id, ask.steer_id)
        if accepted is None or not isinstance(accepted.event, SteerAccepted):
            return False
        if not equal_but_for_placeholders(accepted.event.content, ask.filtered.text):
            raise CommandRejected("message_id_reused")
        thread.replay_acceptance(ask.outbox, accepted)
        ask.reply(False)
        return True

    async def withdraw(self, ask: WithdrawSteer) -> None:
        """Commit that a waiting steer is taken back. One that ends the turn of a working run cannot be."""
        live = self.thread.runs.get(ask.run_id)
        try:
            await self.thread.check_queued(ask.run_id)
            steer = None if live is None else live.protocol.steers.get(ask.steer_id)
            if live is None or steer is None or steer.by is not None:
                ask.reply(False)
                return
            if live.started and steer.mode == SteerMode.NOW:
                ask.reply(False)
                return
            await self.thread.append(live, [SteerWithdrawn(ask.steer_id)])
        except StorageUnavailable as error:
            ask.fail(error)
        else:
            ask.reply(True)

    async def take(
        self, live: ActiveRun, turn: int, last_step: int, finished: Sequence[StepRecord]
    ) -> tuple[SteerAccepted, ...]:
        """Commit that a run takes the steers that wait, each with a step that keeps its place; see `RunLog`."""
        run_id, waiting = live.request.run_id, tuple(live.protocol.waiting_steers)
        if live.protocol.ended:
            raise LookupError(f"run {run_id} has ended")
        events = [SteerTaken(each.steer_id, turn) for each in waiting]
        numbered = enumerate(waiting, last_step + 1)
        steps = [*finished, *(steer_step(run_id, number, each, self.thread.now) for number, each in numbered)]
        try:
            if waiting:
                await self.thread.append(live, events, steps=steps)
        except StorageUnavailable:
            self.thread.show(live, AgentProgress(0, AWAY))
            raise
        return waiting

    async def turn_into_message(self, live: ActiveRun) -> ActiveRun | None:
        """Make the steers that a run did not take one message, as that run is about to end. Return the run to enqueue.

        Those of an operator are withdrawn: if there are no others, there is no run.

        Raises:
            StorageError: They are not stored as a message, and still wait for the run.
        """
        waiting = [each for each in live.protocol.waiting_steers if each.by is None]
        withdrawn = [SteerWithdrawn(each.steer_id) for each in live.protocol.waiting_steers if each.by is not None]
        if not waiting:
            await self.thread.append(live, withdrawn)
            return None
        message_id = waiting[0].steer_id
        taken = await self.thread.store.message(self.thread.owner, message_id)
        if taken is not None:
            message_id = uuid.uuid4().hex
        content, run_id = SEPARATOR.join(each.content for each in waiting), uuid.uuid4().hex
        template = live.envelope_template
        asked = template.asked_agent or AskedAgent(template.agent_type or "", template.pillar)
        following = ActiveRun(
            evolve(live.request, run_id=run_id, message_id=message_id, content=content, references=(),
                   findings_summary=None, agent_id=None),
            RunProtocol(run_id),
            template.replace(
                run_id=run_id, message_id=message_id, agent_type=asked.agent_type, pillar=asked.pillar, asked_agent=None
            ),
        )  # fmt: skip
        names = (message_id, run_id, content, (), self.thread.newest_answer, None)
        accepted = MessageAccepted(*names, live.request.context or None, live.request.settings or None)
        withdrawn += [SteerWithdrawn(each.steer_id, message_id) for each in waiting]
        await self.thread.append(following, [accepted], beside=(live, withdrawn))
        return following
