"""Finds the conditions in a reading of a question: which rows, and which groups, are meant."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from understudy.tools.questions.lexer import Element, Quantity, periods_of
from understudy.tools.questions.query import Dates, Having, Measure, Term
from understudy.tools.questions.schema import KnownColumn, Schema, has_unit, key_of, plain
from understudy.tools.questions.vocabulary import AGAINST, COSTS, CURRENCIES, LIMITS, PERCENT, RANKS, SPENDINGS

_SOFT: Final = frozenset({"is", "where", "comma"})
_ORDERED: Final = frozenset({">", "<", ">=", "<="})
_TIMED: Final = {"after": ">", "since": ">=", "before": "<", "until": "<="}
_JOINING: Final = frozenset({"and", "or", "comma"})
_AGGREGATING: Final = frozenset({"aggregate", "most", "much"})


@frozen
class Divided:
    """A reading divided into conditions and the rest. `listed`: fields of which several values are named, joined by
    "and"; `apart`: they are named against each other."""

    rest: tuple[Element, ...]
    where: tuple[tuple[Term, ...], ...] = ()
    having: Having | None = None
    listed: tuple[KnownColumn, ...] = ()
    apart: bool = False


Part = Element | Term | Having


class Conditions:
    """The ways to divide one reading."""

    def __init__(self, reading: Sequence[Element], schema: Schema) -> None:
        self._all = [each for each in reading if each.kind != "filler"]
        self._schema = schema
        first = next(iter(reading), None)
        self._whether = first is not None and (first.kind == "is" or plain(first.text) in ("do", "does", "did"))
        self._listed: set[tuple[int, str]] = set()
        self._apart = False

    def divided(self) -> Iterator[Divided]:
        """Yield each way that leaves no value, comparison or condition outside."""
        for parts in self._walk(0, ()):
            terms = _disjunction(parts)
            if terms is None:
                continue
            rest = tuple(_rest(parts))
            havings = [each for each in parts if isinstance(each, Having)]
            if len(havings) > 1 or any(each.kind in ("value", "unknown") for each in rest):
                continue
            named = {name for place, name in self._listed}
            listed = tuple(each for each in self._schema.fields if each.name in named)
            yield Divided(rest, terms, havings[0] if havings else None, listed, self._apart)

    def _walk(self, place: int, before: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
        if place >= len(self._all):
            yield before
            return
        element = self._all[place]
        found = list(self._conditions(place))
        for terms, end in found:
            yield from self._walk(end, (*before, *terms))
            last = before[-1] if before else None
            # “total units above 50” measures the column that it compares, too.
            measured = isinstance(last, Element) and last.kind in _AGGREGATING
            if measured and element.kind == "column" and not isinstance(terms[0], Having) and not element.value.truths:
                yield from self._walk(end, (*before, element, *terms))
        # A growth has two dates that are no condition; who was hired first needs the date.
        open_ended = element.kind in ("date", "from", "between") or (
            element.kind == "column" and self._is_done(place, element.value) and self._asks_when
        )
        if not found or open_ended:
            yield from self._walk(place + 1, (*before, element))

    @property
    def _asks_when(self) -> bool:
        return any(each.kind in ("first", "dated") or each.text.lower() in ("when", "wann") for each in self._all)

    def _at(self, place: int) -> Element | None:
        return self._all[place] if place < len(self._all) else None

    def _kind(self, place: int) -> str:
        return self._all[place].kind if place < len(self._all) else ""

    def _past(self, place: int, kinds: frozenset[str] = _SOFT) -> int:
        while self._kind(place) in kinds:
            place += 1
        return place

    def _conditions(self, place: int) -> Iterator[tuple[tuple[Term | Having, ...], int]]:
        """Yield the conditions that begin at an element, each with the place after it."""
        element = self._all[place]
        match element.kind:
            case "not":
                yield from self._negated(place)
            case "value":
                yield from self._values(place)
            case "column":
                yield from self._of_column(place, element.value)
            case "compared":
                yield from self._compared(place)
            case "between" | "from" | "date":
                yield from self._dates(place)
                if element.kind == "between":
                    yield from self._between(place)
            case "more":
                (op, column), number = element.value, self._at(place + 1)
                if number is not None and number.kind == "number" and _fits(number.value, column):
                    yield (Term(column, op, (number.value.value,)),), place + 2
            case "missing":
                after = self._at(place + 1)
                if after is not None and after.kind == "column":
                    yield (Term(after.value, "missing"),), place + 2
            case "term":
                yield (element.value,), place + 1
            case "aggregate" if self._kind(place - 1) == "where" and place:
                yield from self._having(place)

    def _negated(self, place: int) -> Iterator[tuple[tuple[Term, ...], int]]:
        start = self._past(place + 1, _SOFT | {"from"})
        element = self._at(start)
        if element is None or element.kind == "not":
            return
        found = False
        for terms, end in self._conditions(start):
            if len(terms) == 1 and isinstance(terms[0], Term):
                found = True
                yield (evolve(terms[0], negated=not terms[0].negated),), end
        if not found and element.kind == "column" and element.value.truths is not None:
            # Whether an empty cell is no “no”, nobody says: both, and they differ only if there is one.
            yes, no = element.value.truths
            yield (Term(element.value, "in", yes, negated=True),), start + 1
            if no:
                yield (Term(element.value, "in", no),), start + 1
        elif element.kind == "column" and element.value.names_rows(key_of(element.text)):
            return  # no orders in March are not orders without a number
        elif not found and element.kind == "column" and element.value.kind != "boolean":
            if element.value.has_gaps or not element.value.has_zeros:
                yield (Term(element.value, "missing"),), start + 1
            if element.value.has_zeros:  # without a discount
                yield (Term(element.value, "=", (0,)),), start + 1

    def _values(self, place: int, field: KnownColumn | None = None) -> Iterator[tuple[tuple[Term, ...], int]]:
        """Read one value or several of the same column, and that column after them."""
        first = self._all[place]
        of, found, end, conjoined = field or first.value[0], list[str](), place, False
        while True:
            element = self._at(end)
            if element is None or element.kind != "value" or element.value[0].name != of.name:
                break
            found += element.value[1]
            end += 1
            against = self._kind(end) == "by" and plain(self._all[end].text) in AGAINST
            following = end + 1 if against else self._past(end, _JOINING)
            after = self._at(following)
            if following == end or after is None or after.kind != "value" or after.value[0].name != of.name:
                break
            conjoined = conjoined or against or any(self._kind(each) == "and" for each in range(end, following))
            self._apart = self._apart or against
            end = following
        if not found:
            return
        if conjoined:
            self._listed.add((place, of.name))
        term = Term(of, "in", tuple(dict.fromkeys(found)))
        after = self._at(end)
        if field is None and after is not None and after.kind == "column" and after.value.name == of.name:
            end += 1
        yield (term,), end

    def _of_column(self, place: int, column: KnownColumn) -> Iterator[tuple[tuple[Term, ...], int]]:
        next_place = self._past(place + 1)
        if self._kind(next_place) == "by" and self._kind(next_place + 1) == "compared":
            next_place += 1  # delayed by more than 30
        said_is = any(self._kind(each) == "is" for each in range(place + 1, next_place))
        negated = self._kind(next_place) == "not"
        if negated:
            next_place = self._past(next_place + 1)
        element = self._at(next_place)
        if place and self._kind(place - 1) in ("by", "distinct", "unit"):
            element = None
        found = list[tuple[Term, int]]()
        if element is not None:
            said = self._all[place]
            beside = element.start == said.end and element.kind in ("number", "value")
            # Order 17 is a value; orders in 2025, or above 100 units, are rows.
            if beside or not column.names_rows(key_of(said.text)):
                is_said = said_is or negated or ((column.is_identifier or column.counts_rows) and beside)
                found = list(self._after_column(column, element, next_place, is_said=is_said))
        done = (Term(column, "missing", negated=True),) if not negated and self._is_done(place, column) else ()
        for term, end in found:
            yield (evolve(term, negated=term.negated != negated), *(() if self._schema.people else done)), end
        if done and not found:
            yield done, place + 1
        if not found and not negated and (said_yes := _said_yes(column)) is not None:
            before = self._at(place - 1) if place else None
            counted = before is not None and before.kind == "aggregate" and before.value == "count"
            if self._asks_whether(place):
                return
            if counted or before is None or before.kind not in ("by", "distinct", "aggregate", "most"):
                yield (said_yes,), place + 1

    def _asks_whether(self, place: int) -> bool:
        """Whether a question asks for a yes or no of rows that it names: is Ann a smoker?"""
        named = {each.kind for at, each in enumerate(self._all) if each.kind != "is" and at != place}
        return self._whether and bool(named) and named <= {"value", "date"}

    def _is_done(self, place: int, column: KnownColumn) -> bool:
        """Whether a column of dates is what somebody did, or was done, so that the rows with a date are meant: who
        borrowed it, which orders were shipped."""
        before = next((each for each in reversed(self._all[:place]) if each.kind != "where"), None)
        if column.kind != "date" or before is None:
            return False
        has = self._kind(place - 1) == "where" and plain(self._all[place - 1].text) in ("has", "have", "had")
        was = (before.kind == "is" or has) and column.has_gaps and plain(self._all[place].text).endswith("ed")
        return was or (column.acts and (before.kind, before.value) == ("who", None))

    def _after_column(
        self, column: KnownColumn, element: Element, place: int, *, is_said: bool
    ) -> Iterator[tuple[Term, int]]:
        """Read what a column is compared with."""
        match element.kind:
            case "value" if element.value[0].name == column.name:
                for terms, end in self._values(place, column):
                    yield terms[0], end
            case "missing":
                yield Term(column, "missing"), place + 1
            case "truth" if column.kind == "boolean":
                yield Term(column, "true", negated=not element.value), place + 1
            case "number" if column.kind == "number" and _fits(element.value, column):
                if is_said or _is_year(column):
                    yield Term(column, "=", (element.value.value,)), place + 1
            case "number" | "date" if column.kind == "text" and (spelled := column.values.get(key_of(element.text))):
                yield Term(column, "in", spelled), place + 1
            case "between":
                for terms, end in self._between(place, column):
                    yield terms[0], end
            case "compared" if not _judges(element, column):
                yield from self._operand(column, element.value, place + 1)
        if column.kind == "date" or column.years or _is_year(column):
            for terms, end in self._dates(place, column):
                yield terms[0], end

    def _operand(self, column: KnownColumn, op: str, place: int) -> Iterator[tuple[Term, int]]:
        element = self._at(place)
        if element is None:
            return
        if op in ("=", "!="):
            for term, end in self._after_column(column, element, place, is_said=True):
                if term.op in ("=", "in", "true", "within", "missing"):
                    yield evolve(term, negated=term.negated != (op == "!=")), end
        elif op in _ORDERED and element.kind == "number" and column.kind == "number" and _fits(element.value, column):
            yield Term(column, op, (element.value.value,)), place + 1
        elif element.kind == "column" and _comparable(column, element.value):
            sign = _TIMED.get(op, op)  # a balance after fees is none above them
            if sign in _ORDERED and (column.kind == "date" or sign == op):
                yield Term(column, sign, other=element.value), place + 1
        elif element.kind == "date" and _is_year(column):
            ordered = _TIMED.get(op, op)
            if _whole_year(element.value) and ordered in _ORDERED:
                yield Term(column, ordered, (int(element.value.start[:4]),)), place + 1
        elif element.kind == "date" and column.kind == "date":
            timed = {">": "after", "<": "before", ">=": "since", "<=": "until"}.get(op, op)
            if timed in _TIMED:
                for dates in periods_of([element.value], column.years):
                    yield Term(column, timed, dates), place + 1

    def _compared(self, place: int) -> Iterator[tuple[tuple[Term | Having, ...], int]]:
        """Read a comparison without a column before it: more than 100 units, before March 2026."""
        op, element = self._all[place].value, self._at(place + 1)
        if op == "!=":
            yield from self._negated(place)
        if element is None:
            return
        if op in _ORDERED and element.kind == "number":
            after = self._at(place + 2)
            if after is not None and after.kind == "column" and after.value.kind == "number":
                if _fits(element.value, after.value) and not _judges(self._all[place], after.value):
                    yield (Term(after.value, op, (element.value.value,)),), place + 3
            elif after is not None and (after.kind == "rows" or (after.kind == "column" and after.value.unique)):
                yield (Having(Measure("count"), op, element.value.value),), place + 3
        elif op in _ORDERED and element.kind == "column" and (of := self._limited_by(element.value)) is not None:
            yield (Term(of, op, other=element.value),), place + 2
        elif op in _TIMED and element.kind == "date":
            for column in self._dated(place):
                for term, end in self._operand(column, op, place + 1):
                    yield (term,), end

    def _limited_by(self, limit: KnownColumn) -> KnownColumn | None:
        """Return the only column of what a column limits, by its name: items below their reorder level, projects over
        budget."""
        numbers = [each for each in self._schema.of_kind("number") if each != limit]
        if limit.core[-1] == "budget":
            found = [each for each in numbers if not SPENDINGS.isdisjoint(each.key)]
        else:
            found = [each for each in numbers if each.is_quantity and not LIMITS.isdisjoint(limit.key)]
        return found[0] if len(found) == 1 and limit.kind == "number" else None

    def _between(self, place: int, column: KnownColumn | None = None) -> Iterator[tuple[tuple[Term, ...], int]]:
        low, joined, high = self._at(place + 1), self._kind(place + 2), self._at(place + 3)
        if low is None or high is None or joined not in ("and", "to") or {low.kind, high.kind} != {"number"}:
            return
        end = place + 4
        if column is None:
            after = self._at(end)
            if after is None or after.kind != "column":
                return
            column, end = after.value, end + 1
        if column.kind == "number" and _fits(low.value, column) and _fits(high.value, column):
            yield (Term(column, "between", (low.value.value, high.value.value)),), end

    def _having(self, place: int) -> Iterator[tuple[tuple[Having], int]]:
        """Read a condition for groups: with a total of units above 50, with more than 3 rows."""
        how = self._all[place]
        at = place + 1
        field = None
        if self._kind(at) == "column":
            field, at = self._all[at].value, at + 1
        elif self._kind(at) == "rows":
            at += 1
        else:
            return
        at = self._past(at)
        op, number = self._at(at), self._at(at + 1)
        if op is None or number is None or op.kind != "compared" or op.value not in _ORDERED or number.kind != "number":
            return
        if how.value == "count" or field is None:
            measure = Measure("count") if field is None else Measure("distinct", field)
        elif field.kind == "number":
            measure = Measure(how.value, field)
        else:
            return
        yield (Having(measure, op.value, number.value.value),), at + 2

    def _dated(self, place: int) -> list[KnownColumn]:
        """Return the columns of dates that a date may be one of: the one named beside it, or any."""
        columns = self._schema.of_kind("date")
        for near in (place - 1, place + 1):
            element = self._at(near) if near >= 0 else None
            if element is not None and element.kind == "column" and element.value in columns:
                return [element.value]
        columns = (*columns, *(each for each in self._schema.of_kind("text") if each.years))
        return list(columns) or [each for each in self._schema.of_kind("number") if _is_year(each)]

    def _dates(self, place: int, column: KnownColumn | None = None) -> Iterator[tuple[tuple[Term, ...], int]]:
        """Read a date, several, or a range."""
        ranged = self._range(place)
        for field in [column] if column is not None else self._dated(place):
            if ranged is not None:
                first, last, end = ranged
                for start, stop in periods_of((first, last), field.years):
                    both = Dates(start.start, stop.end, f"{start.said} to {stop.said}")
                    if start.start < stop.end:
                        yield from self._within(field, (both,), end)
                continue
            if self._kind(place) != "date":
                continue
            listed, end = [self._all[place].value], place + 1
            while (after := self._at(self._past(end, _JOINING))) is not None and after.kind == "date":
                if self._past(end, _JOINING) == end:
                    break
                listed.append(after.value)
                end = self._past(end, _JOINING) + 1
            for dates in periods_of(listed, field.years):
                if field.kind != "number":
                    yield from self._within(field, dates, end)
                elif all(_whole_year(each) for each in dates) and len(dates) == 1:
                    yield (Term(field, "=", (int(dates[0].start[:4]),)),), end

    def _within(self, field: KnownColumn, dates: Sequence[Dates], end: int) -> Iterator[tuple[tuple[Term, ...], int]]:
        """Read a column of dates, or of texts that are months, as within some dates."""
        months = [each for of in dates for each in field.months_within(of.start, of.end)]
        if field.kind == "date":
            yield (Term(field, "within", tuple(dates)),), end
        elif months:
            yield (Term(field, "in", tuple(months)),), end

    def _range(self, place: int) -> tuple[Any, Any, int] | None:
        """Return the ends of a range of dates, and the place after it."""
        at = place + 1 if self._kind(place) in ("from", "between") else place
        first, joined, last = self._at(at), self._at(at + 1), self._at(at + 2)
        if first is None or joined is None or last is None or {first.kind, last.kind} != {"date"}:
            return None
        through = joined.kind == "compared" and joined.value == "until"
        if self._kind(place) == "between":
            return (first.value, last.value, at + 3) if joined.kind in ("and", "to") else None
        return (first.value, last.value, at + 3) if joined.kind == "to" or through else None


def _said_yes(column: KnownColumn) -> Term | None:
    """Return the condition that a column of yes and no, or of 1 and 0, says by its name alone; None for any other."""
    if column.truths is not None:
        return Term(column, "in", column.truths[0])
    if column.kind == "boolean":
        return Term(column, "true")
    return Term(column, "=", (1,)) if column.is_flag and column.key[0].endswith("ed") else None


def _whole_year(dates: Dates) -> bool:
    return dates.said.isdigit()


def _is_year(column: KnownColumn) -> bool:
    return column.kind == "number" and bool({"year", "jahr"} & set(column.key))


def _fits(number: Quantity, column: KnownColumn) -> bool:
    """Whether the unit of a number is that of a column."""
    if not number.unit:
        return True
    words = set(column.key)
    if number.unit in CURRENCIES:
        own = {CURRENCIES[each] for each in words if each in CURRENCIES}
        return not words & PERCENT and own <= {CURRENCIES[number.unit]}
    if number.unit in PERCENT:
        return bool(words & PERCENT)
    return has_unit(column, number.unit)


def _rest(parts: Sequence[Part]) -> Iterator[Element]:
    """Yield what is no condition, without the words that only join conditions."""
    for place, part in enumerate(parts):
        if not isinstance(part, Element) or part.kind in ("is", "where"):
            continue
        if part.kind in _JOINING:
            around = [each for each in parts[max(0, place - 1) : place + 2] if each is not part]
            apart = len(around) < 2 or any(not isinstance(each, Element) for each in around)
            if apart and (part.kind != "or" or all(isinstance(each, Term) for each in around)):
                continue
            if part.kind == "comma" and not _joins(parts, place):
                continue
        after = parts[place + 1] if place + 1 < len(parts) else None
        if part.kind == "from" or (part.kind in ("by", "to") and isinstance(after, Term) and after.op == "in"):
            continue
        yield part


def _joins(parts: Sequence[Part], place: int) -> bool:
    """Whether a comma stands between two columns or aggregates."""
    before, after = parts[place - 1], parts[place + 1] if place + 1 < len(parts) else None
    kinds = [each.kind for each in (before, after) if isinstance(each, Element)]
    return kinds in (["column", "column"], ["column", "aggregate"])


def _disjunction(parts: Sequence[Part]) -> tuple[tuple[Term, ...], ...] | None:
    """Return the conditions joined: "and" binds closer than "or". None if "or" joins conditions that stand apart."""
    found: list[list[Term]] = []
    alternative, runs, inside = False, 0, False
    for place, part in enumerate(parts):
        if isinstance(part, Term):
            before = next((each for each in reversed(parts[:place]) if not _is_soft(each)), None)
            joined = isinstance(before, Element) and before.kind == "or"
            if joined and found:
                alternative = True
                found.append([part])
            elif joined:
                return None
            elif found:
                found[-1].append(part)
            else:
                found.append([part])
            runs += not inside
            inside = True
        elif isinstance(part, Having) or (part.kind not in _SOFT | _JOINING):
            inside = False
    if alternative and runs > 1:
        return None
    for terms in found:
        named = [term.field.name for term in terms if term.op == "in" and not term.negated]
        if len(set(named)) < len(named):
            return None  # no row has two values of one column
    return tuple(tuple(each) for each in found)


def _comparable(one: KnownColumn, other: KnownColumn) -> bool:
    """Whether two columns are both of numbers, or of dates."""
    return one != other and one.kind == other.kind and one.kind in ("number", "date")


def _judges(compared: Element, column: KnownColumn) -> bool:
    """Whether a comparison is better than, where a lower value may be the better one: a grade, or a price."""
    return compared.text.lower().startswith("better") and any(word in RANKS | COSTS for word in column.key)


def _is_soft(part: Part) -> bool:
    return isinstance(part, Element) and part.kind in _SOFT
