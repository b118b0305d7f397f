"""The columns of a table with the values that a question may name: the words that are a table's own."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from attrs import Factory, field, frozen

from understudy.tools.column_types import quote as quote_name
from understudy.tools.duckdb_session import Column, Table
from understudy.tools.questions.vocabulary import (
    ACTS,
    AVERAGED,
    BEGINNINGS,
    GENERIC,
    IDENTIFIERS,
    LASTING,
    LIMITS,
    NAMED_UNITS,
    NAMES,
    OUTLAYS,
    PARTICIPLES,
    PERSONS,
    QUANTITIES,
    ROLES,
    SERVED,
    SPANS,
    SPENT,
    STOCK,
    STORED,
    TEAMS,
    UNITS,
)

MAX_CHANCE: Final = 3
"""Rows of a table whose whole numbers may follow one another by chance."""
MAX_SHUFFLED: Final = 8
"""Rows of a table whose whole numbers, in any order, may be without a gap by chance."""
MAX_VALUES: Final = 2_000
"""Different values of a column that are known by their words; of a column with more only those that a question spells
out."""
Key = tuple[str, ...]
_PARTS: Final = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*|[€$£%]")
_CASES: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Words for a table that do not name its rows: “sales by month” are not counted.
_NO_ROWS: Final = frozenset(
    "sales sale revenue costs cost expenses spending data figures numbers results prices income budget table export "  # noqa: SIM905 (words read better as words)
    "umsatz umsatze kosten daten zahlen preise ausgaben einnahmen statistics stats weather stock traffic".split()
)
_TO: Final = frozenset({"to", "of", "in", "per", "for", "bis", "pro", "von", "at", "on"})
_ASIDE: Final = GENERIC | PARTICIPLES | UNITS
_YES: Final = frozenset({"yes", "y", "true", "ja", "j", "wahr"})
_NO: Final = frozenset({"no", "n", "false", "nein", "falsch"})


def plain(text: str) -> str:
    """Return a text in small letters, without accents."""
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in split if not unicodedata.combining(each))


def key_of(text: str) -> Key:
    """Return the words, numbers and signs of a text: ``unitPrice (€)`` is unit, price, €."""
    return tuple(plain(each) for each in _PARTS.findall(_CASES.sub(" ", text)))


@lru_cache(maxsize=8192)
def forms(word: str) -> frozenset[str]:
    """Return a word with its singular, in English and in German, where its ending may be that of a plural."""
    found = {word}
    if len(word) > 3 and word.isalpha():
        if word.endswith("ies"):
            found |= {word[:-3] + "y", word[:-1]}  # cities, movies
        elif word.endswith(("ses", "xes", "zes", "ches", "shes")):
            found |= {word[:-2], word[:-1]}
        elif word.endswith("s") and not word.endswith("ss"):
            found.add(word[:-1])
        if len(word) > 5:
            found |= {word[: -len(end)] for end in ("en", "e", "n", "er") if word.endswith(end)}
    return frozenset(found)


@frozen
class KnownColumn:
    """A column: its name, its kind (number, date, boolean or text), its values by their words, as they are written in
    the table, and the years of its dates, or of texts that are all months of a year; whether its numbers are whole, no
    two of its values alike, its numbers one after the other, whether there are zeros in it, and cells without a value,
    and whether it has only 0 and 1. `expression`: it is made of other columns, by this SQL. `key` are the words of its
    name, `core` those that say what it is: price for ``unit_price_eur``, customer for ``customer_id``."""

    name: str
    kind: str
    values: Mapping[Key, tuple[str, ...]] = field(factory=dict, repr=False)
    years: tuple[int, ...] = ()
    is_whole: bool = False
    unique: bool = False
    counts_rows: bool = False
    has_zeros: bool = False
    has_gaps: bool = False
    is_flag: bool = False
    expression: str = ""
    key: Key = field(init=False, eq=False, repr=False, default=Factory(lambda self: key_of(self.name), takes_self=True))
    core: Key = field(init=False, eq=False, repr=False, default=Factory(lambda self: _core(self.key), takes_self=True))
    _alike: Mapping[tuple[int, str], list[Key]] = field(
        init=False, eq=False, repr=False, default=Factory(lambda self: _by_first_word(self.values), takes_self=True)
    )

    def spelled(self, key: Key) -> tuple[str, ...] | None:
        """Return the values of these words but for plurals, as they are written; None if there is none."""
        if (found := self.values.get(key)) is not None:
            return found
        near = {each for form in forms(key[0]) for each in self._alike.get((len(key), form), ()) if same(key, each)}
        return next((known for words, known in self.values.items() if words in near), None) if near else None

    @property
    def is_averaged(self) -> bool:
        """Whether a sum of its values has no meaning, by its name: a price, or what there is per head."""
        return "per" in self.key[1:-1] or any(form in AVERAGED for word in self.key for form in forms(word))

    @property
    def is_span(self) -> bool:
        """Whether its values are times, by its name, which are added up as often as they are averaged: hours."""
        return not self.is_averaged and any(word in SPANS for word in self.key)

    @property
    def is_identifier(self) -> bool:
        """Whether its values name rows, by its name."""
        return any(word in IDENTIFIERS for word in self.key)

    @property
    def numbers_rows(self) -> bool:
        """Whether its values are the numbers of what it is called, which do not measure it: the orders 5001 to 5004."""
        return self.counts_rows and not self.is_identifier and not self.is_quantity

    @property
    def names_people(self) -> bool:
        """Whether each row may be a person or a team of this name: it says so, and no two are alike."""
        said = any(form in PERSONS | TEAMS for word in self.key for form in forms(word))
        return said and self.unique and not self.is_identifier

    @property
    def is_of_people(self) -> bool:
        """Whether its values are people, by its name, also where they are repeated: the drivers of cars."""
        return self.names_people or self.names_served or not ROLES.isdisjoint(self.key)

    @property
    def names_repeated_people(self) -> bool:
        """Whether its values are people, of which one may stand in several rows, by its name: student."""
        return self.kind == "text" and not self.unique and self.core[0] in PERSONS and len(self.core) == 1

    @property
    def names_served(self) -> bool:
        """Whether its values are people whom a service is for, by its name: members, also where they are repeated."""
        return not self.is_identifier and any(form in SERVED for word in self.key for form in forms(word))

    @property
    def acts(self) -> bool:
        """Whether its dates say when the people whom a service is for did something, by its name: borrowed_on."""
        return self.kind == "date" and self.key[0] in ACTS

    @property
    def is_amount(self) -> bool:
        """Whether its values may be whole amounts, by its name: no price of one piece, and no number of pieces."""
        return QUANTITIES.isdisjoint(self.key) and {"unit", "per", "each", "einzelpreis", "stuckpreis"}.isdisjoint(
            self.key
        )

    @property
    def is_money(self) -> bool:
        """Whether its values are money, by the noun of its name: an amount, a cost or a price."""
        return self.core[-1] in SPENT.split()

    @property
    def is_quantity(self) -> bool:
        """Whether its values say how many, by its name."""
        return self.is_whole and not self.is_averaged and any(word in QUANTITIES for word in self.key)

    def is_number_of(self, key: Key) -> bool:
        """Whether some words that mean this column are not its name, but what its numbers are given to: an order, of
        ``order_id``, whose values are neither large nor small."""
        return self.kind == "number" and self.is_identifier and key != self.key

    def names_rows(self, key: Key) -> bool:
        """Whether some words that mean this column are not its name, but what each row is one of: an order, of
        ``order_id``, or the episodes, of their numbers in ``episode``."""
        if self.unique and len(self.key) > 1 and self.key[-1] in IDENTIFIERS:
            return not same(key, self.key)
        return self.counts_rows and not self.is_quantity and key != self.key

    @property
    def truths(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The values of a column of texts that say yes, and those that say no; None if it has others, or no yes."""
        if not 0 < len(self.values) <= len(_YES | _NO) or not all(
            len(key) == 1 and key[0] in _YES | _NO for key in self.values
        ):
            return None
        yes = tuple(each for (word,), spelled in self.values.items() if word in _YES for each in spelled)
        no = tuple(each for (word,), spelled in self.values.items() if word in _NO for each in spelled)
        return (yes, no) if yes else None

    @property
    def quoted(self) -> str:
        """The name as an SQL identifier, or the expression that it is made by."""
        return self.expression or quote_name(self.name)

    @property
    def selected(self) -> str:
        """What an SQL query selects to get it under its name."""
        return f"{self.expression} AS {quote_name(self.name)}" if self.expression else self.quoted

    def months_within(self, start: str, end: str) -> tuple[str, ...]:
        """Return its texts that are a month from one ISO date to before another."""
        found = [(f"{key[0]}-{key[1]}-01", spelled) for key, spelled in self.values.items() if self.years]
        return tuple(each for first, spelled in found if start <= first < end for each in spelled)


def has_unit(column: KnownColumn, word: str) -> bool:
    """Whether a word is a unit at the end of a column's name: minutes, of ``delay_min``."""
    return any(NAMED_UNITS.get(each, each) == NAMED_UNITS.get(word, word) for each in column.key[1:])


def is_in_units(column: KnownColumn, units: frozenset[str]) -> bool:
    """Whether the name of a column of numbers ends in one of these units."""
    return column.kind == "number" and NAMED_UNITS.get(column.key[-1], column.key[-1]) in units and len(column.key) > 1


def _core(key: Key) -> Key:
    words = list(key)
    for place, word in enumerate(words):
        if place and word in _TO:
            words = words[:place]
            break
    if words[-1] == "min" and words[-2:-1] and words[-2] in LASTING:
        words.pop()
    while len(words) > 1 and (words[-1] in _ASIDE or words[-1].isdigit()):
        words.pop()
    return tuple(words)


def _by_first_word(values: Iterable[Key]) -> dict[tuple[int, str], list[Key]]:
    """Return keys by their length and each form of their first word."""
    found: dict[tuple[int, str], list[Key]] = {}
    for key in values:
        for form in forms(key[0]):
            found.setdefault((len(key), form), []).append(key)
    return found


@frozen
class Schema:
    """The fields of a table, and the words that name its rows: employees, of employees.csv."""

    fields: tuple[KnownColumn, ...]
    nouns: frozenset[str] = frozenset()
    is_of_outlays: bool = False
    is_of_stock: bool = False

    def is_noun(self, word: str) -> bool:
        """Whether a word is a name for the rows: the file's, or of people if each row has a name of its own."""
        if word in self.nouns:
            return True
        people = not forms(word).isdisjoint(PERSONS)
        return people and any(each.unique and "name" in each.key for each in self.of_kind("text"))

    def likened(self, heads: str) -> KnownColumn | None:
        """Return the only column of numbers whose noun is one of some: the age, for older. None without one, or of
        several."""
        if heads == SPENT and (not self.is_of_outlays or any(not each.is_amount for each in self.of_kind("number"))):
            return None
        if heads == STOCK and not self.is_of_stock:
            return None
        nouns = heads.split()
        # The noun of a German compound is its end: Einzelpreis is a Preis.
        found = [
            each
            for each in self.of_kind("number")
            if not (heads == STOCK and not LIMITS.isdisjoint(each.key))
            if any(each.core[-1] == noun or (len(noun) > 5 and each.core[-1].endswith(noun)) for noun in nouns)
            or (each.core[-1].endswith("preis") and "preis" in nouns)
        ]
        return found[0] if len(found) == 1 else None

    @property
    def people(self) -> tuple[KnownColumn, ...]:
        """The columns of which each row may be a person or a team: of a first and a last name both together."""
        found = tuple(each for each in self.of_kind("text") if each.names_people)
        return tuple(each for each in found if each.expression) or found

    @property
    def begun(self) -> tuple[KnownColumn, ...]:
        """The columns of numbers that say when something began: the year in which a house was built."""
        return tuple(each for each in self.of_kind("number") if not BEGINNINGS.isdisjoint(each.key))

    def of_kind(self, *kinds: str) -> tuple[KnownColumn, ...]:
        """Return the fields of these kinds."""
        return tuple(each for each in self.fields if each.kind in kinds)


def read_schema(table: Table, name: str, question: str) -> Schema:
    """Return the schema of a table called `name`, with the values that a question may name."""
    asked = key_of(question)
    spelled = {" ".join(asked[a:b]) for a in range(len(asked)) for b in range(a + 1, min(len(asked), a + 6) + 1)}
    stem = re.sub(r"\.\w{1,8}$", "", name)
    nouns = {form for word in key_of(stem)[-1:] if len(word) > 3 and word not in _NO_ROWS for form in forms(word)}
    fields = []
    for column, expression in [*((each, "") for each in table.columns), *_whole_name(table)]:
        if column.kind == "nested":
            continue
        sql_name = expression or column.quoted
        zeros, span = (
            (f"count_if({sql_name} = 0)", f"max({sql_name}) - min({sql_name}) + 1")
            if column.kind == "number"
            else ("0", "0")
        )
        counted = f"SELECT count(DISTINCT {sql_name}), count({sql_name}), {zeros}, {span} FROM data"  # noqa: S608 (quoted)
        ((different, given, zero, spanned),) = table.rows(counted)
        unique = different == given == table.row_count
        counts = unique and column.is_whole and spanned == table.row_count > MAX_CHANCE
        if counts and table.row_count <= MAX_SHUFFLED:  # the rooms of four houses may be 2, 3, 4 and 5
            steps = f"SELECT DISTINCT {sql_name} - lag({sql_name}) OVER (ORDER BY rowid) AS step FROM data"  # noqa: S608
            counts = len(table.rows(f"FROM ({steps}) WHERE step IS NOT NULL")) == 1
        values: Mapping[Key, tuple[str, ...]] = {}
        years: tuple[int, ...] = ()
        if column.kind == "text":
            sql = f"SELECT DISTINCT {sql_name} FROM data WHERE {sql_name} IS NOT NULL"  # noqa: S608 (quoted)
            if different > MAX_VALUES:
                # Only those that the question spells out, in any case.
                listed = ", ".join(f"${n}" for n in range(1, len(spelled) + 1))
                bare = f"regexp_replace(lower({sql_name}), '[^\\pL\\pN]+', ' ', 'g')"
                sql += f" AND trim({bare}) IN ({listed})" if spelled else " LIMIT 0"
            rows = table.rows(sql, sorted(spelled) if different > MAX_VALUES else ())
            values = by_key(str(value) for (value,) in rows)
            years = _years_of(values)
        elif column.kind == "date":
            sql = f"SELECT DISTINCT year({sql_name}) FROM data WHERE isfinite({sql_name}) LIMIT 200"  # noqa: S608
            years = tuple(sorted(year for (year,) in table.rows(sql) if year is not None))
        gaps = given < table.row_count
        flag = column.is_whole and different == spanned == 2 and zero > 0
        fields.append(
            KnownColumn(
                column.name,
                column.kind,
                values,
                years,
                column.is_whole,
                unique,
                counts,
                zero > 0,
                gaps,
                flag,
                expression,
            )
        )
    # Students who stand in several rows are not these rows.
    people = {form for each in fields if each.names_repeated_people for form in forms(each.core[0])}
    nouns = {each for each in nouns if people.isdisjoint(forms(each))}
    said = {word for text in (stem, *(each.name for each in fields)) for word in key_of(text)}
    outlays, stock = not OUTLAYS.isdisjoint(key_of(stem)), not STORED.isdisjoint(said)
    return Schema(tuple(fields), frozenset(nouns), outlays, stock)


def _whole_name(table: Table) -> list[tuple[Column, str]]:
    """Return the column that a table has in two, and its expression: the name of people, of a first and a last one."""
    ends = [
        [each for each in table.columns if each.kind == "text" and "".join(key_of(each.name)) in end] for end in NAMES
    ]
    if any(len(each) != 1 for each in ends):
        return []
    (first,), (last,) = ends
    return [(Column(f"{first.name} {last.name}", first.type), f"concat_ws(' ', {first.quoted}, {last.quoted})")]


def _years_of(values: Iterable[Key]) -> tuple[int, ...]:
    """Return the years of texts that are all months of a year, such as 2026-03; empty if they are not."""
    months = [re.fullmatch(r"((?:19|20)\d\d) (?:0[1-9]|1[0-2])", " ".join(key)) for key in values]
    return tuple(sorted({int(each[1]) for each in months if each})) if all(months) else ()


def by_key(values: Iterable[str]) -> dict[Key, tuple[str, ...]]:
    """Return values by their words, each with all of its spellings."""
    found: dict[Key, tuple[str, ...]] = {}
    for each in values:
        if key := key_of(each):
            found[key] = (*found.get(key, ()), each)
    return found


def same(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two keys are the same words, but for plurals."""
    return len(words) == len(others) and all(map(_alike, words, others))


def _alike(one: str, other: str) -> bool:
    """Whether two words have a singular in common: not Verkäufe and Verkäufer, as a noun has one plural."""
    if one == other:
        return True
    shared = forms(one) & forms(other)
    return bool(shared & {one, other}) or any({one[len(s) :], other[len(s) :]} != {"e", "er"} for s in shared)
