"""The operator's prices of models, and what an answer costs by them. Pure."""

import math
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, fields, frozen
from msgspec import UnsetType

from transport.wire.events import Usage

MILLION: Final = 1_000_000


@frozen
class Price:
    """The price of one model, for a million tokens.

    `cached_input`, of input that the provider had cached, and `cache_write`, of input that it puts into its cache, are
    that of `input` unless given.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None


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


def read_prices(given: Any) -> tuple[PriceTable, list[str]]:
    """Read the table `models` of a settings file. Return it, and the faults as sentences.

    Its members are `currency` and `prices`, a table by model with `input`, `output` and maybe `cached_input` and
    `cache_write`.
    """
    faults: list[str] = []
    if not isinstance(given, dict):
        return PriceTable(), ["models must be a table: [understudy.models]"]
    faults += [f"unknown setting models.{name}" for name in given if name not in ("currency", "prices")]
    currency, rows = given.get("currency", ""), given.get("prices", {})
    if not isinstance(currency, str):
        faults.append("models.currency must be a text")
    if not isinstance(rows, dict):
        return PriceTable(), [*faults, 'models.prices must be a table by model: [understudy.models.prices."NAME"]']
    prices = {}
    known = [each.name for each in fields(Price)]
    for model, row in rows.items():
        name = f'models.prices."{model}"'
        if not isinstance(row, dict):
            faults.append(f"{name} must be a table with input and output")
            continue
        wrong = [f"{name} has an unknown member {each}" for each in row if each not in known]
        wrong += [f"{name} needs {each}" for each in ("input", "output") if each not in row]
        for each, value in row.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if each in known and not (number and value >= 0 and math.isfinite(value)):
                wrong.append(f"{name}.{each} must be a number, at least 0, but is {value!r}")
        if not wrong:
            prices[model] = Price(**row)
        faults += wrong
    return PriceTable(str(currency), prices), faults
