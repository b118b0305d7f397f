"""What a run does: ask the model, have its tool calls made, ask again, until it has answered or handed over."""

import secrets
import uuid
from collections.abc import Sequence
from typing import Any

import trio
from attrs import define, evolve, field

from actors import Context
from sanitization import Direction, Finding, Scrubbed
from transport.events import (
    AgentCompleted,
    AgentHandoff,
    AgentStarted,
    AgentThinking,
    Event,
    FinalResponse,
    RunStatus,
    ToolStatus,
    Usage,
)
from understudy.agents.agent import Agent
from understudy.chat.answer import Answer, Piece
from understudy.chat.history import read_past
from understudy.chat.messages import Job
from understudy.chat.recorder import Recorder
from understudy.chat.services import Services
from understudy.chat.tool_call import Outcome
from understudy.chat.tool_round import ToolRound
from understudy.models.model import (
    AgentCard,
    ChatMessage,
    FileCard,
    ModelEvent,
    Reply,
    TextDelta,
    Thought,
    Turn,
    tool_message,
)
from understudy.scrubbing.told import summary_of

TURNS = 8
"""Turns a model may take in one run; in the last it is offered no tools, so that it ends in words."""
PAUSE_S = 0.5
"""After how long without a word of the model what is held back of its answer is shown as far as it can be."""
RESULT_SHOWN = 500
"""Characters of an answer that `agent_completed` repeats."""


@define
class AgentLoop:
    """The work on one message, from the first agent's start to the answer."""

    job: Job
    services: Services
    recorder: Recorder
    tools: ToolRound
    agent: Agent
    answer: Answer
    agent_id: str = field(default="", init=False)
    preface: str = field(default="", init=False, repr=False)
    done: list[Outcome] = field(factory=list, init=False)
    usage: Usage = field(factory=Usage, init=False)
    _held: trio.Event | None = field(default=None, init=False)
    _releasing: trio.Event | None = field(default=None, init=False)
    _writing: bool = field(default=False, init=False)
    _written_at: float = field(default=0.0, init=False)
    _over: bool = field(default=False, init=False)
    fence: str = field(factory=lambda: secrets.token_hex(12), init=False, repr=False)

    async def run(self, context: Context) -> None:
        """Work until the answer is recorded.

        Raises:
            ModelUnavailable: The model cannot be reached.
            StorageUnavailable: What happened cannot be recorded.
            Blocked: The answer, or what the model wrote beside it, is not let pass.
        """
        try:
            await self._work(context)
        finally:
            self._over = True
            answer = self.answer
            self.services.guard.count(
                Direction.OUTBOUND, answer.findings, answer.omitted, answer.failures, answer.seconds
            )

    async def _work(self, context: Context) -> None:
        await self._start()
        await self._tell(Direction.INBOUND, self.job.findings, self.job.omitted)
        messages = await self._history()
        files = await self.services.attachments(self.job.owner).cards(self.job.references)
        for turn in range(TURNS):
            reply = await self._ask(messages, files, last=turn == TURNS - 1)
            if reply.handoff is not None and reply.handoff.to in self.agent.colleagues:
                await self._hand_over(reply.handoff.to, reply.handoff.reason)
            elif reply.calls:
                outcomes = await self.tools.call(reply.calls, self.agent, self.agent_id, context)
                self.done += outcomes
                messages.append(ChatMessage("assistant", reply.text, reply.calls))
                messages += [self._told(each) for each in outcomes]
            else:
                break
        await self._finish()

    async def _start(self) -> None:
        self.recorder.speaker = self.agent
        self.agent_id = f"{self.agent.name}-{uuid.uuid4().hex[:8]}"
        saying = f"{self.agent.display_title} is on it"
        await self.recorder.record(AgentStarted(self.agent_id, saying, self.services.clock()))

    async def _hand_over(self, name: str, reason: str) -> None:
        completed = self._completed(f"Handed over to {name}")
        reason = await self.services.guard.written(reason)
        await self.recorder.record(AgentHandoff(self.agent.name, name, reason), completed)
        self.agent = self.services.agents[name]
        await self._start()

    async def _history(self) -> list[ChatMessage]:
        """Give what was said before, as far as a model is shown it, and the message to answer."""
        past = await read_past(self.services, self.job)
        self.preface = past.for_model
        if past.left_out:
            await self.recorder.record(AgentThinking(self.agent_id, past.for_user, self.services.clock()))
        return [*past.messages, ChatMessage("user", self.job.content)]

    async def _ask(self, messages: list[ChatMessage], files: tuple[FileCard, ...], *, last: bool) -> Reply:
        model, card = self.services.model_of(self.agent), self.agent.card()
        step = self.recorder.step("model", model.name, None, None, self.services.clock())
        self.recorder.doing = "thinking"
        turn = Turn(
            agent=card,
            messages=tuple(messages),
            instructions=self.preface + await self._remembered() + self.agent.instructions,
            tools=() if last else card.tools,
            files=files,
            colleagues=() if last else self._colleagues(),
        )
        reply = await model.respond(turn, self._hear)
        self.usage = self.usage + reply.usage
        self.answer.pause()
        # Arguments are in the steps of the calls.
        said = {"text": reply.text, "calls": [{"id": each.id, "name": each.name} for each in reply.calls]}
        said = await self.services.guard.kept(said)
        await self.recorder.record(steps=(evolve(step, result=said, status="ok", ended_at=self.services.clock()),))
        return reply

    def _told(self, outcome: Outcome) -> ChatMessage:
        """How a tool call ended, as the model is told it: marked as data where it looks like instructions."""
        fence = self.fence if outcome.suspect else None
        return tool_message(outcome.call, outcome.status.value, outcome.value, outcome.told, fence=fence)

    async def _remembered(self) -> str:
        """What the agent remembers of the user, as its model is told it; empty unless it is to be told."""
        if not self.agent.remembers or self.services.memory is None:
            return ""
        return await self.services.memory(self.job.owner, self.agent.name).told(self.fence)

    def _colleagues(self) -> tuple[AgentCard, ...]:
        agents = self.services.agents
        return tuple(agents[name].card() for name in self.agent.colleagues if name in agents)

    async def _hear(self, event: ModelEvent) -> None:
        match event:
            case Thought(text):
                thought = await self.services.guard.written(text)
                await self.recorder.record(AgentThinking(self.agent_id, thought, self.services.clock()))
            case TextDelta(text):
                self.recorder.doing = "writing"
                await self._write(text)

    async def _write(self, text: str) -> None:
        """Show the next piece of the answer. One at a time: a release that has begun comes first."""
        if self._releasing is not None:
            await self._releasing.wait()
        self._writing = True  # and stays so when this is cancelled: then nothing more is shown
        await self._show(await self.answer.feed(text))
        self._writing, self._written_at = False, trio.current_time()
        if self._held is not None and self.answer.holds:
            self._held.set()

    async def release_in_pauses(self) -> None:
        """When a model stops in the middle of a word, show what can be shown of what was held back."""
        while True:
            self._held = trio.Event()
            await self._held.wait()
            self._held = None
            until = self._written_at + PAUSE_S
            while not self._over and (trio.current_time() < until or self._writing):
                await trio.sleep_until(max(until, trio.current_time() + PAUSE_S / 2))
                until = self._written_at + PAUSE_S
            if self._over:
                return
            self._releasing = trio.Event()
            await self.recorder.piece(*await self.answer.release())
            self._releasing.set()
            self._releasing = None

    async def _show(self, piece: Piece) -> None:
        """Show the next piece of the answer.

        Raises:
            Blocked: It holds what is not let pass. What was shown before stays.
        """
        await self.recorder.piece(*piece)
        if self.answer.blocked:
            findings, failures = self.answer.findings, self.answer.failures
            await self._tell(Direction.OUTBOUND, findings, self.answer.omitted)
            raise self.services.guard.blocked(
                "The answer was stopped, and what was shown of it stays",
                [Scrubbed("", findings, blocked=True, failures=failures)],
            )

    async def _finish(self) -> None:
        if self._releasing is not None:
            await self._releasing.wait()
        self._over = True
        await self._show(await self.answer.finish())
        events: list[Event] = []
        found = self.answer.findings
        summary = summary_of("outbound", found, self.services.summary_from, omitted=self.answer.omitted)
        if summary is not None:
            events.append(summary)
        charts = [each.visualization for each in self.done if each.visualization]
        data: dict[str, Any] = {}
        if results := [
            {"tool_name": each.call.name, "result": each.value} for each in self.done if each.status is ToolStatus.OK
        ]:
            data["results"] = results
        if len(charts) > 1:
            data["visualizations"] = charts
        text = self.answer.text
        events += [
            self._completed(text),
            FinalResponse(text, RunStatus.SUCCESS, self.usage, data or None, charts[-1] if charts else None),
        ]
        await self.recorder.record(*events)

    def _completed(self, result: str) -> AgentCompleted:
        shown = result if len(result) <= RESULT_SHOWN else result[:RESULT_SHOWN] + "…"
        return AgentCompleted(self.agent_id, shown, RunStatus.SUCCESS, self.usage, self.services.clock())

    async def _tell(self, direction: Direction, findings: Sequence[Finding], omitted: int) -> None:
        """Tell the user what was found, once it is as much as is told of."""
        summary = summary_of(direction.value, findings, self.services.summary_from, omitted=omitted)
        if summary is not None:
            await self.recorder.record(summary)
