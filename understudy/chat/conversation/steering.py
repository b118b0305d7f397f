"""Steers: what a user says to a run at work, or an operator who has taken it over. Pure.

1. Each accepted steer of a user is taken by its run once, or taken back by its user, or becomes an ordinary message in
   the transaction that withdraws it: before the end of its run is committed, none waits.
2. A steer of an operator is taken once, or withdrawn before that end: it is never a message of the user's.
"""

import uuid
from collections.abc import Container
from typing import Final

from attrs import define, evolve

from actors import Lane
from transport.wire.commands import SteerMode
from transport.wire.errors import CommandRejected
from transport.wire.events import (
    HANDED_BACK,
    TAKEN_OVER,
    AgentProgress,
    AgentThinking,
    AskedAgent,
    MessageAccepted,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
)
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.effects import AnswerRequest, Query, Send, Steps, Subscribe, TellRun
from understudy.chat.conversation.event_log import read_steer
from understudy.chat.conversation.thread_state import BUSY_S, ThreadState, refusal_of
from understudy.chat.envelope import wrap
from understudy.chat.messages import AcceptSteer, EndTurn, HandBack, TakeOver, TakeSteers, WithdrawSteer
from understudy.chat.run.replay import SEPARATOR, steer_step
from understudy.chat.run_protocol import RunProtocol, operators_act
from understudy.chat.storage_away import AWAY
from understudy.content.summary import build_alert, count_by_kind
from understudy.content.vault import equal_but_for_placeholders
from understudy.storage.errors import StorageUnavailable, Unstorable

MAX_STEERS: Final = 16
"""Steers that may wait for one run; more are refused with `busy`."""


@define(eq=False)
class Steering:
    """The steers of a thread's runs. `ending` has the ids of runs whose end is decided, but not stored yet."""

    thread: ThreadState
    ending: Container[str]

    def operate(self, ask: TakeOver | HandBack) -> Steps[None]:
        """Commit that an operator has taken over a run, queued or at work, or hands it back. Its user is told."""
        live = self.thread.runs.get(ask.run_id)
        try:
            queued = yield from self.thread.ensure_queued(ask.run_id)
            if not queued:
                return
            if live is None or live.protocol.ended or live.stopped or ask.run_id in self.ending:
                raise CommandRejected("run_ended", "That run has ended already.")
            notice = self._notice(ask, live.protocol)
            if notice is not None:
                yield from self.thread.commit(live, [notice])
        except (CommandRejected, StorageUnavailable, Unstorable) as error:
            yield AnswerRequest(ask, error=refusal_of(error))
        else:
            yield AnswerRequest(ask, notice is not None)

    def _notice(self, ask: TakeOver | HandBack, run: RunProtocol) -> AgentThinking | None:
        """Return what the user is told of an operator's act, None if it was done before. Raises CommandRejected."""
        agent_id = next(reversed(run.agents), "")
        if isinstance(ask, HandBack):
            if run.operator is None:
                return None
            return AgentThinking(agent_id, operators_act("handed back", None), self.thread.now, HANDED_BACK, ask.by)
        if run.operator is not None:
            if run.operator != ask.by:
                raise CommandRejected("taken_over")
            return None
        said = operators_act("taken over", ask.reason)
        return AgentThinking(agent_id, said, self.thread.now, TAKEN_OVER, ask.by, ask.reason)

    def accept(self, ask: AcceptSteer) -> Steps[None]:
        """Commit a steer of a run that has not ended, and notify the run if its turn is to end."""
        live, run_id, steer_id = self.thread.runs.get(ask.run_id), ask.run_id, ask.steer_id
        try:
            queued = yield from self.thread.ensure_queued(run_id)
            if not queued:
                return
            if live is None or steer_id in live.protocol.steers:
                known = yield from self._accepted_before(ask)
                if known:
                    return
            if live is None or live.protocol.ended or live.stopped or run_id in self.ending:
                raise CommandRejected("run_ended")
            if len(live.protocol.waiting_steers) >= MAX_STEERS:
                raise CommandRejected("busy", f"{MAX_STEERS} messages wait for this run already.", BUSY_S)
            other = yield Query(lambda store: store.message(self.thread.owner, steer_id))
            if other is not None:
                raise CommandRejected("message_id_reused")
            mode = SteerMode.NOW if ask.now else SteerMode.NEXT
            findings = count_by_kind(ask.filtered.findings) or None
            yield Subscribe(ask.outbox)
            steer = SteerAccepted(steer_id, ask.filtered.text, mode.value, findings, ask.by)
            yield from self.thread.commit(live, [steer])
        except (CommandRejected, StorageUnavailable, Unstorable) as error:
            yield AnswerRequest(ask, error=refusal_of(error))
            return
        if ask.now and live.started:
            yield TellRun(run_id, EndTurn(steer_id), Lane.HIGH)
        alert = build_alert(ask.filtered.findings, summarised=False)
        if alert is not None:
            yield Send(wrap(alert, live.envelope_template, now=self.thread.now), alert=True)
        yield AnswerRequest(ask, True)

    def _accepted_before(self, ask: AcceptSteer) -> Steps[bool]:
        """Reply to a repeated steer with its acceptance. Return False if it is not repeated, or not in the log.

        Raises:
            CommandRejected: Another steer was accepted under this id.
        """
        names = (self.thread.owner, self.thread.thread_id, ask.run_id, ask.steer_id)
        accepted = yield Query(lambda store: read_steer(store, *names))
        if accepted is None:
            return False
        if not equal_but_for_placeholders(accepted.event.content, ask.filtered.text):
            raise CommandRejected("message_id_reused")
        yield Subscribe(ask.outbox, accepted=accepted)
        yield AnswerRequest(ask, False)
        return True

    def withdraw(self, ask: WithdrawSteer) -> Steps[None]:
        """Commit that a waiting steer is taken back. One that ends the turn of a working run cannot be."""
        live = self.thread.runs.get(ask.run_id)
        try:
            queued = yield from self.thread.ensure_queued(ask.run_id)
            if not queued:
                return
            steer = None if live is None else live.protocol.steers.get(ask.steer_id)
            if live is None or steer is None or steer.by is not None:
                yield AnswerRequest(ask, False)
                return
            if live.started and steer.mode == SteerMode.NOW:
                yield AnswerRequest(ask, False)
                return
            yield from self.thread.commit(live, [SteerWithdrawn(ask.steer_id)])
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
        else:
            yield AnswerRequest(ask, True)

    def take(self, ask: TakeSteers) -> Steps[None]:
        """Commit that a run takes the steers that wait, each with a step that keeps its place in the run."""
        live = self.thread.runs.get(ask.run_id)
        if live is None or live.protocol.ended:
            yield AnswerRequest(ask, error=LookupError(f"run {ask.run_id} has ended"))
            return
        waiting = tuple(live.protocol.waiting_steers)
        events = [SteerTaken(each.steer_id, ask.turn) for each in waiting]
        numbered = enumerate(waiting, ask.last_step + 1)
        steps = [*ask.finished, *(steer_step(ask.run_id, number, each, self.thread.now) for number, each in numbered)]
        try:
            if waiting:
                yield from self.thread.commit(live, events, steps=steps)
        except StorageUnavailable as error:
            yield self.thread.send(live, AgentProgress(0, AWAY))
            yield AnswerRequest(ask, error=error)
        else:
            yield AnswerRequest(ask, waiting)

    def turn_into_message(self, live: ActiveRun) -> Steps[ActiveRun | None]:
        """Make the steers that a run did not take one message, as that run is about to end. Return the run to enqueue.

        Those of an operator are withdrawn: if there are no others, there is no run.

        Raises:
            StorageError: They are not stored as a message, and still wait for the run.
        """
        waiting = [each for each in live.protocol.waiting_steers if each.by is None]
        withdrawn = [SteerWithdrawn(each.steer_id) for each in live.protocol.waiting_steers if each.by is not None]
        if not waiting:
            yield from self.thread.commit(live, withdrawn)
            return None
        message_id = waiting[0].steer_id
        taken = yield Query(lambda store: store.message(self.thread.owner, message_id))
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
        yield from self.thread.commit(following, [accepted], beside=(live, withdrawn))
        return following
