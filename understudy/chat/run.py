"""The run actor: one per accepted message. It owns the deadline and the cancel scope of the work.

1. Its conversation owns the arc. A run never ends an arc by itself: it records the answer, or asks its
   conversation to close, or dies and is closed.
2. No tool call outlives it, and none is still at work when the end of the run is recorded.
"""

import functools
import logging

import trio

from actors import Actor, ActorRef, Context, Supervision, Terminated
from understudy.chat.agent_loop import AgentLoop
from understudy.chat.answer import Answer
from understudy.chat.arc import Ending
from understudy.chat.messages import Close, Job, Stop
from understudy.chat.recorder import RECORD_S, Recorder
from understudy.chat.services import Services
from understudy.chat.tool_round import ToolRound
from understudy.models.model import ModelUnavailable
from understudy.observe.logs import new_error_id
from understudy.storage.errors import StorageUnavailable

log = logging.getLogger(__name__)


class Run(Actor):
    """The work on one message: model, tool calls, model, answer."""

    supervision = Supervision()

    def __init__(self, job: Job, conversation: ActorRef, services: Services) -> None:
        agent = services.agents[job.agent]
        self.job = job
        self.limit_s = min(agent.timeout_s, services.limits.run_s)
        self.title = agent.display_title
        self.recorder = Recorder(job.run_id, conversation, services, agent)
        self.tools = ToolRound(job, services, self.recorder)
        self.loop = AgentLoop(job, services, self.recorder, self.tools, agent, Answer(services.scrubber))
        self.stopped = trio.CancelScope()

    async def on_start(self, context: Context) -> None:
        """Begin the work; the conversation is not kept waiting for it."""
        context.start_soon(functools.partial(self._work, context))
        context.start_soon(self.recorder.signs_of_life)

    async def receive(self, message: object, context: Context) -> None:
        """Serve the user's wish to stop, and the end of tool calls."""
        match message:
            case Stop():
                self.stopped.cancel()
            case Terminated(ref, reason):
                self.tools.ended(ref, reason)

    async def _work(self, context: Context) -> None:
        close = await self._to_its_end(context)
        if close is not None:
            extra = {"run_id": close.run_id, "why": close.ending.name.lower(), "error_id": close.error_id}
            log.info("run.closing", extra=extra)
            await self.tools.stop()
            await self.recorder.conversation.ask(close, timeout_s=RECORD_S)
        context.stop()

    async def _to_its_end(self, context: Context) -> Close | None:
        """Work; returns None when the answer is recorded, else how the run is to be closed."""
        run_id = self.job.run_id
        try:
            with self.stopped, trio.move_on_after(self.limit_s) as limit:
                await self.loop.run(context)
        except ModelUnavailable as error:
            return Close(run_id, Ending.NO_MODEL, error.message, new_error_id())
        except StorageUnavailable:
            return Close(run_id, Ending.NO_STORAGE, error_id=new_error_id())
        if self.stopped.cancelled_caught:
            return Close(run_id, Ending.CANCELLED)
        if limit.cancelled_caught:
            sentence = f"{self.title} did not finish within {self.limit_s:g} s."
            return Close(run_id, Ending.TIMED_OUT, sentence, new_error_id())
        return None
