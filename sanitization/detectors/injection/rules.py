"""The form of a rule for injected orders: first words, a pattern from there on, and weights.

A pattern is matched in the normalised view of a text, at each of the rule's `stems` at the start of a word. Its named
groups add their weights to the base, so that *ignore the instructions* stays below the threshold and *ignore all your
previous instructions* is far above it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any, Final

from attrs import evolve, frozen

from sanitization.late import Late
from sanitization.prefilter import Prefilter

GAP: Final = r"[\s,;:'\"*_`~()\[\]{}<>|/\\-]{1,8}"
"""Separator of two words of one order: never the end of a sentence."""
SEPARATOR: Final = "[^A-Za-z0-9.!?]+"
"""Separator of two words in prefilters: a bytewise superset of `GAP`."""


# Digits and signs written for letters.
LEET: Final[Mapping[str, str]] = {
    "a": "4@", "b": "8", "e": "3", "g": "69", "i": "1!|", "l": "1|", "o": "0", "s": "5$", "t": "7", "z": "2",
}  # fmt: skip


def letter(character: str) -> str:
    """Return a pattern for a letter or a sign written for it."""
    signs = LEET.get(character)
    return f"[{character}{signs}]" if signs else re.escape(character)


def spelled(word: str) -> str:
    """Return a pattern for a word, also in leetspeak; `_` stands for a gap between words."""
    return "".join(GAP if character == "_" else letter(character) for character in word)


def swapped(word: str) -> set[str]:
    """Return the words with two neighbouring letters swapped; the first letter stays."""
    turned = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(1, len(word) - 1)}
    return turned - {word}


def words(listing: str, *, slips: bool = False) -> str:
    """Return a pattern for any word of a listing, longest first. `slips` includes swapped letters of long words."""
    listed = listing.split()
    slipped = [slip for word in listed if len(word) > 5 and "_" not in word for slip in swapped(word)] if slips else []
    return f"(?:{trie([*listed, *slipped], open_end=False, spell=spelled)})"


_PIECE: Final = Late(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]| \{| \?| ", re.DOTALL)


def spaced(pattern: str) -> str:
    """Replace each blank of a pattern by a gap, except in character classes and before counted repeats."""

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
    """A row of words with a prefilter of its own: each part is any of some words; with `*` before it, any number of
    them.

    `Phrase("show print", "*me the your", "prompt")`. A part that begins with `:` requires a colon before it; `:` alone
    may be the last part. The prefilter matches the whole row, and an incomplete row at the end of a text, which may be
    the end of a piece: a stream cannot take back text it has shown.
    """

    parts: Sequence[str]

    @property
    def first(self) -> tuple[str, ...]:
        """The words it begins with."""
        return tuple(self.parts[0].split())


def row(parts: Sequence[str | Sequence[str]], *, open_end: bool) -> str:
    """Return a pattern for a row of words. `open_end` also accepts an incomplete row at the end of a text."""
    pattern = ""
    for at, part in reversed([*enumerate(parts)][1:]):
        listed = part.lstrip("*:").split() if isinstance(part, str) else part
        how = part[:1] if isinstance(part, str) else ""
        words_of = f"(?:{trie(listed, open_end=open_end)})" if listed else ""
        # A first word alone needs no prefilter until it ends: the last word of a text is held back in any case.
        alone = all(isinstance(earlier, str) and earlier[:1] == "*" for earlier in parts[1:at])
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
    """Return a pattern for the longest matching word, each character spelled by `spell`.

    `open_end` also accepts an incomplete word at the end of a text.
    """
    tree: dict[str, dict[str, Any]] = {}
    for word in listed:
        node = tree
        for character in word:
            node = node.setdefault(character, {})
        node[""] = {}
    return _branches(tree, open_end, spell)


def _branches(node: Mapping[str, Mapping[str, Any]], open_end: bool, spell: Callable[[str], str]) -> str:
    parts = []
    for character, below in sorted(node.items(), reverse=True):
        if not character:
            continue
        text = spell(character)
        while len(below) == 1 and "" not in below and not open_end:
            [(character, below)] = below.items()
            text += spell(character)
        parts.append(text + (f"(?:{_branches(below, open_end, spell)})" if len(below) > 1 or "" not in below else ""))
    if open_end:
        parts.append("$")
    if "" in node:
        parts.append("")
    return "|".join(parts)


@frozen
class OrderRule:
    """One way to give an order.

    `weights` has the base under `""`, and the amount that each named group of the `pattern` adds. `before` are patterns
    for the text before the find (they end with `$`), each with its weight. The prefilter of a rule with `phrases` is
    their rows; without any it is the stems. `leet` are first words that are also read in leetspeak.
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
        """The find's text from the first word on, in the raw text; None for a rule that has only stems."""
        if self.exact:
            return Late(re.escape(self.exact))
        if self.raw:
            return Late(self.raw.replace("$|", ""), re.IGNORECASE | re.ASCII)
        if self.phrases:
            return Late(partial(self._rows, open_end=False), re.IGNORECASE | re.ASCII)
        return None

    def _rows(self, *, open_end: bool) -> str:
        return "|".join([row(phrase.parts, open_end=open_end) for phrase in self.phrases])

    @property
    def prefilter(self) -> Prefilter:
        """The rule's prefilter."""
        if self.exact:
            return Prefilter(literals=(self.exact,))
        if self.raw:
            return Prefilter(literals=self.stems, pattern=self.raw.replace("$|", ""), ignore_case=True)
        if self.phrases:
            return Prefilter(literals=self.begins, pattern=self._rows(open_end=False), ignore_case=True)
        return Prefilter(literals=self.stems, ignore_case=True)

    @property
    def ends(self) -> Prefilter:
        """The prefilter, also matching an incomplete find at the end of a text."""
        if self.raw:
            return Prefilter(literals=self.stems, pattern=self.raw, ignore_case=True)
        return evolve(self.prefilter, pattern=self._rows(open_end=True)) if self.phrases else self.prefilter

    @cached_property
    def begins(self) -> tuple[str, ...]:
        """The stems of its first word, in the view."""
        return self.stems or tuple(dict.fromkeys(word for phrase in self.phrases for word in phrase.first))


def rule(
    header: str,
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
) -> OrderRule:
    """Build a rule. `header` has its name, kind and reason, with ` | ` between; a blank in a pattern stands for a
    gap between words.
    """
    name, kind, reason = header.split(" | ")
    return OrderRule(
        name,
        f"injection.{kind}",
        reason,
        Late(lambda: spaced(pattern)),
        weights,
        tuple(stems.split()),
        tuple(Phrase(tuple(parts)) for parts in (*phrases, *([phrase] if phrase else []))),
        tuple((Late(partial(spaced, f"(?:{behind})$")), weight) for behind, weight in before),
        tuple(leet.split()),
        exact,
        raw,
    )
