"""Data on each look-alike: its Latin letter, its script, and how reliably it is out of place."""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sanitization.code_points import Ranges, merged, ranges
from sanitization.confusables import BY_SCRIPT, LATIN, pairs

# ruff: noqa: RUF001, RUF002 - look-alikes are what this file is about


class Look(NamedTuple):
    """A look-alike: the ASCII letter, the script or form, and whether it has exactly the shape of that letter.

    Others (`к` for k, `α` for a) only pass for it among Latin letters, and have legitimate uses beside them.
    """

    plain: str
    script: str
    same: bool


# Letters with exactly the shape of Latin ones; in scripts not named here, all have it.
_SAME: Final = {
    "cyrillic": "асеорхуіјѕһӏԁԛԝѵАВЕКМНОРСТХУІЈЅҺӀԌԚԜѴҮЬ",
    "greek": "οϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹͿ",
    "round": "",
}
_SMALL_CAPITALS: Final = "ɢɪɴʀʏʙʜʟ"  # those of the phonetic alphabet
_DRESSES: Final = (
    ("wide", ((0xFF10, 0xFF5A),)),
    ("mathematical", ((0x2102, 0x2129), (0x212B, 0x2138), (0x213C, 0x2149), (0x1D400, 0x1D7FF))),
    ("roman", ((0x2160, 0x217F),)),
    ("enclosed", ((0x249C, 0x24E9), (0x1F110, 0x1F12B), (0x1F130, 0x1F189))),
    ("kelvin", ((0x212A, 0x212A),)),
)


def _dress(letter: str) -> str:
    code = ord(letter)
    for name, blocks in _DRESSES:
        if any(low <= code <= high for low, high in blocks):
            return name
    if "LETTER SMALL CAPITAL" in unicodedata.name(letter, ""):
        return (
            "" if "MODIFIER" in unicodedata.name(letter) else "small_phonetic" if letter in _SMALL_CAPITALS else "small"
        )
    raised = unicodedata.decomposition(letter).startswith("<super>") or "MODIFIER LETTER" in unicodedata.name(
        letter, ""
    )
    return "raised" if raised and LATIN[letter].isalpha() and letter not in "ªº" else ""


def _looks() -> Iterator[tuple[str, Look]]:
    for letter, plain in LATIN.items():
        dress = _dress(letter)
        if dress:
            yield letter, Look(plain, dress, True)
    for script, table in BY_SCRIPT.items():
        same = _SAME.get(script)
        for letter, plain in pairs(table).items():
            if unicodedata.bidirectional(letter) != "L":
                continue  # in a word of both directions the order of letters is unclear to a reader
            yield letter, Look(plain, script, same is None or letter in same)
    for code in range(0xAB70, 0xABC0):
        if chr(code) in LATIN:
            yield chr(code), Look(LATIN[chr(code)], "cherokee", True)


LOOKS: Final[dict[str, Look]] = dict(_looks())
"""The look-alikes that are judged, by letter."""
DRESSES: Final = frozenset({"wide", "mathematical", "roman", "enclosed", "small", "small_phonetic", "raised"})
"""Other forms of ASCII letters, which are not scripts."""
DRESSED: Final = frozenset(letter for letter, look in LOOKS.items() if look.script in DRESSES)
SCRIPT_LETTERS: Final[Ranges] = ranges(
    "0370-03FF 0400-052F 0531-0587 0900-0DFF 0E00-0EFF 1000-10FF 13A0-16FF 1C80-1CBF 1F00-1FFF 2C80-2D7F A4D0-A4FF "
    "A640-A69F AB70-ABBF 10300-1032F 10400-1044F"
)
"""Blocks of the scripts that have look-alikes: their letters are part of a word."""


def ranges_of(letters: Iterable[str]) -> Ranges:
    """Return characters as ranges of code points."""
    return merged(tuple((ord(letter), ord(letter)) for letter in letters))


class _Shapes(dict[int, str]):
    def __missing__(self, code: int) -> str:
        return "!"


_OF_DRESS: Final = {
    "wide": "x",
    "mathematical": "m",
    "roman": "i",
    "enclosed": "e",
    "small": "s",
    "small_phonetic": "p",
    "raised": "q",
}
_OF_SCRIPT: Final = {  # letters of the same shape, letters that resemble
    "cyrillic": "ck",
    "greek": "gw",
    "armenian": "hh",
    "round": "rr",
}


def _shapes() -> _Shapes:
    shapes = _Shapes()
    for code in (*range(0x80), *range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        letter = chr(code)
        shapes[code] = ("A" if letter.isupper() else "a") if letter.isalpha() else "0"
    shapes.update(dict.fromkeys(range(0x300, 0x370), "0"))
    for letter, look in LOOKS.items():
        if look.script == "greek" and not look.same and look.plain in "bcegmsuz":
            continue  # letters of Berber Latin, and symbols that do not pass for Latin letters
        shape = _OF_DRESS.get(look.script) or _OF_SCRIPT.get(look.script, "oo")[not look.same]
        small = look.script in DRESSES or letter != letter.upper()
        shapes[ord(letter)] = shape if small else shape.upper()
    return shapes


SHAPES: Final = _shapes()
"""For `str.translate`: the class of each letter of a word. Latin letters are `a` and `A`, digits `0`; look-alikes of
the same shape are `c` (Cyrillic), `g` (Greek), `h` (Armenian) and `o` (others), capitals likewise; those that only
resemble are `k` (Cyrillic), `w` (Greek) and `r`; other forms of Latin letters are `x m i e s p q`. All else is `!`.
"""
