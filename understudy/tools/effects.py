"""What became of a call's effect: the answers of `reconcile`, and the functions `reconcile` and `undo` beside a tool.

Both are called by position, like plain functions: they have no schema, and their arguments are those that were stored.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult

MAX_UNDO_S: Final = 30 * 24 * 3600.0
"""Longest `undo_s`, 30 days: what an undo needs is stored as long as the thread."""


@frozen
class Done:
    """The call took effect; `result` is what its function would have returned."""

    result: Any = field(default=None, repr=False)


@frozen
class NotDone:
    """The call took no effect and will take none: it may be made again."""


@frozen
class Unknown:
    """It cannot be said whether the call took effect."""


Reconciled: TypeAlias = Done | NotDone | Unknown
"""The answer of a tool's `reconcile`."""
Run: TypeAlias = Callable[[Callable[..., Any], dict[str, Any], Any], Awaitable[ToolResult]]
"""Runs a function with these arguments for a call's context, and converts what it returns."""


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
        """Make one of a function that `runner` says how to run.

        Raises TypeError, naming it by `label`, if it does not take `wants`, and maybe the context.
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

    async def call(self, *given: Any) -> ToolResult:
        """Call the function with as many of these as it takes, of which the last is the context.

        Any exception of it is propagated.
        """
        return await self.run(self.function, dict(zip(self.names, given, strict=False)), given[-1])

    async def reconcile(self, call_id: str, arguments: Mapping[str, Any], context: object) -> Reconciled:
        """Ask whether a call took effect; the result of `Done` is a `ToolResult`.

        Raises `ToolError` ``tool_failed`` if the function returns none of the three answers.
        """
        answers: list[object] = []

        def keep(answer: object) -> Any:
            answers.append(answer)
            return answer.result if isinstance(answer, Done) else None

        function = self.function

        async def asked(**given: Any) -> Any:
            return keep(await function(**given))

        def asked_in_thread(**given: Any) -> Any:
            return keep(function(**given))

        asks = asked if inspect.iscoroutinefunction(function) else asked_in_thread
        values = dict(zip(self.names, (call_id, dict(arguments), context), strict=False))
        result = await self.run(asks, values, context)
        match answers[0]:
            case Done():
                return Done(result)
            case NotDone() | Unknown() as answer:
                return answer
        raise ToolError("tool_failed", "`reconcile` must return Done(result), NotDone() or Unknown().")
