"""The run actor: one for each accepted message. It owns the deadline and the cancel scope of the work.

1. Its conversation owns the protocol state. A run ends by its log alone: it records the answer, or has the log closed
   without one, or crashes and is resumed or finished by the conversation.
2. No tool call outlives the run, and none is running when the end of the run is recorded.
"""

import functools
import logging
import math
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from actors import Actor, Context, Supervision, Terminated
from understudy.agents.framework import AgentFailed, is_of_framework
from understudy.agents.output import InvalidOutput
from understudy.agents.permissions import NotPermitted
from understudy.agents.tool_call import calling
from understudy.chat.answer.stream import AnswerStream
from understudy.chat.messages import (
    AnswerQuestion,
    Decide,
    EndTurn,
    FinishRun,
    PermitGranted,
    PositionChanged,
    RunRequest,
    Stop,
)
from understudy.chat.run.agent_spans import AgentSpans
from understudy.chat.run.call import ToolExecutor
from understudy.chat.run.deadline import PausableDeadline
from understudy.chat.run.loop import answer
from understudy.chat.run.meter import Meter
from understudy.chat.run.part import parts_of
from understudy.chat.run.questions import Questions
from understudy.chat.run.recorder import RECORD_S, Recorder
from understudy.chat.run.replay import Replay
from understudy.chat.run.subagent import Subagent
from understudy.chat.run.work import RunWork
from understudy.chat.run_protocol import Ending
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.chat.services import Services
from understudy.chat.stops import Enforcement, StoppedByOperator
from understudy.content.filter import Blocked
from understudy.models.model import ModelUnavailable
from understudy.observe.logs import new_error_id
from understudy.observe.traces import Traces
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import History
from understudy.tools.containment import contained

if TYPE_CHECKING:
    from understudy.chat.conversation.run_log import RunLog

log = logging.getLogger(__name__)


class _KeepAlive:
    """To itself: send a sign of life if there was none for long."""


class _ModelPauses:
    """To itself: release the text that is held back, if the model has written none for a while."""


class _TextDue:
    """To itself: show the text that was written since the last piece that was shown."""


class _EventsDue:
    """To itself: commit what was gathered."""


class Run(Actor):
    """Works on one message. `before` is the recorded progress if the run is resumed. `known` is the conversation
    before the message, None to read it.
    """

    supervision = Supervision()

    def __init__(
        self,
        job: RunRequest,
        run_log: "RunLog",
        services: Services,
        before: Replay | None = None,
        known: History | None = None,
    ) -> None:
        agent, before = services.agents[job.agent], before or Replay()
        if (tool := job.settings.get("tool")) is not None:
            agent = calling(agent, tool, says=WIDGET_SETTING not in job.settings)
        speaker = agent if before.speaker == agent.name else services.agents.get(before.speaker or "", agent)
        # The answer of one is checked as a whole; the other asks its model anew for the text that was cut.
        if speaker.output is not None or (before.partial_taken and is_of_framework(speaker.run)):
            before = evolve(before, continues=False)
        self.job = job
        self.limit_s = min(agent.run_limit_s(services.settings.limits.run_s), job.settings.get("timeout_s") or math.inf)
        self.title = agent.display_title
        self.recorder = Recorder(job.run_id, run_log, services, agent, last_step=before.last_step)
        if (traces := services.parts.find(Traces)) is not None and traces.of_run(job.run_id):
            self.recorder.spans = AgentSpans(traces, job)
        meter = Meter.of(agent, services.settings.limits, job.settings, services.models.prices.currency)
        if meter.budget.wall_s is not None and agent.timeout_s is None and "timeout_s" not in job.settings:
            # The run closes by itself, in its last turn after the time of its budget; this ends one that does not.
            self.limit_s = max(self.limit_s, meter.budget.wall_s + meter.grace_s + RECORD_S)
        self.deadline = PausableDeadline(
            job.run_id, job.owner, services.limiter, self.recorder.send_heartbeat, before.worked_s
        )
        questions = Questions(self.deadline, dict(before.questions))
        self.tools = ToolExecutor(job, services, self.recorder, questions, meter, before.nested, Subagent)
        self.recorder.waiting_note = questions.note
        self.stream = AnswerStream(job, services, self.recorder, before)
        parts = parts_of(services.parts.of_runs, job, agent)
        self.work = RunWork(job, services, self.recorder, self.tools, self.stream, agent, before, meter, parts)
        self.known = known

    async def on_start(self, context: Context) -> None:
        """Start the work in tasks of their own; the conversation does not wait for it."""
        self.recorder.last_sent_at = trio.current_time()
        self.recorder.notes.start_soon = context.start_soon
        self.stream.start_soon = context.start_soon
        self.stream.wake_after = lambda delay_s: context.set_timer("pause", delay_s, _ModelPauses())
        self.recorder.log.wake_after = lambda delay_s: context.set_timer("text", delay_s, _TextDue())
        self.recorder.log.flush_after = lambda delay_s: context.set_timer("flush", delay_s, _EventsDue())
        context.set_timer("alive", self.recorder.services.settings.silence_s, _KeepAlive())
        context.start_soon(functools.partial(self._work, context))

    async def receive(self, message: object, context: Context) -> None:
        """Handle cancellation, steers, decisions, answers, ended tool calls, permit and queue position."""
        match message:
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
                    self.recorder.send_heartbeat()
            case Terminated(ref, reason):
                self.tools.exited(ref, reason)
            case _ModelPauses():
                self.stream.release_if_paused()
            case _TextDue():
                self.recorder.log.show_text()
            case _EventsDue():
                if self.recorder.deferred_events:
                    context.start_soon(self.recorder.flush)
            case _KeepAlive():
                context.set_timer("alive", self.recorder.keep_alive(), message)

    def _agents(self) -> tuple[tuple[str, str], ...]:
        """Return the names of the agents at work: the one that was asked, and the one that it handed over to."""
        return ("agent", self.job.agent), ("agent", self.recorder.speaker.name)

    async def _work(self, context: Context) -> None:
        try:
            await self._answer(context)
        except Exception as error:
            self._end_spans(type(error).__name__)
            raise
        finally:
            self.recorder.close()
            if self.tools.questions.calls:
                self.tools.close()

    async def _answer(self, context: Context) -> None:
        """Work until the answer is recorded; if that fails, have the conversation finish the run. Then stop."""
        run_id, finish = self.job.run_id, None
        self.deadline.start(self.limit_s)
        try:
            scope = self.deadline.scope
            with Enforcement(self.recorder.services.stops, self._agents, scope), scope, contained(self.job.agent):
                known, self.known = self.known, None
                await answer(self.work, context, known)
        except StoppedByOperator as stopped:
            finish = FinishRun(run_id, Ending.STOPPED, str(stopped), new_error_id(), retryable=False)
        except NotPermitted as denied:
            finish = FinishRun(run_id, Ending.FORBIDDEN, str(denied), new_error_id(), retryable=False)
        except ModelUnavailable as error:
            error_id, scrub = new_error_id(), self.recorder.services.content_filter.filter_for_storage
            sentence, said = await scrub(error.message) or "", await scrub(error.said)
            finish = FinishRun(run_id, Ending.NO_MODEL, sentence, error_id, error.retry_after_s, error.retryable)
            extra = {"run_id": run_id, "error_id": error_id, "detail": error.detail, "said": said}
            log.warning("model.unavailable", extra=extra)
        except StorageUnavailable:
            finish = FinishRun(run_id, Ending.NO_STORAGE, error_id=new_error_id())
        except Blocked as blocked:
            finish = FinishRun(run_id, Ending.BLOCKED, blocked.message, blocked.error_id)
        except AgentFailed as failed:
            finish = FinishRun(run_id, Ending.FAILED, failed.message, failed.error_id)
        except InvalidOutput as invalid:
            finish = FinishRun(run_id, Ending.BAD_OUTPUT, invalid.message, new_error_id())
        else:
            if scope.cancelled_caught and self.deadline.stopped:
                finish = FinishRun(run_id, Ending.CANCELLED)
            elif scope.cancelled_caught:
                sentence = f"{self.title} did not finish within {self.limit_s:g} s."
                finish = FinishRun(run_id, Ending.TIMED_OUT, sentence, new_error_id())
        if finish is not None:
            extra = {"run_id": run_id, "why": finish.ending.name.lower(), "error_id": finish.error_id}
            log.info("run.closing", extra=extra)
            await self.tools.stop()
            finish.events, finish.steps = self.recorder.take_gathered()
            finish.usage = self.work.meter.used
            await self.recorder.log.finish(finish)
            self._end_spans(finish.ending.name.lower())
        if self.tools.actors and (lingering := self.tools.lingering):
            self.recorder.log.linger(lingering)
        context.stop()

    def _end_spans(self, error: str) -> None:
        """Record the spans of the calls and the agent that this run leaves unfinished."""
        if (spans := self.recorder.spans) is not None:
            self.tools.end_spans(error)
            spans.end(self.work.meter.own, self.recorder.services.clock(), error=error)
