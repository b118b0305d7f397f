"""How the text of a turn goes on whose model was asked again in the middle: nothing of it twice on the screen. Pure.

1. What the model repeats of the text so far is dropped: all of it where it begins again, the end where it picks up.
2. What begins again and then becomes another text takes the place of the text so far. Where that is not sure (rows of
   a table begin alike, too) it is shown behind it: to show something twice is better than to lose something.
3. Nothing is held back that cannot be a repetition, and never more than the text so far.
"""

from typing import Final

from attrs import define, field, frozen

MIN_OVERLAP: Final = 8
"""Characters of the end that a model must repeat: fewer stand at one end and the other start by chance."""
MIN_ALIKE: Final = 16
"""Characters alike after which a text that differs later is taken for a new beginning; of a short text, half of it."""
MIN_ALIKE_AT_END: Final = 48
"""The same where the text so far ends with a sentence or a line: the next one may well begin as the first did."""
_ENDS: Final = tuple(".!?:;…|\n")


@frozen
class NewText:
    """What is new. `anew`: it takes the place of the text so far, else it comes after it."""

    text: str = field(default="", repr=False)
    restart: bool = False


NOTHING: Final = NewText()


@define
class ResumedText:
    """The text of one turn, which begins with `begun`. Feed it what the model gives; `text` is the whole then."""

    shown: str = field(repr=False)
    _pieces: list[str] = field(init=False, repr=False)
    _held: list[str] = field(factory=list, init=False, repr=False)
    _at: int = field(default=0, init=False)  # where what is held stands in `begun`, which ends at `_end` of it
    _end: int = field(default=0, init=False)
    _open: bool = field(init=False)  # whether what is held may still be a repetition

    def __attrs_post_init__(self) -> None:
        self._pieces = [self.shown]
        self._open = bool(self.shown)

    @property
    def text(self) -> str:
        """The text of the turn, as far as it is known."""
        return "".join(self._pieces)

    def feed(self, piece: str) -> NewText:
        """Take the next piece of the model's text; returns what may be shown of it now."""
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

    def finish(self) -> NewText:
        """The model has said all; returns what was held back of it."""
        return self._decide() if self._open else NOTHING

    def _decide(self) -> NewText:
        said, begun = "".join(self._held), self.shown
        self._open = False
        self._held.clear()
        if said.startswith(begun):
            return self._append(said[len(begun) :])
        alike, overlap = _common_prefix(begun, said), _overlap(begun, said)
        if overlap >= MIN_OVERLAP and overlap >= alike:
            return self._append(said[overlap:])
        if alike >= _needed_alike(begun) and begun.find(said[:alike], 1) < 0:
            self._pieces = [said]
            return NewText(said, restart=True)
        return self._append(said)

    def _append(self, text: str) -> NewText:
        self._pieces.append(text)
        return NewText(text)


def _needed_alike(begun: str) -> int:
    """How many characters must be alike for a new beginning."""
    return MIN_ALIKE_AT_END if begun.rstrip(" ").endswith(_ENDS) else min(MIN_ALIKE, (len(begun) + 1) // 2)


def _common_prefix(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    length = min(len(one), len(other))
    return next((number for number in range(length) if one[number] != other[number]), length)


def _overlap(begun: str, said: str) -> int:
    """How many characters at the end of one text are the beginning of the other: as many as can be."""
    # By the table of Knuth, Morris and Pratt of one text behind the other, so that long ones take no longer per letter.
    joined = said[: len(begun)] + "\0" + begun[-len(said) :] if said else ""
    borders = [0] * len(joined)
    for place in range(1, len(joined)):
        length = borders[place - 1]
        while length and joined[place] != joined[length]:
            length = borders[length - 1]
        borders[place] = length + (joined[place] == joined[length])
    return borders[-1] if borders else 0
