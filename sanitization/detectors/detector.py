"""What a detector is, so that it works on a whole text and on a stream alike.

Four invariants; the stream's promise (however a text is cut, the same comes out) rests on them:

1. `find` has no memory: whether a hit has its anchor at a place depends only on the text around that place, unless
   an earlier hit, from its own anchor to its end, covers it.
2. It looks at most `context` code points back from the anchor.
3. It looks at most `reach` code points ahead from there; no hit ends further.
4. `settled` never returns a place inside something that more text could turn into a hit.
"""

from collections.abc import Iterator
from typing import Protocol

from sanitization.findings import Category, Hit


class Detector(Protocol):
    """Finds one family of things. Stateless: one instance serves every text and thread."""

    @property
    def name(self) -> str:
        """The word in `Finding.detector`."""

    @property
    def category(self) -> Category:
        """The family it finds."""

    @property
    def context(self) -> int:
        """Code points before a place that matter to it."""

    @property
    def reach(self) -> int:
        """Code points after a place that matter to it."""

    def find(self, text: str, start: int = 0) -> Iterator[Hit]:
        """Hits with an anchor at `start` or later, in order, without overlap. `text[:start]` is only context."""

    def settled(self, text: str, start: int = 0) -> int:
        """A place, `start` or later, before which no text that may follow can change anything."""
