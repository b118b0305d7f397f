"""Characters that are read by machines and not seen by people: tags, bidi controls, zero-width ones, selectors.

Each also has honest work, and keeps it: flags of England, Scotland and Wales are tag sequences (UTS #51), joiners
make family emoji and shape Arabic, Persian and Indic words (Unicode chapters 9, 12 and 23), a zero-width space
divides Khmer and Thai words, a variation selector picks an ideograph's form. What is left is taken out.
"""

import re
from collections.abc import Iterator
from typing import Final

from sanitization.findings import Category, Hit

RUN_MAX: Final = 4_096
ISOLATE_MAX: Final = 64  # a name set apart from the sentence around it; more is a way to reorder a text
NEARBY: Final = 32  # how far back a direction mark looks for the right-to-left text it serves

_TAG: Final = "\U000e0000-\U000e007f"
_SELECTOR: Final = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_ISOLATES: Final = "\u2066\u2067\u2068\u2069"
_BIDI: Final = f"\u202a-\u202e{_ISOLATES}"
_MARKS: Final = "\u200e\u200f\u061c"
_MONGOLIAN_FORMS: Final = "\u180b-\u180f"
# Hangul fillers, Khmer inherent vowels, invisible operators, deprecated format characters, interlinear anchors.
_ZERO_WIDTH: Final = (
    f"\u200b-\u200d{_MARKS}{_MONGOLIAN_FORMS}\u2060-\u2065\u206a-\u206f\ufeff\u115f\u1160\u3164\uffa0"
    "\u17b4\u17b5\ufff9-\ufffb"
)
_HIDDEN: Final = f"{_TAG}{_SELECTOR}{_BIDI}{_ZERO_WIDTH}"

_RUN: Final = re.compile(f"[{_HIDDEN}]{{1,{RUN_MAX}}}")
_PARTS: Final = re.compile(
    f"(?P<tag>[{_TAG}]+)|(?P<variation>[{_SELECTOR}]+)|(?P<bidi>[{_BIDI}]+)|(?P<zero_width>[{_ZERO_WIDTH}]+)"
)

# The three subdivision flags of emoji-sequences.txt. Others are valid in form, and would carry six letters a flag.
_FLAG: Final = "\U0001f3f4"
_FLAGS: Final = tuple(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f" for region in ("gbeng", "gbsct", "gbwls")
)
_EMOJI: Final = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_KEYCAP: Final = re.compile("[0-9#*]")
_IDEOGRAPH: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
# StandardizedVariants.txt: mathematical signs, CJK signs and ideographs, Myanmar, Phags-pa, fullwidth forms.
_VARIES: Final = re.compile(
    "[\u1000-\u109f\u2200-\u22ff\u2a00-\u2aff\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\ua840-\ua877\uaa60-\uaa7f"
    "\uf900-\ufaff\uff01-\uff60\U00020000-\U000323af]"
)
# Scripts whose letters join, or whose viramas ask how: Arabic, Syriac, N'Ko, Mandaic, the Indic ones, Mongolian.
_JOINS: Final = re.compile(
    "[\u0600-\u061b\u061d-\u07ff\u0840-\u0eff\u1000-\u109f\u1780-\u17b3\u17b6-\u17ff\u1820-\u18af\u1900-\u1aff"
    "\u1b00-\u1c4f\u1cd0-\u1cff\ua840-\ua8ff\ua900-\ua9df\uaa60-\uaa7f\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc"
    "\U00011000-\U000116cf\U0001e900-\U0001e95f]"
)
_MONGOLIAN: Final = re.compile("[\u1820-\u18af]")
_UNSPACED: Final = re.compile("[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u1aaf\u3040-\u30ff\u4e00-\u9fff]")
_RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u05ff\u0600-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff]"
)

_ISOLATED: Final = re.compile(f"[\u2066-\u2068]([^\n{_BIDI}]{{1,{ISOLATE_MAX}}})\u2069")
_OPEN_ISOLATE: Final = re.compile(f"[\u2066-\u2068][^\n{_BIDI}]{{0,{ISOLATE_MAX}}}\\Z")


def _spelled_out(character_class: str) -> str:
    """Every character of a class of single characters and ranges."""
    ends = re.findall("(.)(?:-(.))?", character_class, re.DOTALL)
    return "".join(chr(code) for low, high in ends for code in range(ord(low), ord(high or low) + 1))


_ALL_HIDDEN: Final = _spelled_out(_HIDDEN)


class Invisible:
    """Finds `invisible.tag`, `invisible.variation`, `invisible.bidi` and `invisible.zero_width`."""

    name = "invisible"
    category = Category.INVISIBLE
    context = RUN_MAX + ISOLATE_MAX + 2
    reach = RUN_MAX + ISOLATE_MAX + 2

    def find(self, text: str, start: int = 0) -> Iterator[Hit]:
        """Runs of hidden characters without what is honest in them, one hit for each kind in a row."""
        # A run is judged from its beginning, also when `start` is in the middle of it.
        behind = text[max(0, start - RUN_MAX) : start]
        first = start - len(behind) + len(behind.rstrip(_ALL_HIDDEN))
        for run in _RUN.finditer(text, first):
            begin, end = run.span()
            for hit in _in_run(text, begin + _honest(text, begin, end), end):
                if hit.anchor >= start:
                    yield hit

    def settled(self, text: str, start: int = 0) -> int:
        """Everything but hidden characters at the end, whose neighbour is not known, and an isolate still open."""
        end = start + len(text[start:].rstrip(_ALL_HIDDEN))
        unclosed = _OPEN_ISOLATE.search(text, max(start, len(text) - ISOLATE_MAX - 2))
        return min(end, unclosed.start()) if unclosed else end


def _in_run(text: str, begin: int, end: int) -> Iterator[Hit]:
    """The hits in a run of hidden characters whose honest beginning is left out."""
    for part in _PARTS.finditer(text, begin, end):
        if part.lastgroup == "bidi":
            yield from _bidi(text, part.start(), part.end())
        else:
            yield Hit(part.start(), part.end(), f"invisible.{part.lastgroup}", 1.0, "", part.start())


def _bidi(text: str, begin: int, end: int) -> Iterator[Hit]:
    """Bidi controls but for the two ends of a short isolate around right-to-left text."""
    open_at = begin
    for index in range(begin, end):
        if _isolates(text, index):
            if open_at < index:
                yield Hit(open_at, index, "invisible.bidi", 1.0, "", open_at)
            open_at = index + 1
    if open_at < end:
        yield Hit(open_at, end, "invisible.bidi", 1.0, "", open_at)


def _isolates(text: str, index: int) -> bool:
    if text[index] in "\u2066\u2067\u2068":
        opening = index
    elif text[index] == "\u2069":
        opened = _OPEN_ISOLATE.search(text, max(0, index - ISOLATE_MAX - 1), index)
        opening = opened.start() if opened else -1
    else:
        return False
    pair = _ISOLATED.match(text, opening) if opening >= 0 else None
    return bool(pair and _RIGHT_TO_LEFT.search(pair[1]))


def _honest(text: str, begin: int, end: int) -> int:
    """How many characters at the start of a run do their proper work after the character before it."""
    before = text[begin - 1 : begin]
    if not before:
        return 0
    if before == _FLAG:
        for flag in _FLAGS:
            if text.startswith(flag, begin, end):
                return len(flag)
    first, after, alone = text[begin], text[begin + 1 : begin + 2], end == begin + 1
    if _EMOJI.match(before):
        return _in_emoji(text, begin, end)
    if _KEYCAP.match(before):
        return 1 if first in "\ufe0e\ufe0f" else 0
    if "\ufe00" <= first <= "\ufe0f":
        return 1 if _VARIES.match(before) else 0
    if "\U000e0100" <= first <= "\U000e01ef":
        return 1 if _IDEOGRAPH.match(before) else 0
    if not alone:
        return 0
    if first in "\u200c\u200d":
        return 1 if _JOINS.match(before) else 0
    if "\u180b" <= first <= "\u180f":
        return 1 if _MONGOLIAN.match(before) else 0
    if first == "\u200b":
        return 1 if _UNSPACED.match(before) and _UNSPACED.match(after) else 0
    if first in _MARKS:
        near = text[max(0, begin - NEARBY) : begin].rpartition("\n")[2]
        return 1 if _RIGHT_TO_LEFT.match(after) or _RIGHT_TO_LEFT.search(near) else 0
    return 0


def _in_emoji(text: str, begin: int, end: int) -> int:
    """A presentation selector (VS15, VS16), a joiner to another emoji, or the one after the other."""
    at = begin + 1 if text[begin] in "\ufe0e\ufe0f" else begin
    if at < end and text[at] == "\u200d" and at + 1 == end and _EMOJI.match(text, end):
        at += 1
    return at - begin
