"""`compare_scenarios`, `sensitivity_analysis`, `break_even`, and the arithmetic of cash flows."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.tools import ToolContext, ToolError
from understudy.tools.finance import (
    break_even,
    compare_scenarios,
    internal_rate,
    payback,
    present_value,
    return_on_investment,
    sensitivity_analysis,
)


def test_present_value_leaves_the_first_flow_alone() -> None:
    """The flow of time 0 is not discounted: -100 now and 110 in a year at 10 % have the value 0."""
    assert present_value([-100, 110], 0.10) == pytest.approx(0)
    assert present_value([-1000, 400, 500, 600], 0.08) == pytest.approx(
        -1000 + 400 / 1.08 + 500 / 1.08**2 + 600 / 1.08**3
    )


@pytest.mark.parametrize(
    ("flows", "periods"),
    [
        ([-1000, 400, 500, 600], 2 + 100 / 600),
        ([-100, 100], 1),
        ([-100, 50, 50], 2),
        ([-100, 50], None),
        ([100, 50], None),
        ([-100, 0, 0, 200], 2.5),
        ([0, -100, 200], 1.5),
    ],
)
def test_payback(flows: list[float], periods: float | None) -> None:
    """Flows are spread evenly over their period; an unrecovered outlay has no payback."""
    assert payback(flows) == (None if periods is None else pytest.approx(periods))


def test_return_on_investment() -> None:
    """The result is gain over outlay, or None without an outlay."""
    assert return_on_investment([-1000, 400, 500, 600]) == pytest.approx(0.5)
    assert return_on_investment([-100, -100, 100]) == pytest.approx(-0.5)
    assert return_on_investment([100, 100]) is None


@pytest.mark.parametrize(
    ("flows", "why"),
    [([100, 100], "same sign"), ([-100, 230, -132], "more than once"), ([-1, 1e6], "above 10,000 %")],
)
def test_no_internal_rate_without_a_reason(flows: list[float], why: str) -> None:
    """A missing rate has a reason."""
    rate, reason = internal_rate(flows)
    assert rate is None
    assert why in reason


@given(st.lists(st.floats(-1e6, -1), min_size=1, max_size=4), st.lists(st.floats(1, 1e6), min_size=1, max_size=12))
def test_the_internal_rate_makes_the_present_value_nothing(outlays: list[float], returns: list[float]) -> None:
    """At the rate, the present value of outlays followed by returns is zero."""
    flows = [*outlays, *returns]
    rate, _ = internal_rate(flows)
    if rate is not None:
        size = sum(abs(flow) / (1 + rate) ** t for t, flow in enumerate(flows))
        assert abs(present_value(flows, rate)) <= 1e-9 * size


def test_scenarios_side_by_side() -> None:
    """Scenarios are ranked by present value, and the summary has the difference."""
    result = compare_scenarios({"Build": [-1000, 400, 500, 600], "Buy": [-700, 300, 300, 300]}, 8)
    assert result.value["ranking"] == ["Build", "Buy"]
    build = result.value["scenarios"][0]
    assert (build["npv"], build["roi_percent"], build["payback_periods"]) == (275.34, 50.0, 2.1667)
    assert build["discounted_payback_periods"] == pytest.approx(2.4219)
    assert build["irr_percent"] == pytest.approx(21.6478)
    assert result.summary == (
        "Build has the highest net present value, 275.34 at 8 % a period; next is Buy with 73.13."
    )


@pytest.mark.parametrize(
    ("scenarios", "rate", "message"),
    [
        ({}, 8, "no scenario"),
        ({"a": [1.0]}, 8, "“a” needs two"),
        ({"a": [-1.0, 2.0]}, -100, "between -99"),
        ({"a": [-1.0, 2.0]}, float("nan"), "between -99"),
        ({"a": [-1.0, float("inf")]}, 8, "not a number"),
        ({"a": [1.0] * 601}, 8, "more than 600"),
        ({"a": [-1.0] + [1e15] * 599}, -99, "more than can be calculated"),
        ({str(n): [-1.0, 2.0] for n in range(21)}, 8, "At most 20"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(scenarios: dict[str, list[float]], rate: float, message: str) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        compare_scenarios(scenarios, rate)
    assert caught.value.code == "invalid_arguments"


async def test_sensitivity_names_the_case_that_matters_most(attach: Callable[..., ToolContext]) -> None:
    arguments = {"scenarios": {"Build": [-1000.0, 400.0, 500.0, 600.0]}, "rate_percent": 8.0}
    result = await sensitivity_analysis.call(arguments, attach())
    cases = {row["case"]: row for row in result.value["cases"]}
    assert cases["returns 10 % lower"]["change"] == pytest.approx(-cases["returns 10 % higher"]["change"])
    assert cases["outlays 10 % higher"]["change"] == -100
    assert cases["returns a period late"]["npv"] == pytest.approx((275.34 + 1000) / 1.08 - 1000, abs=0.1)
    assert result.value["spare"][0]["returns_may_fall_percent"] == pytest.approx(100 * 275.34 / 1275.34, abs=0.01)
    assert "Build stays worth it until returns fall by 21.6 %" in result.summary


async def test_the_break_even_point(attach: Callable[..., ToolContext]) -> None:
    given = {"fixed_costs": 50_000.0, "price": 25.0, "variable_cost": 15.0, "units": 6_000.0}
    result = await break_even.call(given, attach())
    assert (result.value["units"], result.value["revenue"]) == (5_000, 125_000)
    assert result.value["planned_profit"] == 10_000
    assert result.value["safety_percent"] == pytest.approx(16.6667)
    assert [row["profit"] for row in result.value["profit_by_units"]] == [-25_000, -10_000, 0, 10_000, 25_000]
    with pytest.raises(ToolError, match="no break-even point"):
        await break_even.call({**given, "price": 15.0}, attach())
    with pytest.raises(ToolError, match="units must be between"):
        await break_even.call({**given, "units": -1.0}, attach())
