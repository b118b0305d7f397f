"""Ends of incarnations: the last ones of each actor, kept to explain its state, and reports of crashes.

Reports are redacted, and made even if the crashed actor's own hooks raise.
"""

from __future__ import annotations

import traceback
from collections import deque
from typing import TYPE_CHECKING

from attrs import field, frozen

from .errors import text_of
from .events import ActorCrashed
from .exit_reasons import Crashed, Exit
from .lifecycle import State
from .strategy import Decision

if TYPE_CHECKING:
    from .actor import Actor
    from .cell import Cell

MAX_INCIDENTS = 8
"""Incidents kept for each actor; the oldest is dropped."""
STATE_CHARACTERS = 2_000
"""Most characters of an actor's state in a report; the rest is cut off."""


@frozen
class Incident:
    """One end of an incarnation, at `at_s` on trio's clock, and the decision taken.

    `reason` is redacted text; `message_type` names the current message, or is None; `delay_s` is the wait before the
    next incarnation; `because_of` is the path of the sibling whose failure caused this end, or None.
    """

    at_s: float
    incarnation: int
    reason: str
    message_type: str | None
    decision: Decision
    delay_s: float = 0.0
    because_of: str | None = None

    def text(self, now: float) -> str:
        """Return the incident as one line; `now` is on trio's clock."""
        line = f"{max(0.0, now - self.at_s):.1f} s ago: incarnation {self.incarnation} ended, {self.reason}"
        if self.message_type is not None:
            line += f", at work on {self.message_type}"
        if self.because_of is not None:
            line += f", because {self.because_of} failed"
        line += f"; decision: {self.decision.value.replace('_', ' ')}"
        return f"{line} {self.delay_s:.2g} s" if self.delay_s else line


@frozen
class Explanation:
    """The state of an actor, and the last ends of its incarnations, oldest first."""

    path: str
    type: str
    state: State
    incarnation: int
    restarts: int
    for_s: float
    """Seconds since this incarnation started; if none runs, since the last one did or the backoff began."""
    now_s: float = field(repr=False)
    incidents: tuple[Incident, ...] = ()

    def text(self) -> str:
        """Return the explanation as lines of text, the latest incident first."""
        what = "restarting" if self.state is State.BACKING_OFF else self.state.value
        head = f"{self.path} ({self.type}) is {what} since {self.for_s:.1f} s: incarnation {self.incarnation}"
        lines = [f"{head}, {self.restarts} restarts"]
        lines += [f"  {incident.text(self.now_s)}" for incident in reversed(self.incidents)]
        return "\n".join(lines if self.incidents else [*lines, "  none of its incarnations has ended"])


def record_incident(cell: Cell, reason: Exit, decision: Decision, delay_s: float, because_of: str | None) -> None:
    """Record an end of one of the actor's incarnations."""
    text = str(reason)
    if isinstance(reason, Crashed):
        text = cell.system.redacted(f"crashed: {text_of(reason.error)}")
    if cell.incidents is None:
        cell.incidents = deque(maxlen=MAX_INCIDENTS)
    now = cell.system.timers.now()
    cell.incidents.append(
        Incident(now, cell.incarnations, text, cell.incarnation.message_type, decision, delay_s, because_of)
    )


def explain(cell: Cell) -> Explanation:
    """Return the explanation of the actor in `cell`."""
    now = cell.system.timers.now()
    return Explanation(
        path=cell.path,
        type=cell.kind.__name__,
        state=cell.state,
        incarnation=cell.incarnations,
        restarts=cell.restarts,
        for_s=max(0.0, now - cell.since),
        now_s=now,
        incidents=tuple(cell.incidents or ()),
    )


def crash_report(cell: Cell, reason: Exit, decision: Decision) -> ActorCrashed:
    """Return the event for the abnormal end of the incarnation in `cell`."""
    error = reason.error if isinstance(reason, Crashed) else cell.incarnation.failure
    text = "" if error is None else traceback_text(error)
    life, redacted = cell.incarnation, cell.system.redacted
    state = redacted(_state(life.actor)) if life.actor is not None else ""
    return ActorCrashed(cell.path, cell.incarnations, reason, life.message_type, redacted(text), decision, state)


def traceback_text(error: BaseException) -> str:
    """Return the traceback of `error` and of its causes, as Python prints it."""
    return "".join(traceback.format_exception(error))


def _state(actor: Actor) -> str:
    try:
        text = str(actor.report_state())
    except BaseException as error:
        return f"report_state raised {type(error).__name__}"
    return text if len(text) <= STATE_CHARACTERS else f"{text[:STATE_CHARACTERS]}…"
