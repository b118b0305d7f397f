"""The work of a run: what every kind of agent does it through, whether a model, a function or another framework.

1. A resumed run starts from the beginning but uses what was recorded: no model is asked twice for a recorded turn, no
   finished tool call is repeated, and no event is published twice.
2. What not every run has is in the `parts` of its tools.
"""

import logging
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from attrs import define, field

from understudy.agents.agent import Agent
from understudy.agents.framework import AgentFailed
from understudy.chat.answer.stream import AnswerStream
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.messages import RunRequest
from understudy.chat.run.compaction import shorten_input
from understudy.chat.run.equipped import Equipped, equip
from understudy.chat.run.executor import ToolExecutor
from understudy.chat.run.history import load_conversation
from understudy.chat.run.meter import Ended, Meter
from understudy.chat.run.output import read_output
from understudy.chat.run.part import AgentDone, parts_of
from understudy.chat.run.steers import Steers
from understudy.chat.run.thoughts import MAX_SENTENCE, Thoughts
from understudy.chat.run.tool_outcome import ToolOutcome
from understudy.chat.run.window import ModelInput
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.turns import PastTurn
from understudy.chat.services import Services
from understudy.chat.user_files import files_of_answer
from understudy.models.model import AgentCard, Handoff, Item, Model, NoteItem, Origin, fenced
from understudy.observe.logs import new_error_id
from understudy.storage.records import History
from understudy.wire.events import AgentCompleted, AgentHandoff, AgentStarted, FinalResponse, RunStatus, ToolStatus

log = logging.getLogger(__name__)

LONG: Final = 2
"""Turns after which a run has the parts of long runs, too: most messages are answered in two."""
MAX_RESULTS_BYTES: Final = 4 * 1024 * 1024
"""Bytes as JSON of the results of an answer, and of its charts: a client reads 16 MiB in one frame, and each was sent
before. Those of the last calls are kept."""
RESUMED: Final = "Continued after a restart of the server"
"""What the user is told once a run goes on whose server has died."""


@define
class Gathered:
    """What an answer has beside its text: the outcomes of its calls, and what a function has drawn and saved itself."""

    outcomes: list[ToolOutcome] = field(factory=list)
    charts: list[dict[str, Any]] = field(factory=list)
    files: list[dict[str, Any]] = field(factory=list)

    @property
    def shown_charts(self) -> list[dict[str, Any]]:
        """The charts of a function and of the tools, in order."""
        return [*self.charts, *(outcome.visualization for outcome in self.outcomes if outcome.visualization)]

    @property
    def saved_files(self) -> list[dict[str, Any]]:
        """The cards of the files that a function and the tools have saved."""
        return [*self.files, *(card for outcome in self.outcomes for card in outcome.files)]

    def data(self) -> dict[str, Any]:
        """Return the members of the final event's data."""
        data: dict[str, Any] = {}
        results = []
        for outcome in self.outcomes:
            if outcome.status is ToolStatus.OK:
                result = {"tool_name": outcome.request.name, "result": outcome.value}
                result |= {"kind": outcome.kind} if outcome.kind else {}
                result |= {"next_steps": outcome.next_steps} if outcome.next_steps else {}
                results.append(result)
        if results:
            data["results"] = _last_of(results)
        if len(charts := self.shown_charts) > 1:
            data["visualizations"] = _last_of(charts)
        if files := self.saved_files:
            data["files"] = files_of_answer(files)
        return data


def _last_of(items: Sequence[Any]) -> Sequence[Any]:
    """Return the last items that have at most `MAX_RESULTS_BYTES` as JSON."""
    free_bytes = MAX_RESULTS_BYTES
    for number in range(len(items), 0, -1):
        free_bytes -= len(msgspec.json.encode(items[number - 1]))
        if free_bytes < 0:
            return items[number:]
    return items


def agent_started(agent: Agent, now: float, agent_id: str | None = None) -> AgentStarted:
    """Return the start of an agent at `now` (Unix seconds), under a new id unless `agent_id` is given."""
    agent_id = agent_id or f"{agent.name}-{uuid.uuid4().hex[:8]}"
    return AgentStarted(agent_id, f"{agent.display_title} is on it", now)


@define(eq=False)
class RunWork:
    """The work on one message. `agent` is at work, and `agent_ids` has the ids of those that have begun, of which one
    follows the other by a handoff."""

    request: RunRequest
    services: Services
    log: RunLog
    tools: ToolExecutor
    stream: AnswerStream
    agent: Agent
    past: Past
    meter: Meter
    agent_ids: list[str] = field(factory=list)
    thoughts: Thoughts = field(init=False, repr=False)
    input: ModelInput = field(factory=ModelInput, init=False, repr=False)
    gathered: Gathered = field(factory=Gathered, init=False, repr=False)
    steers: Steers = field(init=False, repr=False)
    is_long: bool = field(default=False, init=False)  # it has the parts of long runs
    _equipped: Equipped | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.tools.conversation = self.input
        stream = self.stream  # not of this work, which the tools must not refer to: that would be a cycle
        self.tools.answer_so_far = lambda: stream.answer.text
        past, recorded = self.past, self.past.turns[-1].thoughts if self.past.turns else 0
        self.thoughts = Thoughts(
            self.log, self.services, self.agent_id, len(past.thoughts), list(past.thoughts[recorded:])
        )
        self.steers = Steers(self.log, self.tools, self.past)

    @property
    def agent_id(self) -> str:
        """The id of the agent at work, empty before it has begun."""
        return self.agent_ids[-1] if self.agent_ids else ""

    @property
    def worked_s(self) -> float:
        """How long the run has worked, in seconds, without the waits for its user."""
        return self.tools.questions.deadline.worked_s

    # The agents

    async def begin(self, known: History | None = None) -> None:
        """Restore the shown text, start the agent, and read the conversation, which may be `known`, into the input.

        The items are those of the branch from the root of the thread, as far as they are read, and the message to
        answer.
        """
        request, before = self.request, self.past
        self.input.origin = Origin(request.message_id, request.run_id)
        await self.stream.restore(before)
        await self._start_agent()
        if request.lost_server and before.agents:
            self.thoughts.publish(RESUMED, "resumed")
        history = await load_conversation(request, self.services, before, self.input, self.agent, known)
        if history is not known:
            self.log.thread.branch.read(request.run_id, history)
        self.meter.add_usage(before.summary_usage)
        if (left_out := history.left_out) and not before.turns:
            read = f"Only the last {len(history.messages):,} messages of this conversation were read"
            older = "1 older one was" if left_out == 1 else f"{left_out:,} older ones were"
            self.thoughts.publish(f"{read}; {older} left out.")

    async def _start_agent(self) -> None:
        """Record that the agent at work has started, unless the log has it."""
        agent, number, now = self.agent, len(self.agent_ids), self.services.clock()
        self.log.speaker = agent
        logged = [agent_id for agent_id, _ in self.past.agents]
        if not logged and self.request.agent_id is not None:
            logged.append(self.request.agent_id)
        event = logged[number] if number < len(logged) else None
        started = agent_started(agent, now, event or self.past.taken_agent(agent.name))
        self.agent_ids.append(started.agent_id)
        self.thoughts.agent_id = started.agent_id
        if event is None:
            found = self.request.findings_summary if number == 0 else None
            await self.log.record(started, *([] if found is None else [found]))
        for part in self.tools.parts.begin:
            await part.begin(self)

    async def hand_over(self, handoff: Handoff) -> None:
        """Record a handoff, unless the log has it, and start the other agent."""
        if len(self.agent_ids) > self.past.handoffs:
            reason = await self.services.content_filter.filter_output(handoff.reason[:MAX_SENTENCE])
            now, result = self.services.clock(), f"Handed over to {handoff.to}"
            completed = AgentCompleted(self.agent_id, result, RunStatus.SUCCESS, self.meter.own, now)
            await self.log.record(AgentHandoff(self.agent.name, handoff.to, reason), completed)
            await self.tools.parts.tell_ended(AgentDone(completed.usage))
        self.equip_with(self.services.agents[handoff.to])
        self.meter.hand_over(self.agent, self.services.settings.limits)
        await self._start_agent()

    def colleagues(self) -> dict[str, AgentCard]:
        """Return the descriptions, by name, of the colleagues of the agent that the user may use."""
        services = self.services
        usable = services.permissions.colleagues(self.agent, services.agents, self.request)
        return {agent.name: agent.card for agent in usable}

    def equip_with(self, agent: Agent) -> None:
        """Have another agent at work, or the same one with other tools."""
        self.agent, self._equipped = agent, None

    def equipped(self) -> Equipped:
        """Return the agent as its model is told of it: with the tool that reads shortened results once one is shown."""
        equipped, recalls, permissions = self._equipped, self.input.shortens, self.services.permissions
        if equipped is None or equipped.recalls != recalls or equipped.rules is not permissions.rules:
            equipped = self._equipped = equip(self.agent, self.request, self.services, recalls=recalls)
        return equipped

    # Turns

    async def is_over(self, number: int) -> bool:
        """Return whether a part ends the run before turn `number`; until one does, each is told of the turn."""
        if number >= LONG and not self.is_long:
            self.is_long = True
            added = parts_of(self.services.parts.of_long_runs, self.request, self.agent)
            self.tools.parts = self.tools.parts.joined(added)
        for part in self.tools.parts.before_turn:
            if (bound := await part.before_turn(self, number)) is None:
                continue
            if not bound.note:
                self.meter.closed_by = bound
                return True
            self.meter.closing = bound
        return False

    def closes(self, number: int) -> bool:
        """Return whether turn `number` closes the run, as a bound is reached, which is noted."""
        recorded = number < len(self.past.turns)  # the time of work was less then
        whole = number == 0 and not (self.agent.tools or self.agent.colleagues)  # a closing turn is one without them
        self.meter.closed_by = None if whole else self.meter.ended(0.0 if recorded else self.worked_s)
        return self.meter.closed_by is not None

    async def take_steers(self, turn: int, recorded: int | None = None) -> list[Item]:
        """Return the messages of the steers that enter before this turn; see `Steers.take`."""
        if not (self.past.steers or self.steers.urgent or self.log.active.state.waiting_steers):
            return []
        over = self.meter.ended(self.worked_s) is not None
        return await self.steers.take(turn, self.input.origin, recorded, over=over)

    def end_turn(self, steer_id: str) -> None:
        """End the model's current turn and keep its text, as a steer is to enter now."""
        # A hand-written agent may never ask for it.
        self.steers.hurry(steer_id, redirects=self.agent.run is None)

    async def notes(self, ended: Ended | None) -> tuple[NoteItem, ...]:
        """Return what the model is told in this turn only: the notes of the parts, the context of the message, fenced,
        and that the bound `ended` makes it the last one, or what is left of the budget.

        They follow the conversation, so that prompt caches of providers keep it.
        """
        request = self.request
        notes = [await part.note(self) for part in self.tools.parts.note]
        if request.context:
            data = fenced(request.context)
            notes.append(f"The program that the user writes in sent this data with the message:\n{data}")
        if wishes := request.settings.get("instructions"):
            notes.append(f"The program that the user writes in asks for this answer:\n{wishes}")
        notes.append(self.meter.note(self.worked_s, ended))
        return tuple(NoteItem(note) for note in notes if note)

    async def fit(self, model: Model, instructions: str, fixed: int) -> None:
        """Shorten the input if it fills the model's window beside `fixed` tokens and the reply."""
        reserve = self.agent.settings.output_limit(self.input.limits)
        if not self.input.fits(fixed, reserve):
            await self.shorten(model, instructions, fixed, reserve)

    shorten = shorten_input

    async def cut_text(self, text: str) -> str:
        """Return the text of a turn whose model was stopped, by a steer or as the time is over, after this `text`."""
        return text

    # The end

    async def finish(self, last: PastTurn | None) -> None:
        """Record the end of the answer, with the charts and results of the tools, and the bound that closed the run.

        `last` is the last turn of a model, None if a function has answered. Raises `AgentFailed` if a part closed
        the run, and the model then said nothing.
        """
        last_text = "" if last is None else last.reply.text
        output, form = None, self.agent.output
        if form is not None:
            output = await read_output(self.agent, form, self.request.owner, last_text, self.meter.closed_by)
        if (closing := self.meter.closing) is not None and output is None and not last_text.strip():
            error_id = new_error_id()
            extra = {"run_id": self.request.run_id, "agent": self.agent.name, "error_id": error_id}
            log.error("agent.no_answer", extra=extra)
            raise AgentFailed(closing.message, error_id)
        if self.meter.closed_by is not None and output is None:
            await self.stream.feed(self.meter.closed_by.message)
        text, summary = await self.stream.finish()
        data, charts = self.gathered.data(), self.gathered.shown_charts
        if output is not None:
            data["output"] = output.value
        if self.meter.closed_by is not None:
            data["budget"] = self.meter.closed_by.data()
        elif last is not None and last.reply.cut:
            data["cut"] = {"by": "length"}
        used, own_usage = self.meter.used, self.meter.own
        await self.log.record(
            *([] if summary is None else [summary]),
            AgentCompleted(self.agent_id, text, RunStatus.SUCCESS, own_usage, self.services.clock()),
            FinalResponse(text, RunStatus.SUCCESS, used, data or None, charts[-1] if charts else None),
        )
        await self.tools.parts.tell_ended(AgentDone(own_usage, text))
