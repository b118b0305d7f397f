"""A budget is checked when it is made, and against the server's limits at its start."""

from pathlib import Path

import pytest

from transport.connection.limits import Limits
from understudy import Agent, Budget
from understudy.app.server import serve_app
from understudy.app.settings import Settings


@pytest.mark.parametrize("name", ["turns", "calls", "tokens", "cost", "wall_s"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_budget_of_nothing_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"a budget's {name} must be more than 0, not {value}"):
        Budget(**{name: value})


def test_a_budget_is_of_numbers() -> None:
    with pytest.raises(TypeError, match=r"turns must be a whole number, not 1\.5"):
        Budget(turns=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cost must be a number, not True"):
        Budget(cost=True)
    with pytest.raises(ValueError, match="wall_s must be more than 0, not inf"):
        Budget(wall_s=float("inf"))


def test_what_an_agent_leaves_out_is_the_servers() -> None:
    limits = Limits(run_turns=20, run_calls=30, run_tokens=1000)
    assert Agent("a").run_budget(limits) == Budget(turns=20, calls=30, tokens=1000, wall_s=3600)
    assert Agent("a", budget=Budget(turns=5, wall_s=60)).run_budget(limits).turns == 5


def test_the_defaults_leave_room_for_long_work() -> None:
    assert Budget(turns=200, calls=500, wall_s=3600).within(Limits(), "a").wall_s == 3600


async def test_a_server_does_not_start_with_a_budget_that_it_would_cut(tmp_path: Path) -> None:
    settings = Settings(port=0, data_dir=tmp_path, limits=Limits(run_turns=10))
    sentence = r"agent 'long' has a budget of turns=50, but limits\.run_turns is 10: raise limits\.run_turns, or lower"
    with pytest.raises(ValueError, match=sentence):
        await serve_app(settings, [Agent("long", budget=Budget(turns=50))])


def test_a_budget_of_time_ends_before_the_timeout() -> None:
    with pytest.raises(ValueError, match="a budget of wall_s=60, but timeout_s=30 ends its runs before"):
        Agent("a", timeout_s=30, budget=Budget(wall_s=60))


def test_a_budget_prints_what_was_given() -> None:
    assert (repr(Budget()), repr(Budget(turns=5, wall_s=1.5))) == ("Budget()", "Budget(turns=5, wall_s=1.5)")
