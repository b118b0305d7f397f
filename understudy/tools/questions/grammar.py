"""Finds the queries that a question may mean. Each form of a question is a pattern over the kinds of its elements."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Any, Final

from attrs import evolve, frozen

from understudy.tools.questions.conditions import Conditions, Divided
from understudy.tools.questions.lexer import MAX_READINGS, Element, Lexer, periods_of
from understudy.tools.questions.query import GroupKey, Measure, TableQuery
from understudy.tools.questions.schema import KnownColumn, Schema, forms, has_unit, is_in_units, key_of, plain, same
from understudy.tools.questions.vocabulary import (
    ARTICLES,
    COSTS,
    DEALS,
    DIRECTIONS,
    DOERS,
    EXTENTS,
    LASTING,
    OUTLAYS,
    PERSONS,
    RANKS,
    TOTALLED,
    WORTH,
)

MAX_QUERIES: Final = 12
"""Readings of one question that are told apart."""
_SIGNS: Final = {
    "aggregate": "a",
    "much": "H",
    "most": "m",
    "dated": "l",
    "top": "t",
    "first": "f",
    "number": "n",
    "by": "b",
    "unit": "u",
    "rhythm": "y",
    "rows": "r",
    "distinct": "x",
    "share": "s",
    "growth": "g",
    "compare": "k",
    "chart": "K",
    "show": "L",
    "descending": "d",
    "sorted": "o",
    "and": "&",
    "comma": "&",
    "or": "|",
    "to": ">",
    "between": "z",
    "date": "e",
    "from": "",
}
# What groups, and groups after “by”.
_GROUP: Final = "(?:u[D]?|x?[CDcB])"
_PER: Final = frozenset(
    {"per", "each", "every", "for each", "for every", "je", "pro", "jede", "jeder", "jeden", "jedes"}
)
_BY: Final = re.compile(f"b{_GROUP}(?:&b?{_GROUP})*")
_X: Final = "(?P<group>uD?|[CD])"
_FOR_ROWS: Final = re.compile(
    r"(?i)\W*(?:what(?:['\u2019]s| is| are) (?:in|on|at|from|out)|what (?:did|do|does)|do we have|is there|are there"
    r"|any|show|list|find|was (?:ist|gibt es) (?:in|im|aus)|gibt es|zeige?)\b"
)
_FOR_FIGURE: Final = re.compile(r"(?i)\W*(?:what(?:['\u2019]s| is| was| were)|how much|wie viel|was war(?:en)?)\b")
"""Beginnings of questions for rows, or for a figure, that name neither: what is in Bath? What was the rent in May?"""
_RANKED: Final = tuple(
    map(
        re.compile,
        (
            f"[tm]{_X}b(?P<figure>[am]?c)",  # top products by total units
            f"{_X}[mt](?P<figure>a?c)",  # product with the highest total units
            f"m(?P<figure>a?c){_X}",  # the highest price product
            f"{_X}(?P<figure>a?c)m",  # who scored the most
            f"m(?P<figure>ac)b{_X}",  # highest total units by product
        ),
    )
)
"""Ranks of groups by a figure."""


@frozen
class _Shape:
    """The rest of a reading as one sign for each element."""

    signs: str
    elements: tuple[Element, ...]

    def has_before(self, signs: str, later: str) -> bool:
        """Return whether one of these signs stands before a later one."""
        return not set(signs).isdisjoint(self.signs[: max(self.signs.rfind(later), 0)])

    def without(self, *places: int) -> "_Shape":
        kept = [each for each in range(len(self.signs)) if each not in places]
        return _Shape("".join(self.signs[each] for each in kept), tuple(self.elements[each] for each in kept))

    def all(self, sign: str) -> list[Element]:
        return [element for each, element in zip(self.signs, self.elements, strict=True) if each == sign]


def queries_of(text: str, schema: Schema, *, bare: bool = False) -> list[TableQuery]:
    """Return the different queries that a text may mean, each if all of its words have a part in it.

    `bare`: conditions alone may mean the rows that meet them, or the only money of these: what was the rent in May?

    Empty also if it may be read in too many ways to know them all.
    """
    found: dict[tuple[str, str, str | None], TableQuery] = {}
    lexer = Lexer(text, schema)
    alone = ("rows" if _FOR_ROWS.match(text) else "figure" if _FOR_FIGURE.match(text) else "") if bare else ""
    readings = list(lexer.readings())
    if len(readings) > MAX_READINGS:
        return []
    for reading in readings:
        if any(each.kind == "unknown" for each in reading) or _contradicts(reading, lexer) or _ends_in_verb(reading):
            continue
        worth = any(each.kind == "filler" and plain(each.text) in WORTH for each in reading)
        if worth and any(not WORTH.isdisjoint(each.key) for each in schema.fields):
            continue
        for divided in Conditions(reading, schema).divided():
            for query in _Forms(divided, schema, alone=alone).queries():
                if worth and (
                    query.form == "rows" or any(each.field and each.field.is_quantity for each in query.measures)
                ):
                    continue
                found.setdefault((query.sql, query.said, query.chart), query)
                if len(found) >= MAX_QUERIES:
                    return list(found.values())
    # What a unique column has is what the rows have, and more: employees, of employees.csv, and the longest flight.
    whole = [(each.where, each.ranked, each.descending, each.limit) for each in found.values() if each.form == "rows"]
    return [
        each
        for each in found.values()
        if not (
            ((each.form == "values" and len(each.fields) == 1) or (each.form == "list" and each.ranked is not None))
            and each.fields[0].unique
            and (each.where, each.ranked, each.descending, each.limit) in whole
        )
    ]


def _contradicts(reading: Sequence[Element], lexer: Lexer) -> bool:
    """Whether a value is read as one of another column than the words beside it say: “origin north”, read as a region,
    or “to Rome”, as an origin; or of the column that is asked for: “Zoe's manager”, read as those whom Zoe manages."""
    for before, second in pairwise([each for each in reading if plain(each.text) not in ARTICLES]):
        against = DIRECTIONS.get(plain(before.text).rpartition(" ")[2], frozenset())
        per = plain(before.text) in _PER
        if second.kind == "value" and (per or not against.isdisjoint(second.value[0].key)):
            return True
        if per and second.kind == "column" and second.value.kind == "number" and not second.value.is_identifier:
            return True  # calories per serving are no calories of those with the same number of servings
    for first, between, last in zip(reading, reading[1:], reading[2:], strict=False):
        owner, owned = (first, last) if plain(between.text) == "s" else (last, first)
        owns = plain(between.text) in ("s", "of", "von") and owner.kind == "value" and owned.kind == "column"
        if owns and owner.value[0].name == owned.value.name:
            return True
    agents = [each.value for each in reading if each.kind == "who" and isinstance(each.value, KnownColumn)]
    if any(each.kind == "value" and each.value[0] in agents for each in reading):
        return True  # who manages Ann is no manager called Ann
    elements = [each for each in reading if each.kind not in ("filler", "is")]
    for first, second in pairwise(elements):
        for column, value in ((first, second), (second, first)):
            beside = column.kind == "column" and value.kind == "value"
            if beside and column.value.name != value.value[0].name and column.value.name in lexer.fields_of(value):
                return True
    return False


def _ends_in_verb(reading: Sequence[Element]) -> bool:
    """Whether a value at the end is what somebody did: how many tickets did Acme open are not the open ones."""
    if not any(each.kind == "filler" and plain(each.text) in ("do", "does", "did") for each in reading):
        return False
    last = [each for each in reading if each.kind not in ("filler", "is")][-2:]
    return [each.kind for each in last] == ["value", "value"] and last[0].end == last[1].start


class _Forms:
    """The forms of questions, tried on one reading without its conditions."""

    def __init__(self, divided: Divided, schema: Schema, *, alone: str) -> None:
        self._divided, self._schema = divided, schema
        self._alone = alone if divided.where else ""

    def queries(self) -> Iterator[TableQuery]:
        """Yield the queries that the reading has."""
        for shape in self._shapes():
            yield from self._read(shape)

    def _shapes(self) -> Iterator[_Shape]:
        """Yield the rest as signs; an adjective such as “cheapest” stands for a superlative and its column."""
        expanded: list[tuple[str, Element]] = []
        counted: list[tuple[str, Element]] = []
        sign: str | None
        for element, after in zip_longest(self._divided.rest, self._divided.rest[1:]):
            if element.kind == "column":
                if element.value.names_rows(key_of(element.text)):
                    return
                sign = {"number": "c", "date": "D", "boolean": "B"}.get(element.value.kind, "C")
                if plain(element.text) in TOTALLED and not any(each in "amt" for each, _ in expanded[-1:]):
                    expanded.append(("a", evolve(element, kind="aggregate", value="sum")))
                expanded.append((sign, element))
            elif element.kind == "aggregate" and element.value == "count":
                expanded.append(("h", element))
            elif element.kind == "adjective":
                way, column = element.value
                expanded.append(("m", Element("most", way, element.start, element.end, element.text)))
                expanded.append(("c", Element("column", column, element.start, element.end, element.text)))
            elif element.kind == "extent":  # the longest reply time is the highest
                if after is None or after.kind != "column" or not _extends(after.value):
                    return
                expanded.append(("m", evolve(element, kind="most")))
            elif element.kind == "common":  # the most common genre has the most rows
                expanded.append(("m", evolve(element, kind="most")))
                counted.append(("r", evolve(element, kind="rows")))
            elif element.kind == "who" and isinstance(element.value, KnownColumn):
                expanded.append(("C", evolve(element, kind="column")))
            elif element.kind == "who":
                terms = [term for each in self._divided.where for term in each]
                named = self._schema.people
                if not named and any(each.op == "missing" and each.field.acts for each in terms):
                    named = tuple(each for each in self._schema.of_kind("text") if each.names_served)
                people = [each for each in self._schema.of_kind("text") if each.is_of_people]
                if not named and len(people) == 1 and people[0].core[-1] in DOERS:
                    named = tuple(people)
                said = [each.value for each in self._divided.rest if each.kind == "column"]
                if element.value == "is" and any(each.kind == "text" for each in said):
                    continue  # who is the manager of Ann
                if expanded and expanded[-1][0] == "r" and expanded[-1][1].end == element.start:
                    continue  # members who joined in May
                leads = after is not None and after.kind == "column" and after.start == element.end
                if leads and after.value.is_of_people and after.value.kind == "text":
                    continue  # who leads the project
                counts = [key_of(each.text) for each in self._divided.rest if each.kind == "rows"]
                if len(named) != 1 or any(same(key, named[0].core) for key in counts):
                    return  # who has the most tickets is no ticket
                if named[0] not in said:
                    expanded.append(("C", Element("column", named[0], element.start, element.end, element.text)))
            elif (sign := _SIGNS.get(element.kind)) is None:
                return
            elif sign:
                expanded.append((sign, element))
        expanded += counted
        shape = _Shape("".join(sign for sign, _ in expanded), tuple(element for _, element in expanded))
        yield shape
        # Each row is one of what a unique column names: the average salary of employees is that of all rows.
        rows = [
            n
            for n, (sign, element) in enumerate(expanded)
            if sign == "r" or (sign == "C" and element.value.unique and shape.signs[n - 1 : n] != "b")
        ]
        if len(rows) == 1 and shape.has_before("aH", "c") and not re.search("[tmlh]", shape.signs):
            yield shape.without(*rows)
        elif re.fullmatch("Cmcr", shape.signs) and not forms(plain(shape.elements[3].text)).isdisjoint(PERSONS):
            yield shape.without(3)  # who is the oldest member
        elif re.fullmatch("L?Cr", shape.signs) and next(each.value for each in shape.all("C")).unique:
            yield shape.without(len(shape.signs) - 1)  # the names of employees
        elif len(rows) == 1 and "s" in shape.signs and "c" not in shape.signs:
            yield _Shape(shape.signs.replace("C", "r"), shape.elements)

    def _read(self, shape: _Shape) -> Iterator[TableQuery]:
        charts, orders, listing = shape.all("K"), shape.all("d"), bool(shape.all("L"))
        if len(charts) > 2 or len(orders) > 1:
            return
        kinds: set[str] = {each.value for each in charts if each.value}
        if len(kinds) > 1:
            return
        chart: str | None = next(iter(kinds), "") if charts else None
        shape = shape.without(*(n for n, sign in enumerate(shape.signs) if sign in "KdL"))
        if (by := re.search("o[cCDB]$", shape.signs)) is not None:  # sorted by quantity
            column, rows = shape.elements[-1].value, shape.without(by.start(), by.start() + 1)
            for query in self._unranked(rows, (), charted=False):
                if query.form == "values" and query.fields[0].unique:
                    query = evolve(query, form="rows", fields=())
                if query.form == "rows" and query.limit is None and chart is None and self._divided.having is None:
                    yield evolve(query, ranked=column, descending=bool(orders) and orders[0].value)
            return
        if re.fullmatch("kCba?c", shape.signs):  # compare teams by average salary
            shape = _Shape(
                f"{shape.signs[3:]}b{shape.signs[1]}", (*shape.elements[3:], shape.elements[2], shape.elements[1])
            )
        if re.fullmatch("kba?c|a?cbk", shape.signs):  # compare north and south by units
            shape = shape.without(shape.signs.index("b"))
        for query in self._ranked(shape):
            if not orders and self._divided.having is None and chart is None:
                yield query
        per = any(plain(each.text) in _PER for each in shape.all("b"))
        for groups, rest in self._grouped(shape):
            if listing and re.fullmatch("c(?:&c)*", rest.signs) and not groups and self._divided.having is None:
                yield self._query("list", fields=tuple(each.value for each in rest.all("c")))  # as “list prices” says
                continue
            for query in self._unranked(rest, groups, charted=chart is not None):
                if per and any(each.field.kind == "date" for each in groups) and _is_mean_of_sums(query):
                    # Of days with a row each it is the average of all; else of what each day adds up to.
                    if len(groups) == 1 and groups[0].unit in ("", "day") and groups[0].field.unique:
                        yield evolve(query, groups=())
                    continue
                query = evolve(query, having=self._divided.having)
                if query.having is not None and not query.groups:
                    continue
                if orders:
                    if not (query.form == "figures" and query.groups):
                        continue
                    query = evolve(query, descending=orders[0].value)
                if chart is not None:
                    if query.form != "figures" or len(query.groups) != 1 or len(query.measures) != 1:
                        continue
                    if query.groups[0].field.expression:
                        continue
                    if query.having is not None or query.measures[0].aggregate == "distinct":
                        continue
                    query = evolve(query, chart=chart)
                yield query

    # what is measured

    def _default(self, field: KnownColumn) -> str:
        return "mean" if field.is_averaged else "sum"

    def _query(self, form: str, **more: Any) -> TableQuery:
        return TableQuery(form, where=self._divided.where, **more)

    def _group(self, sign: str, element: Element, dated: Element | None = None) -> list[GroupKey]:
        """Return what a column or a unit of time groups by; a unit has the only column of dates, or each."""
        if sign == "u":
            dates = (dated.value,) if dated is not None else self._schema.of_kind("date")
            return [GroupKey(each, element.value) for each in dates]
        return [GroupKey(element.value)]

    def _groups_in(self, shape: _Shape) -> Iterator[tuple[GroupKey, ...]]:
        """Yield the groups that a stretch of units and columns means."""
        found: list[list[GroupKey]] = []
        place = 0
        while place < len(shape.signs):
            sign = shape.signs[place]
            if sign == "u":
                dated = shape.elements[place + 1] if shape.signs[place + 1 : place + 2] == "D" else None
                found.append(self._group(sign, shape.elements[place], dated))
                place += dated is not None
            elif sign in "CDcB":
                field = shape.elements[place].value
                if sign == "c" and field.unique and not {"year", "jahr"} & set(field.key):
                    return  # budget against actual: each row would be a group
                found.append(self._group(sign, shape.elements[place]))
            place += 1
        combined: list[tuple[GroupKey, ...]] = [()]
        for options in found:
            combined = [(*before, each) for before in combined for each in options]
        yield from combined

    def _grouped(self, shape: _Shape) -> Iterator[tuple[tuple[GroupKey, ...], _Shape]]:
        """Yield the groups of a shape, with the rest of it."""
        rhythms = shape.all("y")
        if shape.has_before("am", "y"):
            return  # the average of monthly sales is no average by month
        shape = shape.without(*(n for n, sign in enumerate(shape.signs) if sign == "y"))
        matches = list(_BY.finditer(shape.signs))
        if len(matches) > 1 or len(rhythms) > 1 or ("b" in _BY.sub("", shape.signs)):
            return
        places = [n for match in matches for n in range(*match.span())]
        stretch = shape.without(*(n for n in range(len(shape.signs)) if n not in places))
        rest = shape.without(*places)
        if rest.signs.startswith("&") or rest.signs.endswith("&"):
            rest = rest.without(*(n for n in (0, len(rest.signs) - 1) if rest.signs[n] == "&"))
        for groups in self._groups_in(stretch) if places else [()]:
            for rhythm in self._group("u", rhythms[0]) if rhythms else [None]:
                yield ((*groups, rhythm) if rhythm is not None else groups), rest

    def _measures(self, signs: str, elements: Sequence[Element]) -> list[Measure] | None:
        """Return the figures of a stretch such as “total sales and average price”; None if one has no meaning."""
        found: list[Measure] = []
        pending: list[str] = []
        last = None
        for sign, element in zip(signs, elements, strict=True):
            if sign in "am":
                pending.append(element.value)
                last = None
            elif sign == "c":
                if element.value.numbers_rows or element.value.is_number_of(key_of(element.text)):
                    return None
                how = pending or [last or self._default(element.value)]
                found += [Measure(each, element.value) for each in how]
                last, pending = how[-1] if len(how) == 1 else None, []
        return found if found and not pending else None

    # forms without a rank

    def _unranked(self, shape: _Shape, groups: tuple[GroupKey, ...], *, charted: bool) -> Iterator[TableQuery]:
        signs = shape.signs
        if "k" in signs:
            shape = shape.without(*(n for n, sign in enumerate(signs) if sign == "k"))
            signs = shape.signs
            groups = groups or tuple(map(GroupKey, self._compared()[:1]))
            if not groups:
                return
        if self._divided.apart and not groups:
            groups = tuple(map(GroupKey, self._divided.listed[:1]))
        if signs == "huc" and has_unit(shape.elements[2].value, plain(shape.elements[1].text)):
            shape = shape.without(1)  # how many days was Ann absent, of absent_days
        elif re.fullmatch("[hH]a?ca", signs) and shape.elements[-1].value == "sum":
            shape = shape.without(len(signs) - 1)  # how many points in total
        signs = shape.signs
        # Rows by a number may be meant in its order.
        grouped = groups and not any(each.field.kind == "number" for each in groups)
        if signs in ("h", "hr", "rh", "Hr") or (signs == "r" and grouped):
            yield self._query("figures", measures=(Measure("count"),), groups=groups)
            if signs == "h":  # how many pears: rows of them, or what their quantities add up to
                for each in self._schema.of_kind("number"):
                    if each.is_quantity:
                        yield self._query("figures", measures=(Measure("sum", each),), groups=groups)
        elif re.fullmatch("h?x?h?[CD]|hx[cB]|xh?[cB]", signs) and "h" in signs:
            field = next(each.value for each in shape.elements if each.kind == "column")
            if not any(each.field == field for each in groups):
                yield self._query("figures", measures=(Measure("distinct", field),), groups=groups)
        elif signs == "hc" and shape.elements[0].text.lower().startswith("count"):
            yield self._query("figures", measures=(Measure("count"),), groups=groups)
            yield self._query("figures", measures=(Measure("sum", shape.elements[1].value),), groups=groups)
        elif signs == "Hac":  # how much did Ann spend
            yield from self._aggregated(shape.without(0), groups)
        elif signs in ("hc", "Hc"):
            field = shape.elements[1].value
            if signs == "hc" and (field.is_identifier or (field.counts_rows and not field.is_quantity)):
                yield self._query("figures", measures=(Measure("distinct", field),), groups=groups)
            elif not field.is_averaged and (signs == "Hc" or field.is_whole or field.is_span):
                yield self._query("figures", measures=(Measure("sum", field),), groups=groups)
            elif signs == "Hc":
                yield from self._plain(field, groups)
        elif re.fullmatch(r"(?:[am]&?)*c(?:&(?:[am]&?)*c)*", signs) and signs[0] in "am":
            yield from self._aggregated(shape, groups)
        elif signs in ("ca", "cm"):
            yield from self._aggregated(_Shape(signs[::-1], shape.elements[::-1]), groups)
        elif signs == "c" and shape.elements[0].value.is_number_of(key_of(shape.elements[0].text)):
            if grouped:
                yield self._query("figures", measures=(Measure("distinct", shape.elements[0].value),), groups=groups)
            elif not groups and self._divided.having is None:
                yield self._query("values", fields=(shape.elements[0].value,))
        elif re.fullmatch("c(?:&c)*", signs) and groups:
            measures = self._measures(signs, shape.elements)
            if measures is not None and not any(each.field == m.field for each in groups for m in measures):
                yield self._query("figures", measures=tuple(measures), groups=groups)
                spans = [each.field for each in measures if each.field is not None and each.field.is_span]
                if spans and len(measures) == 1:
                    yield self._query("figures", measures=(Measure("mean", spans[0]),), groups=groups)
        elif signs in ("", "H") and self._alone == "figure" and len(money := self._money()) == 1:
            yield from self._plain(money[0], groups)
        elif signs == "a" and len(money := self._money()) == 1:
            yield self._query("figures", measures=(Measure(shape.elements[0].value, money[0]),), groups=groups)
        elif signs == "c" and not charted:
            yield from self._plain(shape.elements[0].value, groups)
        elif (signs == "r" or (not signs and self._alone == "rows")) and not groups and self._divided.having is None:
            yield self._query("rows")
        elif signs == "fnr" and not groups:
            number = shape.elements[1].value.value
            if isinstance(number, int) and 0 < number <= 1000:
                yield self._query("rows", limit=number * shape.elements[0].value)
        elif re.fullmatch("x?[CDB]|xc", signs) and not groups and self._divided.having is None:
            yield self._query("values", fields=(shape.elements[-1].value,))
        elif re.fullmatch("x?[CDu]", signs) and not groups and self._divided.having is not None:
            for found in self._groups_in(shape):
                yield self._query("figures", measures=(self._divided.having.measure,), groups=found)
        elif re.fullmatch("[CDcB](?:&[CDcB])+", signs) and not groups and set(signs) & set("CD"):
            fields = tuple(each.value for each in shape.elements if each.kind == "column")
            yield self._query("list", fields=fields)
        elif re.fullmatch("(?:sa?c|sr|s|a?cs|sC|sD)", signs):
            yield from self._shares(shape, groups)
        elif re.fullmatch(r"H?g?a?cg?(?:e[>&]e|ze&e)|(?:ze&e|e[>&]e)g?a?cg?", signs) and "g" in signs:
            yield from self._grown(shape, groups)

    def _money(self) -> list[KnownColumn]:
        """Return the columns of numbers that are measured, if each is of whole amounts of money; else none."""
        numbers = [each for each in self._schema.of_kind("number") if not (each.is_identifier or each.counts_rows)]
        return numbers if all(each.is_money and each.is_amount for each in numbers) else []

    def _compared(self) -> list[KnownColumn]:
        """Return the columns of which several values are named."""
        return [
            term.field for terms in self._divided.where for term in terms if term.op == "in" and len(term.values) > 1
        ]

    def _plain(self, field: KnownColumn, groups: tuple[GroupKey, ...]) -> Iterator[TableQuery]:
        """A column without a word for a figure: a total, an average or a list. Which, only its data may decide."""
        for how in ("mean",) if field.is_averaged else ("sum",) if field.is_quantity else ("sum", "mean"):
            yield self._query("figures", measures=(Measure(how, field),), groups=groups)
        if not groups and not field.is_quantity:
            yield self._query("list", fields=(field,))

    def _aggregated(self, shape: _Shape, groups: tuple[GroupKey, ...]) -> Iterator[TableQuery]:
        measures = self._measures(shape.signs, shape.elements)
        if measures is None or any(each.field == m.field for each in groups for m in measures):
            return
        extreme = len(measures) == 1 and measures[0].aggregate in ("min", "max")
        if extreme and any(word in RANKS for each in measures if each.field for word in each.field.key):
            return  # the highest position is the first
        if extreme and not groups and shape.signs == "mc":
            # With the row that has it.
            descending = measures[0].aggregate == "max"
            yield self._query("rows", ranked=measures[0].field, descending=descending, limit=1)
            return
        yield self._query("figures", measures=tuple(measures), groups=groups)
        listed = [each for each in self._divided.listed if not any(group.field == each for group in groups)]
        if listed and not groups and any(each.aggregate not in ("sum", "count") for each in measures):
            yield self._query("figures", measures=tuple(measures), groups=(GroupKey(listed[0]),))

    def _shares(self, shape: _Shape, groups: tuple[GroupKey, ...]) -> Iterator[TableQuery]:
        if "a" in shape.signs and shape.all("a")[0].value != "sum":
            return
        fields = [each.value for each in shape.all("c")]
        if re.search("[CD]", shape.signs):
            return
        terms = [term for each in self._divided.where for term in each]
        if fields and fields[0].is_averaged:
            return
        measures = [Measure("sum", fields[0])] if fields else [Measure("count")]
        if not fields and "r" not in shape.signs:
            # A share of what is not said.
            summed = [each for each in self._schema.of_kind("number") if not (each.is_averaged or each.is_identifier)]
            measures += [Measure("sum", each) for each in summed if not each.counts_rows or each.is_quantity]
        for measure in measures:
            if groups:
                yield self._query("share", measures=(measure,), groups=groups)
            elif len(terms) == 1:
                yield self._query("share", measures=(measure,))

    def _grown(self, shape: _Shape, groups: tuple[GroupKey, ...]) -> Iterator[TableQuery]:
        field = next(each.value for each in shape.elements if each.kind == "column")
        how = [each.value for each in shape.all("a")]
        measure = Measure(how[0] if how else self._default(field), field)
        first, second = (each.value for each in shape.all("e"))
        if groups:
            return
        for dated in self._schema.of_kind("date"):
            for before, after in periods_of((first, second), dated.years):
                yield self._query("growth", measures=(measure,), pair=(before, after), dated=dated)

    # forms with a rank

    def _ranked(self, shape: _Shape) -> Iterator[TableQuery]:
        """Yield the queries of forms with a superlative, a top or a bottom."""
        signs = shape.signs
        if not re.search("[tml]|CDf", signs):
            return
        numbers, ways = shape.all("n"), [each for sign in "tmlf" for each in shape.all(sign)]
        if len(numbers) > 1 or len(ways) != 1:
            return
        limit = numbers[0].value.value if numbers else 1
        if not isinstance(limit, int) or not 1 <= limit <= 1000 or (numbers and numbers[0].value.unit):
            return
        rank = {"descending": ways[0].value == "max", "limit": limit}
        if re.search("mca$", signs) and shape.elements[-1].value == "sum":  # the highest units in total
            order = [*range(len(signs) - 2), len(signs) - 1, len(signs) - 2]
            shape = _Shape("".join(signs[n] for n in order), tuple(shape.elements[n] for n in order))
            signs = shape.signs
        bare = shape.without(*(n for n, sign in enumerate(signs) if sign == "n"))
        if "n" in signs and not re.search("(?:[tml]n|n[tml]|^n[uCDr][tml])", signs):
            return
        signs = bare.signs
        columns = [each.value for each in bare.elements if each.kind == "column"]
        judged = re.match("best|worst|schlecht", plain(ways[0].text))
        if self._is_of_pieces(bare, ways[0]):
            return
        named = [(each.value, key_of(each.text)) for each in bare.elements if each.kind == "column"]
        if any(column.numbers_rows or column.is_number_of(key) for column, key in named):
            match = re.fullmatch(f"{_X}mc", signs)  # the largest order is none of the latest, but some have most orders
            for groups in self._groups_in(_cut(bare, match.span("group"))) if match and not columns[-1].unique else ():
                yield self._query("figures", measures=(Measure("distinct", columns[-1]),), groups=groups, **rank)
            return
        if any(word in (RANKS | COSTS if judged else RANKS) for each in columns for word in each.key):
            return  # the best price may be the lowest, and the first rank the highest
        if re.fullmatch("[tm]rb?c", signs) or re.fullmatch("r[m]c|rb?c[m]", signs) or re.fullmatch("[tm]c", signs):
            if numbers or signs != "mc":
                yield self._query("rows", ranked=columns[-1], **rank)
        elif re.fullmatch("l(?:D|r|rb?D)", signs) or re.fullmatch("[tm]rb?D|mD", signs):
            said = " ".join(plain(each.text) for each in bare.elements)
            aged = re.match("oldest|altest", said) and any(form in PERSONS for w in said.split() for form in forms(w))
            if re.match("letzte.* (?:zeile|eintrag|datensatz)", said):
                return  # by its date, or by its place
            aging = re.match("oldest|newest|latest|most recent|earliest|altest|neuest", said)
            for field in columns or (*self._schema.of_kind("date"), *(self._schema.begun if aging else ())):
                if aged and not any(word.startswith(("birth", "born", "geb")) for word in field.key):
                    continue
                yield self._query("rows", ranked=field, **rank)
        elif re.fullmatch("CDf|CmD", signs) and bare.elements[0].value.unique:  # who was hired first
            if signs == "CDf":
                rank["descending"] = ways[0].value < 0
            yield self._query("list", fields=tuple(columns), ranked=columns[1], **rank)
        elif re.fullmatch("[tm]cr", signs):
            if signs == "tcr" and not numbers and plain(bare.elements[2].text).endswith("s"):
                return  # the top rated movies are several
            yield self._query("rows", ranked=columns[0], **rank)
        elif match := next((found for each in _RANKED if (found := each.fullmatch(signs))), None):
            figure = _cut(bare, match.span("figure"))
            *_, last = figure.elements
            noun, said = last.value.core[-1], plain(last.text)
            several = said != noun and noun in forms(said)  # the most delays, of delay_min
            counted = (said in OUTLAYS or several) and last.text not in last.value.key
            of = {"alone": last.start == ways[0].start, "counted": counted and ways[0].start < last.start}
            yield from self._best(_cut(bare, match.span("group")), figure, rank, **of)
        elif match := re.fullmatch("(?:[tm](uD?|[CD])b?h?r?|(uD?|[CD])mh?r)", signs):
            if not re.search("[hr]", signs):
                return
            for groups in self._groups_in(_cut(bare, match.span(1 if match[1] else 2))):
                yield self._query("figures", measures=(Measure("count"),), groups=groups, **rank)
        elif match := re.fullmatch(f"{_X}m(?:h?x?[CD]|hxc)", signs):
            counted = bare.elements[-1].value
            for groups in self._groups_in(_cut(bare, match.span("group"))):
                if groups[0].field == counted:
                    continue
                yield self._query("figures", measures=(Measure("distinct", counted),), groups=groups, **rank)
                if not set("hx") & set(signs):
                    yield self._query("figures", measures=(Measure("count"),), groups=groups, **rank)

    def _is_of_pieces(self, shape: _Shape, way: Element) -> bool:
        """Whether an adjective means the price of what was paid for in whole, by a column that may be of a part of it:
        the most expensive booking is not that of the dearest night."""
        said = [word for each in shape.elements if each.kind in ("rows", "column") for word in key_of(each.text)]
        deal = any(form in DEALS for word in said for form in forms(word))
        amounts = [each for each in self._schema.of_kind("number") if each.is_money or each.is_quantity]
        prices = [each.value for each in shape.all("c") if each.start == way.start]
        return deal and any(not each.is_amount or any(other != each for other in amounts) for each in prices)

    def _best(
        self, group: _Shape, figure: _Shape, rank: dict[str, Any], *, alone: bool, counted: bool
    ) -> Iterator[TableQuery]:
        """Yield what the best groups may be: by their figure, or those of the best rows; `alone`: the latter first.
        `counted`: or those of most rows."""
        field = figure.elements[-1].value
        how = figure.elements[0].value if len(figure.signs) > 1 else None
        for groups in self._groups_in(group):
            if groups[0].field == field:
                continue
            if how is None and groups[0].field.unique and not groups[0].unit:
                yield self._query("list", fields=(groups[0].field, field), ranked=field, **rank)
                continue
            extreme = "max" if rank["descending"] else "min"
            total = ("sum",) if not field.is_averaged else ("mean",) if groups[0].unit else ()
            # The most expensive device is one, and no sum of costs: that only must not name another.
            usual = [extreme, *dict.fromkeys((*total, "mean"))] if alone else [*total, extreme]
            if counted:
                yield self._query("figures", measures=(Measure("count"),), groups=groups, **rank)
            for each in [how] if how is not None else usual:
                yield self._query("figures", measures=(Measure(each, field),), groups=groups, **rank)


def _extends(column: KnownColumn) -> bool:
    """Whether the numbers of a column are times or lengths, by its name."""
    return column.kind == "number" and (column.is_span or is_in_units(column, EXTENTS) or column.core[-1] in LASTING)


def _is_mean_of_sums(query: TableQuery) -> bool:
    """Whether a query averages what could be added up."""
    return any(each.aggregate == "mean" and each.field and not each.field.is_averaged for each in query.measures)


def _cut(shape: _Shape, span: tuple[int, int]) -> _Shape:
    return _Shape(shape.signs[slice(*span)], shape.elements[slice(*span)])
