"""Assemble the text of running answers from pieces. Pure.

A piece continues the text at its end, or replaces the text from its offset on. A piece at offset 0 is the whole text so
far. A piece beyond the end of the text is dropped; a later snapshot, or the answer itself, contains it.
"""

from typing import Final

from attrs import define, evolve, field

from transport.wire.events import PartialResult

MAX_TEXTS: Final = 256  # answers of which a text is kept
MAX_CHARACTERS: Final = 8 * 1024 * 1024  # of all texts together


@define
class TextAssembly:
    """Running texts by name. The least recently changed are dropped beyond `max_texts` or `max_characters`."""

    max_texts: int = MAX_TEXTS
    max_characters: int = MAX_CHARACTERS
    _texts: dict[str, str] = field(factory=dict, init=False)
    _characters: int = field(default=0, init=False)
    _ended: set[str] = field(factory=set, init=False)

    def get(self, name: str) -> str:
        """Return the text so far; empty for an unknown name."""
        return self._texts.get(name, "")

    def set_text(self, name: str, text: str) -> None:
        """Set the whole text."""
        self._characters += len(text) - len(self._texts.pop(name, ""))
        self._texts[name] = text
        while len(self._texts) > self.max_texts or self._characters > self.max_characters:
            oldest = next(iter(self._texts))
            self._characters -= len(self._texts.pop(oldest))
            self._ended.discard(oldest)

    def finish_text(self, name: str, text: str) -> None:
        """Set the final text; later pieces do not change it."""
        self._ended.add(name)
        self.set_text(name, text)

    def add_piece(self, name: str, piece: PartialResult) -> PartialResult | None:
        """Add a piece. Return its new part, such that the text is `text[:offset] + part`; None if nothing is new."""
        current, start = self.get(name), piece.offset
        if name in self._ended or not 0 <= start <= len(current):
            return None
        same = _common_length(current, start, piece.text)
        if start and same == len(piece.text):
            return None
        updated = current[: start + same] + piece.text[same:]
        if updated == current:
            return None
        self.set_text(name, updated)
        return evolve(piece, text=piece.text[same:], offset=start + same)


def _common_length(base: str, start: int, text: str) -> int:
    """Return how many leading characters of `text` equal those of `base` from `start` on."""
    if base.startswith(text, start):
        return len(text)
    low, high = 0, min(len(text), len(base) - start)
    while low < high:  # by halves: comparing slices is far quicker than one character at a time
        middle = (low + high + 1) // 2
        if base.startswith(text[low:middle], start + low):
            low = middle
        else:
            high = middle - 1
    return low
