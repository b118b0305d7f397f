"""Whether the numbers of a column are in several units, such as euros and dollars, so that they have no sum."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from understudy.tools.duckdb_session import Column, Table
from understudy.tools.errors import ToolError
from understudy.tools.questions.schema import forms, key_of

_MONEY: Final = frozenset(
    "amount price cost revenue sales total value fee salary budget spent paid income expense balance turnover betrag "  # noqa: SIM905 (words read better as words)
    "preis kosten umsatz gehalt wert summe gebuhr".split()
)
_MEASURED: Final = frozenset("value amount quantity qty reading result level wert menge ergebnis messwert".split())  # noqa: SIM905
_UNITS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("currency", "curr", "wahrung", "waehrung"), _MONEY),
    **dict.fromkeys(("unit", "uom", "einheit"), _MEASURED),
}
"""Names of columns of which each row has its own unit, with words in the names of those that it is the unit of."""


def mixed_unit(
    table: Table, measure: str, by: Sequence[str] = (), where: str = "", parameters: Sequence[Any] = ()
) -> Column | None:
    """Return the column that says the unit of each number in `measure`, if the rows of an SQL condition have several.

    None if they have one, if there is no such column, or if it is one of those grouped `by`.
    """
    words = {form for word in key_of(measure) for form in forms(word)}
    for column in table.columns:
        unit_of = _UNITS.get(" ".join(key_of(column.name)), frozenset())
        if column.kind != "text" or column.name in by or words.isdisjoint(unit_of):
            continue
        counted = f"SELECT count(DISTINCT {column.quoted}) FROM data WHERE {where or 'TRUE'}"  # noqa: S608 (quoted)
        if table.rows(counted, parameters)[0][0] > 1:
            return column
    return None


def check_units(table: Table, measure: str, by: str, where: str = "", parameters: Sequence[Any] = ()) -> bool:
    """Return whether the numbers of these rows are in one unit, so that what is grouped `by` a column adds up.

    Raises `ToolError` ``query_failed`` if they are in several units and not grouped by these.
    """
    unit = mixed_unit(table, measure, (), where, parameters)
    if unit is not None and unit.name != by:
        one = unit.name[:60]
        raise ToolError("query_failed", f"“{measure[:60]}” has more than one {one}; group it by {one}, or choose one.")
    return unit is None
