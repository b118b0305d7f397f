"""What the turns of a run may spend: reserved before a model is asked, and released once what it used is stored."""

from collections.abc import Callable
from typing import Final

from attrs import define

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.polling import Expiry
from understudy.chat.run.ended import Ended
from understudy.chat.run.model_request import priced
from understudy.chat.run.part import RunPart
from understudy.chat.run.work import RunWork
from understudy.models.model import limits_of
from understudy.storage.memberships import forget_spending
from understudy.storage.spending import KEPT_DAYS, day_of
from understudy.storage.spending_limits import SpendingLimits
from understudy.storage.store import Store
from understudy.wire.events import Usage

EVERY_S: Final = 60.0
"""Interval of removing old rows."""


@define(eq=False)
class SpendingOfRun(RunPart):
    """Ends a run whose user has spent what they may. It holds one reservation at a time."""

    spending: SpendingLimits

    async def before_turn(self, work: RunWork, number: int) -> Ended | None:
        """Reserve what the turn may use until `after_turn`, unless a limit is reached: that is returned."""
        if number < len(work.replay.turns):
            return None
        model = work.services.models.of(work.agent.model)
        longest = work.agent.settings.output_limit(limits_of(model))
        most = priced(work, model, Usage(work.input.tokens, longest))
        reached = await self.spending.reserve(work.job, self, most.input + most.output, most.cost or 0.0)
        if reached is None:
            return None
        return Ended(reached.name, reached.limit, reached.spent, f"Stopped. {reached.message}")

    async def after_turn(self, work: RunWork) -> None:
        """Commit what the turn has used, and end its reservation."""
        if self.spending.is_held_by(self):
            await work.recorder.record()
            self.spending.release(self)

    def end(self, work: RunWork) -> None:
        """End the reservation of a turn that did not come to its end."""
        self.spending.release(self)


def limit_runs(spending: SpendingLimits, _job: RunRequest, _agent: Agent) -> SpendingOfRun:
    """Return the part of every run while there are limits."""
    return SpendingOfRun(spending)


def spending_expiry(store: Store, clock: Callable[[], float]) -> Expiry:
    """Return the actor that removes old rows of what users spent."""
    return Expiry(store, lambda: forget_spending(day_of(clock()) - KEPT_DAYS), every_s=EVERY_S)
