"""Prices of models: read from settings, and what an answer costs by them."""

from understudy.models.prices import Price, PriceTable
from understudy.wire.events import Usage

TABLE = PriceTable("EUR", {"gpt-x": Price(2, 8.0, 0.5)})


def test_a_price_is_for_a_million_tokens() -> None:
    assert TABLE.cost("gpt-x", Usage(500_000, 250_000, 1)) == 3.0
    assert TABLE.cost("gpt-x", Usage(500_000, 250_000, 1, cached=400_000)) == 2.4


def test_the_provider_may_be_left_out() -> None:
    assert TABLE.cost("openai:gpt-x", Usage(1_000_000)) == 2.0
    assert TABLE.cost("openai:gpt-y", Usage(1_000_000)) is None
    table = PriceTable("EUR", {"x": Price(1, 1), "azure:x": Price(3, 3)})
    assert [table.cost(name, Usage(1_000_000)) for name in ("openai:x", "azure:x")] == [1.0, 3.0]


def test_costs_add_up_and_an_unknown_cost_stays_unknown() -> None:
    assert (Usage(1, 1, 1, 0.5) + Usage(1, 1, 1) + Usage(1, 1, 1, 0.25)).cost == 0.75
    assert Usage() + Usage() == Usage()


def test_tokens_put_into_the_cache_have_their_own_price() -> None:
    table = PriceTable("EUR", {"c": Price(2, 8, 0.5, 2.5)})
    assert table.cost("c", Usage(1_000_000, 0, 1, cached=400_000, cache_written=200_000)) == 0.2 + 0.5 + 0.8
    assert Usage(1, cache_written=2) + Usage(1, cache_written=3) == Usage(2, cache_written=5)
