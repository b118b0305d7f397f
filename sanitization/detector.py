"""The detector protocol, for whole texts and streams alike.

Five invariants guarantee that a stream yields the same result however the text is cut:

1. `find` has no memory: whether a hit has its anchor at a place depends only on the text around that place, unless an
   earlier hit, from its own anchor to its end, covers it.
2. It reads at most `context` code points back from the anchor.
3. It reads at most `reach` code points ahead from there; no hit ends further.
4. `settled` never returns a place inside something that more text could turn into a hit.
5. If `find` finds something in a text, a prefilter of the matching rule matches that text. It also matches the first
   part of the find alone, once its first blank has been read (or the first sign that ends a clause in a script without
   blanks, or 512 characters, or 32 that are not ASCII).

A hit lies within the text, begins no earlier than the place asked for, and is not empty. Any other is a failure of the
detector.

Optional members of a detector:

- `kinds: Sequence[Kind]`, the kinds it distinguishes (`Described`);
- `covers: Mapping[Category, Sequence[str]]`, for a detector with a stage of its own: the kinds under which a later
  stage finds everything that it finds. If the policy removes those, its own finds are recorded and change nothing;
- `of(policy) -> Detector`, the detector for a policy, if it depends on more than the policy's rules;
- without prefilters, `concerns(text) -> bool`, whether it may find anything in a text, or whether text still to come
  may make a find begin there. Invariant 5 then holds for it as for a prefilter, and other texts skip the detector.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, runtime_checkable

from sanitization.findings import Category, Hit, Kind
from sanitization.prefilter import NamedPrefilter


class Detector(Protocol):
    """Finds one family of things. Stateless: one instance serves every text and thread."""

    @property
    def name(self) -> str:
        """The name in `Finding.detector`."""

    @property
    def category(self) -> Category:
        """The category of its findings."""

    @property
    def prefilters(self) -> tuple[NamedPrefilter, ...]:
        """Its prefilters by name. Without any, it reads every text."""

    @property
    def context(self) -> int:
        """Number of code points before an anchor that it reads."""

    @property
    def reach(self) -> int:
        """Number of code points after an anchor that it reads."""

    def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
        """Yield hits with an anchor at `start` or later, in order, without overlap. `text[:start]` is only context.

        `active` names the prefilters that match in `text[start:]`; rules behind other prefilters find nothing there.
        """

    def settled(self, text: str, start: int, active: Collection[str]) -> int:
        """Return a place, `start` or later, such that no following text changes anything before it.

        The caller holds back the last word (up to 512 characters without a blank, of which 32 are not ASCII); `settled`
        only considers it if a find may continue beyond the blank after it.
        """


@runtime_checkable
class Described(Protocol):
    """A detector that lists its kinds."""

    @property
    def kinds(self) -> Sequence[Kind]:
        """Its kinds, in the order in which they are listed."""
