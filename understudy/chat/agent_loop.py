"""What a run does: ask the model, have its tool calls made, ask again, until it has answered or handed over.

1. With a replay it does all of that from the beginning, but takes what was recorded for what it would have done: no
   model is asked and no tool called twice, and nothing is told twice.
2. Text is shown as it comes, and kept a moment later, so that a server that dies loses a moment of it at most.
"""

import secrets
import uuid
from collections import deque
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
from understudy.chat.continuation import Continuation, Fresh
from understudy.chat.history import read_past
from understudy.chat.messages import Job
from understudy.chat.recorder import Recorder
from understudy.chat.replay import SEPARATOR, Replay, Wanted, reply_kept
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
    ToolCall,
    Turn,
    tool_message,
)
from understudy.scrubbing.told import summary_of
from understudy.storage.rows import Step

TURNS = 8
"""Turns a model may take in one run; in the last it is offered no tools, so that it ends in words."""
PAUSE_S = 0.5
"""After how long without a word of the model what is held back of its answer is shown as far as it can be."""
KEEP_S = 0.25
KEEP_SIZE = 2048
"""After how long, or how many characters, new text of a turn is kept. Of a long text, where that takes longer, a
thirty-second part: keeping it means writing all of it."""
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
    before: Replay = field(factory=Replay)
    answer: Answer = field(init=False)
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
    _turns: int = field(default=0, init=False)
    _said: str = field(default="", init=False, repr=False)  # the text of the turns that are over
    _continuation: Continuation = field(factory=lambda: Continuation(""), init=False, repr=False)
    _step: Step | None = field(default=None, init=False, repr=False)  # of the turn that is under way
    _kept: tuple[float, int] = field(default=(0.0, 0), init=False)  # when, and how much of the answer
    _thoughts: int = field(default=0, init=False)
    _told: deque[str] = field(init=False, repr=False)  # thoughts of this turn that the log has
    _started: deque[tuple[str, str]] = field(init=False)
    _handed_over: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        before = self.before
        self.answer = self._new_answer()
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
            self._over = True
            self._count()

    def _new_answer(self) -> Answer:
        guard, job = self.services.guard, self.job
        return Answer(guard.stream(), guard.vault.get(job.owner, job.thread_id))

    def _count(self) -> None:
        answer = self.answer
        self.services.guard.count(Direction.OUTBOUND, answer.findings, answer.omitted, answer.failures, answer.seconds)

    async def _work(self, context: Context) -> None:
        await self._show_again()
        await self._start()
        await self._tell(Direction.INBOUND, self.job.findings, self.job.omitted)
        messages = await self._history()
        files = await self.services.attachments(self.job.owner).cards(self.job.references)
        for turn in range(TURNS):
            self._turns = turn
            reply, wanted = await self._reply(messages, files, last=turn == TURNS - 1)
            if reply.handoff is not None and reply.handoff.to in self.agent.colleagues:
                await self._hand_over(reply.handoff.to, reply.handoff.reason)
            elif wanted:
                outcomes = await self.tools.call(wanted, self.agent, self.agent_id, context)
                self.done += outcomes
                messages.append(ChatMessage("assistant", reply.text, reply.calls))
                messages += [self._result(each) for each in outcomes]
            else:
                break
        await self._finish()

    async def _show_again(self) -> None:
        """Show what was shown before, so that it goes on from there on every screen."""
        if not self.before.started:
            return
        # Also where nothing was kept: a word may have been shown.
        await self._show(await self.answer.resume(self.before.text), anew=True)
        if not self.before.begun:
            self.answer.pause()

    async def _start(self) -> None:
        self.recorder.speaker = self.agent
        if self._started:
            self.agent_id, _ = self._started.popleft()
            return
        self.agent_id = f"{self.agent.name}-{uuid.uuid4().hex[:8]}"
        saying = f"{self.agent.display_title} is on it"
        await self.recorder.record(AgentStarted(self.agent_id, saying, self.services.clock()))

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
            self._take(past.reply, past.reply.text)
            return past.reply, past.calls
        cut = self.before.cut if self._turns == len(self.before.turns) else None
        begun = self.before.begun if cut is not None else ""
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
            instructions=self.preface + await self._remembered() + self.agent.instructions,
            tools=() if last else card.tools,
            files=files,
            colleagues=() if last else self._colleagues(),
            begun=begun,
        )
        self._continuation, self._step = Continuation(begun), step
        self._kept = (trio.current_time(), len(self._said) + len(begun))
        reply = await model.respond(turn, self._hear)
        await self._write(self._continuation.finish())
        self._step = None
        if begun:
            reply = evolve(reply, text=self._continuation.text)
        call_ids = [uuid.uuid4().hex for _ in reply.calls]
        text = await self.services.guard.kept(reply.text) or ""
        result = reply_kept(
            reply, call_ids, text, [await self._call_kept(each) for each in reply.calls], self._thoughts
        )
        if reply.handoff is not None:
            result["handoff"]["reason"] = await self.services.guard.kept(reply.handoff.reason) or ""
        self._take(reply, text)
        self.answer.pause()
        await self.recorder.record(steps=(evolve(step, result=result, status="ok", ended_at=self.services.clock()),))
        self._told.clear()
        return reply, [Wanted(call, call_id) for call, call_id in zip(reply.calls, call_ids, strict=True)]

    def _take(self, reply: Reply, kept: str) -> None:
        """A turn is over: `kept` is its text as it is stored."""
        self.usage = self.usage + reply.usage
        self._said = SEPARATOR.join(part for part in (self._said, kept) if part)

    async def _call_kept(self, call: ToolCall) -> ToolCall | None:
        """What may be stored of a call; None for nothing."""
        words = {"id": call.id, "name": call.name, "arguments": dict(call.arguments), "description": call.description}
        kept = await self.services.guard.kept(words)
        if kept is None:
            return None
        name = call.name if self.agent.tool(call.name) is not None else kept["name"]
        return ToolCall(kept["id"], name, kept["arguments"], kept["description"])

    def _result(self, outcome: Outcome) -> ChatMessage:
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
                await self._think(await self.services.guard.written(text))
            case TextDelta(text):
                self.recorder.doing = "writing"
                await self._write(self._continuation.feed(text))
                self._checkpoint()

    async def _think(self, thought: str) -> None:
        """Tell of a thought, unless the log has it."""
        if thought in self._told:
            self._told.remove(thought)
            return
        self._thoughts += 1
        await self.recorder.record(AgentThinking(self.agent_id, thought, self.services.clock()))

    async def _write(self, fresh: Fresh) -> None:
        """Show the next piece of the answer. One at a time: a release that has begun comes first."""
        if not (fresh.text or fresh.anew):
            return
        if self._releasing is not None:
            await self._releasing.wait()
        self._writing = True  # and stays so when this is cancelled: then nothing more is shown
        text = fresh.text
        if fresh.anew:
            self._count()
            self.answer = self._new_answer()
            text = SEPARATOR.join(part for part in (self._said, text) if part)
        await self._show(await self.answer.feed(text), anew=fresh.anew)
        self._writing, self._written_at = False, trio.current_time()
        if self._held is not None and self.answer.holds:
            self._held.set()

    def _checkpoint(self) -> None:
        """Have the text of this turn kept, if there is enough that is new."""
        now, length = trio.current_time(), self.answer.length
        kept_at, kept = self._kept
        new = length - kept
        if self._step is None or new < length / 32 or (new < KEEP_SIZE and (not new or now < kept_at + KEEP_S)):
            return
        text, said = self.answer.text, self._said and self._said + SEPARATOR
        if text.startswith(said):  # else something of it was taken out, and it is told again from the turn's beginning
            self._kept = (now, length)
            self.recorder.checkpoint(evolve(self._step, result={"text": text[len(said) :]}))

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

    async def _show(self, piece: Piece, *, anew: bool = False) -> None:
        """Show the next piece of the answer, or the first of one that takes its place.

        Raises:
            Blocked: It holds what is not let pass. What was shown before stays.
        """
        await self.recorder.piece(*piece, anew=anew)
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
