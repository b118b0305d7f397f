"""What a run does: ask the model, have its tool calls made, ask again, until it has answered or handed over.

1. With a replay it does all of that from the beginning, but takes what was recorded for what it would have done: no
   model is asked and no tool called twice, and nothing is told twice.
2. What the model says is shown by `understudy.chat.answer.stream`.
"""

import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any

from attrs import define, evolve, field

from actors import Context
from transport.wire.events import (
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
from understudy.chat.answer.stream import Speech
from understudy.chat.messages import Job
from understudy.chat.run.history import read_past
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import SEPARATOR, Replay, Wanted, reply_kept
from understudy.chat.run.tool_call import Outcome
from understudy.chat.run.tool_executor import ToolRound
from understudy.chat.services import Services
from understudy.models.model import (
    FENCE_NOTE,
    AgentCard,
    ChatMessage,
    FileCard,
    ModelEvent,
    Reply,
    TextDelta,
    Thought,
    ToolCall,
    Turn,
    fenced,
    tool_message,
)
from understudy.storage.rows import Step

TURNS = 8
"""Turns a model may take in one run; in the last it is offered no tools, so that it ends in words."""


@define
class AgentLoop:
    """The work on one message, from the first agent's start to the answer."""

    job: Job
    services: Services
    recorder: Recorder
    tools: ToolRound
    agent: Agent
    before: Replay = field(factory=Replay)
    speech: Speech = field(init=False)
    agent_id: str = field(default="", init=False)
    preface: str = field(default="", init=False, repr=False)
    done: list[Outcome] = field(factory=list, init=False)
    usage: Usage = field(factory=Usage, init=False)
    _turns: int = field(default=0, init=False)
    _thoughts: int = field(default=0, init=False)
    _told: deque[str] = field(init=False, repr=False)  # thoughts of this turn that the log has
    _started: deque[tuple[str, str]] = field(init=False)
    _handed_over: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        before = self.before
        self.speech = Speech(self.job, self.services, self.recorder, before)
        self._thoughts, self._told = before.all_thoughts, deque(before.thoughts)
        self._started, self._handed_over = deque(before.started), before.handed_over

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
            self.speech.end()

    async def _work(self, context: Context) -> None:
        await self.speech.show_again()
        await self._start(*([] if self.job.found is None else [self.job.found]))
        messages = await self._history()
        files = await self.services.attachments(self.job.owner).cards(self.job.references)
        turns = min(TURNS, self.job.settings.max_turns or TURNS)
        for turn in range(turns):
            self._turns = turn
            reply, wanted = await self._reply(messages, files, last=turn == turns - 1)
            if reply.handoff is not None and reply.handoff.to in self.agent.colleagues:
                await self._hand_over(reply.handoff.to, reply.handoff.reason)
            elif wanted:
                outcomes = await self.tools.call(wanted, self.agent, self.agent_id, context)
                self.done += outcomes
                if answers := [each.answer for each in outcomes if each.answer]:
                    await self.speech.hear(SEPARATOR.join(answers))
                    break
                messages.append(ChatMessage("assistant", reply.text, reply.calls))
                messages += [self._result(each) for each in outcomes]
            else:
                break
        await self._finish()

    async def _start(self, *beside: Event) -> None:
        """Have it known that the agent begins, with `beside`, unless the log has it."""
        self.recorder.speaker = self.agent
        if self._started:
            self.agent_id, _ = self._started.popleft()
            return
        self.agent_id = f"{self.agent.name}-{uuid.uuid4().hex[:8]}"
        saying = f"{self.agent.display_title} is on it"
        await self.recorder.record(AgentStarted(self.agent_id, saying, self.services.clock()), *beside)

    async def _hand_over(self, name: str, reason: str) -> None:
        if self._handed_over:
            self._handed_over -= 1
        else:
            completed = self._completed(f"Handed over to {name}")
            reason = await self.services.guard.written(reason)
            await self.recorder.record(AgentHandoff(self.agent.name, name, reason), completed)
        self.agent = self.services.agents[name]
        await self._start()

    async def _history(self) -> list[ChatMessage]:
        """Give what was said before, as far as a model is shown it, and the message to answer."""
        past = await read_past(self.services, self.job)
        self.preface = past.for_model
        if past.left_out and not self.before.turns:
            await self._think(past.for_user)
        return [*past.messages, ChatMessage("user", self.job.content)]

    async def _reply(
        self, messages: list[ChatMessage], files: tuple[FileCard, ...], *, last: bool
    ) -> tuple[Reply, Sequence[Wanted]]:
        """The reply of this turn, recorded before or given now, and the calls that it wants."""
        if self._turns < len(self.before.turns):
            past = self.before.turns[self._turns]
            self.usage = self.usage + past.reply.usage
            self.speech.take(past.reply.text)
            return past.reply, past.calls
        cut = self.before.cut if self._turns == len(self.before.turns) else None
        begun = self.before.begun if cut is not None and self.before.goes_on else ""
        return await self._ask(messages, files, last=last, cut=cut, begun=begun)

    async def _ask(
        self, messages: list[ChatMessage], files: tuple[FileCard, ...], *, last: bool, cut: Step | None, begun: str
    ) -> tuple[Reply, Sequence[Wanted]]:
        model, card, now = self.services.model_of(self.agent), self.agent.card(), self.services.clock()
        step = cut or self.recorder.step("model", model.name, None, None, now)
        self.recorder.doing = "thinking"
        turn = Turn(
            agent=card,
            messages=tuple(messages),
            instructions=await self._instructions(),
            tools=() if last else card.tools,
            files=files,
            colleagues=() if last else self._colleagues(),
            begun=begun,
        )
        self.speech.begin_turn(step, begun)
        reply = await model.respond(turn, self._hear)
        said = await self.speech.end_turn()
        await self._think_at_least()
        if begun:
            reply = evolve(reply, text=said)
        call_ids = [uuid.uuid4().hex for _ in reply.calls]
        text = await self.services.guard.kept(reply.text) or ""
        calls = [await self._call_kept(each) for each in reply.calls]
        result = reply_kept(reply, call_ids, text, calls, self._thoughts, self.speech.found)
        if reply.handoff is not None:
            result["handoff"]["reason"] = await self.services.guard.kept(reply.handoff.reason) or ""
        self.usage = self.usage + reply.usage
        self.speech.take(text)
        await self.recorder.record(steps=(evolve(step, result=result, status="ok", ended_at=self.services.clock()),))
        self._told.clear()
        return reply, [Wanted(call, call_id) for call, call_id in zip(reply.calls, call_ids, strict=True)]

    async def _call_kept(self, call: ToolCall) -> ToolCall | None:
        """What may be stored of a call; None for nothing."""
        words = {"id": call.id, "name": call.name, "arguments": dict(call.arguments), "description": call.description}
        kept = await self.services.guard.kept(words)
        if kept is None:
            return None
        name = call.name if self.agent.tool(call.name) is not None else kept["name"]
        return ToolCall(kept["id"], name, kept["arguments"], kept["description"])

    def _result(self, outcome: Outcome) -> ChatMessage:
        """Build the message that tells the model how a tool call ended."""
        status, note = outcome.status.value, outcome.note
        return tool_message(outcome.call, status, outcome.value, outcome.summary, note=note, suspect=outcome.suspect)

    async def _instructions(self) -> str:
        """Join the agent's instructions, the meaning of the fence, and what differs from run to run.

        The last part stands at the end, so that the beginning is the same in every run of the agent.
        """
        card = self.agent.card()
        own = self.agent.instructions or f"You are {card.title or card.name}. {card.description}".strip()
        parts = (own, FENCE_NOTE, await self._remembered(), self._context(), self.preface)
        return "\n\n".join(part for part in parts if part)

    def _context(self) -> str:
        """Return the data that came with the message, fenced; empty if it came with none."""
        if not self.job.context:
            return ""
        return f"The program that the user writes in sent this data with the message:\n{fenced(self.job.context)}"

    async def _remembered(self) -> str:
        """Return what the agent remembers of the user, fenced; empty unless the agent asks for it."""
        if not self.agent.remembers or self.services.memory is None:
            return ""
        return await self.services.memory(self.job.owner, self.agent.name).told()

    def _colleagues(self) -> tuple[AgentCard, ...]:
        agents = self.services.agents
        return tuple(agents[name].card() for name in self.agent.colleagues if name in agents)

    async def _hear(self, event: ModelEvent) -> None:
        match event:
            case Thought(text):
                await self._think(await self.services.guard.written(text))
            case TextDelta(text):
                self.recorder.doing = "writing"
                await self._think_at_least()
                await self.speech.hear(text)

    async def _think_at_least(self) -> None:
        """Tell of a thought if the run has told of none: its model says nothing of what it does."""
        if not self._thoughts:
            await self._think(f"{self.agent.display_title} is working out an answer")

    async def _think(self, thought: str) -> None:
        """Tell of a thought, unless the log has it."""
        if thought in self._told:
            self._told.remove(thought)
            return
        self._thoughts += 1
        await self.recorder.record(AgentThinking(self.agent_id, thought, self.services.clock()))

    async def _finish(self) -> None:
        text, summary = await self.speech.finish()
        events: list[Event] = [] if summary is None else [summary]
        charts = [each.visualization for each in self.done if each.visualization]
        data: dict[str, Any] = {}
        if results := [_result_shown(each) for each in self.done if each.status is ToolStatus.OK]:
            data["results"] = results
        if len(charts) > 1:
            data["visualizations"] = charts
        events += [
            self._completed(text),
            FinalResponse(text, RunStatus.SUCCESS, self.usage, data or None, charts[-1] if charts else None),
        ]
        await self.recorder.record(*events)

    def _completed(self, result: str) -> AgentCompleted:
        return AgentCompleted(self.agent_id, result, RunStatus.SUCCESS, self.usage, self.services.clock())


def _result_shown(outcome: Outcome) -> dict[str, Any]:
    """What a tool gave, as the answer has it: with its kind, if it is of one."""
    shown = {"tool_name": outcome.call.name, "result": outcome.value}
    return shown | {"kind": outcome.kind} if outcome.kind else shown
