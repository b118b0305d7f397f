"""Reads requests for figures of a table by group, such as "Where do we earn the most?", and the rows they select.

Only the names of the columns are known: which of them measure, and which name places or persons, is judged by their
words. The tool checks the values.
"""

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from understudy.models.offline import scan
from understudy.models.offline.questions import AGGREGATES, BY, find_roles

_MEASURES: Final = frozenset(
    "revenue sales amount cost costs turnover profit margin spend spending expense expenses value price income net "  # noqa: SIM905 (words read better as words)
    "gross quantity units hours minutes seconds duration score rating age weight distance size total budget".split()
)
_MONEY: Final = ("revenue", "sales", "turnover", "income", "amount", "profit", "total", "price")
# Words that ask for one kind of column: each with the names of such columns.
_CONCEPTS: Final = (
    ({"what"}, ("product", "item", "article", "category", "sku")),
    ({"where", "place", "places"}, ("region", "country", "state", "city", "location", "market", "store", "branch")),
    ({"who", "whom", "whose"}, ("customer", "client", "employee", "agent", "person", "name", "user", "seller")),
)
_EARNING: Final = frozenset(
    map(scan.stem, scan.words("earn earned make money bring brings income sell sells sold revenue turnover business"))
)
_COUNTING: Final = frozenset({"often", "common", "frequent", "count"})
_SPARE: Final = frozenset({"id", "no", "nr", "number", "code", "name", "key", "the", "of", "to", "in", "per", "a"})
_RANKING: Final = frozenset(
    {*AGGREGATES["max"], *AGGREGATES["min"]}
    | {"compare", "longest", "fastest", "slowest", "strongest", "weakest", "important", "performs", "perform", "rank"}
    | {"distribution", "share", "shares", "split", "leads", "most", "better", "worse"}
)
_SHARING: Final = frozenset({"share", "percentage", "proportion", "much", "many", "total", "sum", "average", "mean"})
_LISTING: Final = frozenset({"show", "list", "see", "display", "give", "which", "rows", "details", "find"})
_COMMON: Final = frozenset({"each", "every", "which", "what", "this", "that", "these", "those", "our", "your", "their"})
_TIMES: Final = frozenset(
    "january february march april may june july august september october november december monday tuesday wednesday "  # noqa: SIM905 (words read better as words)
    "thursday friday saturday sunday csv json eur usd gbp".split()
)
_MORE: Final = {"above": ">", "over": ">", "more than": ">", "greater than": ">", "larger than": ">", "at least": ">="}
_LESS: Final = {"below": "<", "under": "<", "less than": "<", "fewer than": "<", "smaller than": "<", "at most": "<="}
_COMPARED: Final = re.compile(
    rf"\b({'|'.join((*_MORE, *_LESS))})\s(?:[€$£]\s?)?(-?\d{{1,15}}(?:,\d{{3}}){{0,4}}(?:\.\d{{1,6}})?)(?![\w%]|\s?%)",
    re.IGNORECASE,
)
_TOKEN: Final = re.compile(r"[^\W_][\w'\u2019.-]*")
MAX_CONDITIONS: Final = 3


@frozen
class Breakdown:
    """Figures by group: the column to group by, the column to measure, and whether rows are counted. None is unknown,
    and left to the tool."""

    by: str | None = None
    measure: str | None = None
    counts: bool = False


def read_breakdown(text: str, columns: Sequence[str]) -> Breakdown | None:
    """Return the figures by group that a request asks for; None if it asks for none."""
    tokens = scan.words(text)
    said, roles = set(tokens), find_roles(text, columns)
    groups = [each for each in roles.groups if not measures(each)]
    mentioned = list(roles.mentioned) + [each for each in _by_parts(tokens, columns) if each not in roles.mentioned]
    measured = [each for each in mentioned if measures(each)]
    ranked = bool(said & _RANKING)
    counts = bool(said & _COUNTING or {"how", "many"} <= said) and not measured
    money = {scan.stem(each) for each in tokens} & _EARNING
    by = groups[0] if groups else None
    if by is None and (ranked or counts or tokens[:1] in (("which",), ("who",), ("compare",))):
        by = next((each for each in mentioned if not measures(each)), None)
        alike = (_like(columns, names) for words, names in _CONCEPTS if words & said)
        by = by or next((each for each in alike if each), None)
    if by is None and said & BY and len(mentioned) > 1:
        by = next((each for each in (*reversed(roles.mentioned), *mentioned) if not measures(each)), None)
    if by is None:
        chosen = conditions(text, columns) if said & _SHARING or measured else ""
        if not chosen:
            return None
    elif not (roles.groups or ranked or counts or measured):
        return None
    if not measured and money:
        measured = [each for each in (_like(columns, _MONEY),) if each]
    return Breakdown(by, measured[0] if measured else None, counts)


def conditions(text: str, columns: Sequence[str], *, adjectives: bool = False) -> str:
    """Return the conditions for rows in a text, joined by "and"; empty without one.

    A word with a capital letter or a digit, or in quotation marks, that is no column, is taken for a value; with the
    column beside it, if there is one. With `adjectives` also a plain word before a column is: high priority.
    """
    if explicit := scan.selections(text):
        return " and ".join(explicit[:MAX_CONDITIONS])
    found: list[str] = []
    for match in _COMPARED.finditer(text):
        operator = (_MORE | _LESS)[match[1].lower()]
        before = [each for each in _by_parts(scan.words(text[: match.start()]), columns) if measures(each)]
        found.append(f"{f'{before[-1]} ' if before else ''}{operator} {match[2].replace(',', '')}")
    plain = _COMPARED.sub(" ", text)
    quoted = [each for each in scan.quoted(plain) if 0 < len(each) <= 60]
    for each in quoted:
        plain = plain.replace(each, " ")
    tokens = _TOKEN.findall(plain)
    parts = [_by_parts((each.lower(),), columns) for each in tokens]
    values = [*quoted]
    for index, token in enumerate(tokens):
        near = [p for p in (index + 1, index - 1) if 0 <= p < len(tokens) and parts[p] and not measures(parts[p][0])]
        word = token.strip("'\u2019.-")
        begins = index == 0 or plain[: plain.find(token)].rstrip().endswith((".", "?", "!", ":"))
        named = (word[:1].isupper() and not begins and len(word) > 1) or (
            any(c.isdigit() for c in word) and any(c.isalpha() for c in word)
        )
        if parts[index] or word.lower() in _TIMES or (word[:1].isdigit() and word[-1:] in "%kmKM"):
            continue
        if named:
            values.append(f"{parts[near[0]][0]} = {word}" if near else word)
        elif adjectives and near[:1] == [index + 1] and lists_rows(text) and not _is_common(word.lower()):
            values.append(f"{parts[near[0]][0]} = {word}")
    return " and ".join([*found, *dict.fromkeys(values)][:MAX_CONDITIONS])


def described(text: str, columns: Sequence[str]) -> str:
    """Return the conditions for rows that a text describes, also by plain words before a column: high priority."""
    return conditions(text, columns, adjectives=True)


def lists_rows(text: str) -> bool:
    """Whether a request wants rows themselves."""
    return bool(set(scan.words(text)[:3]) & _LISTING)


def measures(column: str) -> bool:
    """Whether the name of a column says that it measures something."""
    return bool(_MEASURES & set(scan.words(column.replace("_", " "))))


def _is_common(word: str) -> bool:
    return word in _COMMON or word in _RANKING | _SHARING | _LISTING | _SPARE | _COUNTING or len(word) < 3


def _like(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the column whose name has the earliest of some words."""
    for name in names:
        for column in columns:
            if name in scan.words(column.replace("_", " ")):
                return column
    return None


def _by_parts(tokens: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the columns of which a text has a distinctive word: customers for customer_id, close for hours_to_close.

    The first column is left out if it is an id: it names the rows themselves.
    """
    said = [scan.stem(each) for each in tokens]
    found: list[tuple[int, str]] = []
    for index, column in enumerate(columns):
        words = scan.words(column.replace("_", " "))
        if index == 0 and words[-1:] in (("id",), ("nr",), ("no",), ("number",)):
            continue
        own = {scan.stem(each) for each in words if each not in _SPARE and len(each) > 2}
        place = next((n for n, each in enumerate(said) if each in own), None)
        if place is not None:
            found.append((place, column))
    return [column for _, column in sorted(found, key=lambda each: each[0])]
