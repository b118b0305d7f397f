"""Prices of models: read from settings, and what an answer costs by them."""

import pytest

from transport.wire.events import Usage
from understudy.models.prices import Price, PriceTable, read_prices

TABLE = {"currency": "EUR", "prices": {"gpt-x": {"input": 2, "output": 8.0, "cached_input": 0.5}}}


def test_a_price_is_for_a_million_tokens() -> None:
    table, faults = read_prices(TABLE)
    assert (table, faults) == (PriceTable("EUR", {"gpt-x": Price(2, 8.0, 0.5)}), [])
    assert table.cost("gpt-x", Usage(500_000, 250_000, 1)) == 3.0
    assert table.cost("gpt-x", Usage(500_000, 250_000, 1, cached=400_000)) == 2.4


def test_the_provider_may_be_left_out() -> None:
    table, _ = read_prices(TABLE)
    assert table.cost("openai:gpt-x", Usage(1_000_000)) == 2.0
    assert table.cost("openai:gpt-y", Usage(1_000_000)) is None


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (7, "models must be a table: [understudy.models]"),
        ({"price": {}}, "unknown setting models.price"),
        ({"currency": 1}, "models.currency must be a text"),
        ({"prices": {"a": 1}}, 'models.prices."a" must be a table with input and output'),
        ({"prices": {"a": {"input": 1}}}, 'models.prices."a" needs output'),
        (
            {"prices": {"a": {"input": -1, "output": 1}}},
            'models.prices."a".input must be a number, at least 0, but is -1',
        ),
        ({"prices": {"a": {"input": 1, "output": 1, "in": 1}}}, 'models.prices."a" has an unknown member in'),
    ],
)
def test_a_faulty_table_is_a_sentence(given: object, fault: str) -> None:
    assert read_prices(given)[1] == [fault]


def test_costs_add_up_and_an_unknown_cost_stays_unknown() -> None:
    assert (Usage(1, 1, 1, 0.5) + Usage(1, 1, 1) + Usage(1, 1, 1, 0.25)).cost == 0.75
    assert Usage() + Usage() == Usage()


def test_cached_input_has_its_own_price() -> None:
    table, _ = read_prices(TABLE)
    assert table.cost("gpt-x", Usage(1_000_000, 0, 1, cached=500_000)) == 1.25


def test_what_is_put_into_the_cache_has_its_own_price() -> None:
    table, _ = read_prices({"prices": {"c": {"input": 2, "output": 8, "cached_input": 0.5, "cache_write": 2.5}}})
    assert table.cost("c", Usage(1_000_000, 0, 1, cached=400_000, cache_written=200_000)) == 0.2 + 0.5 + 0.8
    assert Usage(1, cache_written=2) + Usage(1, cache_written=3) == Usage(2, cache_written=5)
