"""`@tool` makes a tool of a function: a name, a JSON schema, and a call that checks its arguments.

A sync function runs in a worker thread, an async one on the loop of its caller: trio's, or an asyncio loop inside it.
`Tool.call` has no deadline: its caller applies `Tool.timeout_s` with a cancel scope.

Cancelling a sync tool abandons its thread: the call returns at once, while the function runs to its end, with its side
effects; its result is dropped (see `understudy.tools.threads`). A tool that must be stoppable should be async.
"""

import copy
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, overload

from attrs import evolve, field, frozen

from understudy.auth.allow import Allowed, read_allowed
from understudy.tools.context import StoredFile, ToolContext
from understudy.tools.effects import MAX_UNDO_S, Companion, Reconciled, Unknown
from understudy.tools.errors import ToolError
from understudy.tools.execution import collect, collect_async, is_async, runner
from understudy.tools.isolation import MEMORY_MB, IsolatedFunction
from understudy.tools.lifespan import names_asyncio
from understudy.tools.loop import ToolLoop
from understudy.tools.result import NextStep, ToolResult
from understudy.tools.schema import Misfit, Param, structure
from understudy.tools.signature import Parameters, plain_function, read_parameters
from understudy.tools.threads import tool_threads

__all__ = ["NextStep", "Param", "StoredFile", "Tool", "ToolContext", "ToolError", "ToolResult", "tool"]

ApprovalPolicy: TypeAlias = bool | Callable[[Mapping[str, Any]], object]
"""Whether calls need approval: all, none, or those for whose arguments the function returns something true. It runs in
a worker thread, within the tool's time limit; it is given a copy of the arguments as plain JSON, and must not raise."""

# The names of functions that OpenAI's API accepts; other providers accept at least these.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")


def _allowed(value: Iterable[str] | None) -> Allowed:
    return read_allowed(value, "the tool")


@frozen(eq=False)
class Tool:
    """Something an agent can do. Made by `tool`; `parameters` is a JSON schema of type object.

    `timeout_s` is the time that a call of the function, of `reconcile` or of `undo` may take. `retry_safe`: a call
    whose server died may be repeated, under the same `ToolContext.call_id`; a call of any other tool is in doubt then,
    and `reconcile` is asked whether it took effect. `approval` says whether a call waits for its user's approval:
    always, never, or if the function returns something true for its arguments. `undo` takes back a successful call,
    within `undo_s` seconds. `asyncio`: the functions are for asyncio. `on_server_loop`: async functions run on the
    server's loop, which must not be blocked, instead of the tools' loop. `isolated` describes a function that has its
    own process.
    `agent` is asked instead of a function, for a tool made by `Agent.as_tool`; with `history` it is given the
    conversation too. `server` is the name of the MCP server that has the tool, `digest` that of its definition there:
    consent is remembered for that definition only. `widget` is the URI of its user interface on that server. All are
    empty for any other tool.
    `client`: the client that sent the message makes the calls. `allow` names the users who may have the tool called, as
    `user:NAME`, `role:NAME` or `group:NAME`; None: everybody. For all others no agent has it.
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
    isolated: IsolatedFunction | None = None
    agent: Any = field(default=None, repr=False)
    history: bool = False
    server: str = ""
    digest: str = ""
    widget: str = ""
    client: bool = False
    allow: Allowed = field(default=None, converter=_allowed)
    _accepts: Parameters = field(repr=False, kw_only=True)
    _run: Callable[..., Awaitable[ToolResult]] = field(repr=False, kw_only=True)

    @property
    def takes_context(self) -> bool:
        """Whether the function is given the context of each call."""
        return self._accepts.context is not None

    @property
    def is_method(self) -> bool:
        """Whether the function is a method without an instance yet; the attribute of an instance is its bound tool."""
        return self._accepts.method

    def __get__(self, instance: object, owner: type | None = None) -> "Tool":
        """Return the tool of an instance, if the function is a method; else the tool itself."""
        if instance is None or not self._accepts.method:
            return self
        bound = self.function.__get__(instance, owner)
        return evolve(self, function=bound, accepts=evolve(self._accepts, method=False))

    @property
    def on_tools_loop(self) -> bool:
        """Whether the function, `reconcile` or `undo` runs on the tools' loop."""
        functions = [self.function, *(hook.function for hook in (self.reconcile, self.undo) if hook is not None)]
        return any(map(self._runs_on_tools_loop, functions))

    def _runs_on_tools_loop(self, function: Callable[..., Any]) -> bool:
        return not self.on_server_loop and is_async(function)

    @property
    def approval_mode(self) -> str:
        """Whether calls need approval: `always`, `never`, or `sometimes`."""
        return "sometimes" if not isinstance(self.approval, bool) else "always" if self.approval else "never"

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Convert the arguments to the types of the function's parameters.

        Raises `ToolError` ``invalid_arguments``, naming the parameter, if one is missing, unknown or of a wrong type.
        """
        types = self._accepts.types
        if not isinstance(arguments, Mapping):
            raise ToolError("invalid_arguments", f"{self.name} takes its arguments by name, as an object.")
        for name in arguments:
            if name not in types:
                names = ", ".join(f"`{type_}`" for type_ in types) or "nothing"
                raise ToolError("invalid_arguments", f"{self.name} has no parameter `{name}`; it takes {names}.")
        for name in self._accepts.required:
            if name not in arguments:
                raise ToolError("invalid_arguments", f"{self.name} needs `{name}`, which is missing.")
        try:
            values = {**self._accepts.defaults, **copy.deepcopy(dict(arguments))}  # which the function may change
            return {name: structure(value, types[name], name) for name, value in values.items()}
        except Misfit as misfit:
            raise ToolError("invalid_arguments", f"{self.name} cannot take `{misfit.path}`: {misfit}.") from None
        except RecursionError:
            raise ToolError("invalid_arguments", f"The arguments of {self.name} are nested too deeply.") from None

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
        if self.isolated is not None:
            if self._accepts.plain:
                self.check(arguments)
            return await self.isolated.call(arguments, context)
        function = self.function
        if self._accepts.yields:
            function = partial(collect_async if is_async(function) else collect, function, context.show_partial)
        if self._accepts.plain or is_async(self.function):
            return await self._run(function, self._keywords(arguments, context), context)
        # Code of the tool's author takes part in the check, so the check runs in the thread of the function.
        checked = lambda context: function(**self._keywords(arguments, context))  # noqa: E731
        return await self._run(checked, {"context": context}, context)

    def _keywords(self, arguments: Mapping[str, Any], context: ToolContext) -> dict[str, Any]:
        name = self._accepts.context
        return self.check(arguments) | ({} if name is None else {name: context})

    async def check_aside(self, arguments: Mapping[str, Any], owner: str) -> None:
        """Check the arguments as `check` does, before the user `owner` is asked to approve them.

        A check with code of the tool's author, such as validators, runs in a worker thread, within `timeout_s`.

        Raises:
            ToolError: See `check`; ``tool_timeout``, and ``busy`` if there is no thread for it.
        """
        if self._accepts.plain or self.on_server_loop:
            self.check(arguments)
        else:
            await tool_threads().run(partial(self.check, arguments), owner, f"check of {self.name}", self.timeout_s)

    async def needs_approval(self, arguments: dict[str, Any], owner: str) -> bool:
        """Return whether a call with these arguments needs approval. The tool's own `approval` runs in a worker thread.

        Raises:
            ToolError: ``tool_timeout``, ``busy``: see `check_aside`.
            Exception: Raised by the tool's own `approval`.
        """
        approval = self.approval
        if isinstance(approval, bool):
            return approval
        label = f"approval of {self.name}"
        return await tool_threads().run(lambda: bool(approval(arguments)), owner, label, self.timeout_s)

    async def settle(
        self, call_id: str, arguments: Mapping[str, Any], context: ToolContext, loop: ToolLoop | None = None
    ) -> Reconciled:
        """Ask the tool's `reconcile` whether a call took effect; `Unknown` if it has none.

        The result of `Done` is a `ToolResult`. Raises `ToolError` for a result that is not JSON, and for an answer that
        is no `Reconciled`. Any exception of the function is propagated. `loop`: see `call`.
        """
        if self.reconcile is None:
            return Unknown()
        ask = partial(self.reconcile.reconcile, call_id, copy.deepcopy(dict(arguments)))
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
        take_back = partial(self.undo.call, *copy.deepcopy((result, dict(arguments))))
        if loop is None or not self._runs_on_tools_loop(self.undo.function):
            return await take_back(context)
        return await loop.run(f"undo of {self.name}", take_back, context)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function without checks, as before it was decorated."""
        return self.function(*args, **kwargs)


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
    isolate: bool = False,
    memory_mb: int = MEMORY_MB,
    allow: Iterable[str] | None = None,
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
    isolate: bool = False,
    memory_mb: int = MEMORY_MB,
    allow: Iterable[str] | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, as a decorator with or without options.

    The schema comes from the annotations, the descriptions from the docstring (Google or Sphinx style) or from
    `Annotated[str, Param("…")]`. An async function runs on the tools' loop: on asyncio if `asyncio`, else on trio. If
    `asyncio` is None, it is for asyncio if its code names that module. With `on_server_loop` it runs on the server's
    loop: for functions that use trio objects of that loop and never block. `approval`: see `Tool`.

    With `isolate` a plain function runs in its own process, with at most `memory_mb` MiB, that is killed when the call
    ends: for functions that may hang or take all memory. It must be importable, and gets no context.

    Each value that a generator yields, sync or async, is shown while it runs. The result is the list of these values,
    or the value that a sync generator returns, or a `ToolResult` that is yielded and ends the generator.

    `reconcile(call_id, arguments)` says whether an interrupted call took effect: `Done(result)`, `NotDone()` or
    `Unknown()`. `undo(result, arguments)` takes back a call that succeeded, within `undo_s` seconds. Either may take a
    third parameter, the `ToolContext`, and may be sync or async like the tool itself.

    `allow` names the users who may have it called; see `Tool`.

    Raises TypeError or ValueError with a hint if the declaration has no schema, or for a bad or empty `allow`.
    """

    def decorate(decorated: Callable[..., Any]) -> Tool:
        target = decorated.__func__ if isinstance(decorated, staticmethod) else decorated
        plain, asynchronous = plain_function(target), is_async(target)
        policy: Any = approval
        label = plain.__name__ if name is None else name
        if label == "__call__":
            label = type(target).__name__
        if not _NAME.match(label):
            raise ValueError(
                f"{label!r} cannot be a tool's name: letters, digits, '_' or '-', 64 at most; say @tool(name='…')"
            )
        if not timeout_s > 0:
            raise ValueError(f"timeout_s of {label} must be more than 0 seconds, not {timeout_s!r}")
        if not isinstance(policy, bool) and (not callable(policy) or inspect.iscoroutinefunction(policy)):
            raise TypeError(
                f"approval of {label} must be True, False, or a plain function of the arguments, not {policy!r}"
            )
        if asyncio and not asynchronous:
            raise TypeError(f"{label} is not async, so asyncio=True has no meaning for it; leave it out")
        if not 0 < undo_s <= MAX_UNDO_S:
            raise ValueError(
                f"undo_s of {label} must be more than 0 and at most {MAX_UNDO_S:g} seconds, not {undo_s!r}"
            )
        for_asyncio = asynchronous and names_asyncio(plain) if asyncio is None else asyncio
        if on_server_loop and (for_asyncio or not asynchronous):
            raise TypeError(f"{label} is not for trio, so it cannot run on the server's loop; leave on_server_loop out")
        # The tools of this package never block, and use objects of the server's loop.
        is_built_in = plain.__module__.partition(".")[0] == __name__.partition(".")[0]
        reconciler = undoer = None
        run_companion = partial(runner, tool=label, asyncio=for_asyncio)
        if reconcile is not None:
            reconciler = Companion.of(reconcile, f"reconcile of {label}", "call_id, arguments", run_companion)
        if undo is not None:
            undoer = Companion.of(undo, f"undo of {label}", "result, arguments", run_companion)
        accepts = read_parameters(target, ToolContext)
        isolated = IsolatedFunction.of(target, label, memory_mb, timeout_s) if isolate else None
        if isolate and (without := "self" if accepts.method else accepts.context) is not None:
            raise TypeError(f"{label} is isolated, so it cannot be given `{without}`: leave it out")
        description = accepts.summary or label.replace("_", " ").capitalize() + "."
        return Tool(
            label,
            description,
            accepts.schema,
            target,
            timeout_s,
            retry_safe,
            approval,
            reconciler,
            undoer,
            undo_s,
            for_asyncio,
            on_server_loop or (is_built_in and not for_asyncio),
            isolated,
            allow=allow,
            accepts=accepts,
            run=runner(target, label, for_asyncio),
        )

    return decorate if function is None else decorate(function)
