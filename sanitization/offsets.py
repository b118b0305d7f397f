"""From places in a scrubbed text back to places in the text it was made of."""

from bisect import bisect_right


class Edits:
    """The replacements made in a text, in order; memory grows with their number."""

    def __init__(self) -> None:
        self._at: list[int] = []  # where each replacement begins in the new text
        self._end: list[int] = []  # where it ends in the new text
        self._old_start: list[int] = []
        self._old_end: list[int] = []
        self._shift = 0  # new position minus old position, after the last edit

    def __len__(self) -> int:
        return len(self._at)

    def add(self, start: int, end: int, length: int) -> None:
        """Characters `start` to `end` of the old text gave way to `length` new ones."""
        at = start + self._shift
        self._at.append(at)
        self._end.append(at + length)
        self._old_start.append(start)
        self._old_end.append(end)
        self._shift += length - (end - start)

    def old_start(self, position: int) -> int:
        """Where the character at `position` of the new text came from; of a replacement, where the old part began."""
        index = bisect_right(self._at, position) - 1
        if index < 0:
            return position
        if position < self._end[index]:
            return self._old_start[index]
        return position - self._end[index] + self._old_end[index]

    def old_end(self, end: int) -> int:
        """Where a piece of the new text that ends before `end` ended in the old text."""
        index = bisect_right(self._at, end - 1) - 1
        if index < 0:
            return end
        if end <= self._end[index]:
            return self._old_end[index]
        return end - self._end[index] + self._old_end[index]
