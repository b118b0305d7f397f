"""Seed phrases beside a name for them: the words of BIP 39, which open a wallet."""

import re
from collections.abc import Iterator
from typing import Final

from sanitization.findings import Hit, Kind
from sanitization.prefilter import Prefilter

from .rules import REPLACEMENT, Anchor, places

LENGTHS: Final = (12, 15, 18, 21, 24)
REACH: Final = 400
_LITERALS: Final = ("mnemonic", "phrase", "seed")
# Words of ordinary sentences that are not on the list of BIP 39 (nor is any of one or two letters).
_PROSE_WORDS: Final = (
    "the and for with from are was were has have had not but his her its our their them they your yours which"
    " what who whom been being will would could should may might must shall these those than then there here"
    " into onto upon a an of to in is it as at by be or on if so we he she my me do"
)
_PROSE: Final = frozenset(_PROSE_WORDS.split())
_WORD: Final = r"[a-z]{3,8}"
_GAP: Final = r"(?:[ \t]{1,3}|[ \t]{0,2},[ \t]{0,2}|[ \t]{0,2}\r?\n[ \t]{0,8})(?:\d{1,2}[.):][ \t]{0,2})?"
_HEAD: Final = (
    r"(?ai:mnemonic|(?:(?<=seed )|(?<=recovery )|(?<=backup )|(?<=secret )|(?<=wallet ))phrase|seed)"
    r"(?ai:s|[ \t_-]?(?:phrase|words?|code))?[\"'`*]{0,3}"
)
_SIGN: Final = (
    r"[ \t]{0,4}(?:[:=]|=>|is|was)[*]{0,2}[ \t]{0,4}(?:\r?\n[ \t]{0,8})?[\"'`]{0,3}(?:\d{1,2}[.):][ \t]{0,2})?"
)
_FULL: Final = re.compile(rf"{_HEAD}{_SIGN}(?P<words>{_WORD}(?:{_GAP}{_WORD}){{11,23}})(?![A-Za-z])")
_PENDING: Final = re.compile(
    rf"{_HEAD}(?:[ \t]{{0,4}}(?ai:[a-z]{{0,6}})|{_SIGN}(?:{_WORD}{_GAP}){{0,23}}(?:[a-z]{{0,8}}"
    rf"|{_WORD}[ \t]{{0,2}},?[ \t\r]{{0,2}}"
    rf"|{_WORD}(?:{_GAP})?\d{{0,2}}))\Z"
)
_SPLIT: Final = re.compile(r"[a-z]+")


def is_phrase(value: str, least: int) -> bool:
    """Return whether the text is only words of three to eight letters that make no sentence."""
    words = value.split()
    return len(words) >= least and all(re.fullmatch(_WORD, word) and word not in _PROSE for word in words)


class Phrases:
    """Twelve to twenty-four words after `seed phrase:`, `mnemonic is` and the like."""

    name = "phrases"
    prefilter = Prefilter(literals=_LITERALS, ignore_case=True)
    kinds = (
        Kind(
            "secret.seed_phrase",
            "words that open a wallet",
            "seed phrase: " + " ".join(["quiz", "ladder", "orbit", "maple", "tunnel", "cactus"] * 2),
        ),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where the names stand."""
        for literal in _LITERALS:
            for place in places(lowered, literal, start):
                yield Anchor(place, 0, _phrase)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a name begins whose words may still come."""
        first = len(text)
        for literal in _LITERALS:
            for place in places(lowered, literal, max(start, len(text) - REACH)):
                if place < first and _PENDING.match(text, place):
                    first = place
        return first


def _phrase(text: str, place: int) -> Hit | None:
    match = _FULL.match(text, place)
    if match is None:
        return None
    words = [(each.start(), each.end()) for each in _SPLIT.finditer(text, *match.span("words"))]
    listed = [text[begin:end] for begin, end in words]
    # Words may follow the phrase.
    for count in reversed(LENGTHS):
        if count <= len(words) and len(set(listed[:count])) > count // 3 and _PROSE.isdisjoint(listed[:count]):
            return Hit(words[0][0], words[count - 1][1], "secret.seed_phrase", 0.9, REPLACEMENT, place)
    return None
