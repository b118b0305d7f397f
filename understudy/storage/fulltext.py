"""Texts as words to be searched, the same for every database. Pure.

A word is a run of letters and digits, without case and accents. In scripts that put no spaces between words, every two
neighbouring characters are one: so a search finds what stands anywhere in a run. What is asked for must occur, each
word as the beginning of one.
"""

import re
import unicodedata
from collections.abc import Iterator
from hashlib import blake2s
from typing import Final

SEARCHED: Final = 64 * 1024
"""Characters of a message that a search finds."""
LONGEST_WORD: Final = 64
"""Characters of a word that count: what is longer is no word (PostgreSQL takes up to 2,046 bytes)."""
MOST_ASKED: Final = 16
"""Words of a question: what is typed beyond them does not narrow a search."""

# Thai, Lao, Myanmar, Khmer; kana and Han with their extensions. Hangul has spaces.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_RUN: Final = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_UNSPACED_RUN: Final = re.compile(rf"[{_UNSPACED}]")


def searchable(owner: str, text: str) -> str:
    """What is stored of a message for searching: its owner's mark and its words, with blanks between them."""
    words = (word for run in _runs(text[:SEARCHED]) for word in _stored(run))
    return " ".join([mark(owner), *dict.fromkeys(words)])


def mark(owner: str) -> str:
    """The word that all texts of an owner have, so that an index of everybody's words is asked for theirs alone."""
    return "o" + blake2s(owner.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def for_fts5(owner: str, question: str) -> str | None:
    """The question as SQLite's FTS5 takes it; None when there is no word in it."""
    asked = _asked(question)
    # Letters and digits only: nothing in them means anything to FTS5 within quotation marks.
    parts = [f'"{word}"*' if begins else f'"{word}"' for word, begins in asked]
    return " AND ".join([f'"{mark(owner)}"', *parts]) if parts else None


def for_tsquery(owner: str, question: str) -> str | None:
    """The question as PostgreSQL's `tsquery`; None when there is no word in it."""
    parts = [f"'{word}':*" if begins else f"'{word}'" for word, begins in _asked(question)]
    return " & ".join([f"'{mark(owner)}'", *parts]) if parts else None


def _asked(question: str) -> list[tuple[str, bool]]:
    """The words asked for, and of each whether longer ones that begin with it will do."""
    words: dict[tuple[str, bool], None] = {}
    for run in _runs(question):
        if _UNSPACED_RUN.match(run) and len(run) > 1:
            words |= {(run[start : start + 2], False): None for start in range(len(run) - 1)}
        else:
            words[run[:LONGEST_WORD], True] = None
    return list(words)[:MOST_ASKED]


def _stored(run: str) -> Iterator[str]:
    if _UNSPACED_RUN.match(run):
        yield from (run[start : start + 2] for start in range(len(run)))
    else:
        yield run[:LONGEST_WORD]


def _runs(text: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFKD", text.casefold())
    if not folded.isascii():
        folded = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return (match[0] for match in _RUN.finditer(folded))
