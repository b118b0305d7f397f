"""A part of `pii`: what finds one form of personal data, beside the other parts."""

from typing import Final, Protocol

from sanitization.findings import Hit
from sanitization.prefilter import NamedPrefilter

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


def hit(start: int, end: int, kind: str, score: float, anchor: int | None = None, reason: str = "") -> Hit:
    """A hit of `pii.<kind>`, to be replaced by the kind in brackets."""
    reasons = (reason,) if reason else ()
    return Hit(start, end, f"pii.{kind}", score, f"[{kind}]", start if anchor is None else anchor, reasons)
