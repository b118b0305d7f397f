"""Finds keys, tokens and passwords by the rules in the modules beside it.

Each group of rules has a prefilter and runs only if that matches. It names the anchors at which one of its rules may
hit, and the rules are tried there in the order of the text. Apart from bounded lookahead, no rule reads a character
twice; the cost is linear.
"""

import re
from collections.abc import Collection, Iterator
from operator import itemgetter
from typing import Final

from sanitization.findings import Category, Hit, Kind
from sanitization.late import Late

from . import rules, statements, tokens
from .blocks import Blocks
from .columns import Columns
from .credentials import ADDRESS_PASSWORDS, PGPASS, PHRASES, Flags
from .fields import KINDS
from .rules import Anchor, Group
from .words import ORDER, WORDS

PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_IN_ORDER: Final = itemgetter(0, 1)
INNER_MAX: Final = 4  # tokens searched within a value

_GROUPS: Final[tuple[Group, ...]] = (
    Blocks(),
    *tokens.GROUPS,
    ADDRESS_PASSWORDS,
    PGPASS,
    Flags(),
    PHRASES,
    *statements.GROUPS,
    Columns(),
    *WORDS,
)
_BY_NAME: Final = {group.name: group for group in _GROUPS}
# The possible rest of a value without the token within it: the name of a field, quotes.
_LEFT: Final = Late(r"[\w.-]{0,40}[=:]?\W{0,4}|.{0,7}", re.DOTALL)


class Secrets:
    """Finds `secret.*`: tokens of known form, private keys, passwords in addresses and beside their names."""

    name = "secrets"
    category = Category.SECRET
    prefilters = tuple((group.name, group.prefilter) for group in _GROUPS)
    context = rules.CONTEXT
    reach = rules.REACH
    kinds: tuple[Kind, ...] = tuple(
        {kind.name: kind for kind in (*(kind for group in _GROUPS for kind in group.kinds), *KINDS)}.values()
    )

    def find(self, text: str, start: int = 0, active: Collection[str] = tuple(_BY_NAME)) -> Iterator[Hit]:
        """Yield the secret parts only: of `password = …` the value, of `scheme://user:…@host` the password."""
        cut = max(0, start - rules.CONTEXT)  # of a stream, the context is as long as the piece
        if not cut:
            yield from _find(text, start, active)
            return
        for hit in _find(text[cut:], start - cut, active):
            yield hit._replace(start=hit.start + cut, end=hit.end + cut, anchor=hit.anchor + cut)

    def settled(self, text: str, start: int = 0, active: Collection[str] = tuple(_BY_NAME)) -> int:
        """Return where the last word, an assignment whose value may still come, or an open private key begins."""
        cut = max(0, start - rules.CONTEXT)
        text, start = text[cut:], start - cut
        lowered = _lowered(text)
        word = max(start, len(text.rstrip(PRINTABLE)))
        return cut + min([len(text), *(_BY_NAME[name].settled(text, lowered, start, word) for name in active)])


def _find(text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
    lowered = _lowered(text)
    anchors: list[Anchor] = []
    for name in active:
        anchors += _BY_NAME[name].anchors(text, lowered, start)
    anchors.sort(key=_IN_ORDER)
    end = start
    outer, until = start, start  # an assignment given up for a token within it, and where that ends
    for index, anchor in enumerate(anchors):
        if anchor.place < end:
            continue
        hit = anchor.attempt(text, anchor.place)
        if hit is None:
            continue
        if anchor.order == ORDER and (within := _within(text, hit, anchors, index)) is not None:
            if anchor.place >= until:
                outer = anchor.place
            until = max(until, within.end)
            continue
        # Whether the assignment is given up depends on its content: neither is settled without the other.
        yield hit._replace(anchor=min(hit.anchor, outer)) if anchor.place < until else hit
        end = hit.end


def _lowered(text: str) -> str:
    """Return the text with ASCII in lower case, character by character."""
    if text.isascii():
        return text.lower()
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _within(text: str, outer: Hit, anchors: list[Anchor], index: int) -> Hit | None:
    """Return the secret within an assignment's value if it fills the value but for a name, and is more specific."""
    tried = 0
    for anchor in anchors[index + 1 :]:
        if anchor.place >= outer.end or tried == INNER_MAX:
            return None
        if anchor.place < outer.start:
            continue
        tried += 1
        hit = anchor.attempt(text, anchor.place)
        if (
            hit is not None
            and hit.start < outer.end
            and _LEFT.fullmatch(text, outer.start, hit.start)
            and (hit.end >= outer.end or _LEFT.fullmatch(text, hit.end, outer.end))
        ):
            return hit
    return None
