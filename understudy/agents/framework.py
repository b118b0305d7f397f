"""What an agent of another framework works through: a turn whose run resumes from state that the framework keeps.

1. The framework's code runs on a loop of asyncio alone: see `AsyncioLoop`.
2. It calls its tools itself; each call is shown as one of the run, may need the user's consent, and is recorded.
3. After a crash the framework goes on from what it has saved as state. What the log has is not shown again; a call that
   was at work is made again.
"""

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from attrs import define, field, frozen

from understudy.agents.turn import TurnWork
from understudy.tools.form import Question
from understudy.wire.events import Usage

if TYPE_CHECKING:
    import asyncio

Run = TypeVar("Run", bound=Callable[..., Awaitable[object]])
MAX_NAME: Final = 64
"""Characters of the name of a call."""
ANY_OBJECT: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}
_MARK: Final = "of_framework"


@frozen
class Resumed:
    """What a run has done. `finished`: nothing is left to do. `said`: the answer goes on in the midst of a turn."""

    finished: bool = False
    said: bool = False


class FrameworkWork(TurnWork, Protocol):
    """What the turn of a framework's agent asks of its run, on the server's loop, beside what any turn asks."""

    async def resume(self) -> Resumed:
        """Take over what the log has of this run. To be called first."""

    async def show_call(self, call: "OwnCall") -> None:
        """Record a call that the framework makes, from its beginning to its end.

        Raises ToolError if it is denied.
        """

    async def ask_once(self, key: str, question: Question) -> Mapping[str, Any]:
        """Ask the user under a key that is the same after a crash. Return the answer, which the log may have already.

        Raises QuestionUnanswered.
        """

    async def count(self, model: str, usage: Usage) -> None:
        """Count what a request to a model used, and record it."""

    async def load(self, run_id: str) -> dict[str, bytes]:
        """Return the state that the agent has kept in a run of this thread."""

    async def save(self, put: Mapping[str, bytes], drop: tuple[str, ...] = ()) -> None:
        """Keep entries of this run's state, and remove others, with the text that was said until now.

        Raises ToolError if they are too large.
        """


def of_framework(run: Run) -> Run:
    """Mark the `run` of a framework's agent."""
    setattr(run, _MARK, True)
    return run


def is_of_framework(run: object) -> bool:
    """Return whether a function is the `run` of a framework's agent."""
    return getattr(run, _MARK, False) is True


class AgentFailed(Exception):
    """An agent has failed, which ends its run. `message` is for its user, the log has the rest."""

    def __init__(self, message: str, error_id: str) -> None:
        super().__init__(message)
        self.message, self.error_id = message, error_id


@define(eq=False)
class OwnCall:
    """A call that a framework makes by itself. `name` is its tool's, `parameters` the schema of the `arguments`.

    `approval`: it needs the user's consent. `begin` and `end` are for the framework's loop; `allowed` has the arguments
    with which it may be made, `ended` its result.
    """

    name: str
    arguments: Mapping[str, Any] = field(repr=False)
    description: str = field(default="", repr=False)
    parameters: Mapping[str, Any] = field(default=ANY_OBJECT, repr=False)
    approval: bool = False
    allowed: "Future[Mapping[str, Any]]" = field(factory=Future, init=False, repr=False)
    ended: "Future[Any]" = field(factory=Future, init=False, repr=False)
    _task: "asyncio.Task[None] | None" = field(default=None, init=False, repr=False)

    async def begin(self, work: FrameworkWork) -> Mapping[str, Any]:
        """Show the call. Return the arguments with which it may be made, once it may be.

        Raises ToolError if the user denies it.
        """
        import asyncio  # only where an agent of a framework runs

        task = self.begin_soon(work)
        allowed = asyncio.wrap_future(self.allowed)
        try:
            await asyncio.wait((task, allowed), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not allowed.done():
            self._task = None
            await task
        return await allowed

    def begin_soon(self, work: FrameworkWork) -> "asyncio.Task[None]":
        """Show the call as soon as the run lets it begin."""
        import asyncio

        self._task = asyncio.create_task(work.show_call(self))
        return self._task

    async def end(self, result: Any = None, error: BaseException | None = None) -> None:
        """Show the result of the call, as JSON, or its failure: a `ToolError` by its sentence, any other as a crash."""
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(result)
        else:
            self.ended.set_exception(error)
        if self._task is not None:
            import asyncio

            await asyncio.wait((self._task,))
            self._task = None
