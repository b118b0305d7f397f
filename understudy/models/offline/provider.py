"""The rules of the offline model: reads a turn, lets the pure modules decide, and emits. The same turn gives the same
answer.
"""

from collections.abc import Callable, Sequence
from typing import Final

import trio
from attrs import evolve

from actors import sleep
from transport.wire.events import Usage
from understudy.models.model import AgentCard, Emit, MessageItem, Reply, TextDelta, Thought, ToolCard, ToolRequest, Turn
from understudy.models.offline import wording
from understudy.models.offline.fitting import MEANT, ToolPool
from understudy.models.offline.memory import TOOLS, remembered, told, wish
from understudy.models.offline.planning import CallPlan, Planned, choose_colleague, colleague_plan, make_plan
from understudy.models.offline.recall import recall
from understudy.models.offline.request import Request, read_request
from understudy.models.offline.structured import structured

# Parts of the model's questions; the message after a question is read as the answer to it.
_ASKED: Final = ("I need ", "Which column shall I take")

# Characters processed between two checkpoints.
_PIECE: Final = 64 * 1024
PACE_S: Final = 10.0
"""Seconds of pauses in one answer; a longer answer is written faster, because pauses count as work of the run."""
LATE_S: Final = 0.01
"""Seconds that an answer catches up on, as a sleep ends up to 8 ms late; one held up for longer goes on at its pace."""


class OfflineRules:
    """Answers turns as `OfflineModel` promises, with a pause of `pause_s` after each word."""

    def __init__(self, pause_s: float, new_id: Callable[[], str]) -> None:
        self._pause_s, self._new_id = pause_s, new_id

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn with tool calls, a handoff, or text."""
        request = read_request(turn).with_columns()
        await trio.lowlevel.checkpoint()
        wished = wish(request.text, turn.tools)
        if wished is not None:
            request = request.narrowed(wished.rest)
        own, colleagues = _others(turn.tools), [evolve(each, tools=_others(each.tools)) for each in turn.colleagues]
        pool = ToolPool.of([*own, *(tool for each in colleagues for tool in each.tools)])
        plan = make_plan(request, own, pool) if wished is None or wished.rest else CallPlan()
        await trio.lowlevel.checkpoint()
        if request.results:
            return await self._after_tools(turn, request, plan, emit)
        if wished is not None:
            return await self._call((wished.planned,), request, emit)
        if not wording.asks_about(request.instruction):
            known = told(request.instruction, remembered(turn.notes))
            if known:
                await emit(Thought("What is remembered of the user answers that."))
                return await self._say(known, turn, request, emit)
            plans = await _plans_of(colleagues, request, pool)
            if not plan.calls and not any(each.calls for _, each in plans):
                fits = plan.fit >= MEANT or any(each.fit >= MEANT for _, each in plans)
                other = _continued(turn, request) or (None if fits or wording.repeated(request) else request.whole())
                if other is not None:
                    request, plan = other, make_plan(other, own, pool)
                    plans = await _plans_of(colleagues, request, pool)
            handoff = choose_colleague(plan, plans)
            if handoff is not None:
                await emit(Thought(handoff.reason))
                return Reply("", handoff=handoff, usage=await _usage(request, ""))
            if plan.calls:
                return await self._call(plan.calls, request, emit)
            found = recall(request.instruction, turn.items) if not request.has_body else None
            if found is not None:
                await emit(Thought(f"An earlier result of {found.tool.replace('_', ' ')} answers that: {found.field}."))
                return await self._say(found.sentence, turn, request, emit)
        if plan.questions:
            text = "\n\n".join(plan.questions)
            await emit(Thought("The tool for that needs something that the message does not say, so I ask."))
        else:
            text = wording.small_talk(request, turn)
            await emit(Thought(wording.SMALL_TALK))
        return await self._say(text, turn, request, emit)

    async def _after_tools(self, turn: Turn, request: Request, plan: CallPlan, emit: Emit) -> Reply:
        """Write the answer, or make, once, the calls that became possible by the results."""
        if turn.rounds == 1 and all(each.ok for each in request.results):
            made = {each.tool for each in request.results}
            if later := tuple(each for each in plan.calls if each.tool.name not in made):
                return await self._call(later, request, emit)
        return await self._say(wording.answer(request, plan.questions, plan.calls), turn, request, emit)

    async def _call(self, planned: tuple[Planned, ...], request: Request, emit: Emit) -> Reply:
        await emit(Thought(wording.thought(planned, request)))
        calls = tuple(
            ToolRequest(self._new_id(), each.tool.name, each.arguments, wording.title(wording.describe(each)))
            for each in planned
        )
        return Reply("", calls, usage=await _usage(request, ""))

    async def _say(self, text: str, turn: Turn, request: Request, emit: Emit) -> Reply:
        if turn.output is not None:
            text = structured(turn.output.schema, text)
        text = text.removeprefix(turn.partial_text)
        words = text.count(" ") + 1
        pause_s = min(self._pause_s, PACE_S / words)
        due = trio.current_time()
        for index, word in enumerate(text.split(" ")):
            if piece := f" {word}" if index else word:
                await emit(TextDelta(piece))
                now = trio.current_time()
                due = max(due + pause_s, now - LATE_S)
                await sleep(max(0.0, due - now))  # of 0 seconds: a checkpoint
        return Reply(text, usage=await _usage(request, text))


async def _plans_of(
    colleagues: Sequence[AgentCard], request: Request, pool: ToolPool
) -> list[tuple[AgentCard, CallPlan]]:
    """Return the plan of each colleague."""
    plans = []
    for each in colleagues:
        plans.append((each, colleague_plan(request, each, pool)))
        await trio.lowlevel.checkpoint()
    return plans


def _others(tools: Sequence[ToolCard]) -> tuple[ToolCard, ...]:
    """Return the tools that are chosen by their words."""
    return tuple(each for each in tools if each.name not in TOOLS)


async def _usage(request: Request, text: str) -> Usage:
    """Count words of input and output by spaces, piece by piece: a message may be a megabyte."""
    spaces = 0
    for start in range(0, len(request.text), _PIECE):
        spaces += request.text.count(" ", start, start + _PIECE)
        await trio.lowlevel.checkpoint()
    return Usage(spaces + 1, text.count(" ") + 1 if text else 0, 1)


def _continued(turn: Turn, request: Request) -> Request | None:
    """Return the earlier request joined with this message, if this message answers a question of the model."""
    spoken = [each for each in turn.items if isinstance(each, MessageItem) and each.content]
    if len(spoken) < 3 or spoken[-1].role != "user" or spoken[-2].role != "assistant" or spoken[-3].role != "user":
        return None
    if not any(each in spoken[-2].content for each in _ASKED) or len(request.text) > 2_000:
        return None
    joined = f"{spoken[-3].content[:2_000].rstrip(' .?!:')}: {request.text}"
    return read_request(evolve(turn, items=(MessageItem("user", joined),)))
