"""What a run has beside its loop, as extensions bring it.

A run holds the parts that its agent, its user or the server's settings ask for (`Parts.of_runs`); one that asks for
none passes none. After its second turn a run is long, and holds those of `Parts.of_long_runs`, too.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from attrs import astuple, fields, frozen

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.observe.logs import new_error_id
from understudy.wire.events import Usage

if TYPE_CHECKING:
    from understudy.chat.run.call import RunCall
    from understudy.chat.run.meter import Ended
    from understudy.chat.run.work import RunWork

P = TypeVar("P")
log = logging.getLogger(__name__)


@frozen
class AgentDone:
    """An agent has ended its work, which is recorded: with the answer `text`, as it is stored, or by a handoff."""

    usage: Usage
    text: str = ""


@frozen
class ModelAsked:
    """A request that began at `began_at` (Unix seconds) has ended, with the reply `text`, which is unfiltered, or with
    an error of the type `error`. `requested` is the model's name in settings, `model` its own."""

    requested: str
    model: str
    usage: Usage
    began_at: float
    text: str = ""
    error: str = ""


@frozen
class CallMade:
    """A call of a tool ended that began at `began_at` (Unix seconds). `error`: the status of one without `result`."""

    call: "RunCall"
    began_at: float
    ended_at: float
    error: str = ""
    result: Any = None


@frozen
class RunOver:
    """The work of a run, or of a subagent, is over. `error` is empty after an answer, else a word for why there is
    none, or the type of a crash; None if a kill or a stop of the server has cut it off. `usage` is that of the agent at
    work, `calls` are those that have not ended."""

    error: str | None
    usage: Usage
    calls: "Sequence[RunCall]"


Done: TypeAlias = AgentDone | ModelAsked | CallMade | RunOver


class RunPart:
    """A part of one run. It overrides the hooks that it needs, which are called in the order of the extensions."""

    async def begin(self, work: "RunWork") -> None:
        """Prepare the work of an agent that has started: the first one, or one after a handoff.

        Raises `StorageUnavailable`.
        """

    async def before_turn(self, work: "RunWork", number: int) -> "Ended | None":
        """Prepare turn `number` of the agent at work, counted from 0. Return the bound that ends the run without it, or
        with it as a closing turn, if the bound has a note for the model.

        Turns below `len(work.past.turns)` are recorded, and are not asked for again. Raises `StorageUnavailable`.
        """

    async def note(self, work: "RunWork") -> str:
        """Return what the model is told in this turn only, after the conversation; empty for nothing."""
        return ""

    async def after_turn(self, work: "RunWork") -> None:
        """Act on a turn that the model has ended, which is recorded with what follows. Raises `StorageUnavailable`."""

    def call_fields(self, call_id: str) -> Mapping[str, Any]:
        """Return fields of the `ToolContext` of a call, by their names."""
        return {}

    async def ended(self, done: Done) -> None:
        """Take note of what has ended. `RunOver` is the last, however the work ended: let go of what the part holds.

        Work that was cut off must not wait here. An error of one part is logged: the run and the others go on.
        """


MakePart: TypeAlias = Callable[[RunRequest, Agent], RunPart | None]
"""Makes a part of a run that an agent begins, None for one that does without."""


@frozen
class RunParts:
    """The parts of a run, by the hooks that they have."""

    begin: tuple[RunPart, ...] = ()
    before_turn: tuple[RunPart, ...] = ()
    note: tuple[RunPart, ...] = ()
    after_turn: tuple[RunPart, ...] = ()
    call_fields: tuple[RunPart, ...] = ()
    ended: tuple[RunPart, ...] = ()

    def joined(self, others: "RunParts") -> "RunParts":
        """Return these parts and others, which come last."""
        mine, added = astuple(self, recurse=False), astuple(others, recurse=False)
        return RunParts(*(held + more for held, more in zip(mine, added, strict=True)))

    async def tell_ended(self, done: Done) -> None:
        """Tell each part what has ended."""
        for part in self.ended:
            try:
                await part.ended(done)
            except Exception as error:
                extra = {"part": type(part).__name__, "done": type(done).__name__, "error_id": new_error_id()}
                log.error("run.part_failed", extra=extra, exc_info=error)


NO_PARTS: Final = RunParts()


def parts_of(makers: Iterable[MakePart], request: RunRequest, agent: Agent) -> RunParts:
    """Return the parts of a run that an agent begins."""
    parts = [part for make in makers if (part := make(request, agent)) is not None]
    return RunParts(**by_hook(parts, RunPart, RunParts)) if parts else NO_PARTS


def by_hook(parts: Sequence[P], base: type[P], hooks: type[Any]) -> dict[str, tuple[P, ...]]:
    """Return the parts that override each method of their `base` class which is a field of `hooks`."""
    return {
        hook.name: tuple(part for part in parts if getattr(type(part), hook.name) is not getattr(base, hook.name))
        for hook in fields(hooks)
    }
