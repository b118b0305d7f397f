"""Cleans a title that a model has written. Pure."""

import re
import unicodedata
from typing import Final

from understudy.chat.title_text import TITLE_CHARS, cut_title

MOST_WORDS: Final = 12
"""Limit of words of a title, twice as many as a model is asked for; a longer text counts as a sentence."""

_LABEL: Final = re.compile(r"^(?:title|titel|العنوان|عنوان)\s*[:\uff1a]\s*", re.IGNORECASE)
_MARKUP: Final = re.compile(r"\*\*|__|`+|^(?:#{1,6}|[-*+>])\s+")
_LINK: Final = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_QUOTES: Final = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u00ab\u00bb\u2039\u203a\u300c\u300d\u300e\u300f"
_AROUND: Final = f" \t*_~\"'{_QUOTES}"
_BIDI: Final = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_title(written: str) -> str:
    """Return a model's text as a title: one line without markup and quotes, of at most `TITLE_CHARS` characters.

    Return an empty string if the text is no title: it has no letter and no digit, or is a sentence or longer.
    """
    line = next((line for line in written.splitlines() if any(map(str.isalnum, line)) and "```" not in line), "")
    line = "".join(char for char in line if (char not in _BIDI and unicodedata.category(char) != "Cc") or char == "\t")
    line = _LINK.sub(r"\1", _MARKUP.sub("", line.strip()))
    line = _LABEL.sub("", line.strip(_AROUND)).strip(_AROUND)
    words = line.removesuffix(".").removesuffix("\u3002").strip(_AROUND).split()
    title = " ".join(words)
    if len(words) > MOST_WORDS or not any(map(str.isalnum, title)):
        return ""
    return title if len(title) <= TITLE_CHARS else cut_title(title, TITLE_CHARS)
