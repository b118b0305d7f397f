"""Divides a question into elements: columns, values, numbers, dates and the words of the vocabulary.

A word may be several things, such as a value of two columns, or a column called “total”. Each way to read all words is
a reading; the grammar finds out which of them mean something.
"""

import calendar
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from attrs import frozen

from understudy.tools.questions.query import Dates, Term
from understudy.tools.questions.schema import (
    Key,
    KnownColumn,
    Schema,
    forms,
    has_unit,
    is_in_units,
    key_of,
    plain,
    same,
)
from understudy.tools.questions.vocabulary import (
    ACTS,
    AGENTS,
    CLOSED,
    COMPOUNDS,
    CONTAINING,
    COUNTED,
    CURRENCIES,
    GENDERS,
    GENERIC,
    GERMAN,
    LONGEST,
    MEASURED_BY,
    MONTHS,
    MULTIPLES,
    OPPOSITES,
    ORDINALS,
    PERCENT,
    SEXES,
    SOLD_OUT,
    STOCK,
    UNITS,
    WORDS,
)

MAX_READINGS: Final = 256
"""Ways to read the words of one question; with more of them nothing says that a meaning is the only one."""
STEM: Final = 5
"""Letters that a verb and a noun begin with alike: arrive and arrival."""
_ACTING: Final = frozenset({"do", "does", "did", "don't", "doesn't", "didn't"})
_ENDS: Final = GENERIC | UNITS
_DIVIDING: Final = frozenset({",", ";", "<", ">", "=", "==", "!=", "<>", "<=", ">=", "≤", "≥"})
_TOKEN: Final = re.compile(
    r"“(?P<curly>[^”]{0,200})”|\"(?P<quoted>[^\"]{0,200})\"|'(?P<single>[^']{1,200})'(?!\w)|„(?P<low>[^“”]{0,200})[“”]"
    r"|(?P<iso>\d{4}-\d{2}-\d{2}(?!\d))|(?P<iso_month>\d{4}-(?:0[1-9]|1[0-2])(?![\d-]))"
    r"|(?P<iso_quarter>\d{4}[- ]?Q[1-4]\b)"
    r"|(?P<day>\d{1,2}\.\d{1,2}\.\d{4}|\d{1,2}/\d{1,2}/\d{4})"
    r"|(?P<number>(?<![\w.])-?\d+(?:[.,]\d+)*(?:[kKmM](?![^\W_]))?)|(?P<digits>\d+)"
    r"|(?P<word>[^\W\d_]+(?:['\u2019](?:t|d)\b)?)|(?P<sign><=|>=|==|!=|<>|[<>=≥≤€$£%&,;])|(?P<other>[^\s\w.?!:()_*'\u2019-])"
)


@frozen
class Lexeme:
    """A word, number, date, sign or quotation of a question, as written and in small letters."""

    text: str
    plain: str
    kind: str
    start: int
    end: int


@frozen
class Quantity:
    """A number of a question, with the unit after it."""

    value: float
    unit: str = ""


@frozen
class MonthOf:
    """A month, a quarter or a day of a year that the question does not name: the first month, and how many; the day."""

    first: int
    months: int
    said: str
    day: int | None = None


@frozen
class Element:
    """A stretch of a question with its meaning. `kind` is one of those of the vocabulary, or column, value, number,
    date, file or unknown."""

    kind: str
    value: Any
    start: int
    end: int
    text: str = ""


def tokens_of(text: str) -> list[Lexeme]:
    """Return the tokens of a question."""
    found = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        inside = match[kind]
        if kind in ("curly", "quoted", "single", "low"):
            kind = "quoted"
        found.append(Lexeme(inside, plain(inside), kind, match.start(), match.end()))
    return found


class Lexer:
    """The elements that may begin at each token of a question."""

    def __init__(self, text: str, schema: Schema) -> None:
        self.tokens = tokens_of(text)
        self._schema = schema
        words = [each.plain for each in self.tokens]
        self._mixes_cases = not text.isupper()
        self.is_german = len(GERMAN & set(words)) >= 2 or any(each in "äöüß" for each in text.lower())
        self._split_compounds()
        self._options = [self._at(place) for place in range(len(self.tokens))]
        self._drop_covered()

    def _split_compounds(self) -> None:
        """Divide German words such as Gesamtumsatz, if the rest is a column; and unpaid, if paid is yes or no."""
        known = {form for each in self._schema.fields for word in each.key for form in forms(word)}
        found = []
        for each in self.tokens:
            lead = next((lead for lead in COMPOUNDS if each.plain.startswith(lead)), None)
            rest = each.plain.removeprefix(lead or "")
            if lead and each.kind == "word" and each.plain not in known and forms(rest) & known:
                middle = each.start + len(lead)
                word = {"sum": "gesamt", "mean": "durchschnitt", "max": "maximum", "min": "minimum"}[COMPOUNDS[lead]]
                found.append(Lexeme(each.text[: len(lead)], word, "word", each.start, middle))
                found.append(Lexeme(each.text[len(lead) :], rest, "word", middle, each.end))
            elif each.plain[:2] in ("un", "in") and self._may_be_denied(each.plain[2:]) and each.plain not in known:
                found.append(Lexeme(each.text[:2], "not", "word", each.start, each.start + 2))
                found.append(Lexeme(each.text[2:], each.plain[2:], "word", each.start + 2, each.end))
            elif denied := self._denied_by(each.plain):
                found.append(Lexeme("not", "not", "word", each.start, each.start))
                found.append(Lexeme(denied, denied, "word", each.start, each.end))
            else:
                found.append(each)
        self.tokens = found

    def _may_be_denied(self, word: str) -> bool:
        """Whether a column of this name says yes or no, or when it was done, if at all: shipped_on."""
        return any(
            each.key[0] == word and (_is_truth(each) or (each.kind == "date" and each.has_gaps))
            for each in self._schema.fields
        )

    def _denied_by(self, word: str) -> str | None:
        """Return the name of the only column of yes and no that a word is the no of: passed, of failed."""
        opposites = OPPOSITES.get(word, frozenset())
        if any((form,) in each.values for form in forms(word) for each in self._schema.of_kind("text")):
            return None
        found = [each.key[0] for each in self._schema.fields if _is_truth(each) and each.key[0] in opposites]
        return found[0] if len(found) == 1 else None

    def readings(self) -> Iterator[list[Element]]:
        """Yield the ways to read all tokens, of which no part is skipped: at most one more than `MAX_READINGS`."""

        def on(place: int) -> Iterator[list[Element]]:
            if place >= len(self.tokens):
                yield []
                return
            for each in self._options[place]:
                for rest in on(each.end):
                    yield [each, *rest]

        yield from islice(on(0), MAX_READINGS + 1)

    def fields_of(self, value: Element) -> set[str]:
        """Return the names of the columns that have a value of these words."""
        options = self._options[value.start]
        return {each.value[0].name for each in options if each.kind == "value" and each.end == value.end}

    def unknown(self) -> list[Element]:
        """Return the tokens that are no word of the grammar or of the table."""
        fewest = min(self.readings(), key=lambda each: sum(e.kind == "unknown" for e in each), default=[])
        return [each for each in fewest if each.kind == "unknown"]

    def _element(self, kind: str, value: Any, start: int, end: int) -> Element:
        return Element(kind, value, start, end, " ".join(each.text for each in self.tokens[start:end]))

    def _at(self, place: int) -> list[Element]:
        """Return the elements that may begin at a token, the longest first; an unknown one if there is none."""
        token = self.tokens[place]
        found = [*self._columns(place), *self._values(place)]
        if token.kind == "quoted":
            found = [each for each in found if each.end == place + 1]
        else:
            words = self._words(place)
            values = [each.value for each in found if each.kind == "value"]
            spelled = any(token.text in written or (place and field.is_of_people) for field, written in values)
            columns = [each.value for each in found if each.kind == "column"]
            truth = any(map(_is_truth, columns))  # sold, where it is yes or no
            if truth or (spelled and self._mixes_cases and not token.text.islower()):
                words = [each for each in words if each.kind != "filler"]  # in IT is not in it
            found += [*self._dates(place), *self._numbers(place), *words]
        return found or [self._element("unknown", token.text, place, place + 1)]

    def _drop_covered(self) -> None:
        """Leave out what lies within a longer column, value or date: price, of “net price”, is no column of its own."""
        for kind in ("column", "value", "date"):
            spans = {(e.start, e.end) for options in self._options for e in options if e.kind == kind}
            for place, options in enumerate(self._options):
                self._options[place] = [
                    each
                    for each in options
                    if each.kind == "number"
                    or not any(a <= each.start and each.end <= b and (b - a) > each.end - each.start for a, b in spans)
                ] or options[:1]

    def _key(self, start: int, end: int) -> Key | None:
        """Return the words of some tokens; None if a quotation is among others."""
        if end - start == 1 and self.tokens[start].kind == "quoted":
            return key_of(self.tokens[start].text)
        inside = self.tokens[start:end]
        if any(each.kind in ("quoted", "other") or each.plain in _DIVIDING for each in inside):
            return None
        return key_of(" ".join(each.text for each in inside))

    def _spans(self, place: int, most: int) -> Iterator[tuple[int, Key]]:
        for end in range(min(len(self.tokens), place + most), place, -1):
            key = self._key(place, end)
            if key:
                yield end, key

    def _columns(self, place: int) -> list[Element]:
        longest = max((len(each.key) for each in self._schema.fields), default=0) + 1
        for end, key in self._spans(place, longest):
            exact = [each for each in self._schema.fields if each.key == key]
            alike = exact or [each for each in self._schema.fields if same(key, each.key)]
            if exact and all(each.kind == "number" for each in exact):  # guests are numbers, or those of guest
                alike = [*exact, *(each for each in self._schema.of_kind("text") if same(key, each.key))]
            if not alike and self.tokens[place].kind != "quoted":
                alike = [each for each in self._schema.fields if same(key, each.core)]
                alike = alike or [each for each in self._schema.fields if same(key, each.core[-len(key) :])]
                if len(key) == 1 and (not key[0].isalpha() or (len(key[0]) < 3)):
                    alike = []
                if not alike and len(key) > 1:
                    alike = [each for each in self._schema.fields if _is_head(key, each)]
                if not alike and len(key) == 1:
                    alike = [each for each in self._schema.fields if self._is_derived(key[0], each, place)]
            if alike:
                # “orders”, of a column order_id, are the rows; “order 17” is one of its values.
                rows = [self._element("rows", None, place, end)] if any(each.names_rows(key) for each in alike) else []
                return [*(self._element("column", each, place, end) for each in alike), *rows]
        return []

    def _is_derived(self, word: str, column: KnownColumn, place: int) -> bool:
        """Whether a word is another form of the first word of a column's name: hired, of hire_date; delayed, of delay;
        remotely, of a remote that is yes or no; when did Ann return it, of returned_on."""
        first = column.key[0]
        counts = column.is_identifier or column.counts_rows
        if _is_participle(word, first) and (column.kind == "date" or (column.kind == "number" and not counts)):
            return True
        if _is_truth(column):  # how many smoke, of smoker; did Ann pass
            acts = not _ACTING.isdisjoint(each.plain for each in self.tokens[:place])
            return word == f"{first}ly" or first in (f"{word}r", f"{word}er") or (acts and _is_participle(first, word))
        if column.is_flag:
            stem = first.removesuffix("ed")  # did Ann survive, and survivors, of survived
            return _is_participle(first, word) or not forms(word).isdisjoint({f"{stem}or", f"{stem}er"})
        if column.kind == "number" and "year" in column.key[1:]:
            return word == first  # built, of built_year
        if column.kind != "date" or "when" not in {each.plain for each in self.tokens[:place]}:
            return False
        return _is_participle(first, word) or (word[:STEM] == first[:STEM] and len(word) >= STEM)

    def _values(self, place: int) -> list[Element]:
        quoted = self.tokens[place].kind == "quoted"
        found: list[Element] = []
        for end, key in self._spans(place, 1 if quoted else 6):
            text = " ".join(each.text for each in self.tokens[place:end])
            for field in self._schema.of_kind("text"):
                spelled = field.values.get(key) if quoted else field.spelled(key)
                if spelled is not None and not quoted and _is_common(key) and text not in spelled:
                    spelled = None
                spelled = spelled or (None if quoted else self._people(field, key, text, place))
                if spelled is None:
                    continue
                if not quoted and all(each.isdigit() for each in key):
                    continue  # a number names a value only after its column
                if not quoted and field.truths is not None and not self._is_named_near(field, place, end):
                    continue  # the “no” of “no more than”
                found.append(self._element("value", (field, spelled), place, end))
            if found:
                return found
        if quoted:
            token = self.tokens[place]
            found = [self._element("number", Quantity(n), place, place + 1) for n in _numbers(token.text, german=False)]
        return found

    def _people(self, field: KnownColumn, key: Key, text: str, place: int) -> tuple[str, ...] | None:
        """Return the only name of a person, in a column of such, of which a capitalised word is the first or the last;
        or the values of a column of sexes that a word for people of one means."""
        if len(key) > 1:
            return None
        if not SEXES.isdisjoint(field.key):
            same_sex = next((each for each in GENDERS if key[0] in each), frozenset())
            return tuple(e for w in sorted(same_sex) for e in field.values.get((w,), ())) or None
        if not (field.is_of_people and text[0].isupper()) or (key in WORDS and not (place and self._mixes_cases)):
            return None
        named = [spelled for words, spelled in field.values.items() if key[0] in (words[0], words[-1])]
        return named[0] if len(named) == 1 else None

    def _is_named_near(self, field: KnownColumn, start: int, end: int) -> bool:
        """Whether a word of a column's name stands beside some tokens, or one away: promo is no, no promo."""
        near = {form for each in self.tokens[max(0, start - 2) : start] for form in forms(each.plain)}
        near |= {form for each in self.tokens[end : end + 1] for form in forms(each.plain)}
        return any(not near.isdisjoint(forms(word)) for word in field.key)

    def _words(self, place: int) -> list[Element]:
        words = [each.plain for each in self.tokens[place : place + LONGEST]]
        found = []
        for length in range(len(words), 0, -1):
            for kind, value in WORDS.get(tuple(words[:length]), ()):
                heads = value if kind == "likened" else value[1] if kind in ("adjective", "more") else ""
                column = self._schema.likened(heads) if heads else None
                if not heads:
                    found.append(self._element(kind, value, place, place + length))
                elif column is not None:  # earned the most revenue is no salary
                    meant = column if kind == "likened" else (value[0], column)
                    found.append(self._element("column" if kind == "likened" else kind, meant, place, place + length))
            if found:
                break
        if words[0] == "who" and len(words) > 1:
            if words[1] in ("sold", "sells") and all(each.names_served for each in self._schema.people):
                found = []  # no customer did
            found += [self._element("who", agent, place, place + 2) for agent in self._agents(words[1])]
        if words[0] in CONTAINING and any(e.kind == "column" and _is_truth(e.value) for e in self._columns(place + 1)):
            found.append(self._element("where", None, place, place + 1))
        if words[0] == "open" and _ACTING.isdisjoint(each.plain for each in self.tokens[:place]):
            ends = [each for each in self._schema.of_kind("date") if each.has_gaps and each.key[0] in CLOSED]
            found += [self._element("term", Term(ends[0], "missing"), place, place + 1)] if len(ends) == 1 else []
        if tuple(words[:3]) in SOLD_OUT and (stock := self._schema.likened(STOCK)) is not None and stock.has_zeros:
            found.append(self._element("term", Term(stock, "=", (0,)), place, place + 3))
        if self._schema.is_noun(words[0]):
            found.append(self._element("rows", None, place, place + 1))
        if words[0] in COUNTED:
            found.append(self._element("number", Quantity(COUNTED[words[0]]), place, place + 1))
        return found

    def _agents(self, verb: str) -> list[KnownColumn]:
        """Return the column of texts that is called after who does it: the director, or directed by; of what people
        do whom a service is for, and of which no column says more, that of these people. Empty for none or several."""
        stem = verb.removesuffix("ed").removesuffix("s")
        nouns = {AGENTS[verb]} if verb in AGENTS else {f"{stem}or", f"{stem}er", f"{stem.removesuffix('e')}er"}
        texts = [each for each in self._schema.of_kind("text") if not each.is_identifier]
        found = [each for each in texts if each.core[-1] in nouns or each.key == (verb, "by")]
        if not found and verb in ACTS and not any(verb in each.key for each in self._schema.fields):
            found = [each for each in texts if each.names_served]
        return found if len(found) == 1 else []

    def _numbers(self, place: int) -> list[Element]:
        token = self.tokens[place]
        if token.kind not in ("number", "digits"):
            return []
        found = []
        for value in _numbers(token.text, german=self.is_german):
            after = self.tokens[place + 1] if place + 1 < len(self.tokens) else None
            if after is not None and after.plain in MULTIPLES:  # 50 million
                found.append(self._element("number", Quantity(value * MULTIPLES[after.plain]), place, place + 2))
                continue
            found.append(self._element("number", Quantity(value), place, place + 1))
            if after is not None and after.start <= token.end + 1 and self._is_unit(after.plain):
                found.insert(0, self._element("number", Quantity(value, after.plain), place, place + 2))
        return found

    def _is_unit(self, word: str) -> bool:
        if word in CURRENCIES or word in PERCENT:
            return True
        if (word,) in WORDS:
            return False
        return any(has_unit(each, word) for each in self._schema.of_kind("number"))

    def _dates(self, place: int) -> list[Element]:
        token, found = self.tokens[place], list[Element]()
        words = [each.plain for each in self.tokens[place : place + 5]]
        words = [each.removesuffix("th") if each[:1].isdigit() else each for each in words]

        def add(dates: Dates | MonthOf | None, length: int) -> None:
            if dates is not None:
                found.append(self._element("date", dates, place, place + length))

        match token.kind:
            case "iso":
                year, month, day = map(int, token.text.split("-"))
                add(_day(year, month, day), 1)
            case "iso_month":
                year, month = map(int, token.text.split("-"))
                add(_months(year, month, 1, token.text), 1)
            case "iso_quarter":
                year, quarter = int(token.text[:4]), int(token.text[-1])
                add(_months(year, 3 * quarter - 2, 3, f"{year}-Q{quarter}"), 1)
            case "day" if "." in token.text:
                day, month, year = map(int, token.text.split("."))
                add(_day(year, month, day), 1)
            case "day":
                first, second, year = map(int, token.text.split("/"))
                add(_day(year, second, first), 1)
                if first != second:
                    add(_day(year, first, second), 1)
            case "number" if re.fullmatch(r"(19|20)\d\d", token.text):
                add(_months(int(token.text), 1, 12, token.text), 1)
            case "number" if words[0].isdigit() and len(words) > 1:
                rest = words[1:]
                if rest[0] in ("of", "st", "nd", "rd"):
                    rest = rest[1:]
                if rest and rest[0] in MONTHS and len(rest) > 1 and _is_year(rest[1]):
                    add(_day(int(rest[1]), MONTHS[rest[0]], int(words[0])), len(words) - len(rest) + 2)
                elif rest and rest[0] in MONTHS:
                    add(_day_of(MONTHS[rest[0]], int(words[0])), len(words) - len(rest) + 1)
            case "word":
                for dates, length in _spelled(words):
                    add(dates, length)
        return found


def _is_head(key: Key, column: KnownColumn) -> bool:
    """Whether some words are a column's name but for its end: CO2, of co2_kg; the reply time, of reply_hours; the due
    date, of due_on."""
    if not same(key[:1], column.key[:1]):
        return False
    if same(key, column.key[: len(key)]):
        return _ENDS.issuperset(column.key[len(key) :])
    if key[-1] in MEASURED_BY:
        return same(key[:-1], column.core) and is_in_units(column, MEASURED_BY[key[-1]])
    return column.kind == "date" and key[-1] in ("date", "day", "datum") and same(key[:-1], column.key[:-1])


def _is_truth(column: KnownColumn) -> bool:
    """Whether a column says yes or no."""
    return column.kind == "boolean" or column.truths is not None


def _is_participle(word: str, verb: str) -> bool:
    stem = verb.removesuffix("ing")  # rated, of rating
    return len(stem) > 2 and word in (f"{stem}ed", f"{stem}d", f"{stem}{stem[-1]}ed")


def _is_common(key: Key) -> bool:
    """Whether all words of a value are words of the grammar, such as the state IN."""
    return all((each,) in WORDS for each in key)


def _is_year(word: str) -> bool:
    return re.fullmatch(r"(19|20)\d\d", word) is not None


def _spelled(words: list[str]) -> Iterator[tuple[Dates | MonthOf | None, int]]:
    """Yield what months and quarters in words mean, with the number of their words."""
    first, *rest = words
    if first in MONTHS:
        month = MONTHS[first]
        name = calendar.month_name[month]
        later = rest[1:] if rest[:1] in (["of"], [","]) else rest
        skipped = len(rest) - len(later)
        if later and _is_year(later[0]):
            yield _months(int(later[0]), month, 1, f"{later[0]}-{month:02}"), 2 + skipped
            return
        if rest and rest[0].isdigit() and 0 < int(rest[0]) < 32:
            after = rest[2:] if rest[1:2] == [","] else rest[1:]
            if after and _is_year(after[0]):
                yield _day(int(after[0]), month, int(rest[0])), len(rest) - len(after) + 2
                return
            yield _day_of(month, int(rest[0])), 2
        yield MonthOf(month, 1, name), 1
    quarter = re.fullmatch(r"q", first)
    if quarter and rest and rest[0] in ("1", "2", "3", "4"):
        number, used, later = int(rest[0]), 2, rest[1:]
    elif first in ORDINALS and rest[:1] and rest[0] in ("quarter", "quartal"):
        number, used, later = ORDINALS[first], 2, rest[1:]
    else:
        return
    skip = 1 if later[:1] in (["of"], [","]) else 0
    if later[skip:] and _is_year(later[skip]):
        year = int(later[skip])
        yield _months(year, 3 * number - 2, 3, f"{year}-Q{number}"), used + skip + 1
    else:
        yield MonthOf(3 * number - 2, 3, f"Q{number}"), used


def _day(year: int, month: int, day: int) -> Dates | None:
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    last = calendar.monthrange(year, month)[1]
    end = f"{year}-{month:02}-{day + 1:02}" if day < last else _first(year, month + 1)
    return Dates(f"{year}-{month:02}-{day:02}", end, f"{year}-{month:02}-{day:02}")


def _day_of(month: int, day: int) -> MonthOf | None:
    name = calendar.month_name[month]
    return MonthOf(month, 1, f"{day} {name}", day) if 1 <= day <= calendar.monthrange(2024, month)[1] else None


def _months(year: int, first: int, count: int, said: str) -> Dates:
    return Dates(_first(year, first), _first(year, first + count), said)


def _in_year(year: int, month: MonthOf) -> Dates | None:
    if month.day is not None:
        return _day(year, month.first, month.day)
    said = f"{year}-{month.first:02}" if month.months == 1 else f"{year}-{month.said}"
    return _months(year, month.first, month.months, said)


def periods_of(listed: Sequence[Dates | MonthOf], years: Sequence[int]) -> Iterator[tuple[Dates, ...]]:
    """Yield what dates may mean together: a month without a year has that of the last date with one, or each of the
    `years` of the data.
    """
    said = [int(each.start[:4]) for each in listed if isinstance(each, Dates)]
    for year in said[-1:] or years:
        found = [each if isinstance(each, Dates) else _in_year(year, each) for each in listed]
        if None not in found:  # 29 February
            yield tuple(each for each in found if each is not None)


def _first(year: int, month: int) -> str:
    return f"{year:04}-{month:02}-01" if month <= 12 else f"{year + 1:04}-{month - 12:02}-01"


def _numbers(text: str, *, german: bool) -> list[float]:
    """Return the numbers that a text may be: 1.500 is another one in German than in English."""
    scale = {"k": 1e3, "m": 1e6}.get(text[-1:].lower(), 1.0)
    digits = text.rstrip("kKmM")
    found = []
    english = re.fullmatch(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", digits)
    other = re.fullmatch(r"-?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?", digits)
    if english and not (german and other):
        found.append(float(digits.replace(",", "")))
    elif other:
        found.append(float(digits.replace(".", "").replace(",", ".")))
    return [int(value) if (value := each * scale).is_integer() else value for each in found]
