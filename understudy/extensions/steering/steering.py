"""Accepts and withdraws steers: messages to a run at work, from its user or an operator who has taken it over.

1. Each accepted steer of a user is read by its run once, or withdrawn by its user, or becomes an ordinary message in
   the transaction that withdraws it. None waits when the end of its run is committed.
2. A steer of an operator is read once, or withdrawn before the end of the run; it never becomes a message of the user.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from attrs import define, evolve, field

from actors import ActorRef, Ask, Lane
from sanitization import Sanitized
from transport.wire.errors import CommandRejected
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.thread_log import BUSY_S, refusal_of
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.messages import EndTurn
from understudy.chat.run_state.state import RunState
from understudy.chat.run_state.turns import SEPARATOR
from understudy.content.summary import build_alert, count_by_kind
from understudy.content.vault import equal_but_for_placeholders
from understudy.storage.errors import StorageUnavailable, Unstorable
from understudy.storage.store import Store
from understudy.wire.commands import SteerMode
from understudy.wire.events import AskedAgent, Envelope, MessageAccepted, SteerAccepted, SteerWithdrawn
from understudy.wire.vocabulary import from_log

MAX_STEERS: Final = 16
"""Limit of steers that wait for one run; more are refused with `busy`."""


@define(eq=False)
class AcceptSteer(Ask[bool]):
    """To a conversation: accept a steer of a run. The reply is False if it was accepted before.

    `filtered` is its text after the content filter. `outbox` is None if it came without a connection. `by` is the id of
    the operator who sent it, None if the user did. Fails with `CommandRejected` (`run_ended`, `busy`,
    `message_id_reused`, `storage_unavailable`), with nothing stored.
    """

    must_finish = True

    run_id: str
    steer_id: str
    now: bool
    filtered: Sanitized = field(repr=False)
    outbox: ActorRef | None
    by: str | None = None


@define(eq=False)
class WithdrawSteer(Ask[bool]):
    """To a conversation: withdraw a steer that its run has not read. The reply is False if no such steer waits, or it
    is an operator's. Fails with `StorageUnavailable`."""

    must_finish = True

    run_id: str
    steer_id: str


async def read_steer(store: Store, owner: str, thread_id: str, ask: AcceptSteer) -> Envelope | None:
    """Read the `steer_accepted` of a run's steer; None if the run has no such steer, or the log was trimmed.

    Raises:
        StorageUnavailable: The database cannot be read.
        UnreadableEvent: An event in the log is damaged.
    """
    for row in await store.run_events(owner, thread_id, ask.run_id):
        if row.type == SteerAccepted.type:
            envelope = from_log(row.body)
            if isinstance(envelope.event, SteerAccepted) and envelope.event.steer_id == ask.steer_id:
                return envelope
    return None


@define(eq=False)
class Steering(ThreadPart):
    """Accepts, withdraws and converts the steers of a thread's runs."""

    messages = (AcceptSteer, WithdrawSteer)
    acceptances = {AcceptSteer: read_steer}  # noqa: RUF012 - a class variable in `ThreadPart`

    def handlers(self) -> Mapping[type[Any], Callable[[Any], Awaitable[None]]]:
        """As `ThreadPart.handlers`."""
        return {AcceptSteer: self.accept, WithdrawSteer: self.withdraw}

    async def accept(self, ask: AcceptSteer) -> None:
        """Commit a steer of a run that has not ended; if it is urgent, have the run end its turn."""
        live, run_id, steer_id = self.thread.runs.get(ask.run_id), ask.run_id, ask.steer_id
        try:
            await self.thread.check_queued(run_id)
            if (live is None or steer_id in live.state.steers) and await self._accepted_before(ask):
                return
            if live is None or live.state.end is not None or live.stopped or run_id in self.queue.unfinished:
                raise CommandRejected("run_ended")
            if len(live.state.waiting_steers) >= MAX_STEERS:
                raise CommandRejected("busy", f"{MAX_STEERS} messages wait for this run already.", BUSY_S)
            if await self.thread.store.message(self.thread.owner, steer_id) is not None:
                if await self._accepted_before(ask):  # another node accepted it, and the run has ended there
                    return
                raise CommandRejected("message_id_reused")
            mode = SteerMode.NOW if ask.now else SteerMode.NEXT
            findings = count_by_kind(ask.filtered.findings) or None
            self.thread.subscribers.subscribe(ask.outbox, self.thread.last_seq)
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
        """Reply to a repeated steer with its acceptance. Return False if it is new, or not in the log any more.

        Raises:
            CommandRejected: Another steer was accepted under this id.
        """
        thread = self.thread
        accepted = await read_steer(thread.store, thread.owner, thread.thread_id, ask)
        if accepted is None or not isinstance(accepted.event, SteerAccepted):
            return False
        if not equal_but_for_placeholders(accepted.event.content, ask.filtered.text):
            raise CommandRejected("message_id_reused")
        thread.replay_acceptance(ask.outbox, accepted)
        ask.reply(False)
        return True

    async def withdraw(self, ask: WithdrawSteer) -> None:
        """Commit that a waiting steer is withdrawn. A steer that ends the turn of a started run cannot be."""
        live = self.thread.runs.get(ask.run_id)
        try:
            await self.thread.check_queued(ask.run_id)
            held_steer = None if live is None else live.state.steers.get(ask.steer_id)
            steer = held_steer.accepted if held_steer is not None and held_steer.state == "waiting" else None
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

    def run_starts(self, live: ActiveRun) -> None:
        """Have a starting run end its first turn for each waiting steer that is urgent."""
        for steer in live.state.waiting_steers:
            if steer.mode == SteerMode.NOW:
                self.workers.tell_run(live.request.run_id, EndTurn(steer.steer_id), Lane.HIGH)

    async def run_ends(self, live: ActiveRun) -> None:
        """Join the steers that a run did not read into one message, and enqueue its run.

        Steers of an operator are withdrawn; if there are no others, there is no message.

        Raises:
            StorageError: The message was not stored, and the steers still wait for the run.
        """
        waiting = [steer for steer in live.state.waiting_steers if steer.by is None]
        withdrawn = [SteerWithdrawn(steer.steer_id) for steer in live.state.waiting_steers if steer.by is not None]
        if not waiting:
            if withdrawn:
                await self.thread.append(live, withdrawn)
            return
        message_id = waiting[0].steer_id
        existing = await self.thread.store.message(self.thread.owner, message_id)
        if existing is not None:
            message_id = uuid.uuid4().hex
        content, run_id = SEPARATOR.join(steer.content for steer in waiting), uuid.uuid4().hex
        template = live.envelope_template
        agent = template.asked_agent or AskedAgent(template.agent_type or "", template.pillar)
        following = ActiveRun(
            evolve(live.request, run_id=run_id, message_id=message_id, content=content, references=(),
                   findings_summary=None, agent_id=None),
            RunState(run_id),
            template.replace(
                run_id=run_id, message_id=message_id, agent_type=agent.agent_type, pillar=agent.pillar, asked_agent=None
            ),
        )  # fmt: skip
        names = (message_id, run_id, content, (), self.thread.newest_answer, None)
        accepted = MessageAccepted(*names, live.request.context or None, live.request.settings or None)
        withdrawn += [SteerWithdrawn(steer.steer_id, message_id) for steer in waiting]
        await self.thread.append(following, [accepted], beside=(live, withdrawn))
        await self.queue.enqueue(following)
