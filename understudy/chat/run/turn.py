"""One turn of an agent's model: asked for, shown as it is written, counted and recorded with its calls, or replayed.

The model's text is published by `understudy.chat.answer.stream`.
"""

import math
import time
import uuid
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio
from attrs import define, evolve, field

from understudy.chat.conversation.thread_log import TURN_S
from understudy.chat.run.meter import CUT
from understudy.chat.run.output import fitting_reply
from understudy.chat.run.part import ModelAsked
from understudy.chat.run.window import estimate, item_tokens, tools_tokens
from understudy.chat.run_state.records import ToolCallRecord
from understudy.chat.run_state.turns import PastTurn, encode_reply, read_turn
from understudy.chat.stops import Enforcement, StoppedByOperator
from understudy.content.texts import is_blank
from understudy.models.model import (
    MESSAGE_TOO_LONG,
    AttemptLost,
    Model,
    ModelChanged,
    ModelEvent,
    ModelFault,
    ModelUnavailable,
    NoteItem,
    ReasoningDelta,
    Reply,
    TextDelta,
    TextDropped,
    Thought,
    ToolRequest,
    Turn,
    UsageSoFar,
    limits_of,
)
from understudy.storage.records import StepRecord
from understudy.wire.events import NO_USAGE, Usage

if TYPE_CHECKING:
    from understudy.chat.run.work import RunWork

PUBLISH_S: Final = 2 * TURN_S
"""Longest time to publish one event of a model, in seconds, but for its scan: a thought, and the summary of a blocked
answer, are a commit each. The deadline of a turn is moved only if it is nearer: to move it for each piece costs as much
as to scan the piece."""
ASK_AGAIN: Final = NoteItem("Your last reply was empty. Answer the user, or call a tool.")


@define(eq=False)
class ModelRequest:
    """A request to `model` for a turn of an agent. `silent`: its text is not shown. `limit` bounds its time.

    `lost` is the usage, with its cost, of the attempts before whose replies are not used.
    """

    work: "RunWork"
    model: Model
    turn: Turn
    silent: bool = False
    limit: trio.CancelScope = field(factory=trio.CancelScope, init=False, repr=False)
    lost: Usage = field(default=NO_USAGE, init=False)
    _written: list[str] = field(factory=list, init=False, repr=False)
    _reasoned: list[str] = field(factory=list, init=False, repr=False)
    _reported: Usage | None = field(default=None, init=False)  # by the provider
    _asked: bool = field(default=False, init=False)
    _answering: str = field(default="", init=False)  # the later model of a chain that went on with this turn
    _asked_from: int = field(default=0, init=False)  # index in `_written` of the first piece of the model that answers
    _publishing: bool = field(default=False, init=False)

    async def reply(self) -> Reply:
        """Return the model's reply, or what it has written when the time is over or a steer ends the turn.

        If the run ends here, the usage so far is counted in a step of its own, which is recorded with that end.
        """
        work = self.work
        began = work.services.clock()
        work.steers.end_turn = self.end
        try:
            check_models(work)
            reply = await self._respond()
        except BaseException as error:
            if self._asked and work.tools.parts.ended:
                why = "cancelled" if isinstance(error, trio.Cancelled) else type(error).__name__
                await self._tell_parts(self._cut_usage(), began, error=why)
            # A model that failed without a word may not have been reached.
            heard = self._asked and (self.was_heard or isinstance(error, trio.Cancelled | StoppedByOperator))
            usage = self.lost + (self._cut_usage() if heard else NO_USAGE)
            if usage is not NO_USAGE:
                work.meter.add_usage(usage, turns=1)
                step = work.log.next_step(*CUT, began)
                result = {"usage": msgspec.to_builtins(usage)}
                ended = evolve(step, result=result, status="ok", ended_at=work.services.clock())
                work.log.gathered.add(steps=(ended,))
            raise
        finally:
            work.steers.end_turn = None
        if work.tools.parts.ended:
            await self._tell_parts(reply.usage, began, reply.text)
        return reply

    async def _tell_parts(self, usage: Usage, began: float, text: str = "", error: str = "") -> None:
        """Tell the parts of the run that the request has ended."""
        requested = requested_name(self.work, self.model, self._answering)
        await self.work.tools.parts.tell_ended(ModelAsked(requested, self.model.name, usage, began, text, error))

    async def _respond(self) -> Reply:
        work, model, turn = self.work, self.model, self.turn
        limit, urgent = self.limit, work.steers.urgent
        limit.deadline = trio.current_time() + work.meter.closing_s(work.worked_s)
        with Enforcement(work.services.stops, partial(model_names, work, model), limit), limit:
            if urgent:
                limit.cancel()
                await trio.lowlevel.checkpoint()  # raises Cancelled: the model is not asked
            began, self._asked = time.monotonic(), True
            try:
                reply = await model.respond(turn, self._on_event)
                self._reported = reply.usage
                if _is_empty(reply) and not turn.partial_text:  # some models do so once; what they say next is whole
                    reply = await self._ask_again(reply, evolve(turn, notes=(*turn.notes, ASK_AGAIN)))
                    if _is_empty(reply) and is_blank(work.stream.answer.text) and work.meter.closed_by is None:
                        raise ModelUnavailable(
                            "The language model gave an empty answer; ask again.", True, "empty reply"
                        )
                if (output := work.agent.output) is not None:
                    ask = partial(self._ask_again, reply)
                    reply = await fitting_reply(work.agent, output, work.request.owner, turn, reply, ask)
                if work.thoughts.reasoning:
                    await work.thoughts.flush_reasoning(whole=True)
                if reply.text and (output is not None or not (self.silent or self._written)):
                    self.silent = False
                    await self._on_event(TextDelta(reply.text))
                return reply
            finally:
                work.services.metrics.models.answered(model.name, time.monotonic() - began)
        if not urgent:
            work.meter.closed_by = work.meter.closed_by or work.meter.ended(work.meter.budget.wall_s or 0.0)
        usage, text = self._cut_usage() if self._asked else Usage(turns=1), "".join(self._written)
        return Reply(await work.cut_text("" if work.agent.output is not None else text), usage=usage)

    async def _ask_again(self, reply: Reply, changed: Turn) -> Reply:
        """Count a reply that is not used, and ask for another one."""
        self.lost += self.priced(reply.usage)
        return await self.model.respond(changed, self._on_event)

    # Events of the model

    async def _on_event(self, event: ModelEvent) -> None:
        limit, work = self.limit, self.work
        if limit.cancel_called:
            await trio.lowlevel.checkpoint()  # raises Cancelled: the time is over
        until = limit.deadline
        if near := until < work.log.now() + PUBLISH_S:
            limit.deadline = math.inf  # an event is published whole
        self._publishing = True
        try:
            match event:
                case TextDelta(text):  # nearly all events
                    if work.thoughts.reasoning:
                        await work.thoughts.flush_reasoning(whole=True)
                    work.log.activity = "writing"
                    if not work.thoughts.count:
                        work.thoughts.publish()
                    self._written.append(text)
                    if not self.silent:
                        await work.stream.feed(text)
                case TextDropped():
                    del self._written[self._asked_from :]
                    if not self.silent:
                        await work.stream.restart_turn("".join(self._written))
                case Thought(text):
                    work.thoughts.publish(await work.services.content_filter.filter_output(text))
                case UsageSoFar(usage):
                    self._reported = usage
                case AttemptLost(used):
                    self._lose(used)
                case ModelChanged():
                    await self._change_model(event)
                case ReasoningDelta(text):
                    self._reasoned.append(text)
                    work.thoughts.reasoning += text
                    await work.thoughts.flush_reasoning()
        finally:
            self._publishing = False
            if near or work.steers.urgent:
                limit.deadline = -math.inf if work.steers.urgent else until

    def end(self) -> None:
        """End the turn: the pieces so far are its text. One that is being published is published whole."""
        if not self._publishing:
            self.limit.cancel()

    async def _change_model(self, change: ModelChanged) -> None:
        """Go on with another model of a chain: count what the one before has used, and tell the user once a run."""
        work = self.work
        await work.thoughts.flush_reasoning(whole=True)
        if self.was_heard:
            self._lose(self._reported)
        self._reasoned.clear()
        self._asked_from, self._answering = len(self._written), change.successor
        if not self.silent and self._written:
            await work.stream.go_on("".join(self._written))
        work.thoughts.publish_once(change.message, "model_changed")

    # Usage

    @property
    def was_heard(self) -> bool:
        """Whether anything has come of the model that answers."""
        return bool(self._written[self._asked_from :] or self._reasoned or self._reported)

    def _lose(self, used: Usage | None) -> None:
        """Count an attempt whose reply is lost: by `used` if its provider has reported that, else by an estimate."""
        self._reported = used if used and (used.input or used.output) else None
        self.lost += evolve(self._cut_usage(), turns=0)
        self._reported = None

    def _cut_usage(self) -> Usage:
        """Return what a request that was cut off has used: what the provider has reported, or else an estimate."""
        output = "".join((*self._reasoned, *self._written[self._asked_from :]))
        return self.priced(self._reported or estimated_usage(self.work, self.turn, output))

    def priced(self, usage: Usage) -> Usage:
        """Return usage of the model that answers with its cost, if the model has a price."""
        return priced(self.work, self.model, usage, self._answering)


def estimated_usage(work: "RunWork", turn: Turn, output: str) -> Usage:
    """Estimate the usage of a request by the counter that keeps the input within the model's window."""
    input_tokens = estimate(turn.instructions) + sum(map(item_tokens, (*turn.items, *turn.notes)))
    input_tokens += tools_tokens(turn.agent.tools)
    tokens = round(input_tokens * work.input.scale), estimate(output) if output else 0
    return Usage(*tokens, turns=1, estimated=sum(tokens))


def priced(work: "RunWork", model: Model, usage: Usage, answering: str = "") -> Usage:
    """Return usage of a model with its cost, if the model has a price; `answering` as for `requested_name`."""
    table = work.services.models.prices
    cost = table.cost(requested_name(work, model, answering), usage) if table.prices else None
    return usage if cost is None else evolve(usage, cost=cost)


def requested_name(work: "RunWork", model: Model, answering: str = "") -> str:
    """Return the name of the agent's model in the settings; `answering` is that of a later model of a chain."""
    wanted = work.agent.model
    name = work.services.models.default if wanted is None else wanted if isinstance(wanted, str) else model.name
    return answering or name.partition(",")[0].strip()


def model_names(work: "RunWork", model: Model) -> list[tuple[str, str]]:
    """Return the names of a model: its own, and those that the settings or the agent give it."""
    return [("model", name) for name in (model.name, *work.services.models_of(work.agent))]


def check_models(work: "RunWork") -> None:
    """Raise `NotPermitted` if the user may not use the agent's model. An agent that has worked in the run before keeps
    its model: a resumed run does not know its user's groups."""
    if all(name != work.agent.name for _, name in work.past.agents):
        work.services.permissions.check_models(work.services.models_of(work.agent), work.request)


def _is_empty(reply: Reply) -> bool:
    return not (reply.calls or reply.handoff) and is_blank(reply.text)


async def take_turn(work: "RunWork", number: int, *, last: bool) -> tuple[PastTurn, Sequence[ToolCallRecord]]:
    """Return a turn as it is recorded, and its calls. What the log does not have, the model is asked for."""
    services, before, agent = work.services, work.past, work.agent
    if number < len(before.turns):
        past = before.turns[number]
        work.meter.add_usage(past.reply.usage, turns=0 if past.taken else 1)
        work.stream.add_finished_turn(past.reply.text)
        return past, past.calls
    cut = before.cut if number == len(before.turns) else None
    partial_text = cut.text if cut is not None and cut.continues else ""
    model = services.models.of(agent.model)
    work.input.limits = limits_of(model)
    equipped, notes = work.equipped(), await work.notes(work.meter.closed_by)
    instructions, fixed = equipped.instructions, equipped.tokens + sum(map(item_tokens, notes))
    await work.fit(model, instructions, fixed)
    card, colleagues = work.equipped().card, tuple(work.colleagues().values())
    step = work.log.next_step("model", model.name, None, None, services.clock()) if cut is None else cut.step
    work.log.activity = "thinking"
    turn = Turn(
        agent=card,
        items=tuple(work.input.shown),
        instructions=instructions,
        tools=() if last else card.tools,
        files=work.input.files,
        colleagues=() if last else colleagues,
        partial_text=partial_text,
        notes=notes,
        settings=agent.settings.capped(work.input.limits),
        listed_colleagues=colleagues,
        output=None if agent.output is None else agent.output.format,
    )
    work.stream.begin_turn(step, partial_text)
    request = ModelRequest(work, model, turn, silent=agent.output is not None)
    while True:
        try:
            reply = await request.reply()
            break
        except ModelUnavailable as error:  # if its provider finds the input too long, it is shortened and sent again
            if error.fault is not ModelFault.TOO_LONG or error.message == MESSAGE_TOO_LONG or request.was_heard:
                raise
            kept = work.input.compaction
            work.input.overflow(limits_of(model), fixed)
            await work.fit(model, instructions, fixed)
            if work.input.compaction == kept:
                raise
            request.turn = evolve(request.turn, items=tuple(work.input.shown))
    if not reply.usage.estimated:
        work.input.correct(fixed + work.input.tokens, reply.usage.input)
    lost = request.lost
    if cut is not None and not cut.taken:  # no step counts the interrupted request
        usage = estimated_usage(work, request.turn, cut.text)
        lost += priced(work, model, evolve(usage, turns=0))
    if (usage := request.priced(reply.usage) + lost) is not reply.usage:
        reply = evolve(reply, usage=usage)
    if last and reply.calls:  # some providers ignore that no tool may be called
        reply = evolve(reply, calls=())
    text = await work.stream.end_turn(cut=request.limit.cancelled_caught)
    if text:
        reply = evolve(reply, text=text)
    work.meter.add_usage(reply.usage, turns=1)
    services.metrics.models.used(model.name, reply.usage)
    return await record_turn(work, step, reply)


async def record_turn(
    work: "RunWork", step: StepRecord, reply: Reply, *, at_once: bool = False
) -> tuple[PastTurn, Sequence[ToolCallRecord]]:
    """Record a turn that is over as `step`. Return it as it is recorded, and its calls.

    It is committed with what follows: the first event of its calls, the steers that enter next, or the end of the
    run; `at_once`: a turn without calls is committed now.
    """
    if not work.thoughts.count:
        work.thoughts.publish()
    calls = [ToolCallRecord(uuid.uuid4().hex, call) for call in reply.calls]
    result = await _storable_result(work, reply, calls)
    work.stream.add_finished_turn(result["text"])
    finished = evolve(step, result=result, status="ok", ended_at=work.services.clock())
    if at_once and not calls:
        await work.log.record(steps=(finished,))
    else:
        work.log.gathered.add(steps=(finished,))
    work.thoughts.logged.clear()
    return read_turn(finished, {}), calls


async def _storable_result(work: "RunWork", reply: Reply, calls: Sequence[ToolCallRecord]) -> dict[str, Any]:
    """Return the result of the turn's step: the reply without the parts that the content policy blocks."""
    keep = work.services.content_filter.filter_for_storage
    storable: list[ToolRequest | None] = []
    for call in reply.calls:
        words = {"name": call.name, "arguments": dict(call.arguments), "description": call.description}
        words["problem"] = call.problem
        kept = await keep(words)
        if kept is not None:  # else it is blocked
            name = call.name if work.agent.tool(call.name) is not None else kept["name"]
            kept = ToolRequest(call.id, name, kept["arguments"], kept["description"], kept["problem"])
        storable.append(kept)
    if reply.handoff is not None:
        reply = evolve(reply, handoff=evolve(reply.handoff, reason=await keep(reply.handoff.reason) or ""))
    if reply.reasoning:
        reply = evolve(reply, reasoning=await keep(reply.reasoning) or "")
    text, call_ids = await keep(reply.text) or "", [call.call_id for call in calls]
    return encode_reply(reply, call_ids, text, storable, work.thoughts.count, work.stream.findings)
