"""Presidio's recognisers as a detector; needs the extra `presidio`.

Only recognisers by pattern and check digit: no language model is loaded, and words nearby do not change a score. Custom
recognisers made of patterns work as well.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from sanitization.findings import REPLACEMENT, Category, Hit
from sanitization.prefilter import NamedPrefilter, Prefilter

REACH: Final = 256
CONTEXT: Final = 64
THRESHOLD: Final = 0.5


class _Rule:
    """One pattern of one recogniser."""

    def __init__(self, recognizer: Any, pattern: Any, expression: re.Pattern[str]) -> None:
        self.kind = f"pii.{recognizer.supported_entities[0].lower()}"
        self.expression = expression
        self._score = pattern.score
        self._recognizer = recognizer

    def score(self, text: str) -> float:
        """Return the score of a match as Presidio computes it; 0 for a rejected one."""
        valid = self._recognizer.validate_result(text)
        if valid is False or self._recognizer.invalidate_result(text):
            return 0.0
        return 1.0 if valid else float(self._score)


class Presidio:
    """Finds the pattern matches of Presidio's recognisers, as `pii.<entity>`: `pii.us_ssn`, `pii.email_address`.

    `recognizers` are objects such as Presidio's `PatternRecognizer`, of whose `supported_entities` the first is used;
    the default is Presidio's own for `languages`. Matches that score less than `threshold`, or are longer
    than 256 characters, are ignored. Without a `prefilter` every text is read by every pattern, which takes about a
    second for a megabyte, and a stream holds back its last 256 characters all the time.

    Raises ImportError if the extra is not installed. Presidio's recogniser of e-mail addresses may fetch the list of
    public suffixes from the network (`tldextract`); the others do no I/O.
    """

    name = "presidio"
    category = Category.PII
    context = CONTEXT
    reach = REACH

    def __init__(
        self,
        recognizers: Iterable[Any] | None = None,
        *,
        languages: Collection[str] = ("en",),
        threshold: float = THRESHOLD,
        prefilter: Prefilter | None = None,
    ) -> None:
        import regex  # Presidio's expressions are written for it; it is a dependency of Presidio

        chosen = list(_predefined(languages)) if recognizers is None else list(recognizers)
        self.prefilters: tuple[NamedPrefilter, ...] = (("presidio", prefilter),) if prefilter else ()
        self._threshold = threshold
        self._rules = [
            _Rule(recognizer, pattern, regex.compile(pattern.regex, recognizer.global_regex_flags))
            for recognizer in chosen
            for pattern in recognizer.patterns
        ]

    def find(self, text: str, start: int = 0, active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield the highest-scoring match at each place, the longest of those. A match covers matches that begin within
        it.
        """
        nearest = [(self._next(rule, text, start), rule) for rule in self._rules]
        position = start
        while True:
            nearest = [
                (hit if hit is None or hit.start >= position else self._next(rule, text, position), rule)
                for hit, rule in nearest
            ]
            hits = [hit for hit, _ in nearest if hit]
            if not hits:
                return
            best = min(hits, key=lambda hit: (hit.start, -hit.score, -hit.end))
            yield best
            position = best.end

    def settled(self, text: str, start: int = 0, active: Collection[str] = ()) -> int:
        """Return where the last `reach` characters begin."""
        return max(start, len(text) - self.reach)

    def _next(self, rule: _Rule, text: str, position: int) -> Hit | None:
        """Return the first match of a rule from a place on. A rejected match hides no match that begins within it."""
        while position <= len(text) and (seen := rule.expression.search(text, position)):
            place = seen.start()
            match = rule.expression.match(text, place, min(len(text), place + self.reach))
            if match and match.end() > place:
                score = rule.score(match[0])
                if score >= self._threshold:
                    return Hit(place, match.end(), rule.kind, score, REPLACEMENT, place)
            position = place + 1
        return None


def _predefined(languages: Collection[str]) -> Iterator[Any]:
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    for name in sorted(vars(predefined_recognizers)):
        made = getattr(predefined_recognizers, name)
        if isinstance(made, type) and issubclass(made, PatternRecognizer) and made is not PatternRecognizer:
            recognizer = made()
            if recognizer.supported_language in languages:
                yield recognizer
