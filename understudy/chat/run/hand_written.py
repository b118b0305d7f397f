"""Runs a hand-written agent: a function of a user instead of a model, whose doings are recorded like a model's.

1. What the function says until a call, a handoff or its end is one turn, stored as a model's turn is. So its calls are
   executed, replayed and remembered by later messages like those of a model.
2. A step, or a request to the model, is stored with its result before the function goes on.
3. A resumed run starts the function again, and gives it what is recorded: a step by its name and how often that was
   used, a call by its name and arguments, everything else in order. What is not recorded waits until all that is
   recorded was asked for, in any order, as tasks of a nursery begin in any order. If that does not happen within
   `REPLAY_S`, the function does not repeat itself, and the run ends with `agent_failed`.
4. The function runs on the tools' loop, and does everything else through this object: calls and steps at the same time,
   the rest one after another, and not while a call is at work.
"""

import logging
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar

import attrs
import msgspec
import trio
from attrs import define, evolve, field, frozen

from actors import Context
from understudy.agents.turn import AgentTurn, CallResult, OwnStep, TurnWork, run_function
from understudy.chat.run.ended import Ended
from understudy.chat.run.history import turn_items
from understudy.chat.run.meter import HAND_WRITTEN
from understudy.chat.run.model_request import ModelRequest
from understudy.chat.run.progress_notes import CallProgress
from understudy.chat.run.questions import Asker
from understudy.chat.run.replay import PastTurn, PendingCall
from understudy.chat.run.turn import record_turn
from understudy.chat.run.window import estimate, item_tokens, tools_tokens
from understudy.chat.user_files import SavedFiles
from understudy.models.model import (
    FENCE_NOTE,
    Handoff,
    Item,
    MessageItem,
    ModelUnavailable,
    Reply,
    ToolRequest,
    Turn,
    limits_of,
)
from understudy.storage.records import StepRecord
from understudy.suggestion import did_you_mean
from understudy.tools.context import CallMeans
from understudy.tools.errors import ToolError
from understudy.tools.form import Question
from understudy.tools.loop import ToolLoop
from understudy.tools.tool import Tool
from understudy.wire.events import ToolStatus, Usage

if TYPE_CHECKING:
    from understudy.chat.run.work import RunWork

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

MAX_STEP_NAME: Final = 200
"""Characters of a step's name."""
ASK_MODEL: Final = "ask_model"
END: Final = ("end", "")
CUT_S: Final = 0.2
"""Seconds for a call that the function has stopped waiting for, in which its actor is told so: milliseconds."""
REPLAY_S: Final = 5.0
"""Seconds without a replayed call or step after which a function that asks for something else does not repeat itself:
replies from the log take milliseconds, so this is for functions that sleep in between."""


class ReplayMismatch(RuntimeError):
    """A function did something else than before its server died."""


@frozen
class _WantedCall:
    """A call that the model asked the function for."""

    id: str
    name: str
    arguments: dict[str, Any]


@frozen
class RecordedAsk:
    """The result of a request to the model."""

    text: str
    calls: tuple[_WantedCall, ...]
    usage: Usage


@define(eq=False)
class HandWritten:
    """The work of an agent that is hand-written, from turn `number` on."""

    work: "RunWork"
    context: Context
    number: int
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    failure: Exception | None = field(default=None, init=False)
    handed: Handoff | None = field(default=None, init=False)
    asker: Asker = field(init=False)  # asks the function's questions
    _asks: deque[StepRecord] = field(init=False, repr=False)  # recorded and not replayed yet
    _steps: dict[str, StepRecord] = field(init=False, repr=False)  # so, by name
    _calls: list[PastTurn] = field(init=False, repr=False)  # so
    _last: PastTurn | None = field(default=None, init=False, repr=False)  # the recorded end or handoff
    _past_says: int = field(default=0, init=False)  # texts and thoughts in the recorded turns, to be left out
    _past_thoughts: int = field(default=0, init=False)
    _says: int = field(default=0, init=False)
    _thoughts: int = field(default=0, init=False)
    _new: bool = field(default=False, init=False)  # a turn was recorded here
    _replayed: trio.Event = field(factory=trio.Event, init=False, repr=False)  # set with each thing
    _executing: int = field(default=0, init=False)
    _idle: trio.Event = field(factory=trio.Event, init=False, repr=False)
    _doing: int = field(default=0, init=False)
    _names: Counter[str] = field(factory=Counter, init=False)
    _said: list[str] = field(factory=list, init=False, repr=False)
    _step: StepRecord | None = field(default=None, init=False, repr=False)  # of the turn whose text is shown
    _shown_before: str = field(default="", init=False, repr=False)
    _one: trio.Lock = field(factory=trio.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        agent_id = self.work.agent_id
        self.asker = Asker(self.work.tools, self.context, agent_id, agent_id, self.work.agent.name, rests=True)
        own = [each for each in self.work.replay.written if each.arguments == {"agent_id": agent_id}]
        self._asks = deque(each for each in own if each.kind == "ask")
        self._steps = {each.name: each for each in own if each.kind == "step"}
        self._calls = []
        for turn in self.work.replay.turns[self.number :]:
            counts = turn.arguments or {}
            self._past_says = max(self._past_says, counts.get("says", 0))
            self._past_thoughts = max(self._past_thoughts, counts.get("thoughts", 0))
            if not turn.calls:
                self._last = turn
                break
            self._calls.append(turn)

    async def run(self) -> tuple[int, Handoff | None]:
        """Run the function to its end. Return the number of its last turn, and the handoff with which it ended.

        Raises what `work.answer` raises, `ReplayMismatch`, and what the function raises.
        """
        async with self.work.recorder.notes.of_call() as progress:
            await self._run_function(progress)
        work = self.work
        if self.failure is not None:
            raise self.failure
        if self.handed is None:
            if self.scope.cancelled_caught and work.meter.closed_by is None:
                work.meter.closed_by = work.meter.reached(work.meter.budget.wall_s or 0.0, ("wall_s",))
            elif work.meter.closed_by is None:
                await self._expect(*END)
            await self._close_cut_calls()
            await self._end_turn(Reply())
        return self.number, self.handed

    async def _run_function(self, progress: CallProgress) -> None:
        work, job, agent = self.work, self.work.job, self.work.agent
        files = SavedFiles(work.services.attachments(job.owner), work.gathered.files)
        given = work.tools.context(work.agent_id, progress, CallMeans(self._in_order(self._ask)), files=files)
        fields = {each.name: getattr(given, each.name) for each in attrs.fields(type(given))}
        make = partial(AgentTurn, message=job.content, items=tuple(work.input.items), data=job.context or {})
        of_client = tuple(name for name, tool in work.equipped().tools.items() if tool.client)
        turn = make(**fields, client_tools=of_client, work=self._means(), given_up=self._given_up)
        assert agent.run is not None  # noqa: S101 - for the type checker: it is hand-written
        try:
            with self.scope:
                self._set_deadline()
                await self._call_function(agent.run, turn)
        except ToolError as error:
            if self.failure is None:
                log.warning("agent.tool_error", extra={"run_id": job.run_id, "agent": agent.name, "code": error.code})
                raise
        finally:
            work.tools.questions.forget(work.agent_id)

    def _given_up(self) -> bool:
        return self.scope.cancel_called or self.work.tools.questions.deadline.over

    async def _call_function(self, function: Callable[[AgentTurn], Awaitable[object]], turn: AgentTurn) -> None:
        """Call the function on the loop that is for it."""
        tool_loop, run = self.work.services.parts.find(ToolLoop), partial(run_function, function)
        await (run(turn) if tool_loop is None else tool_loop.run(self.work.agent.name, run, turn))

    async def _close_cut_calls(self) -> None:
        """End the calls that the function has stopped waiting for, as a nursery does when one of its tasks fails."""
        tools = self.work.tools
        await tools.stop()
        await tools.complete_begun()

    def _means(self) -> TurnWork:
        """Return what the function does its work through."""
        return SimpleNamespace(
            call=self._at_once(self.call),
            begin_step=self._at_once(self.begin_step),
            end_step=self._in_order(self.end_step),
            visualize=self._in_order(self.visualize),
            say=self._between_calls(self.say),
            think=self._between_calls(self.think),
            ask_model=self._between_calls(self.ask_model),
            handoff=self._between_calls(self.handoff),
        )

    def _at_once(self, method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Return a method for the function. An error that is not the function's own ends the run, not the function."""

        async def do(*args: P.args, **kwargs: P.kwargs) -> T:
            self._doing += 1
            self.scope.deadline = math.inf  # what it does has limits of its own, and text is published whole
            try:
                return await method(*args, **kwargs)
            except (ToolError, ModelUnavailable):
                raise
            except Exception as error:
                self.failure = self.failure or error
                await self._stop()
            finally:
                self._doing -= 1
                if not self._doing:
                    self._set_deadline()

        return do

    def _in_order(self, method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Return a method that does its work after that of the others in order."""

        async def do(*args: P.args, **kwargs: P.kwargs) -> T:
            async with self._one:
                return await method(*args, **kwargs)

        return self._at_once(do)

    def _between_calls(self, method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Return a method in order that is refused while a call is at work."""

        async def do(*args: P.args, **kwargs: P.kwargs) -> T:
            with trio.move_on_after(CUT_S):
                while self._executing:
                    await self._idle.wait()
            if self._executing:
                raise RuntimeError(f"{method.__name__} while a call is at work: it belongs before or after them")
            return await method(*args, **kwargs)

        return self._in_order(do)

    async def _stop(self) -> NoReturn:
        """Stop the function, which does not return from here, once no call is at work any more."""
        while self._executing:
            await self._idle.wait()
        self.scope.cancel()
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    def _set_deadline(self) -> None:
        left_s = self.work.meter.left_s(self.work.worked_s)
        self.scope.deadline = trio.current_time() + left_s

    async def _stop_if(self, ended: Ended | None) -> None:
        """Close the run with what it has, if a bound of its budget is reached."""
        if ended is not None:
            self.work.meter.closed_by = ended
            await self._stop()

    # What the log has

    def _recorded(self) -> tuple[str, str] | None:
        """Return the kind and name of the first that the log has and that was not asked for; None if it has no more."""
        waiting = [(each.number, "step", each.name) for each in self._steps.values()]
        waiting += [(each.number, "ask", ASK_MODEL) for each in self._asks]
        waiting += [(each.number, "call", each.calls[0].request.name) for each in self._calls]
        if waiting:
            _, kind, name = min(waiting)
            return kind, name
        if self._last is None:
            return None
        return END if self._last.reply.handoff is None else ("handoff", self._last.reply.handoff.to)

    async def _expect(self, kind: str, name: str) -> bool:
        """Wait until this is what the log has next, or it has no more. Return whether it has this.

        Raises `ReplayMismatch` if the function does not ask for what the log has.
        """
        while (recorded := self._recorded()) is not None and (kind in ("call", "step") or recorded != (kind, name)):
            with trio.move_on_after(REPLAY_S) as waited:
                await self._replayed.wait()
            if waited.cancelled_caught:
                self._mismatch(recorded or END, kind, name)
        return recorded is not None

    def _note_replayed(self) -> None:
        """Wake what waits for the log to be replayed: a thing of it was."""
        self._replayed.set()
        self._replayed = trio.Event()

    def _mismatch(self, recorded: tuple[str, str], kind: str, name: str) -> NoReturn:
        had, wants = " ".join(recorded).strip(), f"{kind} {name}".strip()
        extra = {"run_id": self.work.job.run_id, "agent": self.work.agent.name, "recorded": had, "asked": wants}
        log.error("run.replay_mismatch", extra=extra)
        raise ReplayMismatch(f"the function of {self.work.agent.name} does not repeat itself: {had!r} is recorded, "
                             f"and now it wants {wants!r}")  # fmt: skip

    def _recorded_call(self, name: str, arguments: Mapping[str, Any]) -> PastTurn | None:
        """Return the turn of a recorded call of this name with these arguments, or redacted ones, and take it out."""
        named = [each for each in self._calls if each.calls[0].request.name == name]
        equal = [each for each in named if dict(each.calls[0].request.arguments) == dict(arguments)]
        turn = next((each for each in (*equal, *named) if each in equal or not each.calls[0].whole), None)
        if turn is not None:
            self._calls.remove(turn)
            self._note_replayed()
        return turn

    # What the function does

    async def say(self, text: str) -> None:
        """Show the next text of the answer, unless the log has it."""
        if not text:
            return
        self._says += 1
        if self._says <= self._past_says:
            return
        work = self.work
        await work.thoughts.ensure()
        self._begin_turn()
        self._said.append(text)
        work.recorder.activity = "writing"
        await work.stream.feed(text)

    async def think(self, thought: str) -> None:
        """Show a thought, unless the log has it."""
        self._thoughts += 1
        if self._thoughts > self._past_thoughts:
            self.work.thoughts.publish(await self.work.services.content_filter.filter_output(thought))

    async def call(self, name: str, arguments: Mapping[str, Any]) -> CallResult:
        """Call a tool, unless the log has its result. Return the result."""
        work, past = self.work, self._recorded_call(name, arguments)
        if past is None:
            await self._expect("call", f"{name} with other arguments" if self._recorded() == ("call", name) else name)
        async with self._one:
            if past is None:
                worked_s = work.worked_s
                await self._stop_if(work.meter.reached(worked_s, ("calls", "tokens", "cost", "wall_s")))
            turn, calls = await self._end_turn(Reply(calls=(ToolRequest("call", name, arguments),)), past)
            self.number += 1
        return await self._execute(turn, calls, work.equipped().tools)

    async def _execute(self, turn: PastTurn, calls: Sequence[PendingCall], tools: Mapping[str, Tool]) -> CallResult:
        """Execute the call of a turn that is recorded. Return its result. Raises `ToolError`."""
        work = self.work
        self._executing += 1
        try:
            (outcome,) = await work.tools.execute(calls, tools, work.agent_id, self.context)
        finally:
            self._executing -= 1
            if not self._executing:
                self._idle.set()
                self._idle = trio.Event()
        work.gathered.outcomes.append(outcome)
        origin = work.input.origin = evolve(work.input.origin, step=turn.number, agent=work.agent.name)
        work.input.add(turn_items(turn, origin, {outcome.call_id: (outcome.status.value, outcome.recorded())}))
        if outcome.status is ToolStatus.OK:
            return CallResult(outcome.value, outcome.summary, outcome.answer)
        error = (outcome.value or {}).get("error", {}) if isinstance(outcome.value, dict) else {}
        raise ToolError(error.get("code", "run_interrupted"), outcome.summary)

    async def ask_model(
        self, prompt: str, instructions: str, items: Sequence[Item] | None, tools: Sequence[str], say: bool
    ) -> Reply:
        """Ask the model, unless the log has its reply. Return the reply."""
        work = self.work
        if await self._expect("ask", ASK_MODEL):
            work.input.add(await work.take_steers(self.number, recorded=self.number + 1))
            asked = msgspec.convert(self._asks.popleft().result, RecordedAsk)
            self._note_replayed()
            work.meter.add_usage(asked.usage, turns=1)
            if say:
                await self.say(asked.text)
        else:
            asked = await self._ask_model(prompt, instructions, items, tools, say)
        calls = tuple(ToolRequest(each.id, each.name, each.arguments) for each in asked.calls)
        return Reply(asked.text, calls, usage=asked.usage)

    async def _ask_model(
        self, prompt: str, instructions: str, items: Sequence[Item] | None, tools: Sequence[str], say: bool
    ) -> RecordedAsk:
        """Ask the model, and record its reply as it may be stored."""
        work, agent, services = self.work, self.work.agent, self.work.services
        if unknown := [each for each in tools if each not in work.equipped().tools]:
            raise ToolError("not_found", f"{agent.name} has no tool called {unknown[0]}.")
        worked_s = work.worked_s
        await self._stop_if(work.meter.reached(worked_s, ("turns", "tokens", "cost", "wall_s")))
        if await work.is_over(self.number):
            await self._stop()
        work.input.add(await work.take_steers(self.number, recorded=self.number))
        model = services.models.of(agent.model)
        work.input.limits = limits_of(model)
        told = f"{instructions}\n\n{FENCE_NOTE}" if instructions else work.equipped().instructions
        closing = work.meter.ended(worked_s) is not None
        card = work.equipped().card
        card = evolve(card, tools=tuple(each for each in card.tools if each.name in tools))
        notes = await work.notes()
        if items is None:
            fixed = estimate(told) + estimate(prompt) + sum(map(item_tokens, notes))
            await work.fit(model, told, fixed + tools_tokens(card.tools))
            items = work.input.shown
        asked = (MessageItem("user", prompt),) if prompt else ()
        settings = agent.settings.capped(work.input.limits)
        usable = () if closing else card.tools
        turn = Turn(card, (*items, *asked), told, tools=usable, notes=notes, settings=settings)
        began = services.clock()
        work.recorder.activity = "thinking"
        if say:
            await work.thoughts.ensure()
            self._begin_turn()
        request = ModelRequest(work, model, turn, silent=not say)
        reply = await request.reply()
        usage = request.priced(reply.usage) + request.lost
        work.meter.add_usage(usage, turns=1)
        services.metrics.models.used(model.name, usage)
        if say and reply.text:
            self._says += 1
            self._said.append(reply.text)
        keep = services.content_filter.filter_for_storage
        wanted = [_WantedCall(each.id, each.name, await keep(dict(each.arguments)) or {}) for each in reply.calls]
        recorded = RecordedAsk(await keep(reply.text) or "", tuple(wanted), usage)
        await self._record("ask", model.name, began, msgspec.to_builtins(recorded))
        for part in work.parts.after_turn:
            await part.after_turn(work)
        await self._stop_if(work.meter.closed_by)
        return recorded

    async def begin_step(self, name: str) -> OwnStep:
        """Return the next step of this name, with its result if the log has it."""
        name = name[:MAX_STEP_NAME]
        self._names[name] += 1
        name = name if self._names[name] == 1 else f"{name}#{self._names[name]}"
        step = OwnStep(name, f"{self.work.job.run_id}.{self.work.agent_id}.{name}", self.work.services.clock())
        if (recorded := self._steps.pop(name, None)) is not None:
            self._note_replayed()
            return evolve(step, done=True, value=recorded.result["value"])
        await self._expect("step", name)
        self.work.recorder.activity = f"at {name}"
        return step

    async def end_step(self, step: OwnStep, value: Any) -> Any:
        """Record the result of a step. Return it as it is stored."""
        base, _, number = (step.name, "", "1") if step.name in self._names else step.name.rpartition("#")
        if self._names[base] > int(number):
            raise RuntimeError(f"two steps called {base!r} at the same time: give each a name of its own")
        content_filter = self.work.services.content_filter
        clean = await content_filter.filter_value(value, content_filter.tool)
        if clean.blocked:
            blocked = content_filter.blocked_error(f"The result of {step.name} is blocked", clean.texts)
            raise ToolError("content_blocked", blocked.message)
        await self._record("step", step.name, step.began, {"value": clean.value})
        return clean.value

    async def visualize(self, chart: dict[str, Any]) -> None:
        """Add a chart to the answer."""
        if await self.work.services.content_filter.accepts_chart(chart):
            self.work.gathered.charts.append(chart)

    async def handoff(self, name: str, reason: str) -> None:
        """Record a handoff, and end the function."""
        work = self.work
        if not await self._expect("handoff", name) and name not in (colleagues := work.colleagues()):
            known = ", ".join(colleagues) or "none"
            meant = did_you_mean(name, colleagues)
            sentence = f"{work.agent.name} has no colleague called {name}{meant}. Its colleagues: {known}."
            raise ToolError("not_found", sentence)
        turn, _ = await self._end_turn(Reply(handoff=Handoff(name, reason)))
        self.handed = turn.reply.handoff
        work.input.add(turn_items(turn, evolve(work.input.origin, step=turn.number, agent=work.agent.name)))
        await self._stop()

    async def _ask(self, question: Question, check: Callable[[Mapping[str, Any]], object]) -> Mapping[str, Any]:
        return await self.asker.ask(question, check)

    # What is recorded

    def _begin_turn(self) -> None:
        """Give the turn that is not recorded a step, in which its text is saved."""
        work, before = self.work, self.work.replay
        if self._step is not None:
            return
        interrupted = None if self._new else before.interrupted_step
        self._shown_before = before.partial_text if interrupted is not None and before.continues else ""
        now = work.services.clock()
        self._step = interrupted or work.recorder.next_step("model", HAND_WRITTEN, None, None, now)
        work.stream.begin_turn(self._step, self._shown_before)

    async def _end_turn(self, reply: Reply, past: PastTurn | None = None) -> tuple[PastTurn, Sequence[PendingCall]]:
        """Record the turn, unless the log has it as `past`. Return it as it is recorded, and its calls."""
        work = self.work
        past = past or (None if reply.calls else self._last)
        if past is not None:
            work.stream.add_finished_turn(past.reply.text)
            return past, past.calls
        self._begin_turn()
        assert self._step is not None  # noqa: S101 - for the type checker: just begun
        text = await work.stream.end_turn()
        text = text if self._shown_before else "".join(self._said)
        counts = {"says": self._says, "thoughts": self._thoughts}
        step = evolve(self._step, arguments=counts)
        # The program may go on for long before anything else is recorded.
        turn, calls = await record_turn(work, step, evolve(reply, text=text), at_once=True)
        self._step, self._new = None, True
        self._said.clear()
        return turn, calls

    async def _record(self, kind: str, name: str, began: float, result: Any) -> None:
        recorder, now = self.work.recorder, self.work.services.clock()
        step = recorder.next_step(kind, name, None, {"agent_id": self.work.agent_id}, began)
        await recorder.record(steps=(evolve(step, result=result, status="ok", ended_at=now),))


@frozen
class FrameworkRuns:
    """The part of a server that does the work of agents of other frameworks, by their `kind` of `HandWritten`."""

    kind: type[HandWritten]
