"""The companions of a tool: `reconcile` says whether an interrupted call took effect, and `undo` takes a call back.

Both are called with stored values, by position, and have no schema.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult

MAX_UNDO_S: Final = 30 * 24 * 3600.0
"""Longest `undo_s`, 30 days. The data that an undo needs is stored as long as the thread."""


@frozen
class Done:
    """The call took effect; `result` is what its function would have returned."""

    result: Any = field(default=None, repr=False)


@frozen
class NotDone:
    """The call had no effect and will have none: it may be made again."""


@frozen
class Unknown:
    """The tool cannot find out whether the call took effect."""


Reconciled: TypeAlias = Done | NotDone | Unknown
"""The answer of a tool's `reconcile`."""
Run: TypeAlias = Callable[[Callable[..., Any], dict[str, Any], Any], Awaitable[ToolResult]]
"""Runs a function with arguments by name in the context of a call, and converts its return value."""


@frozen(eq=False)
class Companion:
    """A function beside a tool's own, with the names of its two or three parameters."""

    function: Callable[..., Any] = field(repr=False)
    names: tuple[str, ...]
    run: Run = field(repr=False)

    @classmethod
    def of(
        cls, function: Callable[..., Any], label: str, wants: str, runner: Callable[[Callable[..., Any]], Run]
    ) -> "Companion":
        """Wrap a function. `runner` returns how to run it; `wants` names the parameters that it must have.

        Raises TypeError, with `label` as the function's name, for other parameters than these and maybe the context.
        """
        if not callable(function):
            raise TypeError(f"{label} must be a function ({wants}[, context]), not {function!r}")
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"{label} is a generator; it must be a function ({wants}[, context])")
        parameters = list(inspect.signature(function).parameters.values())
        named = all(parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
        if len(parameters) not in (2, 3) or not named:
            raise TypeError(f"{label} must take ({wants}[, context])")
        return cls(function, tuple(parameter.name for parameter in parameters), runner(function))

    async def call(self, *values: Any) -> ToolResult:
        """Call the function with the values, the context last; the function need not take the context.

        Any exception of the function is propagated.
        """
        return await self.run(self.function, dict(zip(self.names, values, strict=False)), values[-1])

    async def reconcile(self, call_id: str, arguments: Mapping[str, Any], context: object) -> Reconciled:
        """Ask whether a call took effect; the result of `Done` is a `ToolResult`.

        Raises `ToolError` ``tool_failed`` if the function returns none of the three answers.
        """
        answers: list[object] = []

        def record(answer: object) -> Any:
            answers.append(answer)
            return answer.result if isinstance(answer, Done) else None

        function = self.function

        async def ask(**values: Any) -> Any:
            return record(await function(**values))

        def ask_in_thread(**values: Any) -> Any:
            return record(function(**values))

        asker = ask if inspect.iscoroutinefunction(function) else ask_in_thread
        values = dict(zip(self.names, (call_id, dict(arguments), context), strict=False))
        result = await self.run(asker, values, context)
        match answers[0]:
            case Done():
                return Done(result)
            case NotDone() | Unknown() as answer:
                return answer
        raise ToolError("tool_failed", "`reconcile` must return Done(result), NotDone() or Unknown().")
