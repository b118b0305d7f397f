"""What went wrong in the tree lately: who died, of what kind of error, and under which id the log tells the rest. Pure.

Texts of errors, tracebacks and states stay in the log: they may hold what a user wrote.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from actors.events import ActorCrashed
from actors.exit_reasons import Crashed
from actors.strategy import Decision
from understudy.observe.logs import new_error_id

MAX_INCIDENTS: Final = 100
"""Incidents that are remembered, the latest ones."""
CASCADE: Final = 10
"""Of actors that were killed and not started again, so many are remembered in a second: with a supervisor die all below
it, and ten thousand of them must not push out what matters. The others are only counted."""
KILLED: Final = "killed"
"""What stands in place of an error's class where there was none."""


@frozen
class Incident:
    """One abnormal end of an incarnation, at `at` (Unix seconds). `number` counts from 1.

    `error` is the class of the error, or `killed`; `message_type` names what was in work, or is None; `decision` says
    what its supervisor did.
    """

    number: int
    at: float
    path: str
    error: str
    message_type: str | None
    decision: str
    error_id: str


@define
class Incidents:
    """The last incidents, and the count of all. `clock` gives Unix seconds."""

    clock: Callable[[], float]
    count: int = field(default=0, init=False)
    _cascade: deque[float] = field(factory=lambda: deque(maxlen=CASCADE), init=False, repr=False)
    _latest: deque[Incident] = field(factory=lambda: deque(maxlen=MAX_INCIDENTS), init=False, repr=False)

    def record(self, event: object) -> str | None:
        """Remember an event of the tree if it is an incident; its error id, for the log line that tells the rest."""
        if not isinstance(event, ActorCrashed):
            return None
        self.count += 1
        now = self.clock()
        if isinstance(event.reason, Crashed):
            error = type(event.reason.error).__name__
        elif event.decision is Decision.STOP and self._in_cascade(now):
            return None
        else:
            error = KILLED
        decision, error_id = event.decision.value, new_error_id()
        self._latest.append(Incident(self.count, now, event.path, error, event.message_type, decision, error_id))
        return error_id

    def _in_cascade(self, now: float) -> bool:
        if len(self._cascade) == CASCADE and now - self._cascade[0] < 1.0:
            return True
        self._cascade.append(now)
        return False

    def after(self, number: int = 0) -> list[Incident]:
        """Those after this one that are still remembered, the oldest first."""
        return [incident for incident in self._latest if incident.number > number]
