"""`compare_scenarios`, and the arithmetic of cash flows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.extensions.liaisons.finance import (
    compare_scenarios,
    internal_rate,
    payback,
    present_value,
    return_on_investment,
)
from understudy.tools import ToolError


def test_present_value_leaves_the_first_flow_alone() -> None:
    assert present_value([-100, 110], 0.10) == pytest.approx(0)
    assert present_value([-1000, 400, 500, 600], 0.08) == pytest.approx(
        -1000 + 400 / 1.08 + 500 / 1.08**2 + 600 / 1.08**3
    )


@pytest.mark.parametrize(
    ("flows", "periods"),
    [
        *[([-1000, 400, 500, 600], 2 + 100 / 600), ([-100, 0, 0, 200], 2.5), ([0, -100, 200], 1.5)],
        *[([-100, 100], 1), ([-100, 50, 50], 2), ([-100, 50], None), ([100, 50], None)],
    ],
)
def test_payback(flows: list[float], periods: float | None) -> None:
    assert payback(flows) == (None if periods is None else pytest.approx(periods))


def test_return_on_investment() -> None:
    assert return_on_investment([-1000, 400, 500, 600]) == pytest.approx(0.5)
    assert return_on_investment([-100, -100, 100]) == pytest.approx(-0.5)
    assert return_on_investment([100, 100]) is None


@pytest.mark.parametrize(
    ("flows", "why"), [([100, 100], "same sign"), ([-100, 230, -132], "more than once"), ([-1, 1e6], "above 10,000 %")]
)
def test_no_internal_rate_without_a_reason(flows: list[float], why: str) -> None:
    rate, reason = internal_rate(flows)
    assert rate is None
    assert why in reason


@given(st.lists(st.floats(-1e6, -1), min_size=1, max_size=4), st.lists(st.floats(1, 1e6), min_size=1, max_size=12))
def test_the_internal_rate_makes_the_present_value_nothing(outlays: list[float], returns: list[float]) -> None:
    flows = [*outlays, *returns]
    rate, _ = internal_rate(flows)
    if rate is not None:
        size = sum(abs(flow) / (1 + rate) ** t for t, flow in enumerate(flows))
        assert abs(present_value(flows, rate)) <= 1e-9 * size


def test_scenarios_side_by_side() -> None:
    result = compare_scenarios(["Build: -1000, 400, 500, 600", "Buy: -700, 300, 300, 300"], 8)
    assert result.value["ranking"] == ["Build", "Buy"]
    build = result.value["scenarios"][0]
    assert build["flows"] == [-1000, 400, 500, 600]
    assert (build["npv"], build["roi_percent"], build["payback_periods"]) == (275.34, 50.0, 2.1667)
    assert build["discounted_payback_periods"] == pytest.approx(2.4219)
    assert build["irr_percent"] == pytest.approx(21.6478)
    assert result.summary == (
        "Build has the highest net present value, 275.34 at 8 % a period; next is Buy with 73.13."
    )


@pytest.mark.parametrize(
    ("scenarios", "rate", "message"),
    [
        ([], 8, "no plan"),
        (["  "], 8, "no plan"),
        (["-100, 110"], 8, "needs a name .* as in Build: -1000"),
        (["a: 1"], 8, "“a” needs two"),
        (["a: -1, 2"], -100, "between -99"),
        (["a: -1, 2"], float("nan"), "between -99"),
        (["a: -1, inf"], 8, "“ inf” of “a” is not an amount"),
        (["a: -1,000, 400"], 8, "1000 for 1,000"),
        (["a: -700,300,300"], 8, "write a space after it"),
        (["a: -1000; 400"], 8, "needs two"),
        (["a: -1, , 2"], 8, "not an amount"),
        (["a: " + "1, " * 600 + "1"], 8, "more than 600"),
        (["a: -1" + ", 1000000000000000" * 599], -99, "more than can be calculated"),
        (["a: -1, 2"] * 2, 8, "“a” occurs twice"),
        ([f"{n}: -1, 2" for n in range(21)], 8, "21 lines, and at most 20"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(scenarios: list[str], rate: float, message: str) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        compare_scenarios(scenarios, rate)
    assert caught.value.code == "invalid_arguments"
