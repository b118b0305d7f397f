"""Splits texts into words for full-text search, alike for every database. Pure.

A word is a run of letters and digits, without case and accents. In scripts without spaces between words, every two
neighbouring characters are a word, so that a search finds any part of a run. Each word of a query must occur as the
beginning of a word.
"""

import re
import unicodedata
from hashlib import blake2s
from typing import Final

SEARCHED: Final = 64 * 1024
"""Limit of characters per message that are searched."""
LONGEST_WORD: Final = 64
"""Words are cut to this length in characters; PostgreSQL allows 2,046 bytes."""
MOST_ASKED: Final = 16
"""Limit of words in a query; later words are ignored."""

# Thai, Lao, Myanmar, Khmer; kana and Han with their extensions. Hangul has spaces.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_RUN: Final = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_UNSPACED_RUN: Final = re.compile(rf"[{_UNSPACED}]")


def searchable(owner: str, text: str) -> str:
    """Return the text that is indexed for a message: its owner's mark and its distinct words, separated by spaces."""
    words: dict[str, None] = {}
    for run in _runs(text[:SEARCHED]):
        if _UNSPACED_RUN.match(run):
            words |= dict.fromkeys(run[start : start + 2] for start in range(len(run)))
        else:
            words[run[:LONGEST_WORD]] = None
    return " ".join([mark(owner), *words])


def mark(owner: str) -> str:
    """Return a word that all texts of an owner contain, so that queries of the shared index match only this owner."""
    return "o" + blake2s(owner.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def for_fts5(owner: str, question: str) -> str | None:
    """Return a query for SQLite's FTS5; None if the question contains no word."""
    words = _asked(question)
    # Words are letters and digits only, which have no special meaning to FTS5 within quotation marks.
    parts = [f'"{word}"*' if begins else f'"{word}"' for word, begins in words]
    return " AND ".join([f'"{mark(owner)}"', *parts]) if parts else None


def for_tsquery(owner: str, question: str) -> str | None:
    """Return a `tsquery` for PostgreSQL; None if the question contains no word."""
    parts = [f"'{word}':*" if begins else f"'{word}'" for word, begins in _asked(question)]
    return " & ".join([f"'{mark(owner)}'", *parts]) if parts else None


def asked_words(question: str) -> list[str]:
    """Return the words of a query, folded as those of texts are, without repeats."""
    return list(dict.fromkeys(_runs(question)))[:MOST_ASKED]


def _asked(question: str) -> list[tuple[str, bool]]:
    """Return the words of a query, and for each whether longer words that begin with it match."""
    words: dict[tuple[str, bool], None] = {}
    for run in _runs(question):
        if _UNSPACED_RUN.match(run) and len(run) > 1:
            words |= {(run[start : start + 2], False): None for start in range(len(run) - 1)}
        else:
            words[run[:LONGEST_WORD], True] = None
    return list(words)[:MOST_ASKED]


def _runs(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text.casefold())
    if not folded.isascii():
        folded = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return _RUN.findall(folded)
