"""`@tool` makes a tool of a function: a name, a JSON schema, and a call that checks its arguments.

A function for trio runs in the caller's task, a sync one in a worker thread, one for asyncio in its own asyncio loop
inside trio. `Tool.call` has no deadline: its caller applies `Tool.timeout_s` with a cancel scope.

Cancelling a sync tool abandons its thread: the call returns at once, while the function runs to its end, with its side
effects; its result is dropped. Until then it holds one of the `THREADS` threads of tools. A tool that must be stoppable
should be async.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar, overload

import trio
from attrs import evolve, field, frozen

from transport.wire.events import SanitizationSummary
from understudy.sandbox.limiters import thread_limiter
from understudy.tools.effects import MAX_UNDO_S, Companion, Reconciled, Unknown
from understudy.tools.errors import QuestionDeclined, ToolError
from understudy.tools.form import Question, form_question, read_answer
from understudy.tools.loop import Elsewhere, ToolLoop, names_asyncio
from understudy.tools.memory import TTL_S, Memory, Notebook
from understudy.tools.result import MAX_ITEMS, NextStep, ToolResult, is_small, to_partial, to_result
from understudy.tools.schema import Misfit, Param, structure
from understudy.tools.signature import Parameters, plain_function, read_parameters

__all__ = [
    "Files",
    "NextStep",
    "Param",
    "ServerView",
    "StoredFile",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "tool",
]

THREADS: Final = 40
"""Worker threads of all tools: apart from trio's default 40, so that stuck tools cannot starve storage."""

T = TypeVar("T")

Asker: TypeAlias = Callable[[Question, Callable[[Mapping[str, Any]], object]], Awaitable[Mapping[str, Any]]]
"""Asks the user a question and returns the answer; the function raises `Misfit` for one that does not fit."""

ApprovalPolicy: TypeAlias = bool | Callable[[Mapping[str, Any]], object]
"""Whether calls need approval: all, none, or those for whose arguments the function returns something true. It runs on
the event loop, so it must be quick; it is given a copy of the arguments as plain JSON, and must not raise."""

# The names of functions that OpenAI's API accepts; other providers accept at least these.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")


@frozen
class StoredFile:
    """An uploaded file. `size` is in bytes; `path` is where its content can be read."""

    id: str
    name: str
    media_type: str
    size: int
    path: Path = field(repr=False)


class Files(Protocol):
    """The files of the user on whose behalf a tool runs."""

    async def get(self, file_id: str) -> StoredFile:
        """Return the file of that id. Raises LookupError if this user has none."""

    async def save(self, name: str, media_type: str, content: bytes) -> StoredFile:
        """Store a new file for this user. Raises ValueError if it is larger than the server accepts."""


class ServerView(Protocol):
    """The server's state, limited to the rights of the user for whom the tool runs."""

    def health(self) -> dict[str, Any]:
        """Return the server's health as JSON values; for most users only its `status`."""

    def tree(self) -> dict[str, Any]:
        """Return the supervision tree: path, type, state, depth, restarts, age_s, children (each the same).

        Raises `ToolError` (``forbidden``) if the user is no operator of the server.
        """

    def activity(self, minutes: int) -> dict[str, Any]:
        """Return what happened in the last minutes, at most an hour: latencies, slow operations, outcomes, open work.

        `scope` is ``server`` for operators of the server, otherwise ``own``: the user's runs alone (for an operator of
        a tenant those of its users). `operations`: rows of operation, name, count, mean_ms, p50_ms, p95_ms, p99_ms,
        max_ms; `slowest`: operation, name, ms, ago_s; `outcomes`: ends of runs by ``success``, ``cancelled`` or error
        code; `open_runs`: run_id, silent_s, age_s, last_event; `runs`, `runs_waiting`, `connections`. For the whole
        server also `refused` and `failed_tools` (counts), `queues` (path, waiting) and `reads_waiting`.
        """

    def crashes(self, minutes: int) -> dict[str, Any]:
        """Return what failed in the last minutes: `restarts` (counts by path), `incidents` (ago_s, path, error,
        decision, error_id) and `unwell`, the parts whose health check is not ok.

        Raises `ToolError` (``forbidden``) if the user is no operator of the server.
        """


async def ask_nobody(question: Question, _check: Callable[[Mapping[str, Any]], object]) -> Mapping[str, Any]:
    raise QuestionDeclined("forbidden", f"There is no user to be asked: {question.title}")


async def _show_nobody(_item: Any) -> None:
    await trio.lowlevel.checkpoint()


@frozen
class ToolContext:
    """The user for whom a tool runs, and the means it may use.

    A parameter annotated with this class is filled in by the call and is not in the tool's schema.
    `call_id` is an idempotency key: new for every call, but the same if a call is repeated because its server died.
    `references` are ids of the files attached to the request. `progress(done, total, note)` shows the user
    the progress of the work (`total` None: unknown); call it from the tool's own task, or, in a sync tool, its thread:
    there it raises `trio.Cancelled` once the call was cancelled, so that the function ends early. `memory` is the
    agent's memory of the user; `remember`, `recall` and `forget` are its methods. `roles` are those of the token that
    the user asked with; empty when a run goes on after a crash, as roles are not stored. `found` lists the kinds and
    places of what the server found in the message before storing it, never the text; None if nothing was found.
    `state` is the value of the agent's lifespan; of the server's, if the agent has none. `await show_partial(item)`
    shows the user an item of the result while the tool runs, and waits if these come too fast; what a generator yields
    is shown so.
    """

    owner: str
    thread_id: str
    run_id: str
    call_id: str
    references: tuple[str, ...]
    files: Files = field(repr=False)
    server: ServerView = field(repr=False)
    progress: Callable[[float, float | None, str], None] = field(repr=False)
    asker: Asker = field(default=ask_nobody, repr=False)
    memory: Memory = field(factory=Notebook, repr=False)
    roles: tuple[str, ...] = ()
    found: SanitizationSummary | None = None
    state: Any = field(default=None, repr=False)
    show_partial: Callable[[Any], Awaitable[None]] = field(default=_show_nobody, repr=False)

    async def ask(self, form: type[T], *, title: str = "", text: str = "") -> T:
        """Ask the user for the fields of `form`, a class. Return an instance with the answer.

        `form` is an attrs class, a dataclass or a Pydantic model. The question is shown with `title` (by default the
        name of the class) and `text` (its docstring). The time limits of call and run are suspended meanwhile. A call
        that waits when its server dies is made again, and asks the same questions in the same order: so ask before you
        act. In a sync tool call `ask_from_thread`.

        Raises:
            QuestionDeclined, QuestionExpired: There is no answer; both are kinds of `QuestionUnanswered`.
            ToolError: The question could not be stored, is blocked, or is one too many.
            TypeError: `form` has no schema.
        """
        answer = await self.asker(form_question(form, title, text), partial(read_answer, form))
        return read_answer(form, answer)

    def ask_from_thread(self, form: type[T], *, title: str = "", text: str = "") -> T:
        """Ask as `ask` does, from the thread of a sync tool. Raises what `ask` raises."""
        trio.from_thread.check_cancelled()
        return trio.from_thread.run(partial(self.ask, form, title=title, text=text))

    def elsewhere(
        self,
        on_server: Callable[..., Any],
        now_on_server: Callable[..., Any],
        progress: Callable[[float, float | None, str], None],
    ) -> Self:
        """Return the context for the tools' loop: its methods run on the server's loop, by these functions."""
        return evolve(
            self,
            files=Elsewhere(on_server, self.files),
            memory=Elsewhere(on_server, self.memory),
            server=Elsewhere(now_on_server, self.server),
            asker=partial(on_server, self.asker),
            show_partial=partial(on_server, self.show_partial),
            progress=progress,
        )

    async def remember(self, name: str, value: Any, ttl_s: float = TTL_S) -> None:
        """Store a value (JSON of up to 8 KiB) for later runs of this agent for this user, for `ttl_s` seconds.

        It is sanitized like results. Raises `ToolError`: ``invalid_arguments``,
        ``message_too_large``, ``busy`` for the 51st value, ``content_blocked``, ``storage_unavailable``.
        """
        await self.memory.remember(name, value, ttl_s)

    async def recall(self, name: str) -> Any:
        """Return the value of that name; None if there is none, or it has expired. Raises `ToolError`."""
        return await self.memory.recall(name)

    async def forget(self, name: str) -> bool:
        """Delete a value. Return False if there was none. Raises `ToolError`, as `remember`."""
        return await self.memory.forget(name)


@frozen(eq=False)
class Tool:
    """Something an agent can do. Made by `tool`; `parameters` is a JSON schema of type object.

    `timeout_s` is the time a call may take, and each call of `reconcile` and `undo`. `retry_safe`: a call whose server
    died may be repeated, under the same `ToolContext.call_id`; a call of any other tool is in doubt then, and
    `reconcile` is asked whether it took effect. `approval` says whether a call waits for its user's approval before it
    runs: always, never, or if the function returns something true for its arguments. A call that succeeded can be
    undone by `undo` for `undo_s` seconds. `asyncio`: its functions are for asyncio. `on_server_loop`: they run on the
    server's loop, which they hold if they block, else on the tools' loop; those that are not async, in a thread.
    `agent` is the agent that is asked instead of a function, for a tool made by `Agent.as_tool`.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(repr=False)
    function: Callable[..., Any] = field(repr=False)
    timeout_s: float = 20.0
    retry_safe: bool = False
    approval: ApprovalPolicy = field(default=False, repr=False)
    reconcile: Companion | None = field(default=None, repr=False)
    undo: Companion | None = field(default=None, repr=False)
    undo_s: float = 600.0
    asyncio: bool = False
    on_server_loop: bool = False
    agent: Any = field(default=None, repr=False)
    _accepts: Parameters = field(repr=False, kw_only=True)
    _run: Callable[..., Awaitable[ToolResult]] = field(repr=False, kw_only=True)

    @property
    def is_method(self) -> bool:
        """Whether it stands in a class and belongs to no instance yet: the tool of an instance is its attribute."""
        return self._accepts.method

    def __get__(self, instance: object, owner: type | None = None) -> "Tool":
        """Return the tool of an instance, if the function is a method; else the tool itself."""
        if instance is None or not self._accepts.method:
            return self
        function = self.function.__get__(instance, owner)
        return evolve(self, function=function, accepts=evolve(self._accepts, method=False))

    @property
    def on_tools_loop(self) -> bool:
        """Whether it needs the tools' loop: for its function, or for `reconcile` or `undo`."""
        functions = [self.function, *(each.function for each in (self.reconcile, self.undo) if each is not None)]
        return any(map(self._runs_on_tools_loop, functions))

    def _runs_on_tools_loop(self, function: Callable[..., Any]) -> bool:
        return not self.on_server_loop and _is_async(function)

    @property
    def approval_mode(self) -> str:
        """Whether calls need approval: `always`, `never`, or `sometimes`."""
        return "sometimes" if not isinstance(self.approval, bool) else "always" if self.approval else "never"

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them.

        Raises `ToolError` ``invalid_arguments``, naming the parameter, if one is missing, unknown or of a wrong type.
        """
        types = self._accepts.types
        if not isinstance(arguments, Mapping):
            raise ToolError("invalid_arguments", f"{self.name} takes its arguments by name, as an object.")
        for name in arguments:
            if name not in types:
                known = ", ".join(f"`{each}`" for each in types) or "nothing"
                raise ToolError("invalid_arguments", f"{self.name} has no parameter `{name}`; it takes {known}.")
        for name in self._accepts.required:
            if name not in arguments:
                raise ToolError("invalid_arguments", f"{self.name} needs `{name}`, which is missing.")
        try:
            return {name: structure(value, types[name], name) for name, value in arguments.items()}
        except Misfit as misfit:
            raise ToolError("invalid_arguments", f"{self.name} cannot take `{misfit.path}`: {misfit}.") from None

    async def call(
        self, arguments: Mapping[str, Any], context: ToolContext, loop: ToolLoop | None = None
    ) -> ToolResult:
        """Check the arguments, call the function, and convert its result to plain JSON of bounded size.

        An async function runs on the tools' loop `loop`; if that is None, as in a test, on the caller's.

        Raises `ToolError` for arguments that do not fit, and if the function raises one itself; `InvalidResult` for a
        result that is not JSON. Any other exception of the function is propagated.
        """
        if loop is None or not self._runs_on_tools_loop(self.function):
            return await self._call(arguments, context)
        return await loop.run(self.name, partial(self._call, arguments), context)

    async def _call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        given = self.check(arguments)
        if self._accepts.context is not None:
            given[self._accepts.context] = context
        function = self.function
        if inspect.isasyncgenfunction(plain_function(function)):
            return await self._run(partial(_collect_async, function, context.show_partial), given)
        if inspect.isgeneratorfunction(plain_function(function)):
            return await self._run(partial(_collect, function, context.show_partial), given)
        return await self._run(function, given)

    async def settle(
        self, call_id: str, arguments: Mapping[str, Any], context: ToolContext, loop: ToolLoop | None = None
    ) -> Reconciled:
        """Ask the tool's `reconcile` whether a call took effect; `Unknown` if it has none.

        The result of `Done` is a `ToolResult`. Raises `ToolError` for a result that is not JSON, and for any other
        answer than the three. An exception of the function is propagated. `loop`: see `call`.
        """
        if self.reconcile is None:
            return Unknown()
        ask = partial(self.reconcile.reconcile, call_id, arguments)
        if loop is None or not self._runs_on_tools_loop(self.reconcile.function):
            return await ask(context)
        return await loop.run(f"reconcile of {self.name}", ask, context)

    async def take_back(
        self, result: Any, arguments: Mapping[str, Any], context: ToolContext, loop: ToolLoop | None = None
    ) -> ToolResult:
        """Call the tool's `undo` for a call with this result. Any exception of it is propagated. `loop`: see `call`.

        Raises LookupError if the tool has no `undo`.
        """
        if self.undo is None:
            raise LookupError(f"{self.name} has no undo")
        take_back = partial(self.undo.call, result, arguments)
        if loop is None or not self._runs_on_tools_loop(self.undo.function):
            return await take_back(context)
        return await loop.run(f"undo of {self.name}", take_back, context)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function without checks, as before it was decorated."""
        return self.function(*args, **kwargs)


def _is_async(function: Callable[..., Any]) -> bool:
    plain = plain_function(function)
    return inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)


def _collect(function: Callable[..., Any], show: Callable[[Any], Awaitable[None]], **given: Any) -> Any:
    """Run a generator in this thread, and show what it yields. Return its result: see `tool`."""
    items: list[Any] = []
    stream = function(**given)
    with closing(stream):
        while len(items) < MAX_ITEMS:
            try:
                item = next(stream)
            except StopIteration as end:
                return items if end.value is None else end.value
            if isinstance(item, ToolResult):
                return item
            items.append(item)
            trio.from_thread.check_cancelled()
            trio.from_thread.run(show, to_partial(item))
    return _ended_early(items)


async def _collect_async(function: Callable[..., Any], show: Callable[[Any], Awaitable[None]], **given: Any) -> Any:
    """Run an async generator, and show what it yields. Return its result: see `tool`."""
    items: list[Any] = []
    async with aclosing(function(**given)) as stream:
        async for item in stream:
            if isinstance(item, ToolResult):
                return item
            items.append(item)
            await show(to_partial(item))
            if len(items) >= MAX_ITEMS:
                return _ended_early(items)
    return items


def _ended_early(items: list[Any]) -> ToolResult:
    return ToolResult(items, f"The first {MAX_ITEMS:,} items: there the tool was ended.")


limiter: Final = thread_limiter("understudy.tool_threads", THREADS)


def _from_thread(context: ToolContext) -> ToolContext:
    """Return the context for a function in a worker thread; if that was abandoned, `progress` ends the function."""

    def progress(done: float, total: float | None, note: str) -> None:
        trio.from_thread.check_cancelled()
        trio.from_thread.run_sync(context.progress, done, total, note)

    return evolve(context, progress=progress)


async def _in_thread(function: Callable[..., Any], given: dict[str, Any]) -> ToolResult:
    given = {name: _from_thread(each) if isinstance(each, ToolContext) else each for name, each in given.items()}
    work = partial(function, **given)
    return await trio.to_thread.run_sync(lambda: to_result(work()), abandon_on_cancel=True, limiter=limiter())


async def _on_trio(function: Callable[..., Any], given: dict[str, Any]) -> ToolResult:
    value = await function(**given)
    if is_small(value):
        return to_result(value)
    return await trio.to_thread.run_sync(to_result, value, abandon_on_cancel=True, limiter=limiter())


async def _on_asyncio(function: Callable[..., Any], given: dict[str, Any]) -> ToolResult:
    import trio_asyncio

    def for_asyncio(context: ToolContext) -> ToolContext:
        return evolve(context, asker=trio_asyncio.trio_as_aio(context.asker))

    if isinstance(function, partial) and function.func is _collect_async and trio_asyncio.current_loop.get() is None:
        wrapped, show = function.args
        function = partial(_collect_async, wrapped, trio_asyncio.trio_as_aio(show))

    if trio_asyncio.current_loop.get() is not None:  # that of the tools' loop, whose contexts know asyncio
        return await _on_trio(trio_asyncio.aio_as_trio(function), given)
    given = {name: for_asyncio(each) if isinstance(each, ToolContext) else each for name, each in given.items()}
    async with trio_asyncio.open_loop():
        return await _on_trio(trio_asyncio.aio_as_trio(function), given)


def _runner(function: Callable[..., Any], asyncio: bool) -> Callable[..., Awaitable[ToolResult]]:
    """Return what runs a function: on asyncio if it is async and its tool says so, on trio, or in a thread."""
    if not _is_async(function):
        return _in_thread
    return _on_asyncio if asyncio else _on_trio


def _make(
    function: Callable[..., Any],
    name: str | None,
    timeout_s: float,
    retry_safe: bool,
    asyncio: bool | None,
    approval: Any,
    reconcile: Callable[..., Any] | None,
    undo: Callable[..., Any] | None,
    undo_s: float,
    on_server_loop: bool,
) -> Tool:
    if isinstance(function, staticmethod):
        function = function.__func__
    label = plain_function(function).__name__ if name is None else name
    if label == "__call__":
        label = type(function).__name__
    if not _NAME.match(label):
        raise ValueError(
            f"{label!r} cannot be a tool's name: letters, digits, '_' or '-', 64 at most; say @tool(name='…')"
        )
    if not timeout_s > 0:
        raise ValueError(f"timeout_s of {label} must be more than 0 seconds, not {timeout_s!r}")
    if not isinstance(approval, bool) and (not callable(approval) or inspect.iscoroutinefunction(approval)):
        raise TypeError(
            f"approval of {label} must be True, False, or a plain function of the arguments, not {approval!r}"
        )
    if asyncio and not _is_async(function):
        raise TypeError(f"{label} is not async, so asyncio=True has no meaning for it; leave it out")
    if not 0 < undo_s <= MAX_UNDO_S:
        raise ValueError(f"undo_s of {label} must be more than 0 and at most {MAX_UNDO_S:g} seconds, not {undo_s!r}")
    is_async = _is_async(function)
    if asyncio is None:
        asyncio = is_async and names_asyncio(plain_function(function))
    if on_server_loop and (asyncio or not is_async):
        raise TypeError(f"{label} is not for trio, so it cannot run on the server's loop; leave on_server_loop out")
    # The tools of this package never block, and use what belongs to the server's loop.
    package = plain_function(function).__module__.partition(".")[0]
    on_server_loop = on_server_loop or (not asyncio and package == __name__.partition(".")[0])
    run = _runner(function, asyncio)
    reconciler = undoer = None
    beside = partial(_runner, asyncio=asyncio)
    if reconcile is not None:
        reconciler = Companion.of(reconcile, f"reconcile of {label}", "call_id, arguments", beside)
    if undo is not None:
        undoer = Companion.of(undo, f"undo of {label}", "result, arguments", beside)
    accepts = read_parameters(function, ToolContext)
    description = accepts.summary or label.replace("_", " ").capitalize() + "."
    return Tool(
        label,
        description,
        accepts.schema,
        function,
        timeout_s,
        retry_safe,
        approval,
        reconciler,
        undoer,
        undo_s,
        asyncio,
        on_server_loop,
        accepts=accepts,
        run=run,
    )


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    timeout_s: float = 20.0,
    retry_safe: bool = False,
    asyncio: bool | None = None,
    approval: ApprovalPolicy = False,
    reconcile: Callable[..., Any] | None = None,
    undo: Callable[..., Any] | None = None,
    undo_s: float = 600.0,
    on_server_loop: bool = False,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float = 20.0,
    retry_safe: bool = False,
    asyncio: bool | None = None,
    approval: ApprovalPolicy = False,
    reconcile: Callable[..., Any] | None = None,
    undo: Callable[..., Any] | None = None,
    undo_s: float = 600.0,
    on_server_loop: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, as a decorator with or without options.

    The schema comes from the annotations, the descriptions from the docstring (Google or Sphinx style) or from
    `Annotated[str, Param("…")]`. An async function runs on the tools' loop: by asyncio if `asyncio`, else by trio; if
    that is None, by asyncio if its code names that module. With `on_server_loop` it runs on the server's loop, for
    functions that use trio objects of that loop and never block. With `approval` a call waits for its user's approval
    before it runs; see `Tool`.

    A generator, sync or async, shows each value that it yields while it runs. The result is the list of them; or the
    value that a sync one returns; or a `ToolResult` that it yields, with which it ends.

    `reconcile(call_id, arguments)` says whether a call that was interrupted took effect: `Done(result)`, `NotDone()` or
    `Unknown()`. `undo(result, arguments)` takes a call back that succeeded, within `undo_s` seconds. Either may take a
    third parameter, the `ToolContext`, and may be sync or async as the tool itself.

    Raises TypeError or ValueError with a hint if the declaration has no schema.
    """

    def decorate(given: Callable[..., Any]) -> Tool:
        return _make(given, name, timeout_s, retry_safe, asyncio, approval, reconcile, undo, undo_s, on_server_loop)

    return decorate if function is None else decorate(function)
