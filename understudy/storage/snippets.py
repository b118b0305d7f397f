"""The part of a text around the words that a search found, with those words marked. Pure."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from understudy.storage.fulltext import SEARCHED, asked_words

BEFORE: Final = 40
"""Characters shown before the first word that was found."""
SHOWN: Final = 160
"""Characters of a snippet."""
FOLDED: Final = 16 * 1024
"""Limit of characters that are searched in a text that is not ASCII: its characters are folded one by one."""
_MARKS: Final = re.compile(r"\*\*|`+|^#+ |\|", re.MULTILINE)


def snippet(text: str, query: str) -> list[tuple[str, bool]]:
    """Return pieces of `text` around the words of `query`, each with whether it is such a word; `…` where it is cut.

    A text in which no word is found is shown from its beginning.
    """
    text = " ".join(_MARKS.sub(" ", text[: SEARCHED if text.isascii() else FOLDED]).split())
    folded, places = _fold(text)
    words = asked_words(query)
    spans = [match.span() for match in _pattern(words).finditer(folded)] if words else []
    hits = [(places[first], places[last - 1] + 1) for first, last in spans]
    start = 0 if not hits else max(0, hits[0][0] - BEFORE)
    if start > 0:
        start = text.find(" ", start, hits[0][0]) + 1 or start
    end = min(len(text), start + SHOWN)
    pieces: list[tuple[str, bool]] = [("…", False)] if start > 0 else []
    at = start
    for first, last in hits:
        if first < at or last > end:
            continue
        pieces += [(text[at:first], False)] if first > at else []
        pieces.append((text[first:last], True))
        at = last
    excerpt = text[at:end] + ("…" if end < len(text) else "")
    return [*pieces, (excerpt, False)] if excerpt else pieces


def _pattern(words: list[str]) -> re.Pattern[str]:
    """Return a pattern of any of the words: at the beginning of a word where the script has spaces."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(
        "|".join(re.escape(word) if _unspaced(word) else rf"(?<![^\W_]){re.escape(word)}" for word in longest_first)
    )


def _unspaced(word: str) -> bool:
    return ord(word[0]) >= 0x0E00 and not 0xAC00 <= ord(word[0]) <= 0xD7FF


def _fold(text: str) -> tuple[str, "range | list[int]"]:
    """Return the text without case and accents, and for each of its characters the place of the original."""
    if text.isascii():
        return text.lower(), range(len(text))
    folded, places = [], []
    for place, letter in enumerate(text):
        for char in _fold_letter(letter):
            folded.append(char)
            places.append(place)
    return "".join(folded), places


@lru_cache(maxsize=4096)
def _fold_letter(letter: str) -> str:
    split = unicodedata.normalize("NFKD", letter.casefold())
    return "".join(char for char in split if not unicodedata.combining(char))
