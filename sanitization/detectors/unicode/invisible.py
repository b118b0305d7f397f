"""Characters that machines read and people do not see: tags, bidi controls, zero-width characters, selectors.

Each has legitimate uses, which are kept: flags of England, Scotland and Wales are tag sequences (UTS #51), joiners make
family emoji and shape Arabic, Persian and Indic words (Unicode chapters 9, 12 and 23; UAX #31), a zero-width space
divides Khmer and Thai words, a variation selector picks an ideograph's form, isolates set off a name in another
direction (UAX #9). All others are removed, as are code points that are no characters (UTS #39, #55).
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

from sanitization import code_points
from sanitization.code_points import char_class, members
from sanitization.findings import Category, Hit, Kind, make_hit
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .legitimate_invisibles import BRAILLE_NEARBY, BREAK_NEARBY, NEARBY, PAIR_MAX, WORDS_MAX, divides, honest

RUN_MAX: Final = 4_096
LONG: Final = 64  # hidden characters in a row; no text needs as many
STACK_MAX: Final = 4  # marks on a letter; with more, they cover its neighbours (UTS #39, 5.4)
SCRIPT_STACK_MAX: Final = 7  # a Hebrew letter may bear a point, a dot, a vowel and two accents
TALL: Final = 3  # marks on each of three letters in a row: no orthography has that

_HIDDEN: Final = char_class(code_points.HIDDEN)
_MARK: Final = char_class(code_points.MARKS)
_EMBRACING: Final = char_class(code_points.EMBRACING)
_ALONE: Final = char_class(code_points.UNASSIGNED)
_PRIVATE: Final = char_class(code_points.PRIVATE)
_JOINS: Final = char_class(code_points.JOINS)
_EMOJI: Final = char_class(code_points.EMOJI)

# Begins with one range of characters, so that `re` skips all before it, ASCII above all, many times as fast as by the
# whole set. The rest passes over the most frequent honest ones: a joiner within a word or an emoji, an emoji's form,
# one mark or two.
_ALL: Final = code_points.merged(
    code_points.HIDDEN,
    code_points.MARKS,
    code_points.UNASSIGNED,
    code_points.PRIVATE,
    code_points.SEPARATORS,
    code_points.SURROGATES,
    ((0xAD, 0xAD),),
)
_SUSPECT: Final = Late(
    f"[^\0-{chr(_ALL[0][0] - 1)}](?<=[{char_class(_ALL)}])"
    f"(?<!(?:[{_JOINS}][\u200c\u200d]|[{_EMOJI}]\ufe0f)(?![{_HIDDEN}]))"
    f"(?<![{_EMOJI}]\u200d(?=[{_EMOJI}]))"
    f"(?<![{_MARK}](?![{_MARK}]{{2}}))"
)
_WHAT: Final = Late(
    rf"""
      (?P<run>        [{_HIDDEN}]{{1,{RUN_MAX}}} )
    | (?P<stack>      [{_MARK}]{{1,{RUN_MAX}}} )
    | (?P<hyphen>     \xad{{1,{RUN_MAX}}} )
    | (?P<separator>  [\x85\u2028\u2029]{{1,{RUN_MAX}}} )
    | (?P<half>       [\ud800-\udfff] )
    | (?P<private>    [{_PRIVATE}]{{1,{RUN_MAX}}} )
    | (?P<unassigned> [{_ALONE}]{{1,{RUN_MAX}}} )
    """,
    re.VERBOSE,
)
_PARTS: Final = Late(
    f"(?P<tag>[{char_class(code_points.TAGS)}]+)|(?P<variation>[{char_class(code_points.SELECTORS)}]+)"
    f"|(?P<bidi>[{char_class(code_points.BIDI)}]+)"
    f"|(?P<zero_width>[{char_class(code_points.DIRECTION_MARKS, code_points.ZERO_WIDTH, code_points.EMBRACING)}]+)"
)
_IN_RUN: Final = Late(f"[{_HIDDEN}{_MARK}\xad]")
_ANY_MARKS: Final = members(code_points.ANY_MARKS)
# Characters that are judged by the text behind them, and how far.
_BY_LATER: Final = Late(f"[\u2066-\u2069\u202a-\u202c\u200e\u200f\u061c\u200b\u2800\xad{_EMBRACING}{_MARK}]")
_LATER: Final = Late(
    f"(?:[\u2066-\u2068\u202a\u202b][^\n]{{0,{PAIR_MAX + NEARBY}}}"
    f"|[\u200e\u200f\u061c\u2069\u202c{_EMBRACING}][^\n]{{0,{NEARBY}}}"
    f"|\u200b[^\n]{{0,{BREAK_NEARBY}}}"
    f"|\u2800[^{char_class(code_points.BRAILLE)}]{{0,{BRAILLE_NEARBY}}}"
    f"|\xad\\S{{0,{WORDS_MAX}}}"
    f"|[{_MARK}]{{3}}[^\n]{{0,{2 * (STACK_MAX + 2)}}})\\Z"
)
_LATER_MAX: Final = max(PAIR_MAX + NEARBY, WORDS_MAX, BRAILLE_NEARBY) + 2


class Invisible:
    """Finds `invisible.tag`, `.variation`, `.bidi`, `.zero_width`, `.separator`, `.private`, `.unassigned` and
    `.marks`."""

    name = "invisible"
    category = Category.INVISIBLE
    prefilters = (("hidden", Prefilter(ranges=_ALL)),)
    kinds = (
        Kind(
            "invisible.tag",
            "Tag characters, which spell ASCII unseen, outside the flags they are for.",
            "hi" + "".join(chr(0xE0000 + ord(letter)) for letter in "obey"),
        ),
        Kind("invisible.variation", "Variation selectors behind what has no variants, or in a row.", "a\U000e0141b"),
        Kind("invisible.bidi", "Controls that show text in another order than it is read in.", "a\u202etxt.exe"),
        Kind("invisible.zero_width", "Characters without width where no script needs them.", "pass\u200bword"),
        Kind("invisible.separator", "Line ends that most programs do not show: NEL, U+2028, U+2029.", "a\u2028b"),
        Kind("invisible.private", "Private-use characters, whose meaning is a private agreement.", "a\ue000b"),
        Kind("invisible.unassigned", "Code points that are no characters, and halves of surrogate pairs.", "a\ufffeb"),
        Kind(
            "invisible.marks", "More marks on a letter than fit: they cover its neighbours.", "Z" + "\u0317\u0334" * 4
        ),
    )
    context = RUN_MAX + WORDS_MAX + PAIR_MAX + BRAILLE_NEARBY + 2
    reach = RUN_MAX + WORDS_MAX + PAIR_MAX + BRAILLE_NEARBY + 2

    def find(self, text: str, start: int = 0, _active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield runs of hidden characters without the legitimate ones, one hit for each kind in a row."""
        # A run is judged from its beginning, also when `start` is in the middle of it.
        position = start
        while position > 0 and start - position < RUN_MAX and _IN_RUN.match(text, position - 1):
            position -= 1
        while match := _SUSPECT.search(text, position):
            what = _WHAT.match(text, match.start())
            if what is None or what.lastgroup is None:  # not reached: each suspect is one of these
                return
            begin, position = what.span()
            if position - begin == 1 and what.lastgroup == "run":  # most of them: a character by itself
                if begin >= start and not honest(text, begin, position):
                    yield make_hit((begin, position, _kind(text, begin), 1.0, "", begin, (), None))
                continue
            if what.lastgroup in _ALWAYS:
                kind, sign = _ALWAYS[what.lastgroup]
                if begin >= start:
                    yield make_hit((begin, position, kind, 1.0, sign * (position - begin), begin, (), None))
                continue
            for hit in _JUDGES[what.lastgroup](text, begin, position):
                if hit.anchor >= start:
                    yield hit

    def settled(self, text: str, start: int = 0, _active: Collection[str] = ()) -> int:
        """Return where hidden characters at the end begin, or a character that is judged by the text behind it."""
        end = len(text)
        while end > start and _WHAT.match(text, end - 1, end):
            end -= 1
        for place in _BY_LATER.finditer(text, max(start, len(text) - _LATER_MAX), end):
            if _LATER.match(text, place.start()):
                return place.start()
        return end


def _kind(text: str, index: int) -> str:
    """Return the kind of a hidden character."""
    match = _PARTS.match(text, index, index + 1)
    return f"invisible.{match.lastgroup}" if match is not None else ""  # not reached: each is in one of its parts


def _run(text: str, begin: int, end: int) -> Iterator[Hit]:
    """Yield the hits in a run of hidden characters: legitimate ones stay; in a long run only those that belong to the
    character before it.
    """
    index = begin
    if end - begin > LONG:
        for part in _PARTS.finditer(text, begin + honest(text, begin, end), end):
            yield Hit(part.start(), part.end(), f"invisible.{part.lastgroup}", 1.0, "", part.start())
        return
    while index < end:
        works = honest(text, index, end)
        if works:
            index += works
            continue
        kind, first = _kind(text, index), index
        index += 1
        while index < end and _kind(text, index) == kind and not honest(text, index, end):
            index += 1
        yield make_hit((first, index, kind, 1.0, "", first, (), None))


def _stack(text: str, begin: int, end: int) -> Iterator[Hit]:
    size = end - begin
    excess = size > SCRIPT_STACK_MAX or (size > STACK_MAX and _ANY_MARKS.issuperset(text[begin:end]))
    if excess or len(set(text[begin:end])) < size - 1 or _tall(text, begin, end):
        yield Hit(begin, end, "invisible.marks", 1.0, "", begin)


def _tall(text: str, begin: int, end: int) -> bool:
    """Return whether three letters in a row, including this one, bear three marks or more each."""
    if not _ANY_MARKS.issuperset(text[begin:end]):
        return False
    letters, place = 1, begin - 1
    for _ in range(2):
        marks = place
        while marks > 0 and place - marks <= STACK_MAX and text[marks - 1] in _ANY_MARKS:
            marks -= 1
        if place - marks < TALL:
            break
        letters, place = letters + 1, marks - 1
    place = end + 1
    for _ in range(2):
        marks = place
        while marks < len(text) and marks - place <= STACK_MAX and text[marks] in _ANY_MARKS:
            marks += 1
        if marks - place < TALL:
            break
        letters, place = letters + 1, marks + 1
    return letters > 2


def _hyphen(text: str, begin: int, end: int) -> Iterator[Hit]:
    if not divides(text, begin):
        yield Hit(begin, end, "invisible.zero_width", 1.0, "", begin)


_JUDGES: Final[dict[str, Callable[[str, int, int], Iterator[Hit]]]] = {
    "run": _run, "stack": _stack, "hyphen": _hyphen
}  # fmt: skip
_ALWAYS: Final = {
    "separator": ("invisible.separator", "\n"),
    "half": ("invisible.unassigned", "\ufffd"),
    "private": ("invisible.private", ""),
    "unassigned": ("invisible.unassigned", ""),
}
"""Characters that are finds wherever they stand: their kind, and the replacement of each."""
