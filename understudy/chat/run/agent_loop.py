"""The loop of a run: ask the model, execute its tool calls, ask again, until it has answered or handed over.

1. A resumed run starts from the beginning but uses what was recorded: no model is asked twice for a recorded turn, no
   finished tool call is repeated, and no event is published twice.
2. The model's text is published by `understudy.chat.answer.stream`.
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
from understudy.chat.answer.stream import AnswerStream
from understudy.chat.messages import RunRequest
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import SEPARATOR, PendingCall, Replay, encode_reply
from understudy.chat.run.tool_call import ToolOutcome
from understudy.chat.run.tool_executor import ToolExecutor
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
    ToolRequest,
    Turn,
    fenced,
    tool_message,
)
from understudy.storage.rows import StepRecord

MAX_TURNS = 8
"""Turns a model may take in one run; the last one offers it no tools, so that the run ends with a text."""


@define
class AgentLoop:
    """The work on one message, from the start of the first agent to the recorded answer."""

    job: RunRequest
    services: Services
    recorder: Recorder
    tools: ToolExecutor
    agent: Agent
    replay: Replay = field(factory=Replay)
    stream: AnswerStream = field(init=False)
    agent_id: str = field(default="", init=False)
    preface: str = field(default="", init=False, repr=False)
    outcomes: list[ToolOutcome] = field(factory=list, init=False)
    usage: Usage = field(factory=Usage, init=False)
    _turn: int = field(default=0, init=False)
    _thoughts: int = field(default=0, init=False)
    _logged_thoughts: deque[str] = field(init=False, repr=False)  # thoughts of this turn that are in the log
    _logged_agents: deque[tuple[str, str]] = field(init=False)
    _logged_handoffs: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        before = self.replay
        self.stream = AnswerStream(self.job, self.services, self.recorder, before)
        self._thoughts, self._logged_thoughts = before.thought_count, deque(before.thoughts)
        self._logged_agents, self._logged_handoffs = deque(before.agents), before.handoffs

    async def run(self, context: Context) -> None:
        """Work until the answer is recorded.

        Raises:
            ModelUnavailable: The model cannot be reached.
            StorageUnavailable: An event or step cannot be recorded.
            Blocked: The content policy blocks the answer, or the model's other text.
        """
        try:
            await self._run_turns(context)
        finally:
            self.stream.close()

    async def _run_turns(self, context: Context) -> None:
        await self.stream.restore()
        await self._start_agent(*([] if self.job.findings_summary is None else [self.job.findings_summary]))
        messages = await self._history()
        files = await self.services.attachments(self.job.owner).cards(self.job.references)
        turns = min(MAX_TURNS, self.job.settings.max_turns or MAX_TURNS)
        for turn in range(turns):
            self._turn = turn
            reply, wanted = await self._take_turn(messages, files, last=turn == turns - 1)
            if reply.handoff is not None and reply.handoff.to in self.agent.colleagues:
                await self._hand_over(reply.handoff.to, reply.handoff.reason)
            elif wanted:
                outcomes = await self.tools.execute(wanted, self.agent, self.agent_id, context)
                self.outcomes += outcomes
                if answers := [each.answer for each in outcomes if each.answer]:
                    await self.stream.feed(SEPARATOR.join(answers))
                    break
                messages.append(ChatMessage("assistant", reply.text, reply.calls))
                messages += [self._result_message(each) for each in outcomes]
            else:
                break
        await self._finish()

    async def _start_agent(self, *beside: Event) -> None:
        """Record that the agent has started, together with `beside`, unless the log has it."""
        self.recorder.speaker = self.agent
        if self._logged_agents:
            self.agent_id, _ = self._logged_agents.popleft()
            return
        self.agent_id = f"{self.agent.name}-{uuid.uuid4().hex[:8]}"
        saying = f"{self.agent.display_title} is on it"
        await self.recorder.record(AgentStarted(self.agent_id, saying, self.services.clock()), *beside)

    async def _hand_over(self, name: str, reason: str) -> None:
        if self._logged_handoffs:
            self._logged_handoffs -= 1
        else:
            completed = self._completed(f"Handed over to {name}")
            reason = await self.services.content_filter.filter_output(reason)
            await self.recorder.record(AgentHandoff(self.agent.name, name, reason), completed)
        self.agent = self.services.agents[name]
        await self._start_agent()

    async def _history(self) -> list[ChatMessage]:
        """Return the messages from the root of the thread, at most `history_messages`, and the message to answer."""
        job, limit = self.job, self.services.limits.history_messages
        history = await self.services.store.history(job.owner, job.message_id, limit)
        if left_out := history.left_out:
            self.preface = f"{left_out:,} earlier messages of this conversation were left out."
            if not self.replay.turns:
                read = f"Only the last {len(history.messages):,} messages of this conversation were read"
                older = "1 older one was" if left_out == 1 else f"{left_out:,} older ones were"
                await self._publish_thought(f"{read}; {older} left out.")
        earlier = [ChatMessage("user" if row.role == "user" else "assistant", row.content) for row in history.messages]
        return [*earlier, ChatMessage("user", job.content)]

    async def _take_turn(
        self, messages: list[ChatMessage], files: tuple[FileCard, ...], *, last: bool
    ) -> tuple[Reply, Sequence[PendingCall]]:
        """Return the reply of this turn, from the replay or from the model, and its tool calls."""
        if self._turn < len(self.replay.turns):
            past = self.replay.turns[self._turn]
            self.usage = self.usage + past.reply.usage
            self.stream.add_finished_turn(past.reply.text)
            return past.reply, past.calls
        cut = self.replay.interrupted_step if self._turn == len(self.replay.turns) else None
        begun = self.replay.partial_text if cut is not None and self.replay.continues else ""
        return await self._ask_model(messages, files, last=last, cut=cut, begun=begun)

    async def _ask_model(
        self,
        messages: list[ChatMessage],
        files: tuple[FileCard, ...],
        *,
        last: bool,
        cut: StepRecord | None,
        begun: str,
    ) -> tuple[Reply, Sequence[PendingCall]]:
        model, card, now = self.services.model_of(self.agent.model), self.agent.card(), self.services.clock()
        step = cut or self.recorder.next_step("model", model.name, None, None, now)
        self.recorder.activity = "thinking"
        turn = Turn(
            agent=card,
            messages=tuple(messages),
            instructions=await self._instructions(),
            tools=() if last else card.tools,
            files=files,
            colleagues=() if last else self._colleagues(),
            partial_text=begun,
        )
        self.stream.begin_turn(step, begun)
        reply = await model.respond(turn, self._on_model_event)
        said = await self.stream.end_turn()
        await self._ensure_thought()
        if begun:
            reply = evolve(reply, text=said)
        call_ids = [uuid.uuid4().hex for _ in reply.calls]
        text = await self.services.content_filter.filter_for_storage(reply.text) or ""
        calls = [await self._storable_request(each) for each in reply.calls]
        result = encode_reply(reply, call_ids, text, calls, self._thoughts, self.stream.findings)
        if reply.handoff is not None:
            result["handoff"]["reason"] = (
                await self.services.content_filter.filter_for_storage(reply.handoff.reason) or ""
            )
        self.usage = self.usage + reply.usage
        self.stream.add_finished_turn(text)
        await self.recorder.record(steps=(evolve(step, result=result, status="ok", ended_at=self.services.clock()),))
        self._logged_thoughts.clear()
        return reply, [PendingCall(call, call_id) for call, call_id in zip(reply.calls, call_ids, strict=True)]

    async def _storable_request(self, call: ToolRequest) -> ToolRequest | None:
        """Return a call as it may be stored; None if the content policy blocks it."""
        words = {"id": call.id, "name": call.name, "arguments": dict(call.arguments), "description": call.description}
        kept = await self.services.content_filter.filter_for_storage(words)
        if kept is None:
            return None
        name = call.name if self.agent.tool(call.name) is not None else kept["name"]
        return ToolRequest(kept["id"], name, kept["arguments"], kept["description"])

    def _result_message(self, outcome: ToolOutcome) -> ChatMessage:
        """Return the message with a tool call's result for the model."""
        status, note = outcome.status.value, outcome.note
        return tool_message(outcome.request, status, outcome.value, outcome.summary, note=note, suspect=outcome.suspect)

    async def _instructions(self) -> str:
        """Return the instructions for the model: those of the agent, the note about fences, then those of this run.

        The constant parts come first, so that prompt caches of providers keep them.
        """
        card = self.agent.card()
        own = self.agent.instructions or f"You are {card.title or card.name}. {card.description}".strip()
        parts = (own, FENCE_NOTE, await self._memory_note(), self._context_note(), self.preface)
        return "\n\n".join(part for part in parts if part)

    def _context_note(self) -> str:
        """Return the context sent with the message, fenced; empty if there is none."""
        if not self.job.context:
            return ""
        return f"The program that the user writes in sent this data with the message:\n{fenced(self.job.context)}"

    async def _memory_note(self) -> str:
        """Return the agent's memory of the user, fenced; empty unless the agent has `remembers`."""
        if not self.agent.remembers or self.services.memory is None:
            return ""
        return await self.services.memory(self.job.owner, self.agent.name).for_model()

    def _colleagues(self) -> tuple[AgentCard, ...]:
        agents = self.services.agents
        return tuple(agents[name].card() for name in self.agent.colleagues if name in agents)

    async def _on_model_event(self, event: ModelEvent) -> None:
        match event:
            case Thought(text):
                await self._publish_thought(await self.services.content_filter.filter_output(text))
            case TextDelta(text):
                self.recorder.activity = "writing"
                await self._ensure_thought()
                await self.stream.feed(text)

    async def _ensure_thought(self) -> None:
        """Publish a stock thought if the run has published none, because its model emits none."""
        if not self._thoughts:
            await self._publish_thought(f"{self.agent.display_title} is working out an answer")

    async def _publish_thought(self, thought: str) -> None:
        """Record a thought, unless the log has it."""
        if thought in self._logged_thoughts:
            self._logged_thoughts.remove(thought)
            return
        self._thoughts += 1
        await self.recorder.record(AgentThinking(self.agent_id, thought, self.services.clock()))

    async def _finish(self) -> None:
        text, summary = await self.stream.finish()
        events: list[Event] = [] if summary is None else [summary]
        charts = [each.visualization for each in self.outcomes if each.visualization]
        data: dict[str, Any] = {}
        for each in self.outcomes:
            if each.status is ToolStatus.OK:
                result = {"tool_name": each.request.name, "result": each.value}
                data.setdefault("results", []).append(result | ({"kind": each.kind} if each.kind else {}))
        if len(charts) > 1:
            data["visualizations"] = charts
        events += [
            self._completed(text),
            FinalResponse(text, RunStatus.SUCCESS, self.usage, data or None, charts[-1] if charts else None),
        ]
        await self.recorder.record(*events)

    def _completed(self, result: str) -> AgentCompleted:
        return AgentCompleted(self.agent_id, result, RunStatus.SUCCESS, self.usage, self.services.clock())
