"""The operator's prices of models, and what an answer costs by them. Pure."""

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen
from attrs.validators import ge, optional
from msgspec import UnsetType

from understudy.wire.events import Usage

MILLION: Final = 1_000_000


@frozen
class Price:
    """The price of one model, for a million tokens.

    `cached_input` is for input that the provider has in its cache, `cache_write` for input that it puts into its cache;
    both default to `input`.
    """

    input: float = field(validator=ge(0.0))
    output: float = field(validator=ge(0.0))
    cached_input: float | None = field(default=None, validator=optional(ge(0.0)))
    cache_write: float | None = field(default=None, validator=optional(ge(0.0)))


@frozen
class PriceTable:
    """Prices by the names of models, in one currency. A name may leave out its provider: `gpt-x` is `openai:gpt-x`."""

    currency: str = ""
    prices: Mapping[str, Price] = field(factory=dict)

    def price(self, model: str) -> Price | None:
        """Return the price of a model, None if the table has none."""
        return self.prices.get(model) or self.prices.get(model.partition(":")[2])

    def cost(self, model: str, usage: Usage) -> float | None:
        """Return the cost of an answer of a model; None if its price is unknown."""
        price = self.price(model)
        if price is None:
            return None
        cached = 0 if isinstance(usage.cached, UnsetType) else min(usage.cached, usage.input)
        written = 0 if isinstance(usage.cache_written, UnsetType) else min(usage.cache_written, usage.input - cached)
        cached_price = price.input if price.cached_input is None else price.cached_input
        written_price = price.input if price.cache_write is None else price.cache_write
        spent = (usage.input - cached - written) * price.input + usage.output * price.output
        spent += cached * cached_price + written * written_price
        return round(spent / MILLION, 10)
