"""Finds personal data: mail and network addresses, telephone and payment numbers, and numbers that states give people.

Each form is a part of its own, with its prefilters. Each part is asked for its next hit; the hit that begins first is
yielded, and at equal places the part that comes first in the list wins.
"""

from collections.abc import Collection, Iterator
from typing import Final

from sanitization.findings import Category, Hit

from .births import Births
from .context import Said
from .digits import Digits
from .hosts import Colons, Hardware, Ipv4
from .kinds import KINDS
from .labelled import Labelled
from .mail import Mail
from .part import CONTEXT, REACH, PiiPart
from .places import Germanic, NumberFirst, Romance
from .wallets import Wallets

PARTS: Final[tuple[PiiPart, ...]] = (
    Mail(),
    Births(),
    Labelled(),
    Wallets(),
    Colons(),
    Ipv4(),
    Hardware(),
    Digits(),
    NumberFirst(),
    Germanic(),
    Romance(),
)
_BY_PREFILTER: Final = {name: number for number, part in enumerate(PARTS) for name, _ in part.prefilters}


class Pii:
    """Finds `pii.*`."""

    name = "pii"
    category = Category.PII
    prefilters = tuple(prefilter for part in PARTS for prefilter in part.prefilters)
    kinds = KINDS
    context = CONTEXT
    reach = REACH

    def find(self, text: str, start: int = 0, active: Collection[str] = tuple(_BY_PREFILTER)) -> Iterator[Hit]:
        """Yield the hits of all parts whose prefilters match."""
        following: list[tuple[int, int, Hit]] = []
        said = Said(text)
        numbers = sorted({_BY_PREFILTER[name] for name in active})
        for number in numbers:
            if found := PARTS[number].first(text, start, said):
                following.append((found.anchor, number, found))
        while following:
            _, _, best = min(following)
            yield best
            again, following = following, []
            for entry in again:
                found = entry[2] if entry[0] >= best.end else PARTS[entry[1]].first(text, best.end, said)
                if found:
                    following.append((found.anchor, entry[1], found))

    def settled(self, text: str, start: int = 0, active: Collection[str] = tuple(_BY_PREFILTER)) -> int:
        """Return the least `pending` of the active parts."""
        return (
            min(PARTS[number].pending(text, start) for number in {_BY_PREFILTER[name] for name in active})
            if active
            else len(text)
        )
