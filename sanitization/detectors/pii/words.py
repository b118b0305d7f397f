"""Patterns for any of many words."""

import re
from collections import defaultdict
from collections.abc import Sequence

from sanitization.prefilter import Prefilter


def anchor(words: Sequence[str], unspaced: Sequence[str] = ()) -> re.Pattern[str]:
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
    return re.compile(f"[{''.join(sorted(initials))}](?:{'|'.join(alternatives)})")


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
