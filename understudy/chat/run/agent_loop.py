"""The loop of a run: ask the model, execute its tool calls, ask again, until it has answered or handed over.

1. A resumed run starts from the beginning but uses what was recorded: no model is asked twice for a recorded turn, no
   finished tool call is repeated, and no event is published twice.
2. The model's text is published by `understudy.chat.answer.stream`.
3. Steers enter before a request to the model, and before the run would end. A steer that ends a turn stops its model
   between two pieces of text; the pieces so far are kept as the text of a finished turn. Running tool calls are not
   stopped, because the effects of a stopped call would be unknown.
"""

import logging
import math
import time
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

import msgspec
import trio
from attrs import define, evolve, field

from actors import Context
from transport.wire.events import (
    NO_USAGE,
    AgentCompleted,
    AgentHandoff,
    Event,
    FinalResponse,
    RunStatus,
    ToolStatus,
    Usage,
)
from understudy.agents.agent import Agent
from understudy.agents.framework import AgentFailed, is_of_framework
from understudy.agents.tool_servers import ToolServers
from understudy.chat.answer.stream import AnswerStream
from understudy.chat.memory import AgentMemories, AgentMemory
from understudy.chat.messages import RunRequest
from understudy.chat.run.agent_spans import AgentSpans, error_type
from understudy.chat.run.conversation_input import load_conversation
from understudy.chat.run.equipped import Equipped, equip
from understudy.chat.run.hand_written import FrameworkRuns, HandWritten
from understudy.chat.run.history import steer_item, turn_items
from understudy.chat.run.meter import CUT, Ended, Meter
from understudy.chat.run.model_input import ModelInput
from understudy.chat.run.output import fitting_reply, read_output
from understudy.chat.run.recorder import RECORD_S, Recorder
from understudy.chat.run.repetition import REPEATED, Repetition
from understudy.chat.run.replay import SEPARATOR, PastTurn, PendingCall, Replay, encode_reply, read_turn
from understudy.chat.run.saved_files import files_of_answer
from understudy.chat.run.summary import summarise
from understudy.chat.run.thoughts import Thoughts
from understudy.chat.run.tool_executor import ToolExecutor
from understudy.chat.run.tool_outcome import ToolOutcome
from understudy.chat.run.window import SUMMARY_TOKENS, encode_compaction, estimate, item_tokens, tools_tokens
from understudy.chat.run_protocol import agent_started
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.chat.services import Services
from understudy.chat.stops import Enforcement, StoppedByOperator
from understudy.content.texts import is_blank, run_off_loop
from understudy.models.model import (
    FENCE_NOTE,
    MESSAGE_TOO_LONG,
    AgentCard,
    AttemptLost,
    FileCard,
    Item,
    Model,
    ModelChanged,
    ModelEvent,
    ModelFault,
    ModelSettings,
    ModelUnavailable,
    NoteItem,
    Origin,
    ReasoningDelta,
    Reply,
    TextDelta,
    TextDropped,
    Thought,
    ToolRequest,
    Turn,
    UsageSoFar,
    fenced,
    limits_of,
)
from understudy.observe.logs import new_error_id
from understudy.storage.records import History, StepRecord
from understudy.storage.spending_limits import SpendingLimits

log = logging.getLogger(__name__)

RESUMED: Final = "Continued after a restart of the server"
"""What the user is told once a run goes on whose server has died."""
PUBLISH_S: Final = 2 * RECORD_S
"""Longest time to publish one event of a model, in seconds, but for its scan: a thought, and the summary of a blocked
answer, are a commit each. The deadline of a turn is moved only if it is nearer: to move it for each piece costs as much
as to scan the piece."""


@define(eq=False)
class AgentLoop:
    """The work on one message: prepare the model's input, loop over its turns, finish with the recorded answer."""

    nested: ClassVar[bool] = False
    """Whether it is the loop of a subagent."""

    job: RunRequest
    services: Services
    recorder: Recorder
    tools: ToolExecutor
    stream: AnswerStream
    agent: Agent
    replay: Replay
    meter: Meter
    known: History | None = field(default=None, repr=False)  # before the message, if the conversation knows it
    agent_id: str = field(default="", init=False)
    origin: Origin = field(factory=Origin, init=False)  # of the last turn's items
    input: ModelInput = field(factory=ModelInput, init=False, repr=False)
    outcomes: list[ToolOutcome] = field(factory=list, init=False)
    usage: Usage = field(default=NO_USAGE, init=False)
    own_usage: Usage = field(default=NO_USAGE, init=False)  # of the present agent, without those before a handoff
    repetition: Repetition = field(factory=Repetition, init=False)
    ended: Ended | None = field(default=None, init=False)  # the bound that closes the run
    charts: list[dict[str, Any]] = field(factory=list, init=False, repr=False)  # of a hand-written agent
    files: list[dict[str, Any]] = field(factory=list, init=False, repr=False)  # that it saved itself
    _equipped: Equipped | None = field(default=None, init=False, repr=False)
    _known: AgentMemory | None = field(default=None, init=False, repr=False)
    thoughts: Thoughts = field(init=False, repr=False)
    silent: bool = field(default=False, init=False)  # whether the model's text is not shown
    _written: list[str] = field(factory=list, init=False, repr=False)  # by the model in this turn
    _reasoned: list[str] = field(factory=list, init=False, repr=False)
    _reported: Usage | None = field(default=None, init=False)  # by the provider in this turn
    _asked: bool = field(default=False, init=False)  # whether the model of this turn is asked
    _asked_turn: tuple[Model, Turn] | None = field(default=None, init=False, repr=False)
    lost_usage: Usage = field(default=NO_USAGE, init=False)  # of earlier requests for this turn, with its cost
    _answering: str = field(default="", init=False)  # the model of a chain that went on with this turn
    _asked_from: int = field(default=0, init=False)  # its first piece of `_written`
    _told: set[str] = field(factory=set, init=False, repr=False)  # notices of this run
    _answer: str = field(default="", init=False, repr=False)  # text of the last turn, as it is recorded
    _cut: str = field(default="", init=False)  # the note at its end if the model has cut it
    _turn_limit: trio.CancelScope = field(factory=trio.CancelScope, init=False, repr=False)
    # Already in the log: ids of agents, handoffs.
    _logged_agents: list[str] = field(factory=list, init=False)
    _logged_handoffs: int = field(default=0, init=False)
    # Ids of steers: those that the run has taken, and those that are to end its turn. Whether an event is published.
    _steers: set[str] = field(factory=set, init=False)
    _urgent: set[str] = field(factory=set, init=False)
    _publishing: bool = field(default=False, init=False)
    # Names of agents whose MCP servers were waited for; sentences about servers: those now, and those the user has.
    _settled: set[str] = field(factory=set, init=False)
    _missing: list[str] = field(factory=list, init=False)
    _said: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.tools.conversation = self.input
        stream = self.stream  # not of this loop, which the tools must not refer to: that would be a cycle
        self.tools.said = lambda: stream.answer.text
        self.thoughts = Thoughts(
            self.recorder, self.services, "", self.replay.thought_count, list(self.replay.thoughts)
        )

    async def run(self, context: Context) -> None:
        """Work until the answer is recorded.

        Raises:
            ModelUnavailable: The model cannot be reached.
            StorageUnavailable: An event or step cannot be recorded.
            Blocked: The content policy blocks the answer, or the model's other text.
            InvalidOutput: The answer is not of the agent's output type.
        """
        spending = self.services.parts.find(SpendingLimits)
        try:
            files = await self.prepare()
            self.count(self.replay.summary_usage, turns=0)
            number = -1
            while True:
                number += 1
                if self.agent.servers:
                    await self._use_servers()
                if self.agent.run is not None:
                    kind = self.services.parts[FrameworkRuns].kind if is_of_framework(self.agent.run) else HandWritten
                    number, handoff = await kind(self, context, number).run()
                    if handoff is None:
                        break
                    await self._hand_over(handoff.to, handoff.reason)
                    continue
                if spending is not None and await self.day_is_spent(number, spending):
                    break
                self.input.add(await self.take_steers(number))
                closing = self._close(number)
                turn, calls = await self._take_turn(number, files, last=closing)
                if spending is not None:
                    await self.turn_is_paid(spending)
                self._answer, self._cut = turn.reply.text, turn.reply.cut
                origin = self.origin = Origin(self.job.message_id, self.job.run_id, turn.number, self.agent.name)
                if (handoff := turn.reply.handoff) is not None and not closing:
                    # A recorded handoff was allowed when it was recorded: a resumed run does not know its user's roles.
                    recorded = number < len(self.replay.turns)
                    if handoff.to in (self.agent.colleagues if recorded else self.colleagues()):
                        self.input.add(turn_items(turn, origin))
                        await self._hand_over(handoff.to, handoff.reason)
                        continue
                if not calls:
                    steers = [] if closing or self.ended is not None else await self.take_steers(number + 1)
                    if not steers:
                        break
                    self.input.add((*turn_items(turn, origin), *steers))
                    continue
                outcomes = await self.tools.execute(calls, self.equipped().tools, self.agent_id, context)
                self.outcomes += outcomes
                made = [(each.request.name, each.request.arguments, each.value) for each in outcomes]
                warnings = [] if turn.taken else self.repetition.observe(made)
                answers = [each.answer for each in outcomes if each.answer] if self.agent.output is None else []
                if answers:
                    await self.stream.feed(SEPARATOR.join(answers))
                if answers or closing:
                    break
                results = {each.call_id: (each.status.value, each.recorded()) for each in outcomes}
                self.input.add(turn_items(turn, origin, results))
                self.input.add(NoteItem(each, origin) for each in dict.fromkeys(warnings) if each)
            await self.finish()
        finally:
            if spending is not None:
                spending.release(self)
            self.stream.close()

    async def _use_servers(self) -> None:
        """Give the agent the tools that its MCP servers offer now, and say which are missing.

        Servers that are starting are waited for once, so that a run that goes on after a crash has its tools.
        """
        catalogue = self.services.parts[ToolServers]
        off = await catalogue.off_in(self.job.owner, self.job.thread_id)
        if self.agent.name not in self._settled:
            self._settled.add(self.agent.name)
            await catalogue.settle(self.agent, off, self.job.owner)
        widget = self.job.settings.get(WIDGET_SETTING)
        if widget is None:
            agent = catalogue.with_tools(self.agent, off, self.job.owner)
        else:
            agent = catalogue.for_widget(self.agent, widget["server"], off, self.job.owner)
        if [id(each) for each in agent.tools] != [id(each) for each in self.agent.tools]:
            self.agent, self._equipped = agent, None
        self._missing = catalogue.missing(self.agent, off, self.job.owner)
        for sentence in self._missing:
            if sentence not in self._said and not self.replay.agents:  # a resumed run has said it
                self._said.add(sentence)
                await self.thoughts.publish(await self.services.content_filter.filter_output(sentence))

    def _close(self, number: int) -> bool:
        """Return whether turn `number` closes the run, as a bound is reached; `ended` says which."""
        recorded = number < len(self.replay.turns)  # the time of work was less then
        worked_s = 0.0 if recorded else self.tools.deadline.worked_s
        self.ended = self.repetition.ended or self.meter.ended(worked_s)
        if self.ended is not None and number == 0 and not (self.agent.tools or self.agent.colleagues):
            self.ended = None  # its first turn is whole without them
        return self.ended is not None

    async def day_is_spent(self, number: int, spending: SpendingLimits) -> bool:
        """Return whether turn `number` cannot be requested, as the user has spent what they may by now.

        Else what the turn may use is reserved until `turn_is_paid`.
        """
        if number < len(self.replay.turns):
            return False
        model = self.services.models.of(self.agent.model)
        longest = self.agent.settings.output_limit(limits_of(model))
        most = self.priced(Usage(self.input.tokens, longest), model)
        reached = await spending.reserve(self.job, self, most.input + most.output, most.cost or 0.0)
        if reached is not None:
            self.ended = Ended(reached.name, reached.limit, reached.spent, f"Stopped. {reached.message}")
        return reached is not None

    async def turn_is_paid(self, spending: SpendingLimits) -> None:
        """Commit what a turn has used, and end its reservation. Raises StorageUnavailable."""
        if spending.is_held_by(self):
            await self.recorder.record()
            spending.release(self)

    def end_turn(self, steer_id: str) -> None:
        """End the model's current turn and keep its text, as a steer is to enter now."""
        if steer_id in self._steers:
            return
        self._urgent.add(steer_id)
        self.tools.calls.set_redirected(self.agent.run is None)  # a hand-written agent may never ask for it
        if not self._publishing:
            self._turn_limit.cancel()

    async def take_steers(self, turn: int, recorded: int | None = None) -> list[Item]:
        """Return the messages of the steers that enter before this turn: the recorded ones, and those that wait now.

        None that waits enters before one of the first `recorded` turns, or before one that closes the run. By default
        these are the turns that were recorded, or whose text was shown.
        """
        before, over = self.replay, self.repetition.ended or self.meter.ended(self.tools.deadline.worked_s)
        taken = [(each.steer_id, each.text) for each in before.steers if each.turn == turn]
        taken = [each for each in taken if each[0] not in self._steers]
        recorded = len(before.turns) + (before.interrupted_step is not None) if recorded is None else recorded
        if turn >= recorded and over is None:
            taken += [(each.steer_id, each.content) for each in await self.recorder.take_steers(turn)]
        self._steers.update(steer_id for steer_id, _ in taken)
        self._urgent -= self._steers
        self.tools.calls.set_redirected(bool(self._urgent))
        return [steer_item(text, self.origin) for _, text in taken]

    async def prepare(self) -> tuple[FileCard, ...]:
        """Restore the shown text, start the agent, and read the conversation. Return the files of the message.

        The items are those of the branch from the root of the thread, as far as they are read, and the message to
        answer.
        """
        job, services, before = self.job, self.services, self.replay
        self.origin = Origin(job.message_id, job.run_id)
        self._logged_agents, self._logged_handoffs = [agent_id for agent_id, _ in before.agents], before.handoffs
        if job.agent_id is not None and not self._logged_agents:
            self._logged_agents.append(job.agent_id)
        await self.stream.restore()
        await self._start_agent(*([] if job.findings_summary is None else [job.findings_summary]))
        if before.lost_server and before.agents:
            await self.thoughts.publish(RESUMED, "resumed")
        known, self.known = self.known, None
        history, files = await load_conversation(job, services, self._memory(), before, self.input, self.agent, known)
        if history is not known:
            self.recorder.log.history_read(history)
        if (left_out := history.left_out) and not before.turns:
            read = f"Only the last {len(history.messages):,} messages of this conversation were read"
            older = "1 older one was" if left_out == 1 else f"{left_out:,} older ones were"
            await self.thoughts.publish(f"{read}; {older} left out.")
        return files

    async def _start_agent(self, *beside: Event) -> None:
        """Record that the agent has started, together with `beside`, unless the log has it."""
        self.recorder.speaker = self.agent
        if self._logged_agents:
            self.agent_id = self.thoughts.agent_id = self._logged_agents.pop(0)
            if not self._logged_agents:  # else it has handed over, as the log says
                self._begin_span()
            return
        started = agent_started(self.agent, self.services.clock(), self.replay.taken_agent(self.agent.name))
        self.agent_id = self.thoughts.agent_id = started.agent_id
        self._begin_span()
        await self.recorder.record(started, *beside)

    def _begin_span(self) -> None:
        if (spans := self.recorder.spans) is not None:
            spans.begin(self.agent, self.agent_id, self.replay, self.services.clock())

    def colleagues(self) -> dict[str, AgentCard]:
        """Return the descriptions, by name, of the colleagues of the agent that the user may use."""
        services = self.services
        usable = services.permissions.colleagues(self.agent, services.agents, self.job)
        return {each.name: each.card for each in usable}

    async def _hand_over(self, name: str, reason: str) -> None:
        """Record the handoff, unless the log has it, and start the agent `name`."""
        if self._logged_handoffs:
            self._logged_handoffs -= 1
        else:
            reason = await self.services.content_filter.filter_output(reason)
            now, result = self.services.clock(), f"Handed over to {name}"
            completed = AgentCompleted(self.agent_id, result, RunStatus.SUCCESS, self.own_usage + self.tools.used, now)
            await self.recorder.record(AgentHandoff(self.agent.name, name, reason), completed)
            if (spans := self.recorder.spans) is not None:
                spans.end(completed.usage, now)
        self.usage, self.own_usage = self.usage + self.tools.used, NO_USAGE
        self.tools.used = NO_USAGE
        self.agent = self.services.agents[name]
        self.meter.lower(self.agent, self.services.settings.limits)
        await self._start_agent()

    def equipped(self) -> Equipped:
        """Return the agent as its model is told of it: with the tool that reads shortened results once one is shown."""
        known, recalls, permissions = self._equipped, self.input.shortens, self.services.permissions
        same = known is not None and (known.agent_id, known.recalls) == (self.agent_id, recalls)
        if known is None or not same or known.rules is not permissions.rules:
            known = equip(self.agent, self.agent_id, self.job, self.services, recalls=recalls)
            self._equipped = known
        return known

    async def _take_turn(
        self, number: int, files: tuple[FileCard, ...], *, last: bool
    ) -> tuple[PastTurn, Sequence[PendingCall]]:
        """Return a turn as it is recorded, and its calls: recorded ones, or those of the model, recorded here."""
        services, before = self.services, self.replay
        if number < len(before.turns):
            past = before.turns[number]
            self.count(past.reply.usage, turns=0 if past.taken else 1)
            self.stream.add_finished_turn(past.reply.text)
            return past, past.calls
        interrupted = before.interrupted_step if number == len(before.turns) else None
        partial_text = before.partial_text if interrupted is not None and before.continues else ""
        model = services.models.of(self.agent.model)
        self.input.limits = limits_of(model)
        instructions, notes = self.instructions(), await self.notes()
        fixed = estimate(instructions) + sum(map(item_tokens, notes)) + self.equipped().tool_tokens
        await self.fit(model, instructions, fixed)
        card = self.equipped().card
        step = interrupted or self.recorder.next_step("model", model.name, None, None, services.clock())
        self.recorder.activity = "thinking"
        colleagues = tuple(self.colleagues().values())
        turn = Turn(
            agent=card,
            items=tuple(self.input.shown),
            instructions=instructions,
            tools=() if last else card.tools,
            files=files,
            colleagues=() if last else colleagues,
            partial_text=partial_text,
            notes=notes,
            settings=self.agent.settings.capped(self.input.limits),
            listed_colleagues=colleagues,
            output=None if self.agent.output is None else self.agent.output.format,
        )
        self.stream.begin_turn(step, partial_text)
        self.silent = self.agent.output is not None
        reply = await self._respond_shortened(model, turn, fixed)
        if not reply.usage.estimated:
            self.input.correct(fixed + self.input.tokens, reply.usage.input)
        lost = self.lost_usage
        if (
            interrupted is not None and not before.partial_taken
        ):  # its model was asked before, and the answer to that is lost
            lost += self.priced(evolve(self.estimated_usage(turn, before.partial_text), turns=0), model)
        if (usage := self.priced(reply.usage, model) + lost) is not reply.usage:
            reply = evolve(reply, usage=usage)
        if last and reply.calls:  # some providers ignore that no tool may be called
            reply = evolve(reply, calls=())
        text = await self.stream.end_turn(cut=self._turn_limit.cancelled_caught)
        if text:
            reply = evolve(reply, text=text)
        self.count(reply.usage)
        self.services.metrics.models.used(model.name, reply.usage)
        return await self.record_turn(step, reply)

    async def record_turn(
        self, step: StepRecord, reply: Reply, *, at_once: bool = False
    ) -> tuple[PastTurn, Sequence[PendingCall]]:
        """Record a turn that is over as `step`. Return it as it is recorded, and its calls.

        It is committed with what follows: the first event of its calls, the steers that enter next, or the end of the
        run; `at_once`: a turn without calls is committed now.
        """
        if reply.calls:
            self.thoughts.ensure_with_next()  # that of the first call
        else:
            await self.thoughts.ensure()
        calls = [PendingCall(call, uuid.uuid4().hex) for call in reply.calls]
        result = await self._storable_result(reply, calls)
        self.stream.add_finished_turn(result["text"])
        finished = evolve(step, result=result, status="ok", ended_at=self.services.clock())
        if calls:
            self.recorder.deferred = (*self.recorder.deferred, finished)
        elif at_once:
            await self.recorder.record(steps=(finished,))
        else:
            self.recorder.defer(finished)
        self.thoughts.logged.clear()
        return read_turn(finished, {}), calls

    async def _respond_shortened(self, model: Model, turn: Turn, fixed: int) -> Reply:
        """Return the model's reply. An input that its provider finds too long is shortened, and asked for again."""
        while True:
            known = self.input.compaction
            try:
                return await self.respond(model, turn)
            except ModelUnavailable as error:
                if error.fault is not ModelFault.TOO_LONG or error.message == MESSAGE_TOO_LONG or self._was_heard():
                    raise
                self.input.overflow(limits_of(model), fixed)
                await self.fit(model, turn.instructions, fixed)
                if self.input.compaction == known:
                    raise
            turn = evolve(turn, items=tuple(self.input.shown))

    async def respond(self, model: Model, turn: Turn) -> Reply:
        """Return the model's reply; what it has written so far if the run's time is over before, or a steer ends it.

        If the run ends here, what the request has used is counted in a step of its own, which is recorded at the end.
        """
        self._written.clear()
        self._reasoned.clear()
        self._reported, self._asked, self.lost_usage = None, False, NO_USAGE
        self._answering, self._asked_from = "", 0
        began = self.services.clock()
        try:
            self._check_models()
            reply = await self._respond(model, turn)
        except BaseException as error:
            if self._asked and (spans := self.recorder.spans) is not None:
                names, usage = (self.requested_name(model), model.name), self._cut_usage(model, turn)
                spans.model_ended(*names, usage, began, self.services.clock(), error=error_type(error))
            # A model that failed without a word may not have been reached.
            heard = self._asked and (self._was_heard() or isinstance(error, trio.Cancelled | StoppedByOperator))
            usage = self.lost_usage + (self._cut_usage(model, turn) if heard else NO_USAGE)
            if usage is not NO_USAGE:
                self.count(usage)
                step = self.recorder.next_step(*CUT, began)
                result = {"usage": msgspec.to_builtins(usage)}
                self.recorder.defer(evolve(step, result=result, status="ok", ended_at=self.services.clock()))
            raise
        if (spans := self.recorder.spans) is not None:
            await self._record_span(spans, model, reply, began)
        return reply

    async def _record_span(self, spans: AgentSpans, model: Model, reply: Reply, began: float) -> None:
        now, text = self.services.clock(), ""
        if spans.traces.content:
            text = await self.services.content_filter.filter_for_storage(reply.text) or ""
        spans.model_ended(self.requested_name(model), model.name, reply.usage, began, now, text=text)

    def _models(self, model: Model) -> list[tuple[str, str]]:
        """Return the names of a model: its own, and those that the settings or the agent give it."""
        return [("model", each) for each in (model.name, *self.services.models_of(self.agent))]

    def _check_models(self) -> None:
        """Raise `NotPermitted` if the user may not use the agent's model. A resumed run keeps those of its agents: it
        does not know its user's groups."""
        if all(name != self.agent.name for _, name in self.replay.agents):
            self.services.permissions.check_models(self.services.models_of(self.agent), self.job)

    async def _respond(self, model: Model, turn: Turn) -> Reply:
        closing_s = self.meter.closing_s(self.tools.deadline.worked_s)
        limit = self._turn_limit = trio.CancelScope(deadline=trio.current_time() + closing_s)
        with Enforcement(self.services.stops, partial(self._models, model), limit), limit:
            if self._urgent:
                limit.cancel()
                await trio.lowlevel.checkpoint()  # raises Cancelled: the model is not asked
            began, self._asked, self._asked_turn = time.monotonic(), True, (model, turn)
            try:
                reply = await model.respond(turn, self._on_model_event)
                self._reported = reply.usage
                if _is_empty(reply) and not turn.partial_text:  # some models do so once; what they say next is whole
                    self.lost_usage += self.priced(reply.usage, model)
                    note = NoteItem("Your last reply was empty. Answer the user, or call a tool.")
                    reply = await model.respond(evolve(turn, notes=(*turn.notes, note)), self._on_model_event)
                    if _is_empty(reply) and is_blank(self.stream.answer.text) and self.ended is None:
                        raise ModelUnavailable(
                            "The language model gave an empty answer; ask again.", True, "empty reply"
                        )

                async def ask_again(changed: Turn) -> Reply:
                    self.lost_usage += self.priced(reply.usage, model)
                    return await model.respond(changed, self._on_model_event)

                output = self.agent.output
                if output is not None:
                    reply = await fitting_reply(self.agent, output, self.job.owner, turn, reply, ask_again)
                await self.thoughts.flush_reasoning(whole=True)
                if output is not None and reply.text:
                    self.silent = False
                    await self._on_model_event(TextDelta(reply.text))
                return reply
            finally:
                self.services.metrics.models.answered(model.name, time.monotonic() - began)
        if not self._urgent:
            self.ended = self.ended or self.meter.ended(self.meter.budget.wall_s or 0.0)
        usage = self._cut_usage(model, turn) if self._asked else Usage(turns=1)
        return Reply("" if self.agent.output is not None else "".join(self._written), usage=usage)

    def _was_heard(self) -> bool:
        return bool(self._written[self._asked_from :] or self._reasoned or self._reported)

    def _cut_usage(self, model: Model, turn: Turn) -> Usage:
        """Return what a request that was cut off has used: what the provider has reported, or else an estimate."""
        output = "".join((*self._reasoned, *self._written[self._asked_from :]))
        return self.priced(self._reported or self.estimated_usage(turn, output), model)

    def estimated_usage(self, turn: Turn, output: str) -> Usage:
        """Return about what a request has used, by the counter that keeps the input within the model's window."""
        given = estimate(turn.instructions) + sum(map(item_tokens, (*turn.items, *turn.notes)))
        given += tools_tokens(turn.agent.tools)
        tokens = round(given * self.input.scale), estimate(output) if output else 0
        return Usage(*tokens, turns=1, estimated=sum(tokens))

    def priced(self, usage: Usage, model: Model) -> Usage:
        """Return the use of a model with its cost, if the model has a price."""
        table = self.services.models.prices
        cost = table.cost(self.requested_name(model), usage) if table.prices else None
        return usage if cost is None else evolve(usage, cost=cost)

    def requested_name(self, model: Model) -> str:
        """Return the name in settings of the model that answers, of a chain the one that went on with the turn."""
        wanted = self.agent.model
        name = self.services.models.default if wanted is None else wanted if isinstance(wanted, str) else model.name
        return self._answering or name.partition(",")[0].strip()

    def count(self, usage: Usage, *, turns: int = 1) -> None:
        """Count a turn of a model, or with no `turns` a summary."""
        self.usage, self.own_usage = self.usage + usage, self.own_usage + usage
        self.meter.add_usage(usage, turns=turns)

    def instructions(self) -> str:
        """Return the instructions for the model: the agent's, and the note about fences. They are always the same."""
        agent = self.agent
        return f"{agent.instructions or f'You are {agent.display_title}. {agent.description}'.strip()}\n\n{FENCE_NOTE}"

    def _memory(self) -> AgentMemory | None:
        """Return the agent's memory of the user; the same object until the run is handed over to another notebook."""
        memories, known = self.services.parts.find(AgentMemories), self._known
        if memories is None or not self.agent.remembers:
            return None
        if known is None or known.notebook != self.agent.notebook:
            known = self._known = memories.of(self.job.owner, self.agent.notebook)
        return known

    async def notes(self) -> tuple[NoteItem, ...]:
        """Return what the model is told in this turn only: the agent's memory of the user and the context of the
        message, fenced, and that the turn is the last one, or what is left of the budget.

        They follow the conversation, so that prompt caches of providers keep it.
        """
        agent, job, memory = self.agent, self.job, self._memory()
        notes = []
        if memory is not None:
            searchable = agent.tool("search_memory") is not None
            notes.append(await memory.for_model(job.content, searchable=searchable))
        if job.context:
            notes.append(f"The program that the user writes in sent this data with the message:\n{fenced(job.context)}")
        notes += self._missing
        if wishes := job.settings.get("instructions"):
            notes.append(f"The program that the user writes in asks for this answer:\n{wishes}")
        notes.append(REPEATED if self.repetition.ended is not None else self.meter.note(self.tools.deadline.worked_s))
        return tuple(NoteItem(each) for each in notes if each)

    async def fit(self, model: Model, instructions: str, fixed: int) -> None:
        """Shorten the input if it fills the model's window, and record how, so that it is shown so from now on.

        Raises `ModelUnavailable` if the user's message alone is longer than the window: nothing shortens that.
        """
        kept, used = self.input.compaction, Usage()
        if self.input.fits(fixed, self.reserve):
            return
        if self.input.asks_too_much():
            raise ModelUnavailable(MESSAGE_TOO_LONG, False, "the message is longer than the model's window") from None
        planned = await run_off_loop(self.input.planned, fixed, self.reserve)
        if planned == kept:
            return
        if planned.start != kept.start:
            await self.thoughts.publish("This conversation is long: I summarise its older part and go on with that")
            settings = ModelSettings(max_output=min(2 * SUMMARY_TOKENS, self.input.limits.window_tokens // 8))
            older, colleagues = await run_off_loop(self.input.older, planned), tuple(self.colleagues().values())
            card = self.equipped().card
            turn = Turn(card, tuple(older), instructions, settings=settings, listed_colleagues=colleagues)
            self._check_models()
            scope = trio.CancelScope()
            with Enforcement(self.services.stops, partial(self._models, model), scope), scope:
                summary, usage = await summarise(model, turn, self.input, self.services, self.job.run_id)
            planned = evolve(planned, summary=summary)
            if usage is not None:
                used = self.priced(usage, model)
                self.count(used, turns=0)
                self.services.metrics.models.used(model.name, used)
        else:
            await self.thoughts.publish("This conversation is long: I shorten the older results in it")
        first_run = None if planned.start is None else planned.start.run_id
        now = self.services.clock()
        step = self.recorder.next_step("summary", model.name, None, {"first_run": first_run}, now)
        result = encode_compaction(planned) | {"usage": msgspec.to_builtins(used)}
        await self.recorder.record(steps=(evolve(step, result=result, status="ok", ended_at=now),))
        await run_off_loop(self.input.compact, planned)

    @property
    def reserve(self) -> int:
        """The part of the model's window that is kept free for its reply, in tokens."""
        return self.agent.settings.output_limit(self.input.limits)

    async def _storable_result(self, reply: Reply, calls: Sequence[PendingCall]) -> dict[str, Any]:
        """Return the result of the turn's step: the reply without the parts that the content policy blocks."""
        keep = self.services.content_filter.filter_for_storage
        storable: list[ToolRequest | None] = []
        for call in reply.calls:
            words = {"name": call.name, "arguments": dict(call.arguments), "description": call.description}
            words["problem"] = call.problem
            kept = await keep({"id": call.id, **words})
            if kept is not None:  # else it is blocked
                name = call.name if self.agent.tool(call.name) is not None else kept["name"]
                kept = ToolRequest(kept["id"], name, kept["arguments"], kept["description"], kept["problem"])
            storable.append(kept)
        if reply.handoff is not None:
            reply = evolve(reply, handoff=evolve(reply.handoff, reason=await keep(reply.handoff.reason) or ""))
        if reply.reasoning:
            reply = evolve(reply, reasoning=await keep(reply.reasoning) or "")
        text, call_ids = await keep(reply.text) or "", [each.call_id for each in calls]
        return encode_reply(reply, call_ids, text, storable, self.thoughts.count, self.stream.findings)

    async def _on_model_event(self, event: ModelEvent) -> None:
        limit = self._turn_limit
        if limit.cancel_called:
            await trio.lowlevel.checkpoint()  # raises Cancelled: the time is over
        until = limit.deadline
        if near := until < self.recorder.now() + PUBLISH_S:
            limit.deadline = math.inf  # an event is published whole
        self._publishing = True
        try:
            match event:
                case TextDelta(text):  # nearly all events
                    if self.thoughts.reasoning:
                        await self.thoughts.flush_reasoning(whole=True)
                    self.recorder.activity = "writing"
                    if not self.thoughts.count:
                        await self.thoughts.ensure()
                    self._written.append(text)
                    if not self.silent:
                        await self.stream.feed(text)
                case TextDropped():
                    del self._written[self._asked_from :]
                    if not self.silent:
                        await self.stream.restart_turn("".join(self._written))
                case Thought(text):
                    await self.thoughts.publish(await self.services.content_filter.filter_output(text))
                case UsageSoFar(usage):
                    self._reported = usage
                case AttemptLost(used):
                    self._lose(used)
                case ModelChanged():
                    await self._change_model(event)
                case ReasoningDelta(text):
                    self._reasoned.append(text)
                    await self.thoughts.reason(text)
        finally:
            self._publishing = False
            if self._urgent or near:
                limit.deadline = -math.inf if self._urgent else until

    def _lose(self, used: Usage | None) -> None:
        """Count a request to the model whose answer is lost, and which had `used` this as far as its provider said."""
        if self._asked_turn is not None:
            self._reported = used if used and (used.input or used.output) else None
            self.lost_usage += evolve(self._cut_usage(*self._asked_turn), turns=0)
        self._reported = None

    async def _change_model(self, change: ModelChanged) -> None:
        """Go on with another model of a chain: count what the one before has used, and tell the user once a run."""
        await self.thoughts.flush_reasoning(whole=True)
        if self._was_heard():
            self._lose(self._reported)
        self._reasoned.clear()
        self._asked_from, self._answering = len(self._written), change.successor
        if not self.silent and self._written:
            await self.stream.go_on("".join(self._written))
        if change.message not in self._told:
            self._told.add(change.message)
            await self.thoughts.publish(change.message, "model_changed")

    @property
    def shown_charts(self) -> list[dict[str, Any]]:
        """The charts of a hand-written agent and of the tools, in order."""
        return [*self.charts, *(each.visualization for each in self.outcomes if each.visualization)]

    @property
    def saved_files(self) -> list[dict[str, Any]]:
        """The cards of the files that a hand-written agent and the tools have saved."""
        return [*self.files, *(card for each in self.outcomes for card in each.files)]

    async def finish(self) -> None:
        """Record the end of the answer, with the charts and results of the tools, and the bound that closed the run.

        Raises `AgentFailed` if the model repeated a call until the run was closed, and then said nothing.
        """
        output, form = None, self.agent.output
        if form is not None:
            output = await read_output(self.agent, form, self.job.owner, self._answer, self.ended)
        if self.repetition.ended is not None and output is None and not self._answer.strip():
            error_id = new_error_id()
            extra = {"run_id": self.job.run_id, "agent": self.agent.name, "error_id": error_id}
            log.error("agent.no_answer", extra=extra)
            raise AgentFailed(self.repetition.ended.message, error_id)
        if self.ended is not None and output is None:
            await self.stream.feed(self.ended.message)
        text, summary = await self.stream.finish()
        charts = self.shown_charts
        results = [
            {"tool_name": each.request.name, "result": each.value}
            | ({"kind": each.kind} if each.kind else {})
            | ({"next_steps": each.next_steps} if each.next_steps else {})
            for each in self.outcomes
            if each.status is ToolStatus.OK
        ]
        data: dict[str, Any] = {"results": results} if results else {}
        if output is not None:
            data["output"] = output.value
        if self.ended is not None:
            data["budget"] = self.ended.data()
        elif self._cut:
            data["cut"] = {"by": "length"}
        if len(charts) > 1:
            data["visualizations"] = charts
        if files := self.saved_files:
            data["files"] = files_of_answer(files)
        usage, own = self.usage + self.tools.used, self.own_usage + self.tools.used
        await self.recorder.record(
            *([] if summary is None else [summary]),
            AgentCompleted(self.agent_id, text, RunStatus.SUCCESS, own, self.services.clock()),
            FinalResponse(text, RunStatus.SUCCESS, usage, data or None, charts[-1] if charts else None),
        )
        if (spans := self.recorder.spans) is not None:
            spans.end(own, self.services.clock(), text=text)


def _is_empty(reply: Reply) -> bool:
    return is_blank(reply.text) and not (reply.calls or reply.handoff)
