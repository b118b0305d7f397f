"""Whether the numbers of a column are in several units, such as euros and dollars, so that they have no sum."""

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
"""Names of columns of which each row has its own unit, with words in the names of those that it is the unit of."""


def mixed_unit(table: Table, measure: Column) -> Column | None:
    """Return the column that says the unit of each number in `measure`, if there are several; else None."""
    for column in table.columns:
        unit_of = next((words for name, words in _UNITS.items() if column.words == {name}), frozenset())
        if column.kind != "text" or unit_of.isdisjoint(measure.words):
            continue
        if table.rows(f"SELECT count(DISTINCT {column.quoted}) FROM data")[0][0] > 1:
            return column
    return None


def check_units(table: Table, measure: Column, by: Column) -> bool:
    """Return whether the numbers of a column are in one unit, so that what is grouped `by` another adds up.

    Raises `Refusal` ``query_failed`` if they are in several units and not grouped by these.
    """
    unit = mixed_unit(table, measure)
    if unit is not None and unit.name != by.name:
        name, one = measure.name[:60], unit.name[:60]
        raise Refusal("query_failed", f"“{name}” has more than one {one}; group it by {one}, or choose one by SQL.")
    return unit is None
