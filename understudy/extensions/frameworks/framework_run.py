"""Runs an agent of another framework, which makes its calls itself and resumes from state that it saves.

1. When the agent begins, the text and the finished calls in the log are taken over; they are not asked for again.
2. A call that was being made when the server crashed is made again, under its id, if the agent makes it again with the
   same arguments. Else it is closed as a call whose effect is unknown.
3. The agent may write text and make calls at the same time and in any order, because nothing of this is replayed.
4. An error of the agent ends the run with a sentence. The agent is not started again, because it would repeat calls.
5. A run that continues an unfinished answer begins with a copy of the earlier run's state. So the agent resumes as
   after a crash: unfinished work is done again, and its new text replaces the text that was shown of it.
6. The state is stored when `save` returns, and the agent must not continue with work that depends on it before. The
   text said so far is stored with it, because the agent will not say it again.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, Final

import msgspec
import trio
from attrs import define, evolve, field

from transport.wire.codec import replace_surrogates
from understudy.agents.framework import MAX_NAME, AgentFailed, OwnCall, Resumed
from understudy.agents.turn import AgentTurn, TurnWork
from understudy.chat.run.hand_written import HandWritten, RecordedAsk
from understudy.chat.run.history import turn_items
from understudy.extensions.frameworks import states
from understudy.extensions.frameworks.asyncio_thread import AsyncioLoop
from understudy.extensions.frameworks.states import MAX_RUN_BYTES, save_state
from understudy.models.model import ModelUnavailable, Reply, ToolRequest
from understudy.observe.logs import new_error_id
from understudy.tools.errors import ToolError
from understudy.tools.execution import runner
from understudy.tools.form import Question
from understudy.tools.loop_call import wait_for
from understudy.tools.result import ToolResult
from understudy.tools.signature import Parameters
from understudy.tools.tool import Tool
from understudy.wire.events import Usage

log = logging.getLogger(__name__)
SAID: Final = "said"
"""The key of the state for the number of the unfinished turn, and the turn's text so far."""
NOTHING: Final = b'[0,""]'


@define(eq=False)
class FrameworkRun(HandWritten):
    """The work of an agent of another framework, from turn `number` on."""

    waits_for_calls: ClassVar[bool] = False
    _sizes: dict[str, int] = field(factory=dict, init=False, repr=False)  # bytes of each entry of the run's state
    _saving: trio.Lock = field(factory=trio.Lock, init=False, repr=False)

    def _means(self) -> TurnWork:
        """Return the functions by which the agent works, each run in order or at once with the others."""
        means = super()._means()
        return SimpleNamespace(
            **vars(means)
            | {
                "say": self.function.in_order(self.say),
                "think": self.function.in_order(self.think),
                "resume": self.function.in_order(self.resume),
                "show_call": self.function.at_once(self.show_call),
                "ask_once": self.function.in_order(self.ask_once),
                "count": self.function.in_order(self.count),
                "load": self.function.at_once(self.load),
                "save": self.function.at_once(self.save),
            }
        )

    async def _call_function(self, function: Callable[[AgentTurn], Awaitable[object]], turn: AgentTurn) -> None:
        agent, run_id = self.work.agent, self.work.request.run_id
        try:
            await self.work.services.parts[AsyncioLoop].run(agent.name, function, turn)
        except ModelUnavailable:
            raise
        except Exception as error:
            error_id = new_error_id()
            log.error(
                "agent.failed", extra={"run_id": run_id, "agent": agent.name, "error_id": error_id}, exc_info=error
            )
            sentence = error.message if isinstance(error, ToolError) else f"{agent.display_title} failed."
            raise AgentFailed(sentence, error_id) from error
        answer = self.work.stream.answer
        if not answer.text.strip() and not answer.sanitizer.held:
            error_id = new_error_id()
            log.error("agent.no_answer", extra={"run_id": run_id, "agent": agent.name, "error_id": error_id})
            raise AgentFailed(f"{agent.display_title} gave no answer.", error_id)

    async def _expect(self, kind: str, name: str) -> bool:
        """Return False, because no recorded step is asked for again."""
        return False

    async def resume(self) -> Resumed:
        """Take over the text and calls in the log, and the state of the run that this one continues."""
        work = self.work
        await self._take_state()
        for ask in self.past.asks:
            work.meter.add_usage(msgspec.convert(ask.result, RecordedAsk).usage, turns=1)
        for turn in self.past.calls:
            work.stream.add_finished_turn(turn.reply.text)
            self.number += 1
        # For a call with a result `execute` returns the recorded outcome. Other calls stay in `past.calls`.
        for turn in [past_turn for past_turn in self.past.calls if past_turn.calls[0].result is not None]:
            self.past.calls.remove(turn)
            (outcome,) = await work.tools.execute(turn.calls, work.equipped().tools, work.agent_id, self.context)
            work.gathered.outcomes.append(outcome)
            origin = evolve(work.input.origin, step=turn.number, agent=work.agent.name)
            work.input.add(turn_items(turn, origin, {outcome.call_id: (outcome.status.value, outcome.recorded())}))
        self.past.says = self.past.thoughts = 0
        self.past.asks.clear()
        number, text = msgspec.json.decode((await self._state()).get(SAID, NOTHING), type=tuple[int, str])
        is_unfinished = bool(text) and number == self.number and self.past.last is None
        if is_unfinished:
            await self.say(text)  # the part of it that was shown is not shown again
        return Resumed(self.past.last is not None, is_unfinished)

    async def _take_state(self) -> None:
        """Copy the state of the run that this one continues, unless this one has state of its own."""
        request, store = self.work.request, self.work.services.store
        run = None if self.work.log.scope else await store.run(request.run_id)
        if run is None or run.continues is None:
            return
        own_state = await store.read(states.state, request.owner, request.thread_id, request.run_id)
        entries = tuple((await store.read(states.state, request.owner, request.thread_id, run.continues)).items())
        if entries and not own_state:
            now = self.work.services.clock()
            await store.commit(save_state(request.owner, request.thread_id, request.run_id, now, entries))

    async def show_call(self, call: OwnCall) -> None:
        """Record a call that the agent makes, and wait for its end. Raises ToolError if it is denied."""
        work, name = self.work, call.name[:MAX_NAME]
        past = self.past.take_call(name, call.arguments)
        if past is None:
            async with self.function.order:
                bounds = ("turns", "calls", "tokens", "cost", "wall_s")
                await self.function.stop_if(work.meter.reached(work.worked_s, bounds))
                request = ToolRequest("call", name, dict(call.arguments))
                turn, calls = await self._end_turn(Reply(calls=(request,)))
                self.number += 1
        else:
            turn, calls = past, past.calls
        try:
            await self._execute(turn, calls, {name: _as_tool(name, call)})
        except ToolError:
            if not call.allowed.done():
                raise

    async def ask_once(self, key: str, question: Question) -> Mapping[str, Any]:
        """Ask a question under a key. Return the answer, from the log if it is there. Raises QuestionUnanswered."""

        def accept(_: Mapping[str, Any]) -> None:
            """Accept any answer that fits the schema, because the agent checks it further."""

        with self.work.tools.questions.resting():  # the agent's calls wait with it
            return await self.asker.ask(question, accept, which=key)

    async def count(self, model: str, usage: Usage) -> None:
        """Count and record the usage of one request to a model."""
        cost = self.work.services.models.prices.cost(model, usage)
        usage = usage if cost is None else evolve(usage, cost=cost)
        self.work.meter.add_usage(usage, turns=1)
        began = self.work.services.clock()
        await self._record("ask", model[:MAX_NAME], began, msgspec.to_builtins(RecordedAsk("", (), usage)))

    async def load(self, run_id: str) -> dict[str, bytes]:
        """Return the state that the agent has saved in a run of this thread, by key."""
        state = await self._state(run_id)
        if run_id == self.work.request.run_id:
            self._sizes = {key: len(body) for key, body in state.items()}
        return {key: body for key, body in state.items() if key != SAID}

    async def _state(self, run_id: str = "") -> dict[str, bytes]:
        request, scope, store = self.work.request, self._scope, self.work.services.store
        state = await store.read(states.state, request.owner, request.thread_id, run_id or request.run_id)
        return {key.removeprefix(scope): body for key, body in state.items() if key.startswith(scope)}

    async def save(self, put: Mapping[str, bytes], drop: tuple[str, ...] = ()) -> None:
        """Store entries of the run's state, and remove others. Raises ToolError if the state would be too large."""
        async with self._saving:
            progress = msgspec.json.encode((self.number, replace_surrogates("".join(self._said))))
            put = {**put, SAID: progress}
            sizes = {key: size for key, size in self._sizes.items() if key not in drop}
            sizes |= {key: len(body) for key, body in put.items()}
            if (size := sum(sizes.values())) > MAX_RUN_BYTES:
                sentence = f"The agent's state has {size:,} bytes; {MAX_RUN_BYTES:,} is the limit."
                raise ToolError("message_too_large", sentence)
            request, scope, now = self.work.request, self._scope, self.work.services.clock()
            entries = tuple((scope + key, body) for key, body in put.items())
            removed = tuple(scope + key for key in drop)
            await self.work.services.store.commit(
                save_state(request.owner, request.thread_id, request.run_id, now, entries, removed)
            )
            self._sizes = sizes

    @property
    def _scope(self) -> str:
        """The prefix of the keys of the agent's state. A subagent has another one for each call."""
        return f"{self.work.agent_id if self.work.log.scope else self.work.agent.name}/"

    async def _close_cut_calls(self) -> None:
        await super()._close_cut_calls()
        for turn in self.past.calls:  # calls that the agent did not make again
            await self.work.tools.execute(turn.calls, {}, self.work.agent_id, self.context)
        self.past.calls.clear()


def _as_tool(name: str, call: OwnCall) -> Tool:
    """Return a tool that stands for the framework's call: it waits until the framework has made it."""
    description = call.description or f"Calling {name}"
    properties: dict[str, Any] = {key: {} for key in call.arguments} | dict(call.parameters.get("properties", {}))
    schema = {"type": "object", "properties": properties}
    accepts = Parameters(schema, description, None, dict.fromkeys(properties, Any), ())
    options = {"retry_safe": True, "approval": call.approval, "on_server_loop": True, "timeout_s": float("inf")}
    run = runner(_made, name, False)
    return Tool(name, description, schema, partial(_made, call), **options, accepts=accepts, run=run)  # type: ignore[arg-type]


async def _made(call: OwnCall, /, **arguments: Any) -> ToolResult:
    """Tell the framework that the call is allowed, and return the result of its call."""
    if not call.allowed.done():
        call.allowed.set_result(arguments)
    return ToolResult(await wait_for(call.ended))
