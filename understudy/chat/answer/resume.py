"""Continues the text of an interrupted turn after its model was asked again, without showing text twice. Pure.

1. Text that the model repeats is dropped: the whole shown text if it starts again, or its end if it picks up there.
2. If the model starts again and then deviates, its text replaces the shown text. If that is uncertain (rows of a table
   start alike, too) it is appended: showing text twice is better than losing text.
3. Text is held back only while it may be a repetition, and never more than the shown text.
"""

from itertools import takewhile
from operator import eq
from typing import Final

from attrs import define, field, frozen

MIN_OVERLAP: Final = 8
"""Characters of the end that a model must repeat; a shorter overlap may be chance, and is not dropped."""
MIN_ALIKE: Final = 16
"""Characters alike from which a text that deviates later counts as a restart; of a short text, half of it."""
MIN_ALIKE_AT_END: Final = 48
"""`MIN_ALIKE` if the shown text ends with a sentence or line: the next one may well start as the first did."""
_ENDS: Final = tuple(".!?:;…|\n")


@frozen
class NewText:
    """Text to publish. `restart`: it replaces the text so far, else it is appended."""

    text: str = field(default="", repr=False)
    restart: bool = False


NOTHING: Final = NewText()


@define
class ResumedText:
    """The text of one turn, of which `shown` was shown before. Feed it the model's text; `text` is the whole."""

    shown: str = field(repr=False)
    _pieces: list[str] = field(init=False, repr=False)
    _held: list[str] = field(factory=list, init=False, repr=False)
    _at: int = field(default=0, init=False)  # position of the held text in `shown`, where it ends at `_end`
    _end: int = field(default=0, init=False)
    _open: bool = field(init=False)  # whether the held text may still be a repetition

    def __attrs_post_init__(self) -> None:
        self._pieces = [self.shown]
        self._open = bool(self.shown)

    @property
    def text(self) -> str:
        """The text of the turn so far."""
        return "".join(self._pieces)

    def feed(self, piece: str) -> NewText:
        """Add a piece of the model's text. Return the text to publish now."""
        if not self._open:
            self._pieces.append(piece)
            return NewText(piece)
        self._held.append(piece)
        if not self.shown.startswith(piece, self._end):
            self._at = self.shown.find("".join(self._held), self._at + 1)
            if self._at < 0:
                return self._decide()
            self._end = self._at + sum(map(len, self._held))
        else:
            self._end += len(piece)
        return NOTHING

    def finish(self, *, cut: bool = False) -> NewText:
        """Return the text held back until the end of the turn. `cut`: the model was stopped before that. Held text of a
        model that was stopped is a repetition so far; the shown text stays."""
        return self._decide() if self._open and not cut else NOTHING

    def _decide(self) -> NewText:
        text, begun = "".join(self._held), self.shown
        self._open = False
        self._held.clear()
        if text.startswith(begun):
            return self._append(text[len(begun) :])
        alike, overlap = sum(1 for _ in takewhile(bool, map(eq, begun, text))), _overlap(begun, text)
        if overlap >= MIN_OVERLAP and overlap >= alike:
            return self._append(text[overlap:])
        ended = begun.rstrip(" ").endswith(_ENDS)
        needed = MIN_ALIKE_AT_END if ended else min(MIN_ALIKE, (len(begun) + 1) // 2)
        if alike >= needed and begun.find(text[:alike], 1) < 0:
            self._pieces = [text]
            return NewText(text, restart=True)
        return self._append(text)

    def _append(self, text: str) -> NewText:
        self._pieces.append(text)
        return NewText(text)


def _overlap(begun: str, text: str) -> int:
    """Return the length of the longest end of one text that is the beginning of the other."""
    # The prefix table of Knuth, Morris and Pratt over both texts joined: linear in their length.
    joined = text[: len(begun)] + "\0" + begun[-len(text) :] if text else ""
    borders = [0] * len(joined)
    for place in range(1, len(joined)):
        length = borders[place - 1]
        while length and joined[place] != joined[length]:
            length = borders[length - 1]
        borders[place] = length + (joined[place] == joined[length])
    return borders[-1] if borders else 0
