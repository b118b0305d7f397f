"""Decides by the surrounding text whether a hidden character has a legitimate use and must stay.

A soft hyphen stays if it divides a word.
"""

import re
from itertools import pairwise
from typing import Final

from sanitization import code_points
from sanitization.code_points import char_class, is_in, members
from sanitization.late import Late

PAIR_MAX: Final = 64  # characters between the ends of an isolate: a name, a path. More could reorder a text
NEARBY: Final = 32  # characters between a direction mark, or an isolate, and the right-to-left text it serves
BRAILLE_NEARBY: Final = 128  # pictures are drawn in Braille, with many blank cells
BREAK_NEARBY: Final = 3  # a blank or a sign may stand between a break and the word it follows
RUN_BEHIND: Final = 64  # hidden characters among which repetitions are counted
NESTED_MAX: Final = 3  # isolates within each other
IVS_MAX: Final = 0xE011F  # one character has at most thirty-two registered ideographic variants

# The three subdivision flags of emoji-sequences.txt. Others are valid in form, and would carry six letters a flag.
_FLAG: Final = "\U0001f3f4"
_FLAGS: Final = tuple(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f" for region in ("gbeng", "gbsct", "gbwls")
)


def _one_of(ranges: code_points.Ranges) -> Late:
    return Late(f"[{char_class(ranges)}]")


_EMOJI: Final = _one_of(code_points.EMOJI)
_VARIES: Final = _one_of(code_points.VARIES)
_IDEOGRAPH: Final = _one_of(code_points.IDEOGRAPHS)
_JOINS: Final = _one_of(code_points.JOINS)
_ARABIC: Final = _one_of(code_points.ARABIC)
_MONGOLIAN: Final = _one_of(code_points.MONGOLIAN)
_UNSPACED: Final = _one_of(code_points.UNSPACED)
_SOUTH_EAST: Final = _one_of(code_points.SOUTH_EAST)
_RIGHT_TO_LEFT: Final = _one_of(code_points.RIGHT_TO_LEFT)
_BREAK: Final = frozenset("\u200b")
_BRAILLE: Final = _one_of(code_points.BRAILLE)
_EMBRACED: Final = _one_of(code_points.EMBRACED)
_MUSIC: Final = _one_of(code_points.MUSIC)
_SHORTHAND: Final = _one_of(code_points.SHORTHAND)
_MARKED: Final = _one_of(code_points.merged(code_points.MARKS, code_points.HEBREW))

_KEYCAPS: Final = frozenset("0123456789#*")
_EMBRACING: Final = members(code_points.EMBRACING)
_DIRECTION_MARKS: Final = members(code_points.DIRECTION_MARKS)
_HIDDEN: Final = _one_of(code_points.HIDDEN)
_BIDI: Final = members(code_points.BIDI)
_OPENING: Final = frozenset("\u2066\u2067\u2068\u202a\u202b")
_CLOSING: Final = {"\u2066": "\u2069", "\u2067": "\u2069", "\u2068": "\u2069", "\u202a": "\u202c", "\u202b": "\u202c"}
_SELECTORS: Final = members(code_points.SELECTORS)
_TAGS: Final = members(code_points.TAGS)
_SHAPERS: Final = frozenset("\u200c\u200d")
_JOINERS: Final = frozenset("\u200b\u200c\u200d\u2060\ufeff")
_MONGOLIAN_FORMS: Final = frozenset("\u180b\u180c\u180d\u180f")


def honest(text: str, index: int, end: int) -> int:
    """Return how many hidden characters, from the one at `index` on, are legitimate; `end` is that of the run."""
    here, before, after = text[index], text[index - 1 : index], text[index + 1 : index + 2]
    if here in _TAGS:
        return next((len(flag) for flag in _FLAGS if before == _FLAG and text.startswith(flag, index, end)), 0)
    if here in _SELECTORS:
        return int(_selects(before, here) and (after not in _SELECTORS or here in "\ufe0e\ufe0f"))
    if here == "\u200d" or here == "\u200c":
        return int(_joins(text, index))
    if here in _BIDI:
        return int(_is_paired(text, index))
    if here in _DIRECTION_MARKS:
        return int(_directs(text, index))
    if here in _EMBRACING:
        return int(_behind(text, index, _EMBRACING) < 2 and _is_near(_EMBRACED, text, index, index + 1, line=True))
    if here == "\u2800":
        return int(_is_near(_BRAILLE, text, index, index + 1, by=BRAILLE_NEARBY))
    if here == "\u200b":
        return int(_divides(text, index))
    return int(_serves(here, before, after))


def _selects(before: str, selector: str) -> bool:
    if selector in "\ufe0e\ufe0f":
        return before in _KEYCAPS or bool(_EMOJI.match(before))
    if selector <= "\ufe0f":
        return bool(_VARIES.match(before))
    return ord(selector) <= IVS_MAX and bool(_IDEOGRAPH.match(before))


def _joins(text: str, index: int) -> bool:
    """Return whether a joiner or non-joiner stands between emoji, or in a script that uses it, where two are a slip."""
    first, last = index, index + 1
    while index - first < 2 and text[first - 1 : first] in _SHAPERS:
        first -= 1
    while last - index < 3 and text[last : last + 1] in _SHAPERS:
        last += 1
    before, after = text[max(0, first - 1) : first], text[last : last + 1]
    if before == "\ufe0f":
        before = text[first - 2 : first - 1]
    if _EMOJI.match(before):
        return text[index] == "\u200d" and last == first + 1 and bool(_EMOJI.match(after))
    if last - first > 2 or after in _JOINERS:
        return False
    # Behind a letter that joins, a Persian ending on a Latin word, an Arabic letter as it is written within a word.
    return bool(_JOINS.match(before) or (last == first + 1 and not _HIDDEN.match(before) and _ARABIC.match(after)))


def _is_paired(text: str, index: int) -> bool:
    """Return whether this is one end of an isolate or embedding on one line, with right-to-left text in it or near it.

    First-strong isolates also set names apart in left-to-right text: there they change no order.
    """
    opening = index if text[index] in _OPENING else _opening(text, index)
    closing = _closing(text, opening) if opening >= 0 else -1
    content = text[opening + 1 : max(0, closing)]
    if not any(letter.isprintable() and not _HIDDEN.match(letter) for letter in content):
        return False
    if text[opening] == "\u2068" and _BIDI.isdisjoint(content):
        return True
    inside = _RIGHT_TO_LEFT.search(text, opening, closing)
    return bool(inside) or _is_near(_RIGHT_TO_LEFT, text, opening, closing + 1, line=True)


def _closing(text: str, opening: int) -> int:
    """Return the matching end of an opening one, at most `PAIR_MAX` from it on the same line; -1 if there is none."""
    expected: list[str] = []
    for place in range(opening, min(len(text), opening + PAIR_MAX + 2)):
        letter = text[place]
        if letter in _OPENING:
            expected.append(_CLOSING[letter])
            if len(expected) > NESTED_MAX:
                return -1
        elif letter in _BIDI:
            if expected.pop() != letter:
                return -1
            if not expected:
                return place
        elif letter == "\n":
            return -1
    return -1


def _opening(text: str, closing: int) -> int:
    """Return the matching start of a closing one, at most `PAIR_MAX` from it on the same line; -1 if there is none."""
    closed: list[str] = []
    for place in range(closing, max(-1, closing - PAIR_MAX - 2), -1):
        letter = text[place]
        if letter in _OPENING:
            if closed.pop() != _CLOSING[letter]:
                return -1
            if not closed:
                return place
        elif letter in _BIDI:
            closed.append(letter)
            if len(closed) > NESTED_MAX:
                return -1
        elif letter == "\n":
            return -1
    return -1


def _directs(text: str, index: int) -> bool:
    """Return whether this is a mark near right-to-left text on its line, and no third one in a row."""
    if _behind(text, index, _DIRECTION_MARKS) > 1:
        return False
    return _is_near(_RIGHT_TO_LEFT, text, index, index + 1, line=True)


def _behind(text: str, index: int, which: frozenset[str]) -> int:
    """Return how many of these stand in the run of hidden characters before `index`; no more than two matter."""
    count, place = 0, index - 1
    while place >= 0 and count < 2 and index - place <= RUN_BEHIND and _HIDDEN.match(text, place):
        count += text[place] in which
        place -= 1
    return count


def _is_near(what: Late, text: str, begin: int, end: int, *, by: int = NEARBY, line: bool = False) -> bool:
    if not what.search(text, max(0, begin - by), end + by):
        return False  # mostly: none on any line
    before, after = text[max(0, begin - by) : begin], text[end : end + by]
    if line:
        before, after = before.rpartition("\n")[2], after.partition("\n")[0]
    return bool(what.search(before) or what.search(after))


def _divides(text: str, index: int) -> bool:
    """Return whether this is a zero-width space near letters of a script without blanks, and no third one in a row."""
    before, after = text[index - 1 : index], text[index + 1 : index + 2]
    if before in _SHAPERS or after in _SHAPERS or (_HIDDEN.match(before) and _behind(text, index, _BREAK) > 1):
        return False
    return bool(_UNSPACED.match(before) and _UNSPACED.match(after)) or _is_near(
        _SOUTH_EAST, text, index, index + 1, by=BREAK_NEARBY, line=True
    )


def _serves(here: str, before: str, after: str) -> bool:
    """Return whether another hidden character, each specific to a script, is legitimate here."""
    if here in _MONGOLIAN_FORMS:
        return bool(_MONGOLIAN.match(before))
    match here:
        case "\u180e":
            return bool(_MONGOLIAN.match(before) and _MONGOLIAN.match(after))
        case "\u034f":
            return bool(_MARKED.match(before))
        case "\u115f" | "\u1160":
            # Syllables of Old Korean that lack a consonant, or a vowel.
            return is_in(before, ((0x1100, 0x115F), (0xA960, 0xA97C))) or is_in(after, ((0x1160, 0x11FF),))
        case _:
            beside = _MUSIC if is_in(here, ((0x1D173, 0x1D17A),)) else _SHORTHAND
            return is_in(here, ((0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A))) and bool(
                beside.match(before) or beside.match(after)
            )


WORDS_MAX: Final = 64  # characters between two blanks, on either side of the hyphen

_TOKEN: Final = Late(rf"\S{{0,{WORDS_MAX + 1}}}")
_WORD: Final = r"[^\W\d_]{1,64}(?:\xad[^\W\d_]{1,64}){0,32}"
# Words with the marks that may stand around and between them. A sign such as `.`, `:`, `(` or `=` within makes it an
# address, a call or an assignment.
_WORDS: Final = Late(
    rf"""["'(\[{{\u201c-\u201f\u2018-\u201b\xab\xbb\xbf\xa1<>*_]*
    (?P<words> {_WORD} (?:[-/'\u2019\u2010-\u2015\u2026] {_WORD}){{0,16}} )
    ["')\]}}\u201c-\u201f\u2018-\u201b\xab\xbb.,;:!?\u2026*_<>]*""",
    re.VERBOSE,
)
_BETWEEN_WORDS: Final = Late(r"[-/'\u2019\u2010-\u2015\u2026]")


def divides(text: str, index: int) -> bool:
    """Return whether the soft hyphen at `index` stands within a plain word, between syllables."""
    if not (text[index - 1 : index].isalpha() and text[index + 1 : index + 2].isalpha()):
        return False
    before = _TOKEN.match(text[max(0, index - WORDS_MAX - 1) : index][::-1])
    after = _TOKEN.match(text, index + 1)
    if before is None or after is None or max(before.end(), after.end() - index) > WORDS_MAX:
        return False
    words = _WORDS.fullmatch(text, index - before.end(), after.end())
    return words is not None and all(map(_is_divided, _BETWEEN_WORDS.split(words["words"])))


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
