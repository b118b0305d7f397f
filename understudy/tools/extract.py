"""Selects the sentences that represent a text best, by frequent words and by position.

The method is SumBasic (Nenkova and Vanderwende, 2005): a sentence weighs the mean frequency of its words; once it is
taken, its words count less, so that the next one says something else. The opening of a text and of its paragraphs
weighs more (Baxendale, 1958, found the topic there in 85 of 100 paragraphs). The work is linear in the text for a
bounded number of sentences, and nothing in it depends on chance.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

# Sentence ends of scripts with spaces need a space after them, those of Chinese, Japanese and Devanagari do not.
# Nothing is tried twice from within a run of dots: that would be quadratic in its length.
_END: Final = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]{0,3}(?=\s)|[。！？｡؟।]+[」』”’）]{0,3}|\n\s*\n|\n(?=\s*[-*•#]\s)"  # noqa: RUF001
)
_BEFORE_DOT: Final = re.compile(r"(?:^|[\s(])((?:[A-Za-zÀ-ɏ]\.)*[A-Za-zÀ-ɏ]{1,5})\.$")
_ABBREVIATIONS: Final = frozenset(
    "mr mrs ms dr prof st sr jr vs etc e.g i.e cf al approx fig no nr vol pp ca bzw z.b u.a d.h inc ltd co corp dept "  # noqa: SIM905 (words read better as words)
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
# Runs of letters and digits; of scripts without spaces every pair of characters is taken as a word.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|[^\W_]+(?:['’-][^\W_]+)*")  # noqa: RUF001
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

# The commonest words of a few languages carry no topic. Other languages lose only their words of one or two letters.
_COMMON: Final = frozenset(
    """
    the and for are was were has have had not but with from that this these those they them their its it's his her
    our your you she who which what when where will would can could should may might been being than then there here
    also into over under about after before more most some such only other all any each both very just does did how
    why out off per via und der die das den dem des ein eine einen einer eines ist sind war mit von für auf nicht
    auch als wie bei nach aus oder aber wird les des une est sont pas pour dans que qui sur avec par plus los las
    del una con por para como más
    """.split()  # noqa: SIM905 (words read better as words)
)

OPENING: Final = 1.5
PARAGRAPH: Final = 1.15
KEYWORDS: Final = 8


@frozen
class Sentence:
    """A sentence as it stands in the text, its words for counting, and whether it opens a paragraph."""

    text: str
    words: tuple[str, ...] = field(repr=False)
    opens: bool = False


def split_sentences(text: str) -> list[Sentence]:
    """Return the sentences of `text` in order, without pieces that have no word."""
    pieces: list[Sentence] = []
    start, opens = 0, True
    for end in _END.finditer(text):
        stops = end[0].lstrip()[:1] in (".", "!", "?", "…")
        if stops and _goes_on(text, start, end):
            continue
        opens = _append(pieces, text[start : end.end()], opens) or (end[0].startswith("\n"))
        start = end.end()
    _append(pieces, text[start:], opens)
    return pieces


def _append(pieces: list[Sentence], raw: str, opens: bool) -> bool:
    """Add a piece; whether the next one still stands at the opening, because this one had no words."""
    words = tuple(_words(raw))
    if words:
        pieces.append(Sentence(" ".join(raw.split()), words, opens))
        return False
    return opens


def _goes_on(text: str, start: int, end: re.Match[str]) -> bool:
    """A dot after an abbreviation or an initial, or before a small letter, does not end a sentence."""
    after = text[end.end() : end.end() + 40].lstrip()[:1]
    if after.islower():
        return True
    before = _BEFORE_DOT.search(text[max(start, end.start() - 20) : end.start() + 1])
    if before is None or not end[0].startswith(".") or len(end[0]) > 1:
        return False
    word = before[1]
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")


def _words(raw: str) -> list[str]:
    found: list[str] = []
    for each in _WORD.findall(raw):
        if _UNSPACED.match(each):
            found.extend(each[place : place + 2] for place in range(max(1, len(each) - 1)))
        else:
            found.append(each.casefold())
    return found


def _telling(word: str) -> bool:
    return bool(_UNSPACED.match(word)) or (len(word) > 2 and word not in _COMMON and not word.isdigit())


def choose(sentences: Sequence[Sentence], count: int) -> list[int]:
    """Return the positions of the `count` best sentences, in the order of the text; ties go to the earlier one."""
    if len(sentences) <= count:
        return list(range(len(sentences)))
    told = [[word for word in each.words if _telling(word)] for each in sentences]
    frequency = Counter(word for words in told for word in words)
    total = sum(frequency.values()) or 1
    weight = {word: times / total for word, times in frequency.items()}
    chosen: list[int] = []
    left = set(range(len(sentences)))
    for _ in range(count):
        best = max(left, key=lambda place: (_score(sentences[place], told[place], weight, place), -place))
        chosen.append(best)
        left.remove(best)
        for word in set(told[best]):
            weight[word] **= 2
    return sorted(chosen)


def _score(sentence: Sentence, told: Sequence[str], weight: dict[str, float], place: int) -> float:
    if not told:
        return 0.0
    # A sentence of two words would win by one frequent word: short ones are measured as if they had six.
    mean = sum(weight[word] for word in told) / max(len(told), 6)
    return mean * (OPENING if place == 0 else PARAGRAPH if sentence.opens else 1.0)


def keywords(sentences: Sequence[Sentence]) -> list[str]:
    """Return the most frequent distinctive words, at most eight; ties go to the earlier one."""
    frequency = Counter(word for each in sentences for word in each.words if _telling(word))
    return [word for word, _ in frequency.most_common(KEYWORDS)]
