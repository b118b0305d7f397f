"""Finds the same tool call made again and again: the same tool, arguments and result. Pure.

After `TOLD` such calls in a row the model is told beside the result. If it makes the call once more, the run closes.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from attrs import define, field

from understudy.chat.run.ended import CLOSE, Ended

TOLD: Final = 3
"""Identical calls after which the model is told."""

REPEATED: Final = f"This is the last turn: you repeated a call of which you were warned. You have no tools now. {CLOSE}"
"""What a model is told in the closing turn."""


@define
class Repetition:
    """Counts identical calls of one run. A call with another result starts its count again."""

    ended: Ended | None = field(default=None, init=False)
    _counts: dict[bytes, tuple[bytes, int]] = field(factory=dict, init=False, repr=False)
    _told: set[bytes] = field(factory=set, init=False, repr=False)

    def observe(self, calls: list[tuple[str, Mapping[str, Any], Any]]) -> list[str]:
        """Count the calls of one turn: tool, arguments, result. Return the note for the model on each, mostly empty.

        Sets `ended` if a call of which the model was told in an earlier turn is repeated.
        """
        notes, told = [], set(self._told)
        for name, arguments, result in calls:
            call = msgspec.json.encode([name, arguments], order="deterministic")
            outcome = msgspec.json.encode(result, order="deterministic")
            before, count = self._counts.get(call, (b"", 0))
            count = count + 1 if before == outcome else 1
            self._counts[call] = (outcome, count)
            if count < TOLD:
                self._told.discard(call)
                notes.append("")
                continue
            self._told.add(call)
            notes.append(
                f"This is call number {count} of {name} with the same arguments, each time with the same result. "
                "Do something else, or answer: the run ends if you repeat it."
            )
            if call in told:
                sentence = f"Stopped: {name} was called {count} times with the same arguments and the same result."
                self.ended = Ended("repetition", TOLD, count, sentence)
        return notes
