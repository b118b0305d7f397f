"""Detectors for tests: one finds a word, one raises, one is slow."""

import re
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from sanitization import Category, Detector, Hit, Prefilter

ORDER: Final = "LANTERN-ZEBRA"
"""A word that counts as an instruction to the model."""
PERSON: Final = "ada~person"
"""A word that counts as personal data."""
BREAKING: Final = "BREAK-THE-DETECTOR"
"""A word at which a detector fails."""
LINGER: Final = "TAKE-YOUR-TIME"
"""A word on which a detector is slow."""
LINGERS_S: Final = 0.5
"""Seconds the slow detector takes."""


@frozen
class Words:
    """Finds words that match a pattern, in any context."""

    category: Category
    kind: str
    pattern: str
    name: str = "words"
    context: int = 0
    reach: int = 64

    @property
    def prefilters(self) -> tuple[tuple[str, Prefilter], ...]:
        """Return no prefilter: the detector reads every text."""
        return ()

    def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
        for match in re.compile(self.pattern).finditer(text, start):
            yield Hit(match.start(), match.end(), self.kind, 0.9, "[gone]", match.start())

    def settled(self, text: str, start: int, active: Collection[str]) -> int:
        """Return the whole length: an unfinished word is held back anyway."""
        return len(text)


@frozen
class Breaking(Words):
    """Fails at a word."""

    def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
        if BREAKING in text:
            raise RuntimeError(f"cannot read {text}")
        yield from ()


@frozen
class Slow(Words):
    """Sleeps on long texts that contain the word; such texts are scanned in a worker thread."""

    def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
        if LINGER in text:
            time.sleep(LINGERS_S)
        yield from ()


ORDERS: Final = Words(Category.INJECTION, "injection.test", re.escape(ORDER), "orders")
PEOPLE: Final = Words(Category.PII, "pii.email", r"[a-z]{2,9}~person", "people")
BROKEN: Final = Breaking(Category.PII, "pii.broken", BREAKING, "broken")
SLOW: Final = Slow(Category.PII, "pii.slow", LINGER, "slow")


def policy(tmp_path: Path, text: str) -> str:
    """Write a policy into a file. Return its path."""
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return str(path)


PEOPLE_ONLY: Sequence[Detector] = (PEOPLE,)
WITH_PLACEHOLDERS = '[inbound]\npii = "tokenise"\n'
