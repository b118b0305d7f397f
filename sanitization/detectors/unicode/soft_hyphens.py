"""Distinguishes soft hyphens that divide a word from those that break up other text."""

import re
from itertools import pairwise
from typing import Final

WORDS_MAX: Final = 64  # characters between two blanks, on either side of the hyphen

_TOKEN: Final = re.compile(rf"\S{{0,{WORDS_MAX + 1}}}")
_WORD: Final = r"[^\W\d_]{1,64}(?:\xad[^\W\d_]{1,64}){0,32}"
# Words with the marks that may stand around and between them. A sign such as `.`, `:`, `(` or `=` within makes it an
# address, a call or an assignment.
_WORDS: Final = re.compile(
    rf"""["'(\[{{\u201c-\u201f\u2018-\u201b\xab\xbb\xbf\xa1<>*_]*
    (?P<words> {_WORD} (?:[-/'\u2019\u2010-\u2015\u2026] {_WORD}){{0,16}} )
    ["')\]}}\u201c-\u201f\u2018-\u201b\xab\xbb.,;:!?\u2026*_<>]*""",
    re.VERBOSE,
)
_BETWEEN: Final = re.compile(r"[-/'\u2019\u2010-\u2015\u2026]")


def divides(text: str, index: int) -> bool:
    """Return whether the soft hyphen at `index` stands within a plain word, between syllables."""
    if not (text[index - 1 : index].isalpha() and text[index + 1 : index + 2].isalpha()):
        return False
    before = _TOKEN.match(text[max(0, index - WORDS_MAX - 1) : index][::-1])
    after = _TOKEN.match(text, index + 1)
    if before is None or after is None or max(before.end(), after.end() - index) > WORDS_MAX:
        return False
    words = _WORDS.fullmatch(text, index - before.end(), after.end())
    return words is not None and all(map(_is_divided, _BETWEEN.split(words["words"])))


def _is_divided(word: str) -> bool:
    """Return whether both ends have two letters, no two one-letter syllables adjoin, and only a name has an inner
    capital.
    """
    syllables = word.split("\xad")
    if len(syllables) == 1:
        return True
    if len(syllables[0]) < 2 or len(syllables[-1]) < 2:
        return False
    if any(len(one) == len(other) == 1 for one, other in pairwise(syllables)):
        return False
    return (
        word[1:] == word[1:].lower()
        or word == word.upper()
        or all(syllable[0].isupper() and syllable[1:].islower() for syllable in syllables)
    )
