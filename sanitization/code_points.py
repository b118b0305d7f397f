"""Ranges of code points: hidden ones, unassigned ones, and those beside which hidden ones are legitimate.

From the Unicode Character Database (DerivedCoreProperties: Default_Ignorable_Code_Point; Scripts; emoji-data;
StandardizedVariants), reduced to the needs of the detectors. Ranges are inclusive at both ends.
"""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import compress
from typing import Final

Ranges = tuple[tuple[int, int], ...]


def ranges(listing: str) -> Ranges:
    """Read ranges from a listing such as `00A9 2190-21FF`, in hexadecimal."""
    pairs = (listed.partition("-") for listed in listing.split())
    return tuple([(int(low, 16), int(high or low, 16)) for low, _, high in pairs])


def char_class(*groups: Ranges) -> str:
    """Return the ranges as the inside of a character class of a regular expression."""
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for ranges in groups for low, high in ranges)


def merged(*groups: Ranges) -> Ranges:
    """Return the union of the ranges, in order, without overlap."""
    union: list[tuple[int, int]] = []
    for low, high in sorted(pair for ranges in groups for pair in ranges):
        if union and low <= union[-1][1] + 1:
            union[-1] = (union[-1][0], max(high, union[-1][1]))
        else:
            union.append((low, high))
    return tuple(union)


def members(ranges: Ranges) -> frozenset[str]:
    """Return the characters of the ranges."""
    return frozenset(chr(code) for low, high in ranges for code in range(low, high + 1))


# Hidden characters, by their function.
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
_GROWING: Final[Ranges] = ranges(
    "0860-0DFF 0E80-0EFF 1AB0-1B7F 1C80-1C8F 20A0-20CF 2400-245F 2B00-2BFF 2E00-2E7F 2FF0-2FFF 31A0-31EF 9FF0-9FFF "
    "A720-A7FF FB50-FDCF FDF0-FDFF"
)


def _unassigned() -> Iterator[tuple[int, int]]:
    """Yield the unassigned ranges of the first plane; of other planes the empty ones, and the noncharacters of all."""
    growing = {code for low, high in _GROWING for code in range(low, high + 1)}
    codes = range(0x0370, 0xFFFE)
    # Sixty thousand characters: `map` asks for them in a quarter of the time that a loop takes.
    unassigned = map("Cn".__eq__, map(unicodedata.category, map(chr, codes)))
    for code in compress(codes, unassigned):
        if code not in growing:
            yield code, code
    for plane in range(0, sys.maxunicode + 1, 0x10000):
        yield plane + 0xFFFE, plane + 0xFFFF
    yield 0x40000, 0xDFFFF
    yield 0xE1000, 0xEFFFF


UNASSIGNED: Final = tuple(
    bounds for bounds in merged(tuple(_unassigned())) if not any(low <= bounds[0] <= high for low, high in HIDDEN)
)


# Characters beside which hidden ones are legitimate.
EMOJI: Final[Ranges] = ranges(
    "00A9 00AE 203C 2049 2122 2139 2190-21FF 2300-23FF 2460-24FF 25A0-27BF 2900-297F 2B00-2BFF 3030 303D 3297 3299 "
    "1F000-1FAFF"
)
IDEOGRAPHS: Final[Ranges] = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3347F))
# Mathematical signs, CJK signs and ideographs, Myanmar, Phags-pa, fullwidth forms, script capitals, hieroglyphs.
VARIES: Final = merged(
    ranges(
        "0030 1000-109F 2200-22FF 2A00-2AFF 3000-303F A840-A877 AA60-AA7F FF01-FF60 10AC0-10AFF 13000-143FF 1D49C-1D4CF"
    ),
    IDEOGRAPHS,
)
ARABIC: Final[Ranges] = ranges(
    "0606-061B 061D-06DC 06DE-070E 0710-07BF 0840-088F 0892-08E1 08E3-08FF FB50-FDFF FE70-FEFC 1E900-1E95F"
)
# Scripts with joining letters or viramas: Arabic, Syriac, N'Ko, Mandaic, the Indic ones, Mongolian.
JOINS: Final = merged(
    ARABIC,
    ranges(
        "07C0-07FF 0900-109F 1780-17B3 17B6-17FF 1820-18AF 1900-1C4F 1CD0-1CFF A840-A8FF A900-A9DF AA60-AA7F ABC0-ABFF "
        "10A00-10A5F 11000-11FFF"
    ),
)
MONGOLIAN: Final[Ranges] = ((0x1807, 0x1807), (0x1820, 0x18AF))
# Scripts without blanks between words: a zero-width space marks where a line may break.
SOUTH_EAST: Final[Ranges] = ranges("0E01-0FFF 1000-109F 1780-17FF 1950-1AAF 1B00-1B7F A980-A9FF AA60-AADF")
UNSPACED: Final = merged(SOUTH_EAST, ((0x3001, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF)))
RIGHT_TO_LEFT: Final[Ranges] = ranges(
    "0590-05FF 0606-061B 061D-06DC 06DE-070E 0710-088F 0892-08E1 08E3-08FF FB1D-FDFF FE70-FEFC 10800-10FFF 1E800-1EFFF"
)
HEBREW: Final[Ranges] = ((0x0591, 0x05F4),)
BRAILLE: Final[Ranges] = ((0x2801, 0x28FF),)
MUSIC: Final[Ranges] = ((0x1D100, 0x1D172), (0x1D17B, 0x1D1FF))
EMBRACED: Final = merged(
    RIGHT_TO_LEFT, ((0x11080, 0x110BC), (0x110BE, 0x110CC), (0x13000, 0x1342F), (0x13440, 0x143FF))
)
SHORTHAND: Final[Ranges] = ((0x1BC00, 0x1BC9F),)
# Marks for letters of any script, and those of scripts in which a letter bears a few.
ANY_MARKS: Final[Ranges] = ranges("0300-034E 0350-036F 0483-0489 1AB0-1AFF 1DC0-1DFF 20D0-20FF FE20-FE2F")
SCRIPT_MARKS: Final[Ranges] = ranges(
    "0591-05BD 05BF 05C1-05C2 0610-061A 064B-065F 0670 06D6-06DC 06DF-06E4 0E31 0E34-0E3A 0E47-0E4E 0EB1 0EB4-0EBC "
    "0EC8-0ECE"
)
MARKS: Final = merged(ANY_MARKS, SCRIPT_MARKS)


def is_in(character: str, ranges: Iterable[tuple[int, int]]) -> bool:
    """Return whether a character lies in one of the ranges. An empty text does not."""
    return bool(character) and any(low <= ord(character) <= high for low, high in ranges)
