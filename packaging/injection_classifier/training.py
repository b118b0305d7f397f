"""Train the classifier of orders on the generated texts.

After a change to the texts, the features or the telling words, train again; a test compares the checksum of the
examples with the weights.

Logistic regression by stochastic gradient descent with AdaGrad, in plain Python, and deterministic.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from sanitization.detectors.injection import classifier
from sanitization.detectors.injection.classifier import (
    BUCKETS,
    PAIR,
    Classifier,
    bucket,
    in_steps,
    pairs,
    pieces,
    places,
    scale,
    window,
    words,
)
from sanitization.normalization import folded

from .making import SEED, Text

EPOCHS: Final = 6
RATE: Final = 0.5
DECAY: Final = 2e-6
"""L2 penalty for a weight each time it is used."""
SURE: Final = 0.02
"""Error below which an example is not learned from any more."""
WEIGHTS: Final = Path(classifier.__file__).with_name("classifier.txt")


@frozen
class Example:
    """The features of a window, as buckets with their values, and whether it is an order."""

    buckets: tuple[int, ...]
    values: tuple[float, ...]
    order: bool


def windows(text: str) -> set[str]:
    """Return the windows that the classifier reads: the sentence of each telling word, alone and with the next one."""
    found: set[str] = set()
    for at in places(text, 0):
        seen = window(text, at)
        found.update((text[seen.start : seen.end], text[seen.start : seen.next_end]))
    return found


def example(text: str, *, order: bool) -> Example:
    """Return the features of one window."""
    found = words(folded(text))
    summed: dict[int, float] = {}
    by = scale(len(found))
    for word in found:
        each = pieces(word)
        value = 1.0 / math.sqrt(len(each)) / by
        for place in each:
            summed[place] = summed.get(place, 0.0) + value
    for pair in pairs(found):
        place = bucket(pair)
        summed[place] = summed.get(place, 0.0) + PAIR / by
    return Example(tuple(summed), tuple(summed.values()), order)


def examples(made: Iterable[Text]) -> list[Example]:
    """Return the examples of some texts, each window once; a window of a harmless text is harmless, wherever else it
    occurs.
    """
    found: dict[str, bool] = {}
    for each in sorted(made, key=lambda text: text.order):
        for part in sorted(windows(each.text)):
            found.setdefault(part, each.order)
    return [example(part, order=order) for part, order in found.items()]


def train(found: Sequence[Example], *, epochs: int = EPOCHS, seed: int = SEED) -> tuple[list[float], float]:
    """Fit weights and a bias."""
    weights, squares = [0.0] * BUCKETS, [1e-6] * BUCKETS
    bias, bias_square = 0.0, 1e-6
    order = list(range(len(found)))
    chance = random.Random(seed)
    for _ in range(epochs):
        chance.shuffle(order)
        for index in order:
            each = found[index]
            margin = bias
            for place, value in zip(each.buckets, each.values, strict=True):
                margin += weights[place] * value
            error = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, margin)))) - each.order
            if abs(error) < SURE:
                continue
            for place, value in zip(each.buckets, each.values, strict=True):
                slope = error * value + DECAY * weights[place]
                squares[place] += slope * slope
                weights[place] -= RATE * slope / math.sqrt(squares[place])
            bias_square += error * error
            bias -= RATE * error / math.sqrt(bias_square)
    return weights, bias


def trained(made: Iterable[Text], *, epochs: int = EPOCHS) -> Classifier:
    """Return a classifier trained on these texts."""
    return in_steps(*train(examples(made), epochs=epochs))


def source_of(found: Sequence[Example]) -> str:
    """Return a checksum of examples, stored with the weights."""
    crc = 0
    for weight in found:
        crc = zlib.crc32(repr((weight.buckets, weight.order)).encode(), crc)
    return f"{crc:08x}"
