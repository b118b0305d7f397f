"""Savings: which cost lines to cut, and what is asked for."""

from collections.abc import Callable

import pytest

from understudy.tools import ToolContext, ToolError
from understudy.tools.costs import largest_first, reduce_costs

COSTS = {"Rent": 12_000.0, "Salaries": 48_000.0, "Travel": 5_000.0}
Attach = Callable[..., ToolContext]


async def test_a_share_is_saved_in_proportion_and_largest_first(attach: Attach) -> None:
    result = await reduce_costs.call({"percent": 35.0, "costs": COSTS}, attach())
    assert (result.value["total"], result.value["target"]) == (65_000, 22_750)
    assert [(row["line"], row["in_proportion"], row["largest_first"]) for row in result.value["lines"]] == [
        ("Salaries", 16_800, 22_750),
        ("Rent", 4_200, 0),
        ("Travel", 1_750, 0),
    ]
    assert result.kind == "analysis"
    assert result.next_steps[0].message.startswith("Reduce costs by 17.5%: Rent: 12000; Salaries")


def test_no_line_is_cut_by_more_than_the_limit() -> None:
    cuts = largest_first(COSTS, 40_000, 0.5)
    assert cuts == {"Salaries": 24_000, "Rent": 6_000, "Travel": 2_500}


async def test_a_target_out_of_reach_is_said(attach: Attach) -> None:
    result = await reduce_costs.call({"percent": 80.0, "costs": COSTS}, attach())
    assert result.value["largest_first"]["reached"] is False
    assert "that saves 50 %, because no line is cut by more than 50 %" in result.summary


async def test_lines_come_from_an_attached_table(attach: Attach) -> None:
    table = "nr,kind,amount\n1,Rent,6000\n2,Rent,6000\n3,Travel,3000\n"
    result = await reduce_costs.call({"percent": 10.0, "file_id": "f"}, attach("costs.csv", table))
    assert [(row["line"], row["cost"]) for row in result.value["lines"]] == [("Rent", 12_000), ("Travel", 3_000)]
    with pytest.raises(ToolError, match="no list of costs"):
        await reduce_costs.call({"percent": 10.0, "file_id": "f"}, attach("x.csv", "a,b\nx,y\nz,y\n"))


@pytest.mark.parametrize(
    ("arguments", "asked"), [({"percent": 35.0}, "I need your cost lines"), ({"costs": COSTS}, "I need a share")]
)
async def test_what_is_missing_is_asked_for(attach: Attach, arguments: dict[str, object], asked: str) -> None:
    result = await reduce_costs.call(arguments, attach())
    assert asked in result.answer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"percent": 0.0, "costs": COSTS}, "above 0 and at most 100"),
        ({"percent": 5.0, "costs": {"Rent": -5.0}}, "“Rent” must be an amount above 0"),
        ({"percent": 5.0, "costs": COSTS, "limit_percent": 0.0}, "limit_percent"),
    ],
)
async def test_bad_amounts_are_refused(attach: Attach, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        await reduce_costs.call(arguments, attach())
