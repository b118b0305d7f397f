"""What a run does: ask the model, have its tool calls made, ask again, until it has answered or handed over."""

import uuid
from typing import Any

from attrs import define, evolve, field

from actors import Context
from sanitization import summary
from transport.events import (
    AgentCompleted,
    AgentHandoff,
    AgentStarted,
    AgentThinking,
    Event,
    FinalResponse,
    RunStatus,
    SanitizationSummary,
    ToolStatus,
    Usage,
)
from understudy.agents.agent import Agent
from understudy.chat.answer import Answer
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

TURNS = 8
"""Turns a model may take in one run; in the last it is offered no tools, so that it ends in words."""
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
    done: list[Outcome] = field(factory=list, init=False)
    usage: Usage = field(factory=Usage, init=False)

    async def run(self, context: Context) -> None:
        """Work until the answer is recorded.

        Raises:
            ModelUnavailable: The model cannot be reached.
            StorageUnavailable: What happened cannot be recorded.
        """
        await self._start()
        if len(self.job.findings) >= self.services.summary_from:
            await self.recorder.record(self._summary("inbound", self.job.findings))
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
                messages += [tool_message(each.call, each.status.value, each.value, each.summary) for each in outcomes]
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
        await self.recorder.record(AgentHandoff(self.agent.name, name, reason), completed)
        self.agent = self.services.agents[name]
        await self._start()

    async def _history(self) -> list[ChatMessage]:
        """Give what was said before, as far as a model is shown it, and the message to answer."""
        page = await self.services.store.messages(
            self.job.owner, self.job.thread_id, limit=self.services.limits.history_messages
        )
        earlier = [
            ChatMessage("user" if row.role == "user" else "assistant", row.content)
            for row in page.items
            if row.run_id != self.job.run_id
        ]
        return [*earlier, ChatMessage("user", self.job.content)]

    async def _ask(self, messages: list[ChatMessage], files: tuple[FileCard, ...], *, last: bool) -> Reply:
        model, card = self.services.model_of(self.agent), self.agent.card()
        step = self.recorder.step("model", model.name, None, None, self.services.clock())
        self.recorder.doing = "thinking"
        turn = Turn(
            agent=card,
            messages=tuple(messages),
            instructions=self.agent.instructions,
            tools=() if last else card.tools,
            files=files,
            colleagues=() if last else self._colleagues(),
        )
        reply = await model.respond(turn, self._hear)
        self.usage = self.usage + reply.usage
        self.answer.pause()
        calls = [{"id": each.id, "name": each.name, "arguments": dict(each.arguments)} for each in reply.calls]
        ended = evolve(step, result={"text": reply.text, "calls": calls}, status="ok", ended_at=self.services.clock())
        await self.recorder.record(steps=(ended,))
        return reply

    def _colleagues(self) -> tuple[AgentCard, ...]:
        agents = self.services.agents
        return tuple(agents[name].card() for name in self.agent.colleagues if name in agents)

    async def _hear(self, event: ModelEvent) -> None:
        match event:
            case Thought(text):
                await self.recorder.record(AgentThinking(self.agent_id, text, self.services.clock()))
            case TextDelta(text):
                self.recorder.doing = "writing"
                await self.recorder.piece(*await self.answer.feed(text))

    async def _finish(self) -> None:
        await self.recorder.piece(*await self.answer.finish())
        events: list[Event] = []
        if len(self.answer.findings) >= self.services.summary_from:
            events.append(self._summary("outbound", self.answer.findings))
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

    def _summary(self, direction: str, findings: tuple[Any, ...]) -> SanitizationSummary:
        told = summary(findings)
        return SanitizationSummary(direction, told.counts, told.findings, self.services.summary_from)
