"""The run actor: one for each accepted message. It owns the deadline and the cancel scope of the work.

1. Its conversation owns the protocol state. A run ends by its log alone: it records the answer, or has the log closed
   without one, or crashes and is resumed or finished by the conversation.
2. No tool call outlives the run, and none is running when the end of the run is recorded.
"""

import functools
import logging
import math
from collections.abc import Mapping
from typing import Final, cast

from attrs import evolve

from actors import Actor, Context, Supervision, Terminated
from understudy.agents.framework import AgentFailed, is_of_framework
from understudy.agents.output import InvalidOutput
from understudy.agents.permissions import NotPermitted
from understudy.agents.tool_call import calling
from understudy.chat.answer.stream import AnswerStream
from understudy.chat.conversation.run_log import RunLog, RunTimer
from understudy.chat.conversation.thread_log import TURN_S
from understudy.chat.messages import (
    AnswerQuestion,
    Begin,
    Decide,
    EndTurn,
    FinishRun,
    PermitGranted,
    PositionChanged,
    Stop,
)
from understudy.chat.run.deadline import PausableDeadline
from understudy.chat.run.executor import ToolExecutor
from understudy.chat.run.loop import answer
from understudy.chat.run.meter import Meter
from understudy.chat.run.part import RunOver, parts_of
from understudy.chat.run.questions import Questions
from understudy.chat.run.thoughts import MAX_SENTENCE
from understudy.chat.run.work import RunWork
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.chat.run_state.endings import Ending
from understudy.chat.run_state.past import Past
from understudy.chat.stops import Enforcement, StoppedByOperator
from understudy.content.filter import Blocked
from understudy.models.model import ModelUnavailable
from understudy.observe.logs import new_error_id
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import History
from understudy.tools.containment import contained, errors_in

log = logging.getLogger(__name__)


ENDINGS: Final[Mapping[type[Exception], Ending]] = {
    StoppedByOperator: Ending.STOPPED, NotPermitted: Ending.FORBIDDEN, ModelUnavailable: Ending.NO_MODEL,
    StorageUnavailable: Ending.NO_STORAGE, Blocked: Ending.BLOCKED, AgentFailed: Ending.FAILED,
    InvalidOutput: Ending.BAD_OUTPUT,
}  # fmt: skip
"""How a run ends whose work raises an error of one of these types. Any other error is a crash of its actor."""
FAILURES: Final = tuple(ENDINGS)


def failure_in(error: Exception) -> Exception:
    """Return an error of `FAILURES`; of a nursery's group of these alone, the first. Raise any other error."""
    errors = list(errors_in(error))
    if not all(isinstance(inner, FAILURES) for inner in errors):
        raise error
    return cast("Exception", errors[0])


def ending_of(error: Exception) -> tuple[Ending, str]:
    """Return how a run ends for an error of `FAILURES`, and the sentence for its user; empty: the ending's own one."""
    ending = next(ending for kind, ending in ENDINGS.items() if isinstance(error, kind))
    return ending, "" if ending is Ending.NO_STORAGE else str(error)[:MAX_SENTENCE]


class Run(Actor):
    """Works on one message. `past` is the recorded progress if the run is resumed. `history` is the conversation before
    the message; None: the run reads it.
    """

    supervision = Supervision()

    def __init__(self, run_log: RunLog, past: Past | None = None, history: History | None = None) -> None:
        request, services = run_log.active.request, run_log.services
        agent, past = services.agents[request.agent], past or Past()
        if (tool := request.settings.get("tool")) is not None:
            agent = calling(agent, tool, says=WIDGET_SETTING not in request.settings)
        speaker = agent if past.speaker == agent.name else services.agents.get(past.speaker or "", agent)
        # A structured answer is checked as a whole, and a framework asks its model anew for another run's cut text.
        if (cut := past.cut) is not None:
            goes_on = cut.continues and speaker.output is None and not (cut.taken and is_of_framework(speaker.run))
            past = evolve(past, cut=evolve(cut, continues=goes_on))
        self.request = request
        wished_s = request.settings.get("timeout_s") or math.inf
        self.limit_s = min(agent.run_limit_s(services.settings.limits.run_s), wished_s)
        self.title = agent.display_title
        self.log = run_log
        self.log.speaker = agent
        meter = Meter.of(agent, services.settings.limits, request.settings, services.models.prices.currency)
        if meter.budget.wall_s is not None and agent.timeout_s is None and "timeout_s" not in request.settings:
            # When the time of its budget is spent, a run closes with one last turn; this limit ends one that does not.
            self.limit_s = max(self.limit_s, meter.budget.wall_s + meter.grace_s + TURN_S)
        self.deadline = PausableDeadline(
            request.run_id, request.owner, services.limiter, self.log.send_heartbeat, past.worked_s
        )
        questions = Questions(self.deadline, dict(past.questions))
        parts = parts_of(services.parts.of_runs, request, agent)
        self.tools = ToolExecutor(request, services, self.log, questions, meter, past.subagents, parts=parts)
        self.log.waiting_note = questions.note
        self.stream = AnswerStream(request, self.log)
        self.work = RunWork(request, services, self.log, self.tools, self.stream, agent, past, meter)
        self.history = history

    async def receive(self, message: object, context: Context) -> None:
        """Start the work; handle cancellation, steers, decisions, answers, ended tool calls, permit and position."""
        match message:
            case Begin():
                self.log.open(context)
                context.start_soon(functools.partial(self._work, context))  # a task: messages are received meanwhile
            case Stop():
                self.deadline.stop()
            case EndTurn(steer_id):
                self.work.end_turn(steer_id)
            case Decide() | AnswerQuestion():
                self.tools.questions.accept(message)
            case PermitGranted():
                self.deadline.permit_granted()
            case PositionChanged():
                if self.deadline.waiting_note:
                    self.log.send_heartbeat()
            case Terminated(ref, reason):
                self.tools.exited(ref, reason)
            case RunTimer.PAUSE:
                if not self.stream.closed:
                    context.start_soon(self.stream.release_if_paused)
            case RunTimer.TEXT:
                self.log.show_text()
            case RunTimer.EVENTS:
                if self.log.gathered.events:
                    context.start_soon(self.log.flush)
            case RunTimer.ALIVE:
                context.set_timer("alive", self.log.keep_alive(), message)

    def _agents(self) -> tuple[tuple[str, str], ...]:
        """Return the names of the agents at work: the one that was asked, and the one that it handed over to."""
        return ("agent", self.request.agent), ("agent", self.log.speaker.name)

    async def _work(self, context: Context) -> None:
        """Work until the answer is recorded; if that fails, have the conversation finish the run. Then stop."""
        self.deadline.start(self.limit_s)
        why: str | None = None  # as `RunOver.error`
        try:
            try:
                scope, finish = self.deadline.scope, None
                with Enforcement(self.log.services.stops, self._agents, scope), scope, contained(self.request.agent):
                    history, self.history = self.history, None  # not kept: the input has it
                    await answer(self.work, context, history)
                if scope.cancelled_caught and self.deadline.stopped:
                    finish = FinishRun(self.request.run_id, Ending.CANCELLED)
                elif scope.cancelled_caught:
                    sentence = f"{self.title} did not finish within {self.limit_s:g} s."
                    finish = FinishRun(self.request.run_id, Ending.TIMED_OUT, sentence, new_error_id())
            except Exception as error:
                finish = await self._failed(failure_in(error))
            if finish is not None:
                await self._close(finish)
            why = "" if finish is None else finish.ending.name.lower()
            if self.tools.actors and (lingering := self.tools.lingering):
                self.log.queue.linger(self.log.active, lingering)
            context.stop()
        except Exception as crash:
            why = type(crash).__name__
            raise
        finally:
            if (parts := self.tools.parts).ended:
                await parts.tell_ended(RunOver(why, self.work.meter.own, self.tools.begun_calls()))
            self.log.close()
            if self.tools.questions.calls:
                self.tools.close()

    async def _failed(self, error: Exception) -> FinishRun:
        """Return the request to finish a run whose work raised one of `FAILURES`."""
        (ending, sentence), run_id = ending_of(error), self.request.run_id
        error_id = error.error_id if isinstance(error, Blocked | AgentFailed) else new_error_id()
        if not isinstance(error, ModelUnavailable):
            retryable = ending not in (Ending.STOPPED, Ending.FORBIDDEN)
            return FinishRun(run_id, ending, sentence, error_id, retryable=retryable)
        scrub = self.log.services.content_filter.filter_for_storage
        sentence, detail = await scrub(sentence) or "", await scrub(error.said)
        extra = {"run_id": run_id, "error_id": error_id, "detail": error.detail, "said": detail}
        log.warning("model.unavailable", extra=extra)
        return FinishRun(run_id, ending, sentence, error_id, error.retry_after_s, error.retryable)

    async def _close(self, finish: FinishRun) -> None:
        """Stop the calls, and have the conversation finish the run."""
        why = finish.ending.name.lower()
        log.info("run.closing", extra={"run_id": finish.run_id, "why": why, "error_id": finish.error_id})
        await self.tools.stop()
        finish.usage = self.work.meter.used
        finish.events, finish.steps = self.log.gathered.take()
        await self.log.thread.in_turn(self.log.queue.finish, finish)
