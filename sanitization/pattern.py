"""A custom detector made of one regular expression."""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

from attrs import field, frozen

from sanitization.findings import REPLACEMENT, Category, Hit
from sanitization.prefilter import NamedPrefilter, Prefilter

REACH: Final = 256
CONTEXT: Final = 64


def _compiled(regex: str | re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(regex)  # by itself it makes mypy refuse every string, as it takes bytes, too


@frozen
class Pattern:
    """Finds the matches of `regex`; if a match has a group named `value`, that group.

    The expression is tried at each place with at most `reach` code points from there, and `context` before it: it
    cannot match anything longer. `check` may reject a match (a check digit). `prefilter` must match every text in which
    the expression matches, before the match's first blank. Without a prefilter the expression is tried on every text,
    and a stream holds back its last `reach` code points all the time.

    `kind` is dotted below the category (`pii.badge`); `replacement` replaces a find that is removed.
    """

    name: str
    category: Category
    kind: str
    regex: re.Pattern[str] = field(converter=_compiled)
    prefilter: Prefilter | None = field(default=None, kw_only=True)
    check: Callable[[str], bool] | None = field(default=None, kw_only=True)
    replacement: str = field(default=REPLACEMENT, kw_only=True)
    score: float = field(default=1.0, kw_only=True)
    reach: int = field(default=REACH, kw_only=True)
    context: int = field(default=CONTEXT, kw_only=True)

    _prefilter: re.Pattern[str] | None = field(init=False, repr=False, eq=False)

    @_prefilter.default
    def _opening(self) -> re.Pattern[str] | None:
        if not self.prefilter:
            return None
        return self.prefilter.text_pattern

    @property
    def prefilters(self) -> tuple[NamedPrefilter, ...]:
        """The prefilter, under the kind's name."""
        return ((self.kind, self.prefilter),) if self.prefilter else ()

    def find(self, text: str, start: int = 0, active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield each match that passes the check."""
        position = start
        while position <= len(text) and (seen := self.regex.search(text, position)):
            hit = self._at(text, seen.start())
            if hit:
                yield hit
            position = hit.end if hit else seen.start() + 1

    def settled(self, text: str, start: int = 0, active: Collection[str] = ()) -> int:
        """Return where the last `reach` characters begin; with a prefilter, the word in them that it matches."""
        low = max(start, len(text) - self.reach)
        if not self._prefilter:
            return low
        opened = self._prefilter.search(text, low)
        if not opened:
            return len(text)
        # A match begins in the word that the prefilter matches.
        place = opened.start()
        while place > low and not text[place - 1].isspace():
            place -= 1
        return place

    def _at(self, text: str, place: int) -> Hit | None:
        # The search saw the whole text; the match at a place must depend on `reach` characters only.
        match = self.regex.match(text, place, min(len(text), place + self.reach))
        if not match:
            return None
        named = "value" in self.regex.groupindex and match["value"]
        start, end = match.span("value" if named else 0)
        if start == end or (self.check and not self.check(text[start:end])):
            return None
        return Hit(start, end, self.kind, self.score, self.replacement, place)
