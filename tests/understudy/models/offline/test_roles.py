"""The columns that a request mentions, before and after "by", and the aggregate that it names."""

import pytest

from understudy.models.offline.roles import Roles, aggregate_in, find_roles

COLUMNS = ("date", "region", "net_sales", "sales")


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("outliers in net sales", Roles(("net_sales",))),
        ("join them by region", Roles((), ("region",))),
        ("trend of sales per month", Roles(("sales",), ("date",), "month")),
        ("monthly sales", Roles(("sales",), ("date",), "month")),
        ("regions and sales", Roles(("region", "sales"))),
        ("hello", Roles()),
    ],
)
def test_columns_are_found_in_their_roles(text: str, roles: Roles) -> None:
    assert find_roles(text, COLUMNS) == roles


@pytest.mark.parametrize(("words", "name"), [(("total",), "sum"), (("mean",), "avg"), (("sales",), None)])
def test_aggregates_have_several_names(words: tuple[str, ...], name: str | None) -> None:
    assert aggregate_in(words) == name
