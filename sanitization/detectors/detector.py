"""What a detector is, so that it works on a whole text and on a stream alike.

Five invariants; the stream's promise (however a text is cut, the same comes out) rests on them:

1. `find` has no memory: whether a hit has its anchor at a place depends only on the text around that place, unless
   an earlier hit, from its own anchor to its end, covers it.
2. It looks at most `context` code points back from the anchor.
3. It looks at most `reach` code points ahead from there; no hit ends further.
4. `settled` never returns a place inside something that more text could turn into a hit.
5. A text in which `find` finds something opens a prefilter of the rule that finds it; and once the first blank within
   the find has been read (or the first sign that ends a clause in a script without blanks, or 512 characters, or 32
   that are not ASCII), what has been read of it opens it alone.

A hit lies within the text, no earlier than it was asked for, and is not empty. Any other is a failure of the detector.

A detector may have more than the protocol asks for, and need not:

- `kinds: Sequence[Kind]`, what it tells apart, for those who list it (`Described`);
- `covers: Mapping[Category, Sequence[str]]`, for one in a stage of its own: the kinds under which a later stage finds
  all that it finds. Where the policy takes those out, its own finds are recorded and change nothing;
- `of(policy) -> Detector`, itself as a policy needs it, where that depends on more than the policy's rules;
- without prefilters, `concerns(text) -> bool`, whether it may find anything in a text, or what is still to come may
  make a find begin there: invariant 5 then holds for it as for a prefilter, and other texts pass without the detector.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, runtime_checkable

from sanitization.findings import Category, Hit
from sanitization.kinds import Kind
from sanitization.prefilter import NamedPrefilter


class Detector(Protocol):
    """Finds one family of things. Stateless: one instance serves every text and thread."""

    @property
    def name(self) -> str:
        """The word in `Finding.detector`."""

    @property
    def category(self) -> Category:
        """The family it finds."""

    @property
    def prefilters(self) -> tuple[NamedPrefilter, ...]:
        """By name, what is to be seen where its rules find something. Without any, it reads every text."""

    @property
    def context(self) -> int:
        """Code points before a place that matter to it."""

    @property
    def reach(self) -> int:
        """Code points after a place that matter to it."""

    def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
        """Hits with an anchor at `start` or later, in order, without overlap. `text[:start]` is only context.

        `active` names the prefilters that are open in `text[start:]`: rules behind other prefilters find nothing there.
        """

    def settled(self, text: str, start: int, active: Collection[str]) -> int:
        """A place, `start` or later, before which no text that may follow can change anything.

        The last word (up to 512 characters without a blank, of which 32 are not ASCII) is held back by the caller: this
        need not look at it unless a find may go on after the blank behind it.
        """


@runtime_checkable
class Described(Protocol):
    """A detector that says what it tells apart."""

    @property
    def kinds(self) -> Sequence[Kind]:
        """Its kinds, in the order in which they are listed."""
