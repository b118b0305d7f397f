"""Ranges of code points: hidden ones, unassigned ones, and those beside which hidden ones are legitimate.

From the Unicode Character Database (DerivedCoreProperties: Default_Ignorable_Code_Point; Scripts; emoji-data;
StandardizedVariants), reduced to the needs of the detectors. Ranges are inclusive at both ends.
"""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

Ranges = tuple[tuple[int, int], ...]


def char_class(*groups: Ranges) -> str:
    """Return the ranges as the inside of a character class of a regular expression."""
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for ranges in groups for low, high in ranges)


def merged(*groups: Ranges) -> Ranges:
    """Return the union of the ranges, in order, without overlap."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(each for ranges in groups for each in ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def members(ranges: Ranges) -> frozenset[str]:
    """Return the characters of the ranges."""
    return frozenset(chr(code) for low, high in ranges for code in range(low, high + 1))


# What is hidden, by what it does.
TAGS: Final[Ranges] = ((0xE0000, 0xE007F),)
SELECTORS: Final[Ranges] = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
ISOLATES: Final[Ranges] = ((0x2066, 0x2069),)
BIDI: Final[Ranges] = ((0x202A, 0x202E), *ISOLATES)
DIRECTION_MARKS: Final[Ranges] = ((0x061C, 0x061C), (0x200E, 0x200F))
ZERO_WIDTH: Final[Ranges] = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian form selectors and vowel separator
    (0x200B, 0x200D),
    (0x2060, 0x2065),  # word joiner, invisible operators
    (0x206A, 0x206F),  # deprecated
    (0x2800, 0x2800),  # Braille without a dot
    (0x3164, 0x3164),  # Hangul fillers, of one width and of half
    (0xFFA0, 0xFFA0),
    (0xFEFF, 0xFEFF),
    (0xFFF0, 0xFFFB),  # the last three: interlinear annotation
    (0x1BCA0, 0x1BCA3),  # shorthand
    (0x1D173, 0x1D17A),  # beams and slurs
    (0xE0080, 0xE00FF),
    (0xE01F0, 0xE0FFF),
)
# Signs that embrace the digits or letters behind them; elsewhere mostly nothing is drawn.
EMBRACING: Final[Ranges] = (
    (0x0600, 0x0605),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),  # these arrange hieroglyphs
)
HIDDEN: Final = merged(TAGS, SELECTORS, BIDI, DIRECTION_MARKS, ZERO_WIDTH, EMBRACING)
SEPARATORS: Final[Ranges] = ((0x85, 0x85), (0x2028, 0x2029))
SURROGATES: Final[Ranges] = ((0xD800, 0xDFFF),)
PRIVATE: Final[Ranges] = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))

# Blocks to which letters are still being added: what this Python takes for unassigned may be new.
_GROWING: Final[Ranges] = (
    (0x0860, 0x0DFF),
    (0x0E80, 0x0EFF),
    (0x1AB0, 0x1B7F),
    (0x1C80, 0x1C8F),
    (0x20A0, 0x20CF),
    (0x2400, 0x245F),
    (0x2B00, 0x2BFF),
    (0x2E00, 0x2E7F),
    (0x2FF0, 0x2FFF),
    (0x31A0, 0x31EF),
    (0x9FF0, 0x9FFF),
    (0xA720, 0xA7FF),
    (0xFB50, 0xFDCF),
    (0xFDF0, 0xFDFF),
)


def _unassigned() -> Iterator[tuple[int, int]]:
    """Yield the unassigned ranges of the first plane; of other planes the empty ones, and the noncharacters of all."""
    growing = {code for low, high in _GROWING for code in range(low, high + 1)}
    for code in range(0x0370, 0xFFFE):
        if code not in growing and unicodedata.category(chr(code)) == "Cn":
            yield code, code
    for plane in range(0, sys.maxunicode + 1, 0x10000):
        yield plane + 0xFFFE, plane + 0xFFFF
    yield 0x40000, 0xDFFFF
    yield 0xE1000, 0xEFFFF


UNASSIGNED: Final = tuple(
    each for each in merged(tuple(_unassigned())) if not any(low <= each[0] <= high for low, high in HIDDEN)
)


# What does honest work beside the hidden.
EMOJI: Final[Ranges] = (
    (0x00A9, 0x00A9),
    (0x00AE, 0x00AE),
    (0x203C, 0x203C),
    (0x2049, 0x2049),
    (0x2122, 0x2122),
    (0x2139, 0x2139),
    (0x2190, 0x21FF),
    (0x2300, 0x23FF),
    (0x2460, 0x24FF),
    (0x25A0, 0x27BF),
    (0x2900, 0x297F),
    (0x2B00, 0x2BFF),
    (0x3030, 0x3030),
    (0x303D, 0x303D),
    (0x3297, 0x3297),
    (0x3299, 0x3299),
    (0x1F000, 0x1FAFF),
)
IDEOGRAPHS: Final[Ranges] = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3347F))
# Mathematical signs, CJK signs and ideographs, Myanmar, Phags-pa, fullwidth forms, script capitals, hieroglyphs.
VARIES: Final = merged(
    (
        (0x0030, 0x0030),
        (0x1000, 0x109F),
        (0x2200, 0x22FF),
        (0x2A00, 0x2AFF),
        (0x3000, 0x303F),
        (0xA840, 0xA877),
        (0xAA60, 0xAA7F),
        (0xFF01, 0xFF60),
        (0x10AC0, 0x10AFF),
        (0x13000, 0x143FF),
        (0x1D49C, 0x1D4CF),
    ),
    IDEOGRAPHS,
)
ARABIC: Final[Ranges] = (
    (0x0606, 0x061B),
    (0x061D, 0x06DC),
    (0x06DE, 0x070E),
    (0x0710, 0x07BF),
    (0x0840, 0x088F),
    (0x0892, 0x08E1),
    (0x08E3, 0x08FF),
    (0xFB50, 0xFDFF),
    (0xFE70, 0xFEFC),
    (0x1E900, 0x1E95F),
)
# Scripts whose letters join, or whose viramas ask how: Arabic, Syriac, N'Ko, Mandaic, the Indic ones, Mongolian.
JOINS: Final = merged(
    ARABIC,
    (
        (0x07C0, 0x07FF),
        (0x0900, 0x109F),
        (0x1780, 0x17B3),
        (0x17B6, 0x17FF),
        (0x1820, 0x18AF),
        (0x1900, 0x1C4F),
        (0x1CD0, 0x1CFF),
        (0xA840, 0xA8FF),
        (0xA900, 0xA9DF),
        (0xAA60, 0xAA7F),
        (0xABC0, 0xABFF),
        (0x10A00, 0x10A5F),
        (0x11000, 0x11FFF),
    ),
)
MONGOLIAN: Final[Ranges] = ((0x1807, 0x1807), (0x1820, 0x18AF))
# Scripts that set no blanks between words: where a line may break is for a zero-width space to say.
SOUTH_EAST: Final[Ranges] = (
    (0x0E01, 0x0FFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x1950, 0x1AAF),
    (0x1B00, 0x1B7F),
    (0xA980, 0xA9FF),
    (0xAA60, 0xAADF),
)
UNSPACED: Final = merged(SOUTH_EAST, ((0x3001, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF)))
RIGHT_TO_LEFT: Final[Ranges] = (
    (0x0590, 0x05FF),
    (0x0606, 0x061B),
    (0x061D, 0x06DC),
    (0x06DE, 0x070E),
    (0x0710, 0x088F),
    (0x0892, 0x08E1),
    (0x08E3, 0x08FF),
    (0xFB1D, 0xFDFF),
    (0xFE70, 0xFEFC),
    (0x10800, 0x10FFF),
    (0x1E800, 0x1EFFF),
)
HEBREW: Final[Ranges] = ((0x0591, 0x05F4),)
BRAILLE: Final[Ranges] = ((0x2801, 0x28FF),)
MUSIC: Final[Ranges] = ((0x1D100, 0x1D172), (0x1D17B, 0x1D1FF))
EMBRACED: Final = merged(
    RIGHT_TO_LEFT, ((0x11080, 0x110BC), (0x110BE, 0x110CC), (0x13000, 0x1342F), (0x13440, 0x143FF))
)
SHORTHAND: Final[Ranges] = ((0x1BC00, 0x1BC9F),)
# Marks for letters of any script, and those of scripts in which a letter bears a few.
ANY_MARKS: Final[Ranges] = (
    (0x0300, 0x034E),
    (0x0350, 0x036F),
    (0x0483, 0x0489),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
)
SCRIPT_MARKS: Final[Ranges] = (
    (0x0591, 0x05BD),
    (0x05BF, 0x05BF),
    (0x05C1, 0x05C2),
    (0x0610, 0x061A),
    (0x064B, 0x065F),
    (0x0670, 0x0670),
    (0x06D6, 0x06DC),
    (0x06DF, 0x06E4),
    (0x0E31, 0x0E31),
    (0x0E34, 0x0E3A),
    (0x0E47, 0x0E4E),
    (0x0EB1, 0x0EB1),
    (0x0EB4, 0x0EBC),
    (0x0EC8, 0x0ECE),
)
MARKS: Final = merged(ANY_MARKS, SCRIPT_MARKS)


def is_in(character: str, ranges: Iterable[tuple[int, int]]) -> bool:
    """Return whether a character lies in one of the ranges. An empty text does not."""
    return bool(character) and any(low <= ord(character) <= high for low, high in ranges)
