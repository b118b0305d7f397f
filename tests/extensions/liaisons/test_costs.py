"""Savings: which cost lines to cut, of the user's own lines or of a sample."""

from typing import Any

import pytest

from understudy.extensions.liaisons.costs import largest_first, reduce_costs
from understudy.tools import ToolError

COSTS = ["Rent: 12,000", "Salaries: 48000", "", "Travel: 5000.00"]


def test_a_share_is_saved_in_proportion_and_largest_first() -> None:
    result = reduce_costs(35, COSTS)
    assert (result.value["total"], result.value["target"]) == (65_000, 22_750)
    assert [(row["line"], row["in_proportion"], row["largest_first"]) for row in result.value["lines"]] == [
        ("Salaries", 16_800, 22_750),
        ("Rent", 4_200, 0),
        ("Travel", 1_750, 0),
    ]
    assert (result.kind, result.value["sample"]) == ("analysis", False)
    assert result.summary.startswith("35 % of 65,000.00 is 22,750.00. Largest first, cut Salaries by 22,750.00")


def test_no_line_is_cut_by_more_than_the_limit() -> None:
    cuts = largest_first({"Rent": 12_000, "Salaries": 48_000, "Travel": 5_000}, 40_000, 0.5)
    assert cuts == {"Salaries": 24_000, "Rent": 6_000, "Travel": 2_500}


def test_a_target_out_of_reach_is_said() -> None:
    result = reduce_costs(80, COSTS)
    assert result.value["largest_first"]["reached"] is False
    assert "that saves 50 %, as no line is cut by more than 50 %" in result.summary


@pytest.mark.parametrize("costs", [None, [], [" "]])
def test_without_lines_the_figures_are_called_a_sample_first(costs: Any) -> None:
    result = reduce_costs(35, costs)
    assert result.value["sample"] is True
    assert [row["line"] for row in result.value["lines"]] == ["Salaries", "Rent", "Travel"]
    assert result.summary.startswith(
        "These are sample figures (Rent 12,000, Salaries 48,000, Travel 5,000); the form takes your own lines. 35 % of"
    )


def test_the_page_has_a_field_of_lines_for_costs() -> None:
    lines = reduce_costs.parameters["properties"]["costs"]
    assert {"type": "array", "items": {"type": "string"}} in lines["anyOf"]
    assert reduce_costs.parameters["required"] == ["percent"]


@pytest.mark.parametrize(
    ("percent", "costs", "limit", "sentence"),
    [
        (0, COSTS, 50, "percent must be above 0"),
        (101, COSTS, 50, "percent must be above 0"),
        (float("nan"), COSTS, 50, "percent must be above 0"),
        (5, COSTS, 0, "limit_percent must be above 0"),
        (5, ["Rent: -5"], 50, "“Rent” must be an amount above 0"),
        (5, ["Rent 12000"], 50, "“Rent 12000” needs a name .* as in Rent: 12000"),
        (5, ["Rent: 12000", "Rent: 5"], 50, "“Rent” occurs twice"),
        (5, ["Rent: 12000; Travel: 5000"], 50, "is not an amount"),
        (5, [f"{n}: 1" for n in range(101)], 50, "101 lines, and at most 100"),
    ],
)
def test_bad_lines_are_refused(percent: float, costs: list[str], limit: float, sentence: str) -> None:
    with pytest.raises(ToolError, match=sentence):
        reduce_costs(percent, costs, limit)
