"""The form of a part of `pii`, and patterns for words beside the data."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sanitization.findings import Hit
from sanitization.late import Late
from sanitization.prefilter import NamedPrefilter, Prefilter

from .context import NamedTopics

CONTEXT: Final = 160
"""Code points before an anchor that any part reads."""
REACH: Final = 512
"""Code points after an anchor that any part reads."""


def unbroken(text: str, _start: int) -> int:
    """Return the end of the text: a find without blanks lies within the last word, which the caller holds back."""
    return len(text)


class PiiPart(NamedTuple):
    """One form of personal data, with its prefilters by name. Whether a place is an anchor depends on at most `CONTEXT`
    code points before it.
    """

    prefilters: tuple[NamedPrefilter, ...]
    first: Callable[[str, int, NamedTopics], Hit | None]
    """Returns the first hit of a text with its anchor at a place or later, given the topics named in the text."""
    pending: Callable[[str, int], int] = unbroken
    """Returns the place, at least the one given, from which more text could make a hit."""


def hit(start: int, end: int, kind: str, score: float, anchor: int | None = None, reason: str = "") -> Hit:
    """Make a hit of `pii.<kind>`, to be replaced by the kind in brackets."""
    reasons = (reason,) if reason else ()
    return Hit(start, end, f"pii.{kind}", score, f"[{kind}]", start if anchor is None else anchor, reasons)


def anchor(words: Sequence[str], unspaced: Sequence[str] = ()) -> Late:
    """Return a pattern for words that stand alone, also capitalised or, in ASCII, in upper case.

    `words` are in lower case. `unspaced` are of scripts without blanks and capitals, and may stand within others. A
    match begins with one of the first letters, so that a search skips other text quickly.
    """
    tails: dict[str, list[str]] = defaultdict(list)
    for word in words:
        tails[word[0]] += [word[1:], word[1:].upper()] if word.isascii() else [word[1:]]
    cased = "|".join(
        f"(?<=[{first}{first.upper()}])(?:{'|'.join(map(re.escape, sorted(rest, key=len, reverse=True)))})"
        for first, rest in tails.items()
    )
    alternatives = [rf"(?<![^\W\d_].)(?:{cased})(?![^\W\d_])"]
    alternatives += [f"(?<={word[0]}){word[1:]}" for word in sorted(unspaced, key=len, reverse=True)]
    initials = {*tails, *(first.upper() for first in tails), *(word[0] for word in unspaced)}
    return Late(f"[{''.join(sorted(initials))}](?:{'|'.join(alternatives)})")


def spellings(words: Sequence[str], unspaced: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the literals of a prefilter that ignores the case of ASCII letters only."""
    capitals = [word[0].upper() + word[1:].lower() for word in words if not word[0].isascii()]
    return tuple(sorted({*words, *capitals, *unspaced}))


def prefilter(words: Sequence[str], unspaced: Sequence[str] = ()) -> Prefilter:
    """Return the prefilter of an `anchor`."""
    cased = "|".join(map(re.escape, spellings(words)))
    pattern = rf"(?:^|[^A-Za-z])(?:{cased})(?:[^A-Za-z]|$)"
    either = "|".join((pattern, *sorted(unspaced)))
    return Prefilter(literals=spellings(words, unspaced), pattern=either, ignore_case=True)
