"""One request to the model of an agent at work: what comes of it is shown, and what it uses is counted.

The model's text is published by `understudy.chat.answer.stream`.
"""

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import trio
from attrs import define, evolve, field

from understudy.chat.run.agent_spans import AgentSpans, error_type
from understudy.chat.run.meter import CUT
from understudy.chat.run.output import fitting_reply
from understudy.chat.run.recorder import RECORD_S
from understudy.chat.run.window import estimate, item_tokens, tools_tokens
from understudy.chat.stops import Enforcement, StoppedByOperator
from understudy.content.texts import is_blank
from understudy.models.model import (
    AttemptLost,
    Model,
    ModelChanged,
    ModelEvent,
    ModelUnavailable,
    NoteItem,
    ReasoningDelta,
    Reply,
    TextDelta,
    TextDropped,
    Thought,
    Turn,
    UsageSoFar,
)
from understudy.wire.events import NO_USAGE, Usage

if TYPE_CHECKING:
    from understudy.chat.run.work import RunWork

PUBLISH_S: Final = 2 * RECORD_S
"""Longest time to publish one event of a model, in seconds, but for its scan: a thought, and the summary of a blocked
answer, are a commit each. The deadline of a turn is moved only if it is nearer: to move it for each piece costs as much
as to scan the piece."""
ASK_AGAIN: Final = NoteItem("Your last reply was empty. Answer the user, or call a tool.")


@define(eq=False)
class ModelRequest:
    """A request to `model` for a turn of an agent. `silent`: its text is not shown.

    `limit` is the time of the turn. `lost` is what requests before it used whose answers are lost, with their cost.
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
    _answering: str = field(default="", init=False)  # the model of a chain that went on with this turn
    _asked_from: int = field(default=0, init=False)  # its first piece of `_written`
    _publishing: bool = field(default=False, init=False)

    async def reply(self) -> Reply:
        """Return the model's reply; what it has written so far if the run's time is over before, or a steer ends it.

        If the run ends here, what the request has used is counted in a step of its own, which is recorded at the end.
        """
        work = self.work
        recorder, began = work.recorder, work.services.clock()
        work.steers.end_turn = self.end
        try:
            check_models(work)
            reply = await self._respond()
        except BaseException as error:
            if self._asked and recorder.spans is not None:
                names, usage = (requested_name(work, self.model, self._answering), self.model.name), self._cut_usage()
                recorder.spans.model_ended(*names, usage, began, work.services.clock(), error=error_type(error))
            # A model that failed without a word may not have been reached.
            heard = self._asked and (self.was_heard or isinstance(error, trio.Cancelled | StoppedByOperator))
            usage = self.lost + (self._cut_usage() if heard else NO_USAGE)
            if usage is not NO_USAGE:
                work.meter.add_usage(usage, turns=1)
                step = recorder.next_step(*CUT, began)
                result = {"usage": msgspec.to_builtins(usage)}
                recorder.defer(evolve(step, result=result, status="ok", ended_at=work.services.clock()))
            raise
        finally:
            work.steers.end_turn = None
        if recorder.spans is not None:
            await self._record_span(recorder.spans, reply, began)
        return reply

    async def _record_span(self, spans: AgentSpans, reply: Reply, began: float) -> None:
        services, text = self.work.services, ""
        now = services.clock()
        if spans.traces.content:
            text = await services.content_filter.filter_for_storage(reply.text) or ""
        requested = requested_name(self.work, self.model, self._answering)
        spans.model_ended(requested, self.model.name, reply.usage, began, now, text=text)

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
                    reply = await fitting_reply(work.agent, output, work.job.owner, turn, reply, ask)
                await work.thoughts.flush_reasoning(whole=True)
                if output is not None and reply.text:
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

    # What comes

    async def _on_event(self, event: ModelEvent) -> None:
        limit, work = self.limit, self.work
        if limit.cancel_called:
            await trio.lowlevel.checkpoint()  # raises Cancelled: the time is over
        until = limit.deadline
        if near := until < work.recorder.now() + PUBLISH_S:
            limit.deadline = math.inf  # an event is published whole
        self._publishing = True
        try:
            match event:
                case TextDelta(text):  # nearly all events
                    if work.thoughts.reasoning:
                        await work.thoughts.flush_reasoning(whole=True)
                    work.recorder.activity = "writing"
                    if not work.thoughts.count:
                        await work.thoughts.ensure()
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
                    await work.thoughts.reason(text)
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

    # What it uses

    @property
    def was_heard(self) -> bool:
        """Whether anything has come of the model that answers."""
        return bool(self._written[self._asked_from :] or self._reasoned or self._reported)

    def _lose(self, used: Usage | None) -> None:
        """Count a request to the model whose answer is lost, and which had `used` this as far as its provider said."""
        self._reported = used if used and (used.input or used.output) else None
        self.lost += evolve(self._cut_usage(), turns=0)
        self._reported = None

    def _cut_usage(self) -> Usage:
        """Return what a request that was cut off has used: what the provider has reported, or else an estimate."""
        output = "".join((*self._reasoned, *self._written[self._asked_from :]))
        return self.priced(self._reported or estimated_usage(self.work, self.turn, output))

    def priced(self, usage: Usage) -> Usage:
        """Return a use of the model that has answered, with its cost."""
        return priced(self.work, self.model, usage, self._answering)


def estimated_usage(work: "RunWork", turn: Turn, output: str) -> Usage:
    """Return about what a request has used, by the counter that keeps the input within the model's window."""
    given = estimate(turn.instructions) + sum(map(item_tokens, (*turn.items, *turn.notes)))
    given += tools_tokens(turn.agent.tools)
    tokens = round(given * work.input.scale), estimate(output) if output else 0
    return Usage(*tokens, turns=1, estimated=sum(tokens))


def priced(work: "RunWork", model: Model, usage: Usage, answering: str = "") -> Usage:
    """Return the use of a model with its cost, if the model has a price; `answering` as for `requested_name`."""
    table = work.services.models.prices
    cost = table.cost(requested_name(work, model, answering), usage) if table.prices else None
    return usage if cost is None else evolve(usage, cost=cost)


def requested_name(work: "RunWork", model: Model, answering: str = "") -> str:
    """Return the name in settings of the model that answers, of a chain that which went on with the turn."""
    wanted = work.agent.model
    name = work.services.models.default if wanted is None else wanted if isinstance(wanted, str) else model.name
    return answering or name.partition(",")[0].strip()


def model_names(work: "RunWork", model: Model) -> list[tuple[str, str]]:
    """Return the names of a model: its own, and those that the settings or the agent give it."""
    return [("model", each) for each in (model.name, *work.services.models_of(work.agent))]


def check_models(work: "RunWork") -> None:
    """Raise `NotPermitted` if the user may not use the agent's model. A resumed run keeps those of its agents: it does
    not know its user's groups."""
    if all(name != work.agent.name for _, name in work.replay.agents):
        work.services.permissions.check_models(work.services.models_of(work.agent), work.job)


def _is_empty(reply: Reply) -> bool:
    return is_blank(reply.text) and not (reply.calls or reply.handoff)
