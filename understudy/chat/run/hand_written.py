"""Runs a hand-written agent: a function of its author in place of a model, whose calls are recorded like a model's.

1. What the function says until a call, a handoff or its end is one turn, stored as a model's turn is. So its calls are
   executed, replayed and remembered by later messages like those of a model.
2. A step, or a request to the model, is stored with its result before the function goes on.
3. A resumed run starts the function again, and replays what is recorded: a step by its name and how often that was
   used, a call by its name and arguments, everything else in order. Anything new waits until all that is recorded was
   replayed; its order may differ, as tasks of a nursery begin in any order. If that does not happen within `REPLAY_S`,
   the function does not repeat itself, and the run ends with `agent_failed`.
4. The function runs on the tools' loop, and does everything else through this object: calls and steps at the same time,
   the rest one after another, and not while a call is at work.
"""

import logging
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, ParamSpec, TypeVar

import attrs
import msgspec
import trio
from attrs import define, evolve, field, frozen

from actors import Context
from understudy.agents.turn import AgentTurn, CallResult, OwnStep, TurnWork, run_function
from understudy.chat.run.history import turn_items
from understudy.chat.run.meter import HAND_WRITTEN, Ended
from understudy.chat.run.progress_notes import CallProgress
from understudy.chat.run.questions import Asker
from understudy.chat.run.turn import ModelRequest, record_turn
from understudy.chat.run.window import estimate, item_tokens, tools_tokens
from understudy.chat.run_state.records import ToolCallRecord
from understudy.chat.run_state.turns import PastTurn
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
"""Longest wait for a call that the function no longer waits for: its actor is told so within milliseconds."""
REPLAY_S: Final = 5.0
"""Seconds that something new waits for the next replay. Replies from the log take milliseconds; a function may sleep
between its calls."""


class ReplayMismatch(RuntimeError):
    """A resumed function does not ask for what is recorded."""


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
class RecordedWork:
    """What the log has of the work of a hand-written agent, and its function has not asked for yet.

    `asks` are requests to the model in order, `steps` are by name, `calls` are turns with one call each. `last` is the
    turn of its end or handoff. `says` and `thoughts` count the texts and thoughts that are not shown again.
    """

    run_id: str
    agent: str
    asks: deque[StepRecord] = field(repr=False)
    steps: dict[str, StepRecord] = field(repr=False)
    calls: list[PastTurn] = field(factory=list, init=False, repr=False)
    last: PastTurn | None = field(default=None, init=False, repr=False)
    says: int = field(default=0, init=False)
    thoughts: int = field(default=0, init=False)
    _replayed: trio.Event = field(factory=trio.Event, init=False, repr=False)  # set by each replay

    @classmethod
    def of(cls, work: "RunWork", number: int) -> "RecordedWork":
        """Return what the log has of the agent at work, from turn `number` on."""
        own = [step for step in work.past.written if step.arguments == {"agent_id": work.agent_id}]
        asks = deque(step for step in own if step.kind == "ask")
        steps = {step.name: step for step in own if step.kind == "step"}
        recorded = cls(work.request.run_id, work.agent.name, asks, steps)
        for turn in work.past.turns[number:]:
            counts = turn.arguments or {}
            recorded.says = max(recorded.says, counts.get("says", 0))
            recorded.thoughts = max(recorded.thoughts, counts.get("thoughts", 0))
            if not turn.calls:
                recorded.last = turn
                break
            recorded.calls.append(turn)
        return recorded

    def oldest(self) -> tuple[str, str] | None:
        """Return the kind and name of the oldest record that was not replayed; None if nothing is left."""
        left = [(step.number, "step", step.name) for step in self.steps.values()]
        left += [(ask.number, "ask", ASK_MODEL) for ask in self.asks]
        left += [(turn.number, "call", turn.calls[0].request.name) for turn in self.calls]
        if left:
            _, kind, name = min(left)
            return kind, name
        if self.last is None:
            return None
        return END if self.last.reply.handoff is None else ("handoff", self.last.reply.handoff.to)

    async def expect(self, kind: str, name: str) -> bool:
        """Wait until this is the next record, or nothing is left to replay. Return whether it is recorded.

        Raises `ReplayMismatch` if the function does not ask for what is recorded.
        """
        while (recorded := self.oldest()) is not None and (kind in ("call", "step") or recorded != (kind, name)):
            with trio.move_on_after(REPLAY_S) as waited:
                await self._replayed.wait()
            if waited.cancelled_caught:
                had, wants = " ".join(recorded).strip(), f"{kind} {name}".strip()
                extra = {"run_id": self.run_id, "agent": self.agent, "recorded": had, "asked": wants}
                log.error("run.replay_mismatch", extra=extra)
                why = f"does not repeat itself: {had!r} is recorded, and now it wants {wants!r}"
                raise ReplayMismatch(f"the function of {self.agent} {why}")
        return recorded is not None

    def note_replayed(self) -> None:
        """Wake the tasks that wait for the replay: a record was replayed."""
        self._replayed.set()
        self._replayed = trio.Event()

    def take_call(self, name: str, arguments: Mapping[str, Any]) -> PastTurn | None:
        """Return the turn of a recorded call of this name with these arguments, or redacted ones, and take it out."""
        calls = [turn for turn in self.calls if turn.calls[0].request.name == name]
        equal = [turn for turn in calls if dict(turn.calls[0].request.arguments) == dict(arguments)]
        redacted = [turn for turn in calls if not turn.calls[0].whole]
        turn = next(iter((*equal, *redacted)), None)
        if turn is not None:
            self.calls.remove(turn)
            self.note_replayed()
        return turn


@define(eq=False)
class RunningFunction:
    """The function at work: which of the methods that it calls may work at the same time, and how it is stopped.

    `waits_for_calls`: it is stopped only when no tool call is at work. `failure` is the error that stopped it. `order`
    is held by each method that works `in_order`.
    """

    work: "RunWork"
    waits_for_calls: bool
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    failure: Exception | None = field(default=None, init=False)
    order: trio.Lock = field(factory=trio.Lock, init=False, repr=False)
    _calls: int = field(default=0, init=False)  # tool calls at work
    _no_calls: trio.Event = field(factory=trio.Event, init=False, repr=False)  # set when the last of them ends
    _methods: int = field(default=0, init=False)  # methods at work, for which the function waits

    def given_up(self) -> bool:
        """Return whether the function is stopped, or its run is over."""
        return self.scope.cancel_called or self.work.tools.questions.deadline.over

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a tool call that is at work in the block."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._no_calls.set()
                self._no_calls = trio.Event()

    def at_once(self, method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Return a method for the function. An error that is not the function's own ends the run, not the function."""

        async def do(*args: P.args, **kwargs: P.kwargs) -> T:
            self._methods += 1
            self.scope.deadline = math.inf  # what it does has limits of its own, and text is published whole
            try:
                return await method(*args, **kwargs)
            except (ToolError, ModelUnavailable):
                raise
            except Exception as error:
                self.failure = self.failure or error
                await self.stop()
            finally:
                self._methods -= 1
                if not self._methods:
                    self.set_deadline()

        return do

    def in_order(self, method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Return a method that works alone among those in order: it waits until they have ended."""

        async def do(*args: P.args, **kwargs: P.kwargs) -> T:
            async with self.order:
                return await method(*args, **kwargs)

        return self.at_once(do)

    def between_calls(self, method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Return a method in order that is refused while a tool call is at work."""

        async def do(*args: P.args, **kwargs: P.kwargs) -> T:
            with trio.move_on_after(CUT_S):
                while self._calls:
                    await self._no_calls.wait()
            if self._calls:
                raise RuntimeError(f"{method.__name__} while a call is at work: it belongs before or after them")
            return await method(*args, **kwargs)

        return self.in_order(do)

    async def stop(self) -> NoReturn:
        """Stop the function, whose task waits here until it is cancelled. Tool calls at work may end first."""
        while self._calls and self.waits_for_calls:
            await self._no_calls.wait()
        self.scope.cancel()
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    def set_deadline(self) -> None:
        """Bound the function by the time that the run has left."""
        left_s = self.work.meter.left_s(self.work.worked_s)
        self.scope.deadline = trio.current_time() + left_s

    async def stop_if(self, ended: Ended | None) -> None:
        """Close the run with what it has, if a bound of its budget is reached."""
        if ended is not None:
            self.work.meter.closed_by = ended
            await self.stop()


@define(eq=False)
class HandWritten:
    """The work of a hand-written agent, from turn `number` on. `handed` is the handoff with which it ended."""

    work: "RunWork"
    context: Context
    number: int
    waits_for_calls: ClassVar[bool] = True
    """Whether the function is stopped only when no tool call is at work; calls of a framework are cut instead."""
    function: RunningFunction = field(init=False)
    past: RecordedWork = field(init=False, repr=False)
    handed: Handoff | None = field(default=None, init=False)
    asker: Asker = field(init=False)  # asks the function's questions
    _says: int = field(default=0, init=False)  # texts and thoughts so far, with replayed ones
    _thoughts: int = field(default=0, init=False)
    _new: bool = field(default=False, init=False)  # a turn was recorded that was not replayed
    _names: Counter[str] = field(factory=Counter, init=False)  # how often each step was begun
    _said: list[str] = field(factory=list, init=False, repr=False)
    _step: StepRecord | None = field(default=None, init=False, repr=False)  # of the turn whose text is shown
    _shown_before: str = field(default="", init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        agent_id = self.work.agent_id
        self.asker = Asker(self.work.tools, self.context, agent_id, agent_id, self.work.agent.name, rests=True)
        self.function = RunningFunction(self.work, self.waits_for_calls)
        self.past = RecordedWork.of(self.work, self.number)

    async def run(self) -> tuple[int, Handoff | None]:
        """Run the function to its end. Return the number of its last turn, and the handoff with which it ended.

        Raises what `work.answer` raises, `ReplayMismatch`, and what the function raises.
        """
        async with self.work.log.notes.of_call() as progress:
            await self._run_function(progress)
        work = self.work
        if self.function.failure is not None:
            raise self.function.failure
        if self.handed is None:
            if self.function.scope.cancelled_caught and work.meter.closed_by is None:
                work.meter.closed_by = work.meter.reached(work.meter.budget.wall_s or 0.0, ("wall_s",))
            elif work.meter.closed_by is None:
                await self._expect(*END)
            await self._close_cut_calls()
            await self._end_turn(Reply())
        return self.number, self.handed

    async def _run_function(self, progress: CallProgress) -> None:
        work, request, agent = self.work, self.work.request, self.work.agent
        files = SavedFiles(work.services.attachments(request.owner), work.gathered.files)
        means = CallMeans(self.function.in_order(self.asker.ask))
        basis = work.tools.context(work.agent_id, progress, means, files=files)
        fields = {member.name: getattr(basis, member.name) for member in attrs.fields(type(basis))}
        make = partial(AgentTurn, message=request.content, items=tuple(work.input.items), data=request.context or {})
        of_client = tuple(name for name, tool in work.equipped().tools.items() if tool.client)
        turn = make(**fields, client_tools=of_client, work=self._means(), given_up=self.function.given_up)
        assert agent.run is not None  # noqa: S101 - for the type checker: it is hand-written
        try:
            with self.function.scope:
                self.function.set_deadline()
                await self._call_function(agent.run, turn)
        except ToolError as error:
            if self.function.failure is None:
                about = {"run_id": request.run_id, "agent": agent.name, "code": error.code}
                log.warning("agent.tool_error", extra=about)
                raise
        finally:
            work.tools.questions.forget(work.agent_id)

    async def _call_function(self, function: Callable[[AgentTurn], Awaitable[object]], turn: AgentTurn) -> None:
        """Call the function on the loop that is for it."""
        tool_loop, run = self.work.services.parts.find(ToolLoop), partial(run_function, function)
        await (run(turn) if tool_loop is None else tool_loop.run(self.work.agent.name, run, turn))

    async def _expect(self, kind: str, name: str) -> bool:
        """Wait until this is what the log has next, or it has no more. Return whether it has this."""
        return await self.past.expect(kind, name)

    async def _close_cut_calls(self) -> None:
        """End the calls that the function has stopped waiting for, as a nursery does when one of its tasks fails."""
        tools = self.work.tools
        await tools.stop()
        await tools.complete_begun()

    def _means(self) -> TurnWork:
        """Return the methods through which the function works."""
        return SimpleNamespace(
            call=self.function.at_once(self.call),
            begin_step=self.function.at_once(self.begin_step),
            end_step=self.function.in_order(self.end_step),
            visualize=self.function.in_order(self.visualize),
            say=self.function.between_calls(self.say),
            think=self.function.between_calls(self.think),
            ask_model=self.function.between_calls(self.ask_model),
            handoff=self.function.between_calls(self.handoff),
        )

    # Methods that the function calls

    async def say(self, text: str) -> None:
        """Show the next text of the answer, unless the log has it."""
        if not text:
            return
        self._says += 1
        if self._says <= self.past.says:
            return
        work = self.work
        if not work.thoughts.count:
            work.thoughts.publish()
        self._begin_turn()
        self._said.append(text)
        work.log.activity = "writing"
        await work.stream.feed(text)

    async def think(self, thought: str) -> None:
        """Show a thought, unless the log has it."""
        self._thoughts += 1
        if self._thoughts > self.past.thoughts:
            self.work.thoughts.publish(await self.work.services.content_filter.filter_output(thought))

    async def call(self, name: str, arguments: Mapping[str, Any]) -> CallResult:
        """Call a tool, unless the log has its result. Return the result."""
        work, past = self.work, self.past.take_call(name, arguments)
        if past is None:
            await self._expect("call", f"{name} with other arguments" if self.past.oldest() == ("call", name) else name)
        async with self.function.order:
            if past is None:
                worked_s = work.worked_s
                await self.function.stop_if(work.meter.reached(worked_s, ("calls", "tokens", "cost", "wall_s")))
            turn, calls = await self._end_turn(Reply(calls=(ToolRequest("call", name, arguments),)), past)
            self.number += 1
        return await self._execute(turn, calls, work.equipped().tools)

    async def _execute(self, turn: PastTurn, calls: Sequence[ToolCallRecord], tools: Mapping[str, Tool]) -> CallResult:
        """Execute the call of a turn that is recorded. Return its result. Raises `ToolError`."""
        work = self.work
        with self.function.call():
            (outcome,) = await work.tools.execute(calls, tools, work.agent_id, self.context)
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
            reply = msgspec.convert(self.past.asks.popleft().result, RecordedAsk)
            self.past.note_replayed()
            work.meter.add_usage(reply.usage, turns=1)
            if say:
                await self.say(reply.text)
        else:
            reply = await self._ask_model(prompt, instructions, items, tools, say)
        calls = tuple(ToolRequest(call.id, call.name, call.arguments) for call in reply.calls)
        return Reply(reply.text, calls, usage=reply.usage)

    async def _ask_model(
        self, prompt: str, instructions: str, items: Sequence[Item] | None, tools: Sequence[str], say: bool
    ) -> RecordedAsk:
        """Ask the model, and record its reply as it may be stored."""
        work, agent, services = self.work, self.work.agent, self.work.services
        if unknown := [name for name in tools if name not in work.equipped().tools]:
            raise ToolError("not_found", f"{agent.name} has no tool called {unknown[0]}.")
        worked_s = work.worked_s
        await self.function.stop_if(work.meter.reached(worked_s, ("turns", "tokens", "cost", "wall_s")))
        if await work.is_over(self.number):
            await self.function.stop()
        work.input.add(await work.take_steers(self.number, recorded=self.number))
        model = services.models.of(agent.model)
        work.input.limits = limits_of(model)
        full_instructions = f"{instructions}\n\n{FENCE_NOTE}" if instructions else work.equipped().instructions
        closing = work.meter.ended(worked_s)
        card = work.equipped().card
        card = evolve(card, tools=tuple(tool for tool in card.tools if tool.name in tools))
        notes = await work.notes(closing)
        if items is None:
            fixed = estimate(full_instructions) + estimate(prompt) + sum(map(item_tokens, notes))
            await work.fit(model, full_instructions, fixed + tools_tokens(card.tools))
            items = work.input.shown
        prompt_items = (MessageItem("user", prompt),) if prompt else ()
        settings = agent.settings.capped(work.input.limits)
        usable = card.tools if closing is None else ()
        turn = Turn(card, (*items, *prompt_items), full_instructions, tools=usable, notes=notes, settings=settings)
        began = services.clock()
        work.log.activity = "thinking"
        if say:
            if not work.thoughts.count:
                work.thoughts.publish()
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
        wanted = [_WantedCall(call.id, call.name, await keep(dict(call.arguments)) or {}) for call in reply.calls]
        recorded = RecordedAsk(await keep(reply.text) or "", tuple(wanted), usage)
        await self._record("ask", model.name, began, msgspec.to_builtins(recorded))
        for part in work.tools.parts.after_turn:
            await part.after_turn(work)
        await self.function.stop_if(work.meter.closed_by)
        return recorded

    async def begin_step(self, name: str) -> OwnStep:
        """Return the next step of this name, with its result if the log has it."""
        name = name[:MAX_STEP_NAME]
        self._names[name] += 1
        name = name if self._names[name] == 1 else f"{name}#{self._names[name]}"
        step = OwnStep(name, f"{self.work.request.run_id}.{self.work.agent_id}.{name}", self.work.services.clock())
        if (recorded := self.past.steps.pop(name, None)) is not None:
            self.past.note_replayed()
            return evolve(step, done=True, value=recorded.result["value"])
        await self._expect("step", name)
        self.work.log.activity = f"at {name}"
        return step

    async def end_step(self, step: OwnStep, value: Any) -> Any:
        """Record the result of a step. Return it as it is stored."""
        first = step.name in self._names  # `begin_step` has numbered the later steps of a name: name#2
        base, _, number = (step.name, "", "1") if first else step.name.rpartition("#")
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
            names = ", ".join(colleagues) or "none"
            meant = did_you_mean(name, colleagues)
            sentence = f"{work.agent.name} has no colleague called {name}{meant}. Its colleagues: {names}."
            raise ToolError("not_found", sentence)
        turn, _ = await self._end_turn(Reply(handoff=Handoff(name, reason)))
        self.handed = turn.reply.handoff
        work.input.add(turn_items(turn, evolve(work.input.origin, step=turn.number, agent=work.agent.name)))
        await self.function.stop()

    # Recording

    def _begin_turn(self) -> None:
        """Give the turn a step, in which its text is saved, if it has none. An interrupted turn goes on in its own."""
        work, before = self.work, self.work.past
        if self._step is not None:
            return
        cut = None if self._new else before.cut
        self._shown_before = cut.text if cut is not None and cut.continues else ""
        now = work.services.clock()
        self._step = work.log.next_step("model", HAND_WRITTEN, None, None, now) if cut is None else cut.step
        work.stream.begin_turn(self._step, self._shown_before)

    async def _end_turn(self, reply: Reply, past: PastTurn | None = None) -> tuple[PastTurn, Sequence[ToolCallRecord]]:
        """Record the turn, unless the log has it as `past`. Return it as it is recorded, and its calls."""
        work = self.work
        past = past or (None if reply.calls else self.past.last)
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
        run_log, now = self.work.log, self.work.services.clock()
        step = run_log.next_step(kind, name, None, {"agent_id": self.work.agent_id}, began)
        await run_log.record(steps=(evolve(step, result=result, status="ok", ended_at=now),))


@frozen
class FrameworkRuns:
    """The part of a server that does the work of agents of other frameworks, by their `kind` of `HandWritten`."""

    kind: type[HandWritten]
