"""The work of a subagent: an agent that another agent asks as a tool. It is the actor of that tool call.

1. It works like a run, with the same loop, but its text is returned to the asking agent as the result of the call.
2. Its work is recorded under the run: the steps of its model have the id of the call. After a kill the call is made
   again, and the subagent continues from these steps; its finished calls and turns are not repeated.
3. It spends from the budget of the asking agent, and from its own. It cannot hand over. It sees the request, and the
   rest of the conversation only if the tool says so.
4. Steers are for the agent that answers the user, which reads them when the call has ended. An urgent one ends the
   subagent's turn, and the subagent answers with the text that it has.
"""

import functools
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, evolve, field

from actors import Actor, Context, Supervision, Terminated
from sanitization import Finding
from transport.wire.events import Event
from understudy.chat.conversation.run_log import GATHER_S, RunLog
from understudy.chat.messages import Begin, EndTurn, PermitGranted
from understudy.chat.run.call import RunCall
from understudy.chat.run.call_attempt import CallAttempt
from understudy.chat.run.executor import ToolExecutor
from understudy.chat.run.history import question_item
from understudy.chat.run.loop import answer
from understudy.chat.run.meter import Meter
from understudy.chat.run.output import read_output
from understudy.chat.run.part import RunOver, parts_of
from understudy.chat.run.run import ending_of, failure_in
from understudy.chat.run.tool_outcome import success
from understudy.chat.run.window import NONE, describe
from understudy.chat.run.work import RunWork
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.turns import SEPARATOR, PastTurn
from understudy.chat.user_files import files_of_answer
from understudy.content.texts import run_off_loop
from understudy.models.model import AgentCard, Item, Model, Origin, limits_of
from understudy.storage.records import History, StepRecord
from understudy.tools.result import TEXT, ToolResult, to_result
from understudy.tools.tool import Tool
from understudy.wire.codes import ERRORS
from understudy.wire.events import SanitizationSummary, SteerAccepted, ToolStatus

STOPPED: Final = "Stopped here, as the user has sent a new message."
"""The end of the answer of a subagent whose turn a steer ended, for the asking agent."""


@define(eq=False, kw_only=True)
class SubagentLog(RunLog):
    """The log of a subagent: writes through the log `asking` of the agent that asks it, under the call `scope`."""

    asking: RunLog
    scope: str

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        # The clock, the notes and the gathered results are those of the whole run.
        self.now, self.notes, self.gathered = self.asking.now, self.asking.notes, self.asking.gathered

    async def record(self, *events: Event, steps: tuple[StepRecord, ...] = ()) -> None:
        """Commit events and steps. Raises `StorageUnavailable`."""
        await self.asking.record(*events, steps=steps)

    def gather(self, *events: Event, steps: tuple[StepRecord, ...] = (), within_s: float = GATHER_S) -> None:
        """Have events and steps committed with the next ones of the run."""
        self.asking.gather(*events, steps=steps, within_s=within_s)

    async def take_steers(self, turn: int) -> tuple[SteerAccepted, ...]:
        """Return no steers: they are for the agent that answers the user."""
        return ()

    async def send_delta(self, text: str, stored: str | None = None, *, restart: bool = False) -> None:
        """Do nothing: the text is the result of a call, and is not streamed."""

    def save_checkpoint(self, step: StepRecord) -> None:
        """Do nothing: an unfinished turn is asked again after a crash."""

    def send_progress(self, done: float, total: float | None, note: str) -> None:
        """Publish the progress of a call."""
        self.asking.send_progress(done, total, note)

    async def send_partial(self, call_id: str, offset: int, items: Sequence[Any]) -> None:
        """Publish the items that a call has yielded so far."""
        await self.asking.send_partial(call_id, offset, items)

    def next_step(self, kind: str, name: str, call_id: str | None, arguments: Any, began: float) -> StepRecord:
        """Return the run's next step; a step of the subagent's model gets the id of the call that asks it."""
        scope = self.scope if kind == "model" else None
        return self.asking.next_step(kind, name, call_id or scope, arguments, began)


@define
class CollectedText:
    """Replaces the stream of an answer: collects the text, and publishes nothing."""

    pieces: list[str] = field(factory=list, repr=False)
    findings: tuple[Finding, ...] = ()
    _apart: bool = False

    @property
    def answer(self) -> "CollectedText":
        """This object, which is the answer and its stream in one."""
        return self

    @property
    def length(self) -> int:
        """The number of characters so far."""
        return sum(map(len, self.pieces))

    async def feed(self, text: str) -> None:
        """Add text, after a separator if it begins another turn."""
        if text:
            self.pieces += [SEPARATOR, text] if self._apart and self.pieces else [text]
            self._apart = False

    def begin_turn(self, step: StepRecord, begun: str) -> None:
        """Do nothing at the start of a turn."""

    async def end_turn(self, *, cut: bool = False) -> str:
        """Have the text of the next turn set apart. Return nothing to publish."""
        self._apart = True
        return ""

    async def go_on(self, written: str) -> None:
        """Do nothing when another model continues the turn."""

    def add_finished_turn(self, kept: str) -> None:
        """Do nothing: `SubagentWork.begin` adds the texts of recorded turns."""

    async def finish(self) -> tuple[str, SanitizationSummary | None]:
        """Return the whole text, and no summary of the content filter."""
        return "".join(self.pieces), None

    def close(self) -> None:
        """Do nothing, as nothing is published."""


@define(eq=False)
class SubagentWork(RunWork):
    """The work of a subagent. `value` is its answer, once it has one: text, or JSON of its output type."""

    value: Any = field(default="", init=False, repr=False)
    before: Sequence[Item] = field(default=(), init=False, repr=False)  # items of the conversation that it sees

    async def begin(self, known: History | None = None) -> None:
        """Make the request the model's input, after `before`, and replay the recorded turns."""
        request, services, before = self.request, self.services, self.past
        self.input.origin = Origin(request.message_id, request.run_id)
        self.log.speaker = self.agent
        for part in self.tools.parts.begin:
            await part.begin(self)
        cards = await services.attachments(request.owner).cards(request.references) if request.references else ()
        files = {card.id: card for card in cards}
        self.input.limits = limits_of(services.models.of(self.agent.model))
        item = question_item(request.message_id, request.run_id, request.content, request.references, files)
        self.input.compact(NONE, [*self.before, item])
        for turn in before.turns:
            await self.stream.feed(turn.reply.text)
            await self.stream.end_turn()
        self.input.files = tuple(cards)

    async def cut_text(self, text: str) -> str:
        """Return the text, with a note at its end if a steer ended the turn; that is the answer then."""
        if not self.steers.urgent:
            return text
        note = f"{SEPARATOR}{STOPPED}" if text else STOPPED
        await self.stream.feed(note)
        return text + note

    async def take_steers(self, turn: int, recorded: int | None = None) -> list[Item]:
        """Return no steers: they are for the agent that answers the user."""
        return []

    def colleagues(self) -> dict[str, AgentCard]:
        """Return no colleagues, as a subagent cannot hand over."""
        return {}

    async def shorten(self, model: Model, instructions: str, fixed: int, reserve: int) -> None:
        """Shorten the input; a description of the left-out items takes their place, without asking a model."""
        await run_off_loop(self._compact, fixed, reserve)

    def _compact(self, fixed: int, reserve: int) -> None:
        planned = self.input.planned(fixed, reserve)
        if planned != self.input.compaction:
            changed = planned.start != self.input.compaction.start
            self.input.compact(evolve(planned, summary=describe(self.input.older(planned))) if changed else planned)

    async def finish(self, last: PastTurn | None) -> None:
        """Set `value` to the answer."""
        if (form := self.agent.output) is not None:
            text = "" if last is None else last.reply.text
            output = await read_output(self.agent, form, self.request.owner, text, self.meter.closed_by)
            self.value = output.value
            return
        if self.meter.closed_by is not None:
            await self.stream.feed(self.meter.closed_by.message)
        self.value, _ = await self.stream.finish()


class Subagent(Actor):
    """Runs a subagent for one attempt at the call that asks it, sets the attempt's outcome, and stops."""

    supervision = Supervision()

    def __init__(self, call: RunCall, attempt: CallAttempt, tool: Tool, content: str) -> None:
        asking, subagent, agent = call.executor, call.subagent, tool.agent
        assert subagent is not None  # noqa: S101 - for the type checker: the call asks it
        services, before = asking.services, asking.subagents.get(call.call_id) or Past()
        request = evolve(asking.request, content=content, agent=agent.name, settings={})
        active, queue = asking.log.active, asking.log.queue
        run_log = SubagentLog(active=active, queue=queue, asking=asking.log, scope=call.call_id)
        meter = Meter.of(agent, services.settings.limits, {}, services.models.prices.currency)
        meter.budget = evolve(meter.budget, wall_s=None)  # the call's own limit
        meter.within = asking.meter
        parts = parts_of(services.parts.of_runs, request, agent)
        self.tools = subagent.tools = ToolExecutor(
            request, services, run_log, asking.questions, meter, asking.subagents, call, parts
        )
        stream: Any = CollectedText()
        ids = [subagent.agent_id]
        self.work = SubagentWork(request, services, run_log, self.tools, stream, agent, before, meter, ids)
        self.work.before = tuple(asking.conversation.items) if tool.history else ()
        self.asked, self.attempt = subagent, attempt

    async def receive(self, message: object, context: Context) -> None:
        """Start the work; handle ended tool calls, the permit after a wait for the user, and an urgent steer."""
        match message:
            case Begin():
                context.start_soon(functools.partial(self._work, context))
            case EndTurn():
                self._end_turn()
            case PermitGranted():
                self.tools.questions.deadline.permit_granted()
            case Terminated(ref, reason):
                self.tools.exited(ref, reason)

    def _end_turn(self) -> None:
        """End the model's turn, so that the subagent answers with its text so far. A hand-written agent goes on."""
        if self.work.agent.run is None:
            self.work.end_turn("")

    async def _work(self, context: Context) -> None:
        attempt, work = self.attempt, self.work
        try:
            await answer(work, context)
        except Exception as error:
            ending, sentence = ending_of(failure_in(error))
            code = ERRORS[str(ending.value)]
            attempt.fail(ToolStatus.FAILED, code.name, sentence or code.text)
        else:
            chart = next(reversed(work.gathered.shown_charts), None)
            kind = TEXT if isinstance(work.value, str) else ""
            result = to_result(ToolResult(work.value, visualization=chart, kind=kind))
            attempt.outcome = success(attempt.call, result)
        finally:
            attempt.files = files_of_answer(work.gathered.saved_files)
            self.asked.usage = work.meter.used
            status = None if attempt.outcome is None else attempt.outcome.status
            why = None if status is None else "" if status is ToolStatus.OK else status.value
            if self.tools.parts.ended:
                await self.tools.parts.tell_ended(RunOver(why, work.meter.own, self.tools.begun_calls()))
        context.stop()
