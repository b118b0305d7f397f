"""The text of an answer that is being written, as it is stored and as it is shown. Pure.

It is shown in windows: the first piece at once, what comes within `WINDOW_S` of the last one together. So a model that
writes hundreds of pieces a second costs no more than thirty, and every client gets the same pieces.
"""

import math
import uuid
from typing import Final

from attrs import define, field

from transport.wire.events import PartialResult

WINDOW_S: Final = 0.033
"""Seconds from one piece that is shown to the next: thirty a second read as a steady flow."""


def _name() -> str:
    return uuid.uuid4().hex[:8]


@define(eq=False)
class StreamedText:
    """The text so far. `epoch` names it: pieces of two texts of different names never fit.

    It was last shown at `shown_at`, on trio's clock; `due`: the end of a window is awaited.
    """

    epoch: str = field(factory=_name, init=False)
    shown_at: float = field(default=-math.inf, init=False)
    due: bool = field(default=False, init=False)
    _stored: list[str] = field(factory=list, init=False, repr=False)
    _shown: list[str] = field(factory=list, init=False, repr=False)
    _taken: int = field(default=0, init=False)
    """Pieces of `_shown` that were taken."""
    _length: int = field(default=0, init=False)

    def __len__(self) -> int:
        return self._length

    @property
    def stored(self) -> str:
        """The text as it is stored."""
        return "".join(self._stored)

    @property
    def whole(self) -> PartialResult:
        """The text as it is shown, as one piece from offset 0."""
        return PartialResult("".join(self._shown), 0)

    def begin_with(self, text: str, stored: str) -> None:
        """Begin with a text that was shown before."""
        self.append(text, stored)
        self._taken = len(self._shown)

    def append(self, text: str, stored: str | None = None) -> None:
        """Append a piece; `stored` is the piece as it is stored, if that differs."""
        self._stored.append(text if stored is None else stored)
        if text:
            self._shown.append(text)
            self._length += len(text)

    def take(self) -> PartialResult | None:
        """Return what has not been shown as one piece, which counts as shown then; None if there is nothing."""
        if self._taken == len(self._shown):
            return None
        text = "".join(self._shown[self._taken :])
        self._taken = len(self._shown)
        return PartialResult(text, self._length - len(text))

    def restart(self) -> None:
        """Drop the text: what follows is another one."""
        self._stored.clear()
        self._shown.clear()
        self._taken = self._length = 0
        self.epoch = _name()
