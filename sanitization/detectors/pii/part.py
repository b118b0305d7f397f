"""A part of `pii`: finds one form of personal data, beside the other parts."""

from typing import Final, Protocol

from sanitization.findings import Hit
from sanitization.prefilter import NamedPrefilter

from .context import Said

CONTEXT: Final = 160
"""Code points before an anchor that any part reads."""
REACH: Final = 512
"""Code points after an anchor that any part reads."""


class PiiPart(Protocol):
    """Finds hits one by one. Whether a place is an anchor depends on at most `CONTEXT` code points before it."""

    @property
    def prefilters(self) -> tuple[NamedPrefilter, ...]:
        """Its prefilters by name."""

    def first(self, text: str, position: int, _said: Said | None = None) -> Hit | None:
        """Return the first hit with its anchor at `position` or later."""

    def pending(self, text: str, start: int) -> int:
        """Return the place, `start` or later, from which more text could make a hit."""


def hit(start: int, end: int, kind: str, score: float, anchor: int | None = None, reason: str = "") -> Hit:
    """Make a hit of `pii.<kind>`, to be replaced by the kind in brackets."""
    reasons = (reason,) if reason else ()
    return Hit(start, end, f"pii.{kind}", score, f"[{kind}]", start if anchor is None else anchor, reasons)
