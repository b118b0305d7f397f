"""Requests for figures by group, and for rows, are read by the names of a table's columns."""

import pytest

from understudy.models.offline.breakdown import Breakdown, conditions, described, read_breakdown

ORDERS = ("order_id", "date", "region", "product", "customer_id", "units", "revenue", "cost")
TICKETS = ("Opened", "Team", "Priority", "Agent", "Hours to close", "Reopened")


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("Where do we earn the most?", ORDERS, Breakdown("region", "revenue")),
        ("Compare regions by revenue", ORDERS, Breakdown("region", "revenue")),
        ("Which product sells worst?", ORDERS, Breakdown("product", "revenue")),
        ("Which customers are the most important?", ORDERS, Breakdown("customer_id")),
        ("How many orders were above 1000?", ORDERS, Breakdown(counts=True)),
        ("Which team takes longest to close tickets?", TICKETS, Breakdown("Team", "Hours to close")),
        ("How often are tickets reopened?", TICKETS, Breakdown("Reopened", counts=True)),
        ("What do we sell most of?", ORDERS, Breakdown("product", "revenue")),
        ("Total revenue for each customer product", ORDERS, Breakdown("product", "revenue")),
        ("Who closes tickets fastest?", TICKETS, Breakdown("Agent", "Hours to close")),
    ],
)
def test_figures_by_group_are_read(text: str, columns: tuple[str, ...], expected: Breakdown) -> None:
    assert read_breakdown(text, columns) == expected


@pytest.mark.parametrize("text", ["hello", "Is there a trend?", "Show me everything", "thanks, that is the most", ""])
def test_other_requests_ask_for_no_groups(text: str) -> None:
    assert read_breakdown(text, ORDERS) is None


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("What share of revenue comes from the West?", ORDERS, "West"),
        ("Show me the orders of customer C07", ORDERS, "customer_id = C07"),
        ("How many orders had a revenue over 1,000?", ORDERS, "revenue > 1000"),
        ("How does May compare with June?", ORDERS, ""),
        ("Show the rows where region = “new york”", ORDERS, "region = new york"),
    ],
)
def test_conditions_are_read(text: str, columns: tuple[str, ...], expected: str) -> None:
    assert conditions(text, columns) == expected


def test_a_plain_word_before_a_column_describes_rows_that_are_to_be_shown() -> None:
    assert described("Show high priority tickets of the Network team", TICKETS) == "Priority = high and Team = Network"
    assert described("The high priority of tickets", TICKETS) == ""
