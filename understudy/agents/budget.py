"""`Budget`: how much one run of an agent may spend. Plain data; `understudy.chat.run.meter` counts against it."""

from functools import lru_cache
from typing import Any, Final

from attrs import Attribute, field, fields, frozen

from understudy.storage.limits import RunLimits

LIMIT_OF: Final = {
    "turns": "run_turns",
    "calls": "run_calls",
    "tokens": "run_tokens",
    "cost": "run_cost",
    "wall_s": "run_s",
}
"""The server's limit of each field."""
WHOLE: Final = ("turns", "calls", "tokens")
"""The fields that are whole numbers."""


def check_bound(_: Any, attribute: "Attribute[Any]", value: float | None) -> None:
    """Refuse a bound of what is spent that is not above 0 (ValueError), or no number of its kind (TypeError)."""
    whole = attribute.type == int | None
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        word = "a whole number" if whole else "a number"
        raise TypeError(f"a budget's {attribute.name} must be {word}, not {value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(f"a budget's {attribute.name} must be more than 0, not {value!r}; leave it out for no bound")


@frozen(kw_only=True, repr=False)
class Budget:
    """What one run may spend; None: the server's limit, if it has one.

    `turns` are requests to the model, `calls` tool calls, `tokens` those of the model in and out, `cost` is in the
    currency of the server's price table, and `wall_s` are seconds of work: waiting for a permit or for the user does
    not count. Raises ValueError for a value that is not above 0, TypeError for one that is no number.
    """

    turns: int | None = field(default=None, validator=check_bound)
    calls: int | None = field(default=None, validator=check_bound)
    tokens: int | None = field(default=None, validator=check_bound)
    cost: float | None = field(default=None, validator=check_bound)
    wall_s: float | None = field(default=None, validator=check_bound)

    def __repr__(self) -> str:
        """Return the call that makes this budget, with the fields that are given."""
        bounds = [f"{name}={value!r}" for name in LIMIT_OF if (value := getattr(self, name)) is not None]
        return f"Budget({', '.join(bounds)})"

    def lowered(self, other: "Budget") -> "Budget":
        """Return the smaller value of each field of the two."""
        if UNBOUNDED in (self, other):
            return self if other == UNBOUNDED else other
        values: dict[str, Any] = {}
        for name in LIMIT_OF:
            both = [value for value in (getattr(self, name), getattr(other, name)) if value is not None]
            values[name] = min(both, default=None)
        return Budget(**values)

    @lru_cache(maxsize=256)  # noqa: B019 - few of them, and no more than data
    def within(self, limits: RunLimits, agent: str) -> "Budget":
        """Return the budget of the runs of `agent` on a server with these limits.

        Raises ValueError if a field exceeds the server's limit, because the server would silently lower it.
        """
        for bound in fields(Budget):
            own, limit = getattr(self, bound.name), getattr(limits, LIMIT_OF[bound.name])
            if own is not None and limit is not None and own > limit:
                name = f"limits.{LIMIT_OF[bound.name]}"
                raise ValueError(
                    f"agent {agent!r} has a budget of {bound.name}={own:g}, but {name} is {limit:g}: raise {name}, or "
                    "lower the agent's budget"
                )
        return Budget(**{name: getattr(limits, limit) for name, limit in LIMIT_OF.items()}).lowered(self)


UNBOUNDED: Final = Budget()
"""A budget without any bound."""
