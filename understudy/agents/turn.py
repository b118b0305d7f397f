"""`AgentTurn`: the work of a hand-written agent on one message. Its methods are recorded, and replayed after a crash.

1. After its server died the function runs again from its beginning. What it did before is not done again: each method
   returns what was recorded.
2. So the function must do the same when it is given the same. What may differ between two runs of it (the time, a
   random number, an answer from elsewhere) belongs in a `step`.
"""

import contextvars
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, Self, TypeVar

import msgspec
from attrs import evolve, field, frozen

from understudy.models.model import Item, Reply
from understudy.tools.containment import hinting
from understudy.tools.lifespan import names_asyncio
from understudy.tools.loop_call import Elsewhere
from understudy.tools.result import MAX_VALUE_BYTES, ToolResult, to_json, to_result, whole_text
from understudy.tools.threads import tool_threads
from understudy.tools.tool import ToolContext

T = TypeVar("T")
_step_id: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("understudy.step_id", default="")


@frozen
class OwnStep:
    """A step of the function. `step_id` names it; if it is `done`, `value` is its recorded result."""

    name: str
    step_id: str
    began: float
    done: bool = False
    value: Any = field(default=None, repr=False)


@frozen
class CallResult:
    """What a call gave: its `value`, and for people its `summary` or, if the tool wrote one, its `answer`."""

    value: Any = field(repr=False)
    summary: str = ""
    answer: str = field(default="", repr=False)


class TurnWork(Protocol):
    """What an `AgentTurn` asks of its run, on the server's loop."""

    async def say(self, text: str) -> None:
        """Show the next text of the answer, unless the log has it."""

    async def think(self, thought: str) -> None:
        """Show a thought, unless the log has it."""

    async def call(self, name: str, arguments: Mapping[str, Any]) -> CallResult:
        """Call a tool, unless the log has its result. Return the result."""

    async def ask_model(
        self, prompt: str, instructions: str, items: Sequence[Item] | None, tools: Sequence[str], say: bool
    ) -> Reply:
        """Ask the model, unless the log has its reply. Return the reply."""

    async def begin_step(self, name: str) -> OwnStep:
        """Return the next step of this name, with its result if the log has it."""

    async def end_step(self, step: OwnStep, value: Any) -> Any:
        """Record the result of a step. Return it as it is stored."""

    async def visualize(self, chart: dict[str, Any]) -> None:
        """Add a chart to the answer."""

    async def handoff(self, name: str, reason: str) -> None:
        """Record a handoff, and end the function."""


@frozen
class AgentTurn(ToolContext):
    """What a hand-written agent works with: the user's message, the user, and the means it may use.

    It is a `ToolContext` too: `ask`, `progress`, `remember`, `recall`, `forget`, `memory`, `files` and `state` are
    those of a tool. `message` is the user's text, `data` what the program sent with it, `items` the conversation with
    the message as its last item, `client_tools` the names of the tools that the user's program makes itself and that
    `call` can call as the agent's own. Calls and steps may be at work at the same time, in a nursery: a replay knows a
    call by its name and arguments, and a step by its name, so give steps at the same time different names. Use the
    other methods one after another, and not meanwhile. `given_up()` says to a function that is cancelled whether that
    is for good: its user stopped the run, or its time is over. If not, the server ends, and the run goes on later.
    """

    message: str = field(default="", repr=False, kw_only=True)
    items: tuple[Item, ...] = field(default=(), repr=False, kw_only=True)
    data: Mapping[str, Any] = field(factory=dict, repr=False, kw_only=True)
    client_tools: tuple[str, ...] = field(default=(), kw_only=True)
    work: TurnWork = field(repr=False, kw_only=True)
    given_up: Callable[[], bool] = field(default=lambda: False, repr=False, kw_only=True)

    @property
    def step_id(self) -> str:
        """The idempotency key of the step at work: the same if the step is run again. Empty outside of a step."""
        return _step_id.get()

    async def say(self, text: str) -> None:
        """Show the next text of the answer, in Markdown. It is sanitized like a model's."""
        await self.work.say(str(text))

    async def think(self, thought: str) -> None:
        """Show a thought: what the agent does next, as a sentence."""
        await self.work.think(str(thought))

    async def call(self, tool: str, /, **arguments: Any) -> Any:
        """Call a tool of the agent, by name, as a model does: with events, approval, undo. Return its result.

        Raises `ToolError` if the call fails or is not allowed.
        """
        return (await self.work.call(whole_text(tool), to_json(arguments))).value

    async def ask_model(
        self,
        prompt: str = "",
        *,
        instructions: str = "",
        items: Sequence[Item] | None = None,
        tools: Sequence[str] = (),
        say: bool = False,
    ) -> Reply:
        """Ask the agent's model for one turn. Return its reply: `text`, and `calls` if it wants tools called.

        The model is given the conversation with the calls so far, or `items` instead; then `prompt` as a user's
        message. `instructions` are by default the agent's. `tools` names those that it may want. `say`: its text is
        shown as it is written, as part of the answer. The reply is sanitized. Raises `ModelUnavailable`.
        """
        conversation = None if items is None else tuple(items)
        return await self.work.ask_model(prompt, instructions, conversation, tuple(tools), say)

    async def step(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function once, and record its result. Return the result, as sanitized JSON, now and in every replay.

        The function may be sync, then it runs in a thread, or async. A step that was at work when its server died is
        run again; `step_id` is the same then. A name that is used again gets a number.
        """
        step = await self.work.begin_step(whole_text(name))
        if step.done:
            return step.value
        token = _step_id.set(step.step_id)
        try:
            value = await _run_step(name, self.owner, function, args)
        finally:
            _step_id.reset(token)
        plain = to_json(value)
        if (size := len(msgspec.json.encode(plain))) > MAX_VALUE_BYTES:
            raise ValueError(
                f"the result of step {name!r} has {size:,} bytes as JSON; {MAX_VALUE_BYTES:,} is the limit"
            )
        return await self.work.end_step(step, plain)

    async def visualize(self, chart: Mapping[str, Any]) -> None:
        """Show a chart with the answer: `{"spec": …, "title": …}`, as `ToolResult.visualization`."""
        if (stored := to_result(ToolResult(visualization=dict(chart))).visualization) is not None:
            await self.work.visualize(stored)

    async def handoff(self, name: str, reason: str = "") -> None:
        """Hand the run over to a colleague of the agent. The function ends here.

        Raises `ToolError` if the agent has no such colleague, or its user may not use it.
        """
        await self.work.handoff(whole_text(name), reason)

    def elsewhere(self, on_server: Callable[..., Any], now_on_server: Callable[..., Any]) -> Self:
        """Return the turn for the tools' loop: its methods run on the server's loop, by these functions."""
        moved = super().elsewhere(on_server, now_on_server)
        given_up = partial(now_on_server, self.given_up)
        return evolve(moved, work=Elsewhere(on_server, self.work), given_up=given_up)


async def _run_step(name: str, owner: str, function: Callable[..., Any], args: Sequence[Any]) -> Any:
    """Run the function of a step: in a worker thread of the tools, unless it is async."""
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    import sniffio

    def call() -> tuple[Any]:  # a tuple, because a thread may not return a coroutine
        return (function(*args),)

    run: Any = tool_threads().run
    if sniffio.current_async_library() == "asyncio":
        import trio_asyncio

        run = trio_asyncio.trio_as_aio(run)
    (value,) = await run(call, owner, f"step {name}")
    return await value if inspect.isawaitable(value) else value


async def run_function(function: Callable[[AgentTurn], Awaitable[object]], turn: AgentTurn) -> None:
    """Run the function of a hand-written agent in this loop: as asyncio code if it names asyncio, else as trio code."""
    if not names_asyncio(function):
        with hinting("the agent's function runs on trio, but its code is for asyncio: import asyncio in the function"):
            await function(turn)
        return
    import trio_asyncio

    if trio_asyncio.current_loop.get() is not None:
        await trio_asyncio.aio_as_trio(function)(turn)
        return
    away = partial(evolve, turn, means=evolve(turn.means, asker=trio_asyncio.trio_as_aio(turn.means.asker)))
    async with trio_asyncio.open_loop():
        await trio_asyncio.aio_as_trio(function)(away(work=Elsewhere(_from_asyncio, turn.work)))


async def _from_asyncio(method: Callable[..., Awaitable[T]], *args: Any) -> T:
    import trio_asyncio

    result: T = await trio_asyncio.trio_as_aio(method)(*args)
    return result
