"""A part of `pii`: what finds one form of personal data, beside the other parts."""

import re
from typing import Final, Protocol

from attrs import frozen

from sanitization.findings import Hit
from sanitization.prefilter import NamedPrefilter, Prefilter

from .context import Said

CONTEXT: Final = 160
"""Code points before a place that matter to any part."""
REACH: Final = 512
"""Code points after a place that matter to any part."""


class Part(Protocol):
    """Finds hits one by one. A place is a hit's anchor whatever stands before, but for `CONTEXT` code points."""

    @property
    def prefilters(self) -> tuple[NamedPrefilter, ...]:
        """By name, what is to be seen where it finds something."""

    def first(self, text: str, position: int, _said: Said | None = None) -> Hit | None:
        """The first hit with its anchor at `position` or later."""

    def pending(self, text: str, start: int) -> int:
        """The place, `start` or later, where something begins that more text could turn into a hit."""


@frozen
class Told(Prefilter):
    """A prefilter for which `re` has patterns of its own: with a look behind one passes quickly over most of a text.

    `ends` is what may stand at the end of a text, so many characters of which are looked at.
    """

    told: re.Pattern[str] | None = None
    ends: re.Pattern[str] | None = None
    end: int = 0

    @property
    def plain(self) -> "Told | None":
        """What looks for these patterns."""
        return self if self.told or self.ends else None

    def search(self, text: str) -> object:
        """The first of them, if any."""
        found = self.told and self.told.search(text)
        return found or (self.ends and self.ends.search(text, max(0, len(text) - self.end)))


def hit(start: int, end: int, kind: str, score: float, anchor: int | None = None, reason: str = "") -> Hit:
    """A hit of `pii.<kind>`, to be replaced by the kind in brackets."""
    reasons = (reason,) if reason else ()
    return Hit(start, end, f"pii.{kind}", score, f"[{kind}]", start if anchor is None else anchor, reasons)
