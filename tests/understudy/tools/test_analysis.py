"""Main figures, groups, trends, outliers and joins of attached tables, in the confined process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from understudy.tools import StoredFile, ToolContext, ToolError, ToolResult
from understudy.tools.analysis import analyse_table, find_outliers, join_tables, table_trend
from understudy.tools.charts import chart_table
from understudy.tools.questions.tool import answer_question
from understudy.tools.tool import Tool

SALES = "id,date,region,product,revenue\n" + "".join(
    f"{n},2026-{1 + n // 10:02}-{1 + n % 10:02},{('north', 'south', 'east')[n % 3]},{('tea', 'salt')[n % 2]},{value}\n"
    for n, value in enumerate([100 + 2 * each for each in range(59)] + [9_000])
)
REGIONS = "Region,manager\nNorth,Ada\nsouth,Bob\nwest,Cy\n"
Attach = Callable[..., ToolContext]


async def run(attach: Attach, tool: Tool, content: str = SALES, **arguments: Any) -> ToolResult:
    return await tool.call({"file_id": "f", **arguments}, attach("sales.csv", content))


async def test_an_overview_names_the_largest_groups_the_trend_and_odd_values(attach: Attach) -> None:
    result = await run(attach, analyse_table)
    assert result.kind == "analysis"
    assert result.value["measure"] == "revenue"
    assert "sales.csv: 60 rows" in result.summary
    assert "by region, east has the largest total revenue" in result.summary
    assert "1 unusual value in revenue" in result.summary
    assert {row["column"] for row in result.value["groups"]} == {"region", "product"}
    labels = {each.label: each.message for each in result.next_steps}
    assert labels["Rows of east"] == "Show the rows of sales.csv where region = “east”"
    assert labels["Outliers in revenue"] == "Find outliers in revenue of sales.csv"


async def test_a_trend_has_its_slope_and_best_period(attach: Attach) -> None:
    result = await run(attach, table_trend, period="month", measure="revenue")
    assert result.value["best"]["period"] == "2026-06"
    assert [row["month"] for row in result.value["periods"]] == [f"2026-0{month}" for month in range(1, 7)]
    assert result.value["periods"][1]["change_percent"] == pytest.approx(100 * 200 / 1090, abs=0.1)
    assert result.summary.startswith("Total revenue went from 1,090 in 2026-01 to 10,872")
    chosen = await run(attach, table_trend)
    assert chosen.value["period"] == "week"
    assert result.next_steps[0].message == "Chart total revenue by month from sales.csv"


GIFTS = "day,donor,amount,currency\n" + "".join(
    f"2026-0{month}-0{day},{'AB'[day % 2]},{day * month},{'EUR' if day % 2 else 'USD'}\n"
    for month in (1, 2, 3)
    for day in range(1, 7)
)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (table_trend, {"measure": "amount"}),
        (chart_table, {"x": "donor", "y": "amount"}),
        (chart_table, {"x": "month", "y": "amount", "aggregate": "max"}),
    ],
)
async def test_amounts_of_several_currencies_are_not_put_together(
    attach: Attach, tool: Tool, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ToolError, match="“amount” has more than one currency; group it by currency, or choose one"):
        await tool.call({"file_id": "f", **arguments}, attach("gifts.csv", GIFTS))


async def test_amounts_of_one_currency_are_added_up(attach: Attach) -> None:
    context = attach("gifts.csv", GIFTS)
    arguments = {"measure": "amount", "period": "month", "where": "currency = EUR"}
    trend = await table_trend.call({"file_id": "f", **arguments}, context)
    assert [row["total amount"] for row in trend.value["periods"]] == [9, 18, 27]
    chart = await chart_table.call({"file_id": "f", "x": "currency", "y": "amount"}, context)
    assert [(each["x"], each["y"]) for each in chart.value["points"]] == [("USD", 72), ("EUR", 54)]
    counted = await chart_table.call({"file_id": "f", "x": "donor", "y": "amount", "aggregate": "count"}, context)
    assert [each["y"] for each in counted.value["points"]] == [9, 9]
    overview = await analyse_table.call({"file_id": "f"}, context)
    assert "amount has more than one currency, so it is not added up" in overview.summary
    assert {row["number of rows"] for row in overview.value["groups"]} == {9}
    assert overview.next_steps[1].message == "Group total amount by currency in gifts.csv"


async def test_a_selection_has_conditions_and_values(attach: Attach) -> None:
    """A value alone is sought in all columns of texts; a comparison without a column is one of the likely measure."""
    found = await run(attach, table_trend, period="week", measure="revenue", where="East and tea")
    assert found.summary.endswith("only rows with East and tea.")
    above = await run(attach, table_trend, period="day", measure="revenue", aggregate="count", where="> 200")
    assert sum(row["number of rows"] for row in above.value["periods"]) == 9
    with pytest.raises(ToolError, match="written as column = value"):
        await run(attach, table_trend, where="region")


async def test_a_period_that_has_only_begun_is_no_decline(attach: Attach) -> None:
    days = [f"2026-{month:02}-{day:02}" for month in (1, 2, 3, 4) for day in (1, 15, 28)] + ["2026-05-02"]
    result = await run(attach, table_trend, "date,revenue\n" + "".join(f"{day},10\n" for day in days), period="month")
    assert result.summary.startswith("Total revenue went from 30 in 2026-01 to 30 in 2026-04 (+0 %)")
    assert "the last month is not over (data until 2026-05-02)" in result.summary


async def test_outliers_come_with_their_rows(attach: Attach) -> None:
    result = await run(attach, find_outliers)
    assert result.value["columns"][0] == "revenue"
    assert [row[0] for row in result.value["rows"]] == [9_000]
    assert result.kind == "drill_down"
    none = await run(attach, find_outliers, "a,b\n" + "1,2\n" * 20)
    assert none.summary.startswith("No outliers")


async def test_two_tables_are_joined_whatever_the_case(attach: Attach, tmp_path: Path) -> None:
    context = attach("sales.csv", SALES)
    path = tmp_path / "regions"
    path.write_text(REGIONS)
    both = {**context.files.files, "g": StoredFile("g", "regions.csv", "text/csv", 10, path)}  # type: ignore[attr-defined]
    context = evolve(context, files=type(context.files)(both, tmp_path))  # type: ignore[call-arg]
    rows = await join_tables.call({"file_id": "f", "other_id": "g"}, context)
    assert (rows.value["rows_joined"], rows.value["unmatched"], rows.value["other_unmatched"]) == (40, 20, 1)
    assert [each["name"] for each in rows.value["columns"]][-1] == "manager"
    grouped = await join_tables.call({"file_id": "f", "other_id": "g", "by": "manager", "measure": "revenue"}, context)
    assert {row["manager"] for row in grouped.value["groups"]} == {"Ada", "Bob"}
    with pytest.raises(ToolError, match="No column to join on"):
        await join_tables.call({"file_id": "f", "other_id": "g", "on": "product"}, context)
    with pytest.raises(ToolError, match="same file"):
        await join_tables.call({"file_id": "f", "other_id": "f"}, context)


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        (find_outliers, {"column": "region"}, "has no numbers"),
        (table_trend, {"period": "region"}, "has no dates"),
    ],
)
async def test_a_wrong_column_is_named(attach: Attach, tool: Tool, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        await run(attach, tool, **arguments)


async def test_names_and_values_of_columns_are_no_sql(attach: Attach) -> None:
    """A header and a value with quotes and braces are only names and values."""
    content = '"a""; DROP TABLE data; --",{0} {chosen}\nx\' OR 1=1,1\ny,2\nx\' OR 1=1,3\n'
    result = await run(attach, analyse_table, content)
    assert [row["rows"] for row in result.value["groups"]] == [2, 1]
    rows = await run(attach, answer_question, content, question='rows where "a; DROP TABLE data; --" = "x\' OR 1=1"')
    assert len(rows.value["rows"]) == 2


async def test_an_answer_says_how_a_column_was_read_where_that_was_open(attach: Attach) -> None:
    """In its figure, its rows, its chart, and in the question that is asked back."""
    content = "name;price;cost\na;1.234;12,50\nb;2.500;1,25\n"
    note = "“price” is read with a decimal comma, as other numbers: 1.234 is 1234."
    total = await run(attach, answer_question, content, question="total price")
    assert total.summary == f"Total price, 2 rows: 3,734. {note}"
    assert total.value["notes"] == [note]
    assert note in (await run(attach, answer_question, content, question="price by name")).summary
    assert note in (await run(attach, answer_question, content, question="chart price by name")).summary
    asked = await run(attach, answer_question, "name;price\na;1.234\nb;2.500\n", question="total price")
    assert asked.summary.endswith(
        "“price” is read as text: 1.234 may be 1234 or 1.234, and no other number decides it."
    )
