"""How a rule for injected orders is written: words a find begins with, a pattern from there on, and weights.

A pattern is matched in the view of a text (`normal`: one case, no accents), where one of the rule's `stems` stands at
the start of a word. Its named groups add their weights to the base, so that *ignore the instructions* stays below
what counts and *ignore all your previous instructions* is far above it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any, Final

from attrs import evolve, frozen

from sanitization.prefilter import Prefilter

GAP: Final = r"[\s,;:'\"*_`~()\[\]{}<>|/\\-]{1,8}"
"""What may stand between two words of one order: no end of a sentence."""
SEPARATOR: Final = "[^A-Za-z0-9.!?]+"
"""The same and more, for prefilters: a bytewise superset of `GAP`."""


class Late:
    """A regular expression that is compiled when it is first used: together they would take long to load.

    `source` is the expression, or what makes it.
    """

    def __init__(self, source: str | Callable[[], str], flags: int = 0) -> None:
        self._source, self._flags = source, flags

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern."""
        return re.compile(self._source if isinstance(self._source, str) else self._source(), self._flags)

    @cached_property
    def search(self) -> Callable[..., re.Match[str] | None]:
        """As of a compiled pattern."""
        return self.compiled.search

    @cached_property
    def match(self) -> Callable[..., re.Match[str] | None]:
        """As of a compiled pattern."""
        return self.compiled.match

    @cached_property
    def finditer(self) -> Callable[..., Iterable[re.Match[str]]]:
        """As of a compiled pattern."""
        return self.compiled.finditer


# Digits and signs that are written for letters.
LEET: Final[Mapping[str, str]] = {
    "a": "4@", "b": "8", "e": "3", "g": "69", "i": "1!|", "l": "1|", "o": "0", "s": "5$", "t": "7", "z": "2",
}  # fmt: skip


def letter(character: str) -> str:
    """A letter, or a sign that is written for it."""
    signs = LEET.get(character)
    return f"[{character}{signs}]" if signs else re.escape(character)


def spelled(word: str) -> str:
    """A pattern for a word, also in leetspeak; `_` stands for what is between two words."""
    return "".join(GAP if each == "_" else letter(each) for each in word)


def swapped(word: str) -> set[str]:
    """The word with two neighbours changed about, in each way that gives another word; the first letter stays."""
    turned = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(1, len(word) - 1)}
    return turned - {word}


def words(listing: str, *, slips: bool = False) -> str:
    """A pattern for any of the words of a listing, longest first. `slips` takes in swapped letters of long ones."""
    each = listing.split()
    slipped = [slip for word in each if len(word) > 5 and "_" not in word for slip in swapped(word)] if slips else []
    return f"(?:{trie([*each, *slipped], open_end=False, spell=spelled)})"


_PIECE: Final = Late(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]| \{| \?| ", re.DOTALL)


def spaced(pattern: str) -> str:
    """The pattern with a gap for each blank; not in a class of characters, nor where the blanks are counted."""

    def replaced(piece: re.Match[str]) -> str:
        match piece[0]:
            case " ":
                return GAP
            case " ?":
                return f"(?:{GAP})?"
            case other:
                return other

    return _PIECE.compiled.sub(replaced, pattern)


_WITHIN: Final = "[^A-Za-z0-9.!?]*"
_COLON: Final = "(?:[:=]|\uff1a|\uff1d)"
_TO_COLON: Final = "[^A-Za-z0-9.!?:=]*"


@frozen
class Phrase:
    """A row of words with a prefilter of its own: each part is any of some words; `*` before a part: any number of
    them.

    `Phrase("show print", "*me the your", "prompt")`. Before a part that begins with `:` a colon is to stand; `:` alone
    may be the last part. The prefilter is open for the whole row, and for a beginning of it at the end of a text, which
    may be the end of a piece only: what a stream has shown it cannot take back.
    """

    parts: Sequence[str]

    @property
    def first(self) -> tuple[str, ...]:
        """The words it begins with."""
        return tuple(self.parts[0].split())


def row(parts: Sequence[str | Sequence[str]], *, open_end: bool) -> str:
    """A pattern for a row of words, each part the words of one place; `open_end` as in `Phrase`."""
    pattern = ""
    for at, part in reversed([*enumerate(parts)][1:]):
        listed = part.lstrip("*:").split() if isinstance(part, str) else part
        how = part[:1] if isinstance(part, str) else ""
        words_of = f"(?:{trie(listed, open_end=open_end)})" if listed else ""
        # A first word alone needs no prefilter while nothing ends it: the last word of a text is held back in any case.
        alone = all(isinstance(each, str) and each[:1] == "*" for each in parts[1:at])
        ended = f"{SEPARATOR if alone else _WITHIN}$"
        if how == "*":
            whole = f"(?:{trie(listed, open_end=False)})"
            begun = f"(?:{ended}|{SEPARATOR}{words_of}{_WITHIN}$|{pattern})" if open_end else pattern
            pattern = f"(?:{SEPARATOR}{whole})*{begun}"
        elif how == ":":
            behind = f"{_WITHIN}{words_of}{pattern}" if listed else pattern
            colon = f"{_TO_COLON}{_COLON}{behind}"
            pattern = f"(?:{ended}|{colon})" if open_end else colon
        elif open_end:
            pattern = f"(?:{ended}|{SEPARATOR}{words_of}{pattern})"
        else:
            pattern = f"{SEPARATOR}{words_of}{pattern}"
    first = parts[0].split() if isinstance(parts[0], str) else parts[0]
    return f"(?:{trie(first, open_end=False)}){pattern}"


@cache
def _escaped(character: str) -> str:
    return re.escape(character)


def trie(listed: Iterable[str], *, open_end: bool, spell: Callable[[str], str] = _escaped) -> str:
    """A pattern for any of some words, the longest that stands there, each character as `spell` has it.

    With `open_end` also for the beginning of a word at the end of a text.
    """
    tree: dict[str, dict[str, Any]] = {}
    for word in listed:
        node = tree
        for character in word:
            node = node.setdefault(character, {})
        node[""] = {}
    return _branches(tree, open_end, spell)


def _branches(node: Mapping[str, Mapping[str, Any]], open_end: bool, spell: Callable[[str], str]) -> str:
    each = []
    for character, below in sorted(node.items(), reverse=True):
        if not character:
            continue
        text = spell(character)
        while len(below) == 1 and "" not in below and not open_end:
            [(character, below)] = below.items()
            text += spell(character)
        each.append(text + (f"(?:{_branches(below, open_end, spell)})" if len(below) > 1 or "" not in below else ""))
    if open_end:
        each.append("$")
    if "" in node:
        each.append("")
    return "|".join(each)


@frozen
class Rule:
    """One way to give an order.

    `weights` has the base under `""`, and what each named group of the `pattern` adds when it took part. `before` are
    patterns for what stands before the find (they end with `$`), each with what it adds. A rule with `phrases` looks
    at its prefilter's rows in the text; one without is open wherever a stem stands. `leet` are first words that are
    also read in leetspeak.
    """

    name: str
    kind: str
    reason: str
    pattern: Late
    weights: Mapping[str, float]
    stems: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    before: tuple[tuple[Late, float], ...] = ()
    leet: tuple[str, ...] = ()
    exact: str = ""
    raw: str = ""

    @cached_property
    def full(self) -> Late | None:
        """What stands in the text itself, from the first word on; for a rule that has more than stems."""
        if self.exact:
            return Late(re.escape(self.exact))
        if self.raw:
            return Late(self.raw.replace("$|", ""), re.IGNORECASE | re.ASCII)
        if self.phrases:
            return Late(partial(self._rows, open_end=False), re.IGNORECASE | re.ASCII)
        return None

    def _rows(self, *, open_end: bool) -> str:
        return "|".join([row(each.parts, open_end=open_end) for each in self.phrases])

    @property
    def prefilter(self) -> Prefilter:
        """What is to be seen where it finds something."""
        if self.exact:
            return Prefilter(literals=(self.exact,))
        if self.raw:
            return Prefilter(literals=self.stems, pattern=self.raw.replace("$|", ""), ignore_case=True)
        if self.phrases:
            return Prefilter(literals=self.begins, pattern=self._rows(open_end=False), ignore_case=True)
        return Prefilter(literals=self.stems, ignore_case=True)

    @property
    def ends(self) -> Prefilter:
        """What is to be seen in the end of a text that may go on to where it finds something."""
        if self.raw:
            return Prefilter(literals=self.stems, pattern=self.raw, ignore_case=True)
        return evolve(self.prefilter, pattern=self._rows(open_end=True)) if self.phrases else self.prefilter

    @cached_property
    def begins(self) -> tuple[str, ...]:
        """The beginnings of its first word, in the view."""
        return self.stems or tuple(dict.fromkeys(word for each in self.phrases for word in each.first))


def rule(
    name: str,
    kind: str,
    reason: str,
    pattern: str,
    weights: Mapping[str, float],
    *,
    stems: str = "",
    phrase: Sequence[str] = (),
    phrases: Sequence[Sequence[str]] = (),
    before: Iterable[tuple[str, float]] = (),
    leet: str = "",
    exact: str = "",
    raw: str = "",
) -> Rule:
    """A rule from its parts; in a pattern a blank stands for what is between two words."""
    return Rule(
        name,
        kind,
        reason,
        Late(lambda: spaced(pattern)),
        weights,
        tuple(stems.split()),
        tuple(Phrase(tuple(each)) for each in (*phrases, *([phrase] if phrase else []))),
        tuple((Late(partial(spaced, f"(?:{behind})$")), weight) for behind, weight in before),
        tuple(leet.split()),
        exact,
        raw,
    )
