"""Recognizes columns whose numbers are in several units, such as euros and dollars, so that they have no sum."""

from collections.abc import Mapping
from typing import Final

from analyst.duckdb_session import Column, Table
from analyst.refusal import Refusal

_MONEY: Final = frozenset(
    "amount price cost revenue sales sale total value fee salary budget spent paid income expense balance turnover "  # noqa: SIM905 (words read better as words)
    "betrag preis kosten umsatz gehalt wert summe gebuhr".split()
)
_MEASURED: Final = frozenset("value amount quantity qty reading result level wert menge ergebnis messwert".split())  # noqa: SIM905
_UNITS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("currency", "curr", "wahrung", "waehrung"), _MONEY),
    **dict.fromkeys(("unit", "uom", "einheit"), _MEASURED),
}
"""Names of columns with the unit of each row, and the words in the names of columns that have such a unit."""


def mixed_unit(table: Table, measure: Column) -> Column | None:
    """Return the column with the unit of each number in `measure`, if it has several units; else None."""
    for column in table.columns:
        measured_words = next((words for name, words in _UNITS.items() if column.words == {name}), frozenset())
        if column.kind != "text" or measured_words.isdisjoint(measure.words):
            continue
        if table.rows(f"SELECT count(DISTINCT {column.quoted}) FROM data")[0][0] > 1:
            return column
    return None


def check_units(table: Table, measure: Column, by: Column) -> bool:
    """Return whether the numbers of a column are in one unit, so that values by group add up to a total.

    Raises `Refusal` ``query_failed`` if they are in several units and not grouped by these.
    """
    column = mixed_unit(table, measure)
    if column is not None and column.name != by.name:
        name, unit = measure.name[:60], column.name[:60]
        raise Refusal("query_failed", f"“{name}” has more than one {unit}; group it by {unit}, or choose one by SQL.")
    return column is None
