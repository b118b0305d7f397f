"""How well orders to a model are found that nobody had in mind: by leaving out whole families of them.

recall_unseen_families    per cent of the texts of a family that are found by rules and a classifier that was trained
                          without that family; the mean of all families
recall_rules_alone        the same without a classifier: none of the rules was made for these texts
recall_unseen_languages   the same for languages that the classifier was trained without
false_alarms_unseen       per cent of the harmless texts of a family that are taken for orders by rules and a classifier
                          that was trained without that family; the mean
false_alarms_prose        per cent of the paragraphs of the documentation strings of Python's standard library that are
false_alarms_rules_alone  the same without a classifier
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from attrs import frozen

from sanitization.detectors.injection.classifier import BUCKETS, Classifier, classifier
from sanitization.detectors.injection.detector import Injection

from . import english, english_harmless, languages
from .making import SEED, Text, texts
from .training import EPOCHS, trained

PARAGRAPH: Final = 40
"""Least number of characters of a paragraph that is read."""
TONGUES: Final = 6
"""Languages that are left out together."""


@frozen
class Sizes:
    """Scale of the texts, epochs of training, and paragraphs of prose."""

    scale: float = 1.0
    epochs: int = EPOCHS
    prose: int = 20_000


NOTHING: Final = Classifier([0] * BUCKETS, 0.0, 0.0)
"""Finds nothing and doubts nothing: the rules alone."""
Finds = Callable[[str], bool]


def measured(sizes: Sizes | None = None) -> Iterator[tuple[str, float]]:
    """Train once for each family that is left out, and yield each mean by its name, in per cent."""
    sizes = sizes or Sizes()
    made = texts(SEED, sizes.scale)
    rules = finder(NOTHING)
    found, alone, alarms, alone_alarms = list[float](), list[float](), list[float](), list[float]()
    harmless = list(english_harmless.BENIGN)
    for number, family in enumerate(english.ATTACKS):
        # The harmless families are distributed, so that each is left out once as well.
        without = {family, *harmless[number :: len(english.ATTACKS)]}
        both = finder(trained([text for text in made if text.family not in without], epochs=sizes.epochs))
        for name in sorted(without):
            left_out = [text for text in made if text.family == name]
            share, by_rules = per_cent(left_out, both), per_cent(left_out, rules)
            is_order = left_out[0].order
            (found if is_order else alarms).append(share)
            (alone if is_order else alone_alarms).append(by_rules)
            kind = "orders" if is_order else "harmless"
            say(
                f"{kind:<9} {name:<14} {len(left_out):>5} texts: {share:5.1f} % found, {by_rules:5.1f} % by rules alone"
            )
    tongues = list(languages.TONGUES)
    foreign = list[float]()
    for first in range(0, len(tongues), TONGUES):
        away = set(tongues[first : first + TONGUES])
        both = finder(trained([text for text in made if text.language not in away], epochs=sizes.epochs))
        for name in sorted(away):
            left_out = [text for text in made if text.language == name and text.order]
            foreign.append(per_cent(left_out, both))
            say(f"language  {name:<14} {len(left_out):>5} texts: {foreign[-1]:5.1f} % found")
    yield "recall_unseen_families", mean(found)
    yield "recall_rules_alone", mean(alone)
    yield "recall_unseen_languages", mean(foreign)
    yield "false_alarms_unseen", mean(alarms)
    read = list(islice(prose(), sizes.prose))
    yield "false_alarms_prose", share_of(read, finder(classifier()))
    yield "false_alarms_rules_alone", share_of(read, rules)


def finder(model: Classifier) -> Finds:
    """Return the function that tells whether the detector, with this classifier, finds anything in a text."""
    detector = Injection(lambda: model)
    return lambda text: next(detector.find(text), None) is not None


def per_cent(made: Sequence[Text], finds: Finds) -> float:
    """Return the percentage of these texts in which something is found."""
    return share_of([text.text for text in made], finds)


def share_of(said: Sequence[str], finds: Finds) -> float:
    """Return the percentage of these strings in which something is found."""
    return 100.0 * sum(map(finds, said)) / max(1, len(said))


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return sum(values) / max(1, len(values))


def prose() -> Iterator[str]:
    """Yield the paragraphs of the standard library's docstrings, each once. They were not written for this purpose."""
    library, seen = Path(sysconfig.get_path("stdlib")), set[str]()
    for file in sorted([*library.glob("*.py"), *library.glob("*/*.py")]):
        if {"test", "tests", "site-packages", "idlelib"}.isdisjoint(file.relative_to(library).parts):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                        if len(paragraph) > PARAGRAPH and paragraph not in seen:
                            seen.add(paragraph)
                            yield paragraph


def say(text: str) -> None:
    """Print a line of progress to the error output."""
    print(f"orders: {text}", file=sys.stderr, flush=True)
