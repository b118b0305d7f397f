"""What a run has beside its loop, as extensions bring it.

A run holds the parts that its agent, its user or the server's settings ask for (`Parts.of_runs`); one that asks for
none passes none.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import fields, frozen

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest

if TYPE_CHECKING:
    from understudy.chat.run.ended import Ended
    from understudy.chat.run.work import RunWork


class RunPart:
    """A part of one run. It overrides the hooks that it needs, which are called in the order of the extensions."""

    async def begin(self, work: "RunWork") -> None:
        """Prepare the work of an agent that has started: the first one, or one after a handoff.

        Raises `StorageUnavailable`.
        """

    async def before_turn(self, work: "RunWork", number: int) -> "Ended | None":
        """Prepare turn `number` of the agent at work, counted from 0. Return the bound that ends the run without it.

        Turns below `len(work.replay.turns)` are recorded, and are not asked for again. Raises `StorageUnavailable`.
        """

    async def note(self, work: "RunWork") -> str:
        """Return what the model is told in this turn only, after the conversation; empty for nothing."""
        return ""

    async def after_turn(self, work: "RunWork") -> None:
        """Act on a turn that the model has ended, which is recorded with what follows. Raises `StorageUnavailable`."""

    def end(self, work: "RunWork") -> None:
        """Let go of what the part holds: the work has ended, however it did."""


MakePart: TypeAlias = Callable[[RunRequest, Agent], RunPart | None]
"""Makes a part of a run that an agent begins, None for one that does without."""


@frozen
class RunParts:
    """The parts of a run, by the hooks that they have."""

    begin: tuple[RunPart, ...] = ()
    before_turn: tuple[RunPart, ...] = ()
    note: tuple[RunPart, ...] = ()
    after_turn: tuple[RunPart, ...] = ()
    end: tuple[RunPart, ...] = ()


NO_PARTS: Final = RunParts()


def parts_of(makers: Iterable[MakePart], job: RunRequest, agent: Agent) -> RunParts:
    """Return the parts of a run that an agent begins."""
    hooks: dict[str, tuple[RunPart, ...]] = {}
    for part in [made for make in makers if (made := make(job, agent)) is not None]:
        for hook in fields(RunParts):
            if getattr(type(part), hook.name) is not getattr(RunPart, hook.name):
                hooks[hook.name] = (*hooks.get(hook.name, ()), part)
    return RunParts(**hooks) if hooks else NO_PARTS
