"""Reserves the spending of each turn of a run before the model is asked; releases it when the usage is stored."""

from functools import partial
from typing import TYPE_CHECKING

from attrs import define

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.run.meter import Ended
from understudy.chat.run.part import Done, RunOver, RunPart
from understudy.chat.run.turn import priced
from understudy.chat.run.work import RunWork
from understudy.chat.spending import SpendingOfUsers
from understudy.extensions.spending.limits import SpendingLimits
from understudy.extensions.spending.settings import SpendingSettings
from understudy.models.model import limits_of
from understudy.wire.events import Usage

if TYPE_CHECKING:
    from understudy.web.context import WebContext


@define(eq=False)
class SpendingOfRun(RunPart):
    """Ends a run whose user has reached a limit. It holds one reservation at a time."""

    spending: SpendingLimits

    async def before_turn(self, work: RunWork, number: int) -> Ended | None:
        """Reserve the most that the turn may use, until `after_turn`. Return the limit if one is reached."""
        if number < len(work.past.turns):
            return None
        model = work.services.models.of(work.agent.model)
        longest = work.agent.settings.output_limit(limits_of(model))
        most = priced(work, model, Usage(work.input.tokens, longest))
        reached = await self.spending.reserve(work.request, self, most.input + most.output, most.cost or 0.0)
        if reached is None:
            return None
        return Ended(reached.name, reached.limit, reached.spent, f"Stopped. {reached.message}")

    async def after_turn(self, work: RunWork) -> None:
        """Commit the turn's usage, and end its reservation."""
        if self.spending.is_held_by(self):
            await work.log.record()
            self.spending.release(self)

    async def ended(self, done: Done) -> None:
        """End the reservation of a turn that the end of the run has cut off."""
        if isinstance(done, RunOver):
            self.spending.release(self)


def limit_runs(spending: SpendingLimits, _job: RunRequest, _agent: Agent) -> SpendingOfRun:
    """Return the part for a run while there are limits."""
    return SpendingOfRun(spending)


def limit_spending(server: "WebContext") -> None:
    """Limit the spending of a server's runs by its settings and the rules of permissions; no effect if done already."""
    parts, services = server.parts, server.services
    if parts.find(SpendingLimits) is None:
        limits, currency = server.settings.of(SpendingSettings), services.models.prices.currency
        spending = SpendingLimits(server.store, limits, server.sessions.tenants, services.permissions, currency)
        parts.add(spending, SpendingOfUsers)
        parts.of_runs.append(partial(limit_runs, spending))
