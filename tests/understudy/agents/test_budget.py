"""A budget is checked when it is made, and against the server's limits at its start."""

import pytest

from understudy import Agent, Budget
from understudy.storage.limits import Limits


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        *((name, 0, "must be more than 0, not 0") for name in ("turns", "calls", "tokens", "cost", "wall_s")),
        ("cost", -1, "must be more than 0, not -1"),
        ("wall_s", float("inf"), "must be more than 0, not inf"),
        ("turns", 1.5, "must be a whole number, not 1.5"),
        ("cost", True, "must be a number, not True"),
    ],
)
def test_a_budget_of_nothing_or_no_number_is_refused(name: str, value: float, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"a budget's {name} {says}"):
        Budget(**{name: value})


def test_bounds_that_an_agent_leaves_out_are_the_servers() -> None:
    limits = Limits(run_turns=20, run_calls=30, run_tokens=1000)
    assert Agent("a").budget.within(limits, "a") == Budget(turns=20, calls=30, tokens=1000, wall_s=3600)
    assert Budget(turns=5, wall_s=60).within(limits, "a").turns == 5
    assert Budget(turns=200, calls=500, wall_s=3600).within(Limits(), "a").wall_s == 3600, "the defaults leave room"


def test_a_budget_prints_what_was_given() -> None:
    assert (repr(Budget()), repr(Budget(turns=5, wall_s=1.5))) == ("Budget()", "Budget(turns=5, wall_s=1.5)")
