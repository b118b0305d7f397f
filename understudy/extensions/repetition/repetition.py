"""Counts the identical calls of a long run: the model is warned of the third one, and one more closes the run.

The calls are those in the run's outcomes, which a resumed run gets again in the same order, so nothing is stored.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import define, field

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.run.meter import CLOSE, Ended
from understudy.chat.run.part import RunPart
from understudy.chat.run.work import RunWork
from understudy.models.model import NoteItem

TOLD: Final = 3
"""Number of identical calls, with the same result, after which the model is warned."""
REPEATED: Final = f"This is the last turn: you repeated a call of which you were warned. You have no tools now. {CLOSE}"
"""The note to the model in the closing turn."""


@define(eq=False)
class RepetitionOfRun(RunPart):
    """Counts the calls of the run's models. A different result of a call starts its count again."""

    _looked_at: int = field(default=0, init=False)  # number of the run's outcomes that are counted
    _counts: dict[bytes, tuple[bytes, int]] = field(factory=dict, init=False, repr=False)
    _told: set[bytes] = field(factory=set, init=False, repr=False)

    async def before_turn(self, work: RunWork, number: int) -> Ended | None:
        """Count the calls since the previous turn, and warn the model of repeated ones.

        Return the bound that closes the run if the model repeated a call after a warning. Calls by hand-written agents
        are not counted, nor those of an earlier run that this one continues.
        """
        outcomes = work.gathered.outcomes[self._looked_at :]
        self._looked_at += len(outcomes)
        taken = {call.call_id for turn in work.past.turns if turn.taken for call in turn.calls}
        calls = [
            (past.request.name, past.request.arguments, past.value) for past in outcomes if past.call_id not in taken
        ]
        if work.agent.run is not None or not calls:
            return None
        notes, ended = self.count(calls)
        work.input.add(NoteItem(note, work.input.origin) for note in dict.fromkeys(notes))
        return ended

    def count(self, calls: Sequence[tuple[str, Mapping[str, Any], Any]]) -> tuple[list[str], Ended | None]:
        """Count calls: tool, arguments, result. Return warnings for the model, and the bound if it repeated a call of
        which it was warned by an earlier `count`."""
        notes: list[str] = []
        ended, notes_told = None, set(self._told)
        for name, arguments, result in calls:
            call = msgspec.json.encode([name, arguments], order="deterministic")
            outcome = msgspec.json.encode(result, order="deterministic")
            previous, count = self._counts.get(call, (b"", 0))
            count = count + 1 if previous == outcome else 1
            self._counts[call] = (outcome, count)
            if count < TOLD:
                self._told.discard(call)
                continue
            self._told.add(call)
            notes.append(
                f"This is call number {count} of {name} with the same arguments, each time with the same result. "
                "Do something else, or answer: the run ends if you repeat it."
            )
            if call in notes_told:
                sentence = f"Stopped: {name} was called {count} times with the same arguments and the same result."
                ended = Ended("repetition", TOLD, count, sentence, REPEATED)
        return notes, ended


def repetition_of_run(_job: RunRequest, _agent: Agent) -> RepetitionOfRun:
    """Return the part for a long run."""
    return RepetitionOfRun()
