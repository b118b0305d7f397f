"""`extract_facts`: dates, amounts, names, links and e-mail addresses in a text, by their form.

Every pattern is linear in the length of the text. What has another form, such as a name in small letters, is not found.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.text import MAX_TEXT
from understudy.tools.tool import tool

MAX_FOUND: Final = 200
"""Different values of each kind that are listed."""

Kind: TypeAlias = Literal["dates", "amounts", "names", "links", "emails"]

_MONTHS: Final = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)"
)
_DATE: Final = re.compile(
    rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\d{{1,2}}(?:st|nd|rd|th)?\.?\s{_MONTHS}\.?(?:,?\s\d{{4}})?|"
    rf"{_MONTHS}\.?\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?|{_MONTHS}\s\d{{4}})\b",
)
_CURRENCY: Final = r"(?:EUR|USD|GBP|CHF|JPY|euros?|dollars?|pounds?|francs?)"
_FIGURE: Final = r"\d{1,3}(?:[,.' ]\d{3}){0,5}(?:[.,]\d{1,2})?|\d{1,15}(?:[.,]\d{1,2})?"
_AMOUNT: Final = re.compile(
    rf"(?:[€$£¥]|\b{_CURRENCY})\s?(?:{_FIGURE})(?!\d)(?:\s?(?:k|m|bn|million|billion)\b)?"
    rf"|(?<![\w.,])(?:{_FIGURE})\s?(?:(?:k|m|bn|million|billion)\s)?(?:[€£¥%]|{_CURRENCY}\b)"
)
_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_LINK: Final = re.compile(r"(?:https?://|www\.)[^\s<>\"'()]{1,2000}[^\s<>\"'().,;:!?]")
# Two to four capitalised words in a row, with particles between; one capitalised word is a name only after a title.
_CAPITAL: Final = r"[A-ZÀ-ÖØ-Þ][\w'\u2019-]{1,40}"
_NAME: Final = re.compile(
    rf"\b(?:(?:Mr|Mrs|Ms|Dr|Prof)\.?\s{_CAPITAL}(?:\s{_CAPITAL}){{0,2}}|{_CAPITAL}(?:\s(?:(?:van|von|de|da|del|der|bin|al)\s){{0,2}}{_CAPITAL}){{1,3}})"
)
_NO_NAME: Final = frozenset(
    """
    the a an this that these those it he she we they you i in on at by for from to of and or but if when while after
    before dear please best kind regards yours monday tuesday wednesday thursday friday saturday sunday january
    february march april may june july august september october november december
    """.split()  # noqa: SIM905 (words read better as words)
)


def _names(text: str) -> Iterator[str]:
    """Yield names, without a first word that is capitalised only because it begins a sentence."""
    for match in _NAME.finditer(text):
        words = match[0].split()
        while words and words[0].lower() in _NO_NAME:
            words = words[1:]
        while words and words[-1].lower() in _NO_NAME:
            words = words[:-1]
        if len(words) > 1:
            yield " ".join(words)


_FINDERS: Final[Mapping[str, Callable[[str], Iterator[str]]]] = {
    "dates": lambda text: (each[0] for each in _DATE.finditer(text)),
    "amounts": lambda text: (each[0] for each in _AMOUNT.finditer(text)),
    "names": _names,
    "links": lambda text: (each[0] for each in _LINK.finditer(text)),
    "emails": lambda text: (each[0] for each in _EMAIL.finditer(text)),
}


@tool(retry_safe=True)
def extract_facts(
    text: Annotated[str, Param("The text to search.", format="text")],
    kinds: Annotated[
        list[Kind] | None,
        Param("Any of dates, amounts, names, links, emails; left out, all of them.", format="choices"),
    ] = None,
) -> ToolResult:
    """Extract facts from a text: find and list its dates, amounts of money, names of people and companies, links, and
    email addresses."""
    if not text.strip():
        raise ToolError("invalid_arguments", "There is no text to search.")
    wanted = list(dict.fromkeys(kinds)) if kinds else list(_FINDERS)
    found = {kind: _counted(_FINDERS[kind](text[:MAX_TEXT])) for kind in wanted}
    facts = [
        {"kind": kind.removesuffix("s"), "value": value, "times": times}
        for kind, values in found.items()
        for value, times in list(values.items())[:MAX_FOUND]
    ]
    value: dict[str, Any] = {
        "facts": facts,
        "counts": {kind: len(values) for kind, values in found.items()},
        "truncated": len(text) > MAX_TEXT or any(len(each) > MAX_FOUND for each in found.values()),
    }
    listed = [
        f"{len(values):,} {kind if len(values) != 1 else kind.removesuffix('s')}" for kind, values in found.items()
    ]
    return ToolResult(value, f"Found {', '.join(listed)}")


def _counted(values: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts
