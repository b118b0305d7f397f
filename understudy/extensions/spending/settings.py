"""The settings of limits of spending."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.validators import ge, gt, optional

from understudy.agents.permissions import BOUNDS

if TYPE_CHECKING:
    from understudy.agents.agent import Agent
    from understudy.models.registry import Models


@frozen(kw_only=True)
class SpendingSettings:
    """How much users may spend on models in a day and a month of UTC; no limit unless set."""

    user_tokens_per_day: int | None = field(default=None, validator=optional(ge(1)))
    """Tokens of one user in a day of UTC, in and out."""
    user_cost_per_day: float | None = field(default=None, validator=optional(gt(0)))
    """Cost of one user in a day, in the currency of the prices."""
    tenant_tokens_per_day: int | None = field(default=None, validator=optional(ge(1)))
    """Tokens of all users of one tenant in a day."""
    tenant_cost_per_day: float | None = field(default=None, validator=optional(gt(0)))
    """Cost of all users of one tenant in a day."""
    user_tokens_per_month: int | None = field(default=None, validator=optional(ge(1)))
    """Tokens of one user in a month of the calendar."""
    user_cost_per_month: float | None = field(default=None, validator=optional(gt(0)))
    """Cost of one user in a month."""
    tenant_tokens_per_month: int | None = field(default=None, validator=optional(ge(1)))
    """Tokens of all users of one tenant in a month."""
    tenant_cost_per_month: float | None = field(default=None, validator=optional(gt(0)))
    """Cost of all users of one tenant in a month."""

    def bounded(self, *, tenants: bool) -> bool:
        """Return whether a limit of users is set, or with `tenants` one of tenants."""
        whose = ("user", "tenant") if tenants else ("user",)
        return any(getattr(self, f"{scope}_{bound}") is not None for scope in whose for bound in BOUNDS)

    def check_prices(self, agents: "Iterable[Agent]", models: "Models") -> None:
        """Raise ValueError if a cost is limited and the model of an agent has no price, as its cost would not count."""
        from understudy.app.agents import check_priced

        costs = [f"{whose}_{bound}" for whose in ("user", "tenant") for bound in BOUNDS if bound.startswith("cost")]
        if any(getattr(self, name) is not None for name in costs):
            for agent in agents:
                check_priced(agent, models.default, models.prices)
