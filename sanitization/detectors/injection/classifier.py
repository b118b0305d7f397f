"""A linear classifier of sentences: does a text give orders to the model that reads it? Catches what no rule words.

The rules know phrases; this knows how words go together. Its features are the words of a sentence, their pieces (so
that inflected and misspelt words count as well) and their pairs, each hashed to one of `BUCKETS` weights. The weights
are trained on generated texts by `benchmarks.orders`, and lie in `classifier.txt`.

1. A sentence is judged only if it contains a telling word (`telling`): those open the prefilter, and a find begins at
   one.
2. What is read of a text around a telling word depends on the `BACK` characters before it and the `AHEAD` characters
   after it alone, so that a stream finds what the whole text has.
3. Time is linear: each telling word is judged once, and what a word weighs is remembered.
"""

import base64
import math
import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from sanitization.normalization import folded

from .spelling import spelt
from .telling import telling

BUCKETS: Final = 1 << 16
"""Number of weights. A power of two."""
BACK: Final = 160
"""Characters before a telling word in which the beginning of its sentence is looked for."""
ON: Final = 240
"""Characters from a telling word to the end of its sentence, at most."""
APART: Final = 24
"""Telling words at most so many characters apart are judged together."""
AHEAD: Final = 340
"""Characters from a telling word to the end of the next sentence, at most."""
WORD_MAX: Final = 32
"""Characters of a word that are read."""
WORDS_LEAST: Final = 3
"""An order has so many words; two are a setting, a heading or a name. Scripts without blanks are not counted so."""
WORDS_MAX: Final = 80
"""Words of a window that are read."""
STEM: Final = 5
"""Letters of a word that stand for it in a pair."""
SPAN: Final = 4
"""Words further apart than this make no pair."""
PAIR: Final = 0.5
"""Share of a pair in the sum."""
KNOWN_MAX: Final = 20_000
"""Words whose weight is remembered."""
SCORES_MAX: Final = 512
"""Windows whose score is remembered: a stream asks for the same one with every piece."""

_WORD: Final = re.compile(
    "[^\\s!-/:-@\\[-`{-~\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u060c\u061b\u061f"
    "\u0964\u0965\u2000-\u206f\u3000-\u303f\uff00-\uff20]+"
)
_DIGITS: Final = re.compile("[0-9]+")
_BOUNDARY: Final = re.compile(
    "[.!?\u2026]+[\"')\\]\u201d\u00bb]*(?=\\s)|[\u3002\uff01\uff1f\u0964\u061f]"
    "|\n(?=[^a-z]|[a-z0-9_-]{1,40} ?[=:])|\\\\n|</|-->|<!--"
)
_SEEN_OF_BOUNDARY: Final = 48
"""Characters from the beginning of a boundary on that must be there before it is known to be one."""


class Window(NamedTuple):
    """A telling word at `at`; where its sentence begins and ends, and where the sentence after it ends.

    `whole` says whether text that follows can change nothing of that.
    """

    at: int
    start: int
    end: int
    next_end: int
    whole: bool


def window(text: str, at: int) -> Window:
    """Find the sentence around the telling word at `at`, and the one after it."""
    start = max(0, at - BACK)
    for found in _BOUNDARY.finditer(text, start, at + _SEEN_OF_BOUNDARY):
        if found.end() <= at:
            start = found.end()
    known = len(text) >= at + AHEAD + _SEEN_OF_BOUNDARY
    end, after, sure = _sentence_end(text, at, at + ON)
    if not sure:
        return Window(at, start, end, end, known)
    next_end, _, sure = _sentence_end(text, after, at + AHEAD)
    return Window(at, start, end, max(end, next_end), known or sure)


def _sentence_end(text: str, at: int, most: int) -> tuple[int, int, bool]:
    """Where a sentence ends, where what follows begins, and whether its end was found within `most`."""
    found = _BOUNDARY.search(text, at, min(len(text), most + _SEEN_OF_BOUNDARY))
    if found is None or found.end() > most:
        end = min(most, len(text))
        return end, end, False
    return (found.start() if text[found.start()] in "\n\\<-" else found.end()), found.end(), True


def places(text: str, start: int) -> Iterator[int]:
    """Places of the telling words at `start` or later that are judged: of those close together the first alone.

    A word belongs to those before it if it begins at most `APART` characters after the last of them, in the same
    sentence: its window would hardly differ, and a text of nothing else would take long.
    """
    before = -APART - 1
    for at in telling(text, max(0, start - APART)):
        if at >= start and (at - before > APART or _ends_between(text, before, at)):
            yield at
        before = at


def _ends_between(text: str, before: int, at: int) -> bool:
    found = _BOUNDARY.search(text, before, at + _SEEN_OF_BOUNDARY)
    return found is not None and found.end() <= at


def words(view: str) -> list[str]:
    """The words of a view, slips of the keyboard put right, numbers without their digits."""
    return [spelt(_DIGITS.sub("0", each[:WORD_MAX])) for each in _WORD.findall(view)[:WORDS_MAX]]


def bucket(feature: str) -> int:
    """The weight that a feature has."""
    return zlib.crc32(feature.encode("utf-8", "surrogatepass")) & (BUCKETS - 1)


@lru_cache(maxsize=KNOWN_MAX)
def pieces(word: str) -> tuple[int, ...]:
    """The buckets of a word: the whole, and its pieces of some letters."""
    marked = f"<{word}>"
    sizes = (3, 5) if word.isascii() else (2, 3, 4)
    found = {bucket(marked)}
    found.update(bucket(marked[at : at + size]) for size in sizes for at in range(len(marked) - size + 1))
    return tuple(sorted(found))


def pairs(found: Sequence[str]) -> Iterator[str]:
    """The pairs of words near each other in their order, and the word that the sentence begins with."""
    stems = [each[:STEM] for each in found]
    if stems:
        yield f"^ {stems[0]}"
    for at, stem in enumerate(stems):
        for number, other in enumerate(stems[at + 1 : at + 1 + SPAN]):
            yield f"{stem} {other}" if number == 0 else f"{stem}  {other}"


def scale(count: int) -> float:
    """What the sum over a window of so many words is divided by: long sentences are no worse than short ones."""
    return math.sqrt(count + 3.0)


class Classifier:
    """Weights, in steps, and a bias.

    `score(text)` is the probability that a text is an order, as far as the classifier can tell: 0 to 1.
    """

    def __init__(self, weights: Sequence[int], step: float, bias: float) -> None:
        self.weights = weights
        self.step = step
        self.bias = bias
        self.score = lru_cache(maxsize=SCORES_MAX)(self._score)
        self._of_word = lru_cache(maxsize=KNOWN_MAX)(self._weigh_word)
        self._of_pair = lru_cache(maxsize=KNOWN_MAX)(lambda pair: weights[bucket(pair)])

    def _score(self, text: str) -> float:
        found = words(folded(text))
        if len(found) < WORDS_LEAST and text.isascii():
            return 0.0
        total = sum(map(self._of_word, found)) + PAIR * sum(map(self._of_pair, pairs(found)))
        margin = self.bias + self.step * total / scale(len(found))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, margin))))

    def likely(self, text: str, found: Window) -> float:
        """The score of a window: of its sentence alone, or with the next one, if that is more."""
        score = self.score(text[found.start : found.end])
        if found.next_end > found.end:
            score = max(score, self.score(text[found.start : found.next_end]))
        return score

    def _weigh_word(self, word: str) -> float:
        buckets = pieces(word)
        return sum(map(self.weights.__getitem__, buckets)) / math.sqrt(len(buckets))


def in_steps(weights: Sequence[float], bias: float) -> Classifier:
    """The classifier with these weights, each rounded to one of 255 steps, as a file has them."""
    step = max(max(map(abs, weights)), 1e-9) / 127
    return Classifier(array("b", [round(each / step) for each in weights]), step, bias)


def dump(made: Classifier, source: str) -> str:
    """Write a classifier as text: the bias, the size of a step and `source`, then a byte for each weight.

    `source` is one word that tells what the classifier was trained on.
    """
    coded = base64.b64encode(zlib.compress(bytes(each & 0xFF for each in made.weights), 9)).decode()
    lines = [coded[at : at + 120] for at in range(0, len(coded), 120)]
    return "\n".join([f"{made.bias:.6f} {made.step:.9f} {source}", *lines, ""])


def load(text: str) -> Classifier:
    """Read what `dump` wrote.

    Raises:
        ValueError: It is damaged.
    """
    head, _, coded = text.partition("\n")
    bias, step = map(float, head.split()[:2])
    try:
        found = array("b", zlib.decompress(base64.b64decode(coded)))
    except zlib.error as error:
        raise ValueError(f"the weights are damaged: {error}") from error
    if len(found) != BUCKETS:
        raise ValueError(f"{len(found)} weights instead of {BUCKETS}")
    return Classifier(found, step, bias)


@cache
def classifier() -> Classifier:
    """The classifier that comes with the package, loaded when it is first asked for."""
    return load(Path(__file__).with_name("classifier.txt").read_text("ascii"))
