"""Questions about a table become SQL that gives the right rows in the real database."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from understudy.models.offline.questions import aggregate_in, sql_for

COLUMNS = ("date", "region", "sales", 'odd "name"')
ROWS = [
    ("2026-01-05", "north", 10, 1),
    ("2026-01-20", "south", 30, 2),
    ("2026-02-05", "north", 50, 3),
]


@pytest.fixture
def database(tmp_path: Path) -> Any:
    """A database with the table `data`."""
    with duckdb.connect(":memory:") as connection:
        connection.execute('CREATE TABLE data (date VARCHAR, region VARCHAR, sales INTEGER, "odd ""name""" INTEGER)')
        connection.executemany("INSERT INTO data VALUES (?, ?, ?, ?)", ROWS)
        yield connection


@pytest.mark.parametrize(
    ("question", "rows"),
    [
        ("How many rows are there?", [(3,)]),
        ("count the records", [(3,)]),
        ("number of rows by region", [("north", 2), ("south", 1)]),
        ("total sales by region", [("north", 60.0), ("south", 30.0)]),
        ("sales by region", [("north", 60.0), ("south", 30.0)]),
        ("average sales per month", [("2026-01", 20.0), ("2026-02", 50.0)]),
        ("total sales by year", [("2026", 90.0)]),
        ("total sales by quarter", [("2026-01-01", 90.0)]),
        ("maximum sales", [(50,)]),
        ("what is the sum of sales", [(90.0,)]),
        ("median of sales", [(30.0,)]),
        ("which region has the highest sales?", [("north", 60.0)]),
        ("which region has the lowest total sales?", [("south", 30.0)]),
        ("top 1 regions by sales", [("north", 60.0)]),
        ("how many regions are there?", [(2,)]),
        ("list the distinct regions", [("north",), ("south",)]),
        ("count sales by region", [("north", 2), ("south", 1)]),
        ("show the first 2 rows", ROWS[:2]),
        ('average odd "name"', [(2.0,)]),
    ],
)
def test_a_question_gets_its_rows(database: Any, question: str, rows: list[Any]) -> None:
    """The query runs, and returns the expected rows."""
    query = sql_for(question, COLUMNS)
    assert query is not None
    assert database.execute(query).fetchall() == rows


@pytest.mark.parametrize("question", ["hello", "what is love?", "sales", "total of everything", "by region", ""])
def test_a_question_that_is_not_simple_gets_no_query(question: str) -> None:
    assert sql_for(question, COLUMNS) is None


def test_a_column_is_quoted() -> None:
    query = sql_for("total x by region", ('x"; DROP TABLE data; --', "region"))
    assert query is None or '"x""; DROP' in query


@pytest.mark.parametrize(("words", "name"), [(("total",), "sum"), (("mean",), "avg"), (("sales",), None)])
def test_aggregates_have_several_names(words: tuple[str, ...], name: str | None) -> None:
    assert aggregate_in(words) == name
