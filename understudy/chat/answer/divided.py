"""Long tables and lists of answers in pieces of bounded size, one below the other. Pure.

1. A streamed table or list is shown piece by piece, so that neither the server nor a browser handles again what is
   complete. Each piece is a table or list of its own, with the class ``continued`` from the second on: a table's has
   the head of the table, an ordered list's goes on counting.
2. Where one is divided depends only on the text up to the second row or item after that place, of which the first is
   complete. So the pieces are the same whether the text is rendered at once or while it is written.
3. The items of a piece stand close together unless a blank line is between those of this piece: what follows does not
   move what was shown.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from understudy.chat.answer.blocks import HEAD_CHARACTERS, Begun
from understudy.chat.answer.code import PIECE_CHARACTERS, PIECE_LINES

CONTINUED: Final = "continued"
"""The class of a table or list that goes on with the one before."""

LISTS: Final = frozenset({"bullet_list_open", "ordered_list_open"})
DIVIDED: Final = LISTS | {"table_open"}
"""The types of tokens that open a block which may be divided."""


class Seam(NamedTuple):
    """Where a further piece begins: its line, and what was emitted before it."""

    line: int
    begun: Begun


def seams(block: Sequence[Token], lines: Sequence[str], md: MarkdownIt, begun: Begun | None = None) -> Iterator[Seam]:
    """Yield where further pieces of a block begin, none unless it is a long table or list.

    `block` are the tokens of a block on the highest level, `lines` those of the text that they are of. `begun` is what
    was emitted of it, if anything: then a table's first two lines are its head again.
    """
    opening = block[0]
    if opening.type not in DIVIDED or opening.map is None:
        return
    first, end = opening.map
    if end - first < PIECE_LINES and sum(map(len, lines[first:end])) < PIECE_CHARACTERS:
        return
    is_list = opening.type in LISTS
    unit, level = ("list_item_open", 1) if is_list else ("tr_open", 2)
    starts = [token.map[0] for token in block if token.type == unit and token.level == level and token.map]
    head = ""
    number = 0 if begun is None else begun.number
    if not is_list:
        head, starts = "".join([f"{line}\n" for line in lines[first : first + 2]]), starts[1:]
        if len(head) > HEAD_CHARACTERS:
            return
    elif opening.type == "ordered_list_open" and begun is None:
        number = int(opening.attrs.get("start", 1))
    count = size = 0
    for start, after, _ in zip(starts, starts[1:], starts[2:], strict=False):
        count += 1
        size += sum([len(line) + 1 for line in lines[start:after]])
        if count < PIECE_LINES and size < PIECE_CHARACTERS:
            continue
        if is_list and _first(lines[after : after + 2], md) != opening.type:
            return  # alone these lines are the head of a table
        number += count
        yield Seam(after, Begun(head, number if opening.type == "ordered_list_open" else 0))
        count = size = 0


def _first(lines: Sequence[str], md: MarkdownIt) -> str:
    """Return the type of the first token of these lines alone."""
    tokens: list[Token] = []
    md.block.parse("\n".join(lines), md, {}, tokens)
    return tokens[0].type


def divide(state: StateCore) -> None:
    """Divide the long tables and lists of a text: a core rule, after the one for blocks.

    `begun` of the environment is what was emitted of the block at the beginning, if anything.
    """
    begun: Begun | None = state.env.pop("begun", None)
    lines = state.src.split("\n")
    if begun is None and len(lines) < PIECE_LINES and len(state.src) < PIECE_CHARACTERS:
        return
    tokens: list[Token] = []
    for block in _blocks(state.tokens):
        found = list(seams(block, lines, state.md, begun))
        if not found:
            tokens += _marked(block, begun)
        else:
            pieces = _tables if block[0].type == "table_open" else _lists
            for piece, after in zip(pieces(block, found, lines, state), [*found, None], strict=True):
                tokens += _marked(piece, begun)
                begun = after and after.begun
        begun = None
    state.tokens = tokens


def _tables(block: Sequence[Token], found: Sequence[Seam], *_: object) -> Iterator[list[Token]]:
    """Yield the pieces of a table: its own rows below copies of its head, as parsing them again takes half as long."""
    rows = next(index for index, token in enumerate(block) if token.type == "tbody_open") + 1
    lines = {each.line for each in found}
    cuts = [i for i, each in enumerate(block) if each.type == "tr_open" and each.map and each.map[0] in lines]
    for start, end in pairwise([rows, *cuts, len(block) - 2]):
        yield [*deepcopy(block[:rows]), *block[start:end], *block[-2:]]


def _lists(
    block: Sequence[Token], found: Sequence[Seam], lines: Sequence[str], state: StateCore
) -> Iterator[list[Token]]:
    """Yield the pieces of a list, each parsed by itself: whether its items stand close together is its own."""
    first, end = block[0].map or (0, 0)
    for start, stop in pairwise([first, *(each.line for each in found), end]):
        piece: list[Token] = []
        state.md.block.parse("".join([f"{each}\n" for each in lines[start:stop]]), state.md, state.env, piece)
        yield piece


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of each block on the highest level."""
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _marked(block: list[Token], begun: Begun | None) -> list[Token]:
    """Return the tokens of a block, which go on with what was emitted of it, if anything."""
    if begun is not None and block[0].type in DIVIDED:
        block[0].attrJoin("class", CONTINUED)
        if block[0].type == "ordered_list_open":
            block[0].attrSet("start", str(begun.number))
    return block
