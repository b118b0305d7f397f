"""A normalised view of a text: lower case, no accents, no disguises, with the offset of each character in the text.

Each character of the view is one character of the text; combining marks are dropped. The view of a character depends on
itself and its eight neighbours alone, so a part of a text reads as it does in the whole.
"""

# ruff: noqa: RUF001 - letters of other scripts are what this file is about

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from .confusables import BY_SCRIPT, LATIN, pairs
from .late import Late

# Overlays and accents, points and signs of vowels in Hebrew and Arabic, the soft hyphen, the Arabic stroke.
MARKS: Final = (
    "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20e2\u20e4-\u20ff\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u064b-\u065f\u0670\u00ad\u0640"
)
"""Character class of the marks that the view drops."""

# Ranges that ASCII is not in come first, so that `re` skips it quickly.
_MARK: Final = Late(f"[^\0-\x7f](?<=[{MARKS}])")
_NOT_ASCII: Final = Late("[^\0-\x7f]+")
_KEPT: Final = Late(f"[^{MARKS}]+")
_FOREIGN: Final = {
    alien: latin.lower() for table in BY_SCRIPT.values() for alien, latin in pairs(table).items() if latin.isalpha()
}
_REGIONAL: Final = range(0x1F1E6, 0x1F200)
_EMOJI: Final = frozenset("\u2139\u24c2\U0001f170\U0001f171\U0001f17e\U0001f17f")
LOOK_ALIKES: Final = "".join(sorted(_FOREIGN))
"""Letters of other scripts that pass for Latin ones; in the view they are Latin beside a Latin letter only."""
DRESSED: Final = "".join(
    sorted(
        letter
        for letter, latin in LATIN.items()
        if letter not in _FOREIGN
        and latin.isalpha()
        and ord(letter) >= 0x250
        and ord(letter) not in _REGIONAL
        and letter not in _EMOJI
    )
)
"""Latin letters in another form (fullwidth, mathematical, circled): always Latin in the view."""

# 1:1, beyond what Unicode decomposes. Letters of Arabic that Persian, and haste, write in another way.
_SAME: Final = {
    **dict(zip("đłøßæœςħ", "dlosaoσh", strict=True)),
    **dict(zip("ىیکةھ", "يي\u0643هه", strict=True)),
    **dict.fromkeys("\u2018\u2019\u02bc\u00b4\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f\uff02", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000", " "),
}
CACHE_MAX: Final = 20_000  # characters whose fold is remembered
FEW: Final = 20  # times as many characters as those that are not ASCII, for these to be folded one by one

_ALIKE: Final = f"[{LOOK_ALIKES}]{{1,8}}"
_ANY_ALIKE: Final = Late(f"[^\0-\x7f](?<=[{LOOK_ALIKES}])")
_BESIDE_LATIN: Final = Late(f"(?<=[a-z]){_ALIKE}|{_ALIKE}(?=[a-z])")


@frozen
class NormalizedText:
    """The view, and in `places` the offset in the text of each character, and of the end."""

    text: str
    places: Sequence[int]


def normalize(text: str) -> NormalizedText:
    """Return the view of a text."""
    if text.isascii():
        return NormalizedText(text.lower(), range(len(text) + 1))
    places: Sequence[int] = range(len(text) + 1)
    if _MARK.search(text):
        kept = [index for run in _KEPT.finditer(text) for index in range(run.start(), run.end())]
        places = [*kept, len(text)]
        text = _MARK.sub("", text)
    view = _fold_all(text)
    return NormalizedText(_BESIDE_LATIN.sub(_latin, view) if _ANY_ALIKE.search(view) else view, places)


def _fold_all(text: str) -> str:
    """Return the text with every character folded."""
    data = text.encode("utf-8", "surrogatepass")
    if len(text) < FEW * (len(data) - len(text)):  # about as many as there are characters that are not ASCII
        return text.translate(_FOLD)
    if not data.isascii():
        data = _NOT_ASCII.sub(_folded, text).encode("utf-8", "surrogatepass")
    return data.lower().decode("utf-8", "surrogatepass")


def _folded(match: re.Match[str]) -> str:
    return match[0].translate(_FOLD)


def folded(text: str) -> str:
    """Return the view's text alone."""
    return normalize(text).text


def _latin(match: re.Match[str]) -> str:
    return "".join([_FOREIGN[letter] for letter in match[0]])


class _Fold(dict[int, str]):
    """Cache of the view of each character, filled on first use."""

    def __missing__(self, code: int) -> str:
        form = _fold(chr(code))
        if len(self) < CACHE_MAX:
            self[code] = form
        return form


def _fold(character: str) -> str:
    if character in LATIN and character not in _FOREIGN:
        return LATIN[character].lower()
    plain = unicodedata.normalize("NFKC", character)
    plain = plain if len(plain) == 1 else character
    if ord(plain) < 0x700 or 0x1E00 <= ord(plain) < 0x2000:
        base, *marks = list(unicodedata.normalize("NFD", plain))
        if all(unicodedata.combining(mark) for mark in marks):
            plain = base
    lower = plain.lower()
    lower = lower if len(lower) == 1 else plain
    return _SAME.get(lower, lower)


_FOLD: Final = _Fold()
