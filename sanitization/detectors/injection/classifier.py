"""A linear classifier of sentences: is a text an order to the model that reads it? Catches orders that no rule words.

Rules know phrases; the classifier knows how words go together. Its features are the words of a sentence, their pieces
(so that inflected and misspelt words count as well) and their pairs, each hashed to one of `BUCKETS` weights. The
weights are trained on generated texts by `packaging/injection_classifier`, and stored in `classifier.txt`.

1. A sentence is classified only if it contains a telling word (`telling`): those match the prefilter, and a find begins
   at one.
2. Reading around a telling word depends only on the `BACK` characters before it and the `AHEAD` characters after it, so
   that a stream yields the result of the whole text.
3. Time is linear: each telling word is classified once, and the weights of a word are cached.
"""

import base64
import math
import zlib
from array import array
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from sanitization.late import Late
from sanitization.normalization import folded

from .telling import spelt, telling

BUCKETS: Final = 1 << 16
"""Number of weights; a power of two."""
BACK: Final = 160
"""Characters before a telling word that are searched for the beginning of its sentence."""
ON: Final = 240
"""Maximum number of characters from a telling word to the end of its sentence."""
APART: Final = 24
"""Telling words at most this many characters apart are classified together."""
AHEAD: Final = 340
"""Maximum number of characters from a telling word to the end of the next sentence."""
WORD_MAX: Final = 32
"""Characters of a word that are read; the rest is ignored."""
WORDS_LEAST: Final = 3
"""Least number of words of an order; two are a setting, a heading or a name. Not applied to scripts without blanks."""
WORDS_MAX: Final = 80
"""Words of a window that are read; the rest is ignored."""
STEM: Final = 5
"""Letters of a word that represent it in a pair."""
SPAN: Final = 4
"""Maximum distance, in words, of the words of a pair."""
PAIR: Final = 0.5
"""Factor of a pair in the sum."""
KNOWN_MAX: Final = 20_000
"""Words whose weights are cached; beyond, the least recently used are dropped."""
SCORES_MAX: Final = 512
"""Windows whose score is cached: a stream asks for the same one with every piece."""

_WORD: Final = Late(
    "[^\\s!-/:-@\\[-`{-~\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u060c\u061b\u061f"
    "\u0964\u0965\u2000-\u206f\u3000-\u303f\uff00-\uff20]+"
)
_DIGITS: Final = Late("[0-9]+")
_BOUNDARY: Final = Late(
    "[.!?\u2026]+[\"')\\]\u201d\u00bb]*(?=\\s)|[\u3002\uff01\uff1f\u0964\u061f]"
    "|\n(?=[^a-z]|[a-z0-9_-]{1,40} ?[=:])|\\\\n|</|-->|<!--"
)
_SEEN_OF_BOUNDARY: Final = 48
"""Characters after the start of a boundary that must be present before it is known to be one."""


NEAR: Final = 32
"""Characters before a telling word that are searched for the start of its sentence before all `BACK` of them are."""


class Window(NamedTuple):
    """A telling word at `at`, the start and end of its sentence, and the end of the sentence after it.

    `whole` is True if no text that follows can change these.
    """

    at: int
    start: int
    end: int
    next_end: int
    whole: bool


def window(text: str, at: int) -> Window:
    """Find the sentence around the telling word at `at`, and the one after it."""
    start = max(0, at - BACK)
    start = (
        _sentence_start(text, _letter_before(text, at - NEAR, start), at) or _sentence_start(text, start, at) or start
    )
    complete = len(text) >= at + AHEAD + _SEEN_OF_BOUNDARY
    end, after, sure = _sentence_end(text, at, at + ON)
    if not sure:
        return Window(at, start, end, end, complete)
    next_end, _, sure = _sentence_end(text, after, at + AHEAD)
    return Window(at, start, end, max(end, next_end), complete or sure)


def _sentence_start(text: str, start: int, at: int) -> int:
    """Return the end of the last boundary from `start` on that ends at `at` or before; 0 if there is none."""
    last = 0
    for boundary in _BOUNDARY.finditer(text, start, at + _SEEN_OF_BOUNDARY):
        if boundary.end() > at:
            break
        last = boundary.end()
    return last


def _letter_before(text: str, place: int, least: int) -> int:
    """Return the first place, backwards from `place`, that follows a letter which is in no boundary; or `least`."""
    while place > least and not (text[place - 1].isalpha() and text[place - 1] != "n"):
        place -= 1
    return max(place, least)


def _sentence_end(text: str, at: int, most: int) -> tuple[int, int, bool]:
    """Return where a sentence ends, where the next begins, and whether the end was found within `most`."""
    boundary = _BOUNDARY.search(text, at, min(len(text), most + _SEEN_OF_BOUNDARY))
    if boundary is None or boundary.end() > most:
        end = min(most, len(text))
        return end, end, False
    return (boundary.start() if text[boundary.start()] in "\n\\<-" else boundary.end()), boundary.end(), True


def places(text: str, start: int) -> Iterator[int]:
    """Yield the telling words at `start` or later to classify; of those close together only the first.

    A word is close if it begins at most `APART` characters after the one before it, in the same sentence: its window
    would hardly differ, and a text made of such words would take long.
    """
    before = -APART - 1
    for at in telling(text, max(0, start - APART)):
        if at >= start and (at - before > APART or _ends_between(text, before, at)):
            yield at
        before = at


def _ends_between(text: str, before: int, at: int) -> bool:
    boundary = _BOUNDARY.search(text, before, at + _SEEN_OF_BOUNDARY)
    return boundary is not None and boundary.end() <= at


def words(view: str) -> list[str]:
    """Return the words of a view, with typing errors corrected and numbers without their digits."""
    return [spelt(_DIGITS.sub("0", word[:WORD_MAX])) for word in _WORD.findall(view)[:WORDS_MAX]]


def bucket(feature: str) -> int:
    """Return the index of a feature's weight."""
    return zlib.crc32(feature.encode("utf-8", "surrogatepass")) & (BUCKETS - 1)


@lru_cache(maxsize=KNOWN_MAX)
def pieces(word: str) -> tuple[int, ...]:
    """Return the buckets of a word and of its pieces."""
    marked = f"<{word}>"
    sizes = (3, 5) if word.isascii() else (2, 3, 4)
    buckets = {bucket(marked)}
    buckets.update(bucket(marked[at : at + size]) for size in sizes for at in range(len(marked) - size + 1))
    return tuple(sorted(buckets))


def pairs(found: Sequence[str]) -> Iterator[str]:
    """Yield the pairs of words near each other in their order, and the first word of the sentence."""
    stems = [word[:STEM] for word in found]
    if stems:
        yield f"^ {stems[0]}"
    for at, stem in enumerate(stems):
        for number, other in enumerate(stems[at + 1 : at + 1 + SPAN]):
            yield f"{stem} {other}" if number == 0 else f"{stem}  {other}"


def scale(count: int) -> float:
    """Return the divisor of the sum for a window of this many words, so that long sentences score like short ones."""
    return math.sqrt(count + 3.0)


class Classifier:
    """Quantised weights and a bias.

    `score(text)` is the estimated probability that a text is an order: 0 to 1.
    """

    def __init__(self, weights: Sequence[int], step: float, bias: float) -> None:
        self.weights = weights
        self.step = step
        self.bias = bias
        self.score = lru_cache(maxsize=SCORES_MAX)(self._score)
        self._of_word = lru_cache(maxsize=KNOWN_MAX)(self._weigh_word)
        self._of_pair = lru_cache(maxsize=KNOWN_MAX)(lambda pair: weights[bucket(pair)])

    def _score(self, text: str) -> float:
        listed = words(folded(text))
        if len(listed) < WORDS_LEAST and text.isascii():
            return 0.0
        total = sum(map(self._of_word, listed)) + PAIR * sum(map(self._of_pair, pairs(listed)))
        margin = self.bias + self.step * total / scale(len(listed))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, margin))))

    def likely(self, text: str, found: Window) -> float:
        """Return the score of a window: of its sentence alone, or with the next one, whichever is higher."""
        score = self.score(text[found.start : found.end])
        if found.next_end > found.end:
            score = max(score, self.score(text[found.start : found.next_end]))
        return score

    def _weigh_word(self, word: str) -> float:
        buckets = pieces(word)
        return sum(map(self.weights.__getitem__, buckets)) / math.sqrt(len(buckets))


def in_steps(weights: Sequence[float], bias: float) -> Classifier:
    """Return a classifier with these weights, each rounded to one of 255 steps as stored in the file."""
    step = max(max(map(abs, weights)), 1e-9) / 127
    return Classifier(array("b", [round(weight / step) for weight in weights]), step, bias)


def dump(made: Classifier, source: str) -> str:
    """Serialise a classifier to text: the bias, the size of a step and `source`, then a byte for each weight.

    `source` is one word that identifies the training data.
    """
    coded = base64.b64encode(zlib.compress(bytes(weight & 0xFF for weight in made.weights), 9)).decode()
    lines = [coded[at : at + 120] for at in range(0, len(coded), 120)]
    return "\n".join([f"{made.bias:.6f} {made.step:.9f} {source}", *lines, ""])


def load(text: str) -> Classifier:
    """Parse the output of `dump`.

    Raises:
        ValueError: The text is damaged.
    """
    head, _, coded = text.partition("\n")
    bias, step = map(float, head.split()[:2])
    try:
        weights = array("b", zlib.decompress(base64.b64decode(coded)))
    except zlib.error as error:
        raise ValueError(f"the weights are damaged: {error}") from error
    if len(weights) != BUCKETS:
        raise ValueError(f"{len(weights)} weights instead of {BUCKETS}")
    return Classifier(weights, step, bias)


@cache
def classifier() -> Classifier:
    """Return the classifier of the package, loaded on first use."""
    return load(Path(__file__).with_name("classifier.txt").read_text("ascii"))
