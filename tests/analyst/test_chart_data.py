"""The points of a chart, and what has none."""

from pathlib import Path
from typing import Any

import pytest

from analyst.chart_data import Points, collect
from analyst.duckdb_session import open_table
from analyst.refusal import Refusal

ORDERS = "ordered,region,Total Amount,age\n" + "".join(
    f"2024-{month:02}-{day:02},{'NSEW'[day % 4]},{day * month}.5,{day}\n"
    for month in range(1, 13)
    for day in range(1, 29)
)


def chart(folder: Path, content: str, *, x: str, y: str | None = None, **how: Any) -> Points:
    """Return the points of a table with this content. `how`: the aggregate and the kind."""
    path = folder / "given"
    path.write_text(content)
    return collect(open_table("a.csv", path, folder), x, y, how.get("aggregate"), how.get("kind"))


SMALL = "day,place,n\n2024-01-05,a,1\n2024-01-20,b,2\n2024-03-01,a,4\n2025-03-01,,8\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"x": "month", "y": "n"},
            [(f"{month}-01T00:00:00Z", n) for month, n in (("2024-01", 3), ("2024-03", 4), ("2025-03", 8))],
        ),
        ({"x": "quarter", "y": "n", "kind": "bar"}, [("2024-Q1", 7), ("2025-Q1", 8)]),
        ({"x": "year", "y": "n", "kind": "pie", "aggregate": "mean"}, [("2024", 2.33333333333), ("2025", 8)]),
        ({"x": "week", "kind": "bar"}, [("2024-W01", 1), ("2024-W03", 1), ("2024-W09", 1), ("2025-W09", 1)]),
        (
            {"x": "by month of day", "y": "n", "aggregate": "max", "kind": "bar"},
            [("2024-01", 2), ("2024-03", 4), ("2025-03", 8)],
        ),
        ({"x": "place", "y": "n"}, [("(empty)", 8), ("a", 5), ("b", 2)]),
        ({"x": "PLACE"}, [("a", 2), ("(empty)", 1), ("b", 1)]),
        ({"x": "place", "y": "place"}, [("a", 2), ("b", 1), ("(empty)", 0)]),
        ({"x": "n"}, [(1, 1), (2, 1), (4, 1), (8, 1)]),
        ({"x": "n", "y": "n"}, [(1, 1), (2, 2), (4, 4), (8, 8)]),
    ],
)
def test_points(tmp_path: Path, arguments: dict[str, Any], expected: list[object]) -> None:
    """Values are summed by default, rows counted without a measure, and dates grouped by steps of time."""
    assert chart(tmp_path, SMALL, **arguments).rows == expected


def test_periods_as_text_stand_in_their_order(tmp_path: Path) -> None:
    content = "month,n\n2026-03,2\n2026-01,1\n2026-02,3\n"
    assert chart(tmp_path, content, x="month", y="n").rows == [("2026-01", 1), ("2026-02", 3), ("2026-03", 2)]
    pie = chart(tmp_path, content, x="month", y="n", kind="pie")
    assert pie.rows == [("2026-02", 3), ("2026-03", 2), ("2026-01", 1)]


def test_many_points_are_cut_and_said_to_be(tmp_path: Path) -> None:
    """Bars, slices and points are bounded, and notes name the omission."""
    content = "k,v,w\n" + "".join(f"k{n},{n},{n * 7 % 13}\n" for n in range(1_000))
    bars = chart(tmp_path, content, x="k", y="v")
    assert (len(bars.rows), bars.rows[0]) == (40, ("k999", 999))
    assert bars.notes == ("only the 40 largest of 1,000 are shown",)
    pie = chart(tmp_path, content, x="k", y="v", kind="pie")
    assert pie.rows[-1][0] == "(others)"
    assert sum(y for _, y in pie.rows) == sum(range(1_000))
    scatter = chart(tmp_path, content, x="v", y="w")
    assert len(scatter.rows) == 200
    assert scatter.notes == ("a sample of 200 of 1,000 points is shown",)
    assert scatter == chart(tmp_path, content, x="v", y="w")
    histogram = chart(tmp_path, content, x="v")
    assert sum(y for _, y in histogram.rows) == 1_000
    assert len(histogram.rows) <= 21


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "nope"}, "no column “nope”. The table has “ordered”"),
        ({"x": "region", "y": "nope"}, "no column “nope”"),
        ({"x": "region", "y": "region", "aggregate": "sum"}, "needs numbers"),
    ],
)
def test_invalid_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    """The error names the columns that there are."""
    with pytest.raises(Refusal) as caught:
        chart(tmp_path, ORDERS, **arguments)
    assert caught.value.code == "query_failed"
    assert message in caught.value.message


def test_nothing_to_draw(tmp_path: Path) -> None:
    """An empty table and a pie of negative amounts have no chart."""
    with pytest.raises(Refusal, match="nothing to draw"):
        chart(tmp_path, "a,b\n", x="a")
    with pytest.raises(Refusal, match="below zero"):
        chart(tmp_path, "a,b\nx,-1\ny,2\n", x="a", y="b", kind="pie")


def test_a_month_without_a_date_is_an_unknown_column(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no column “month”"):
        chart(tmp_path, "a,b\nx,1\n", x="month")
