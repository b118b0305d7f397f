"""Recent incidents in the tree: actor, error class, and the id of the log line with the details. Pure.

Messages of errors, tracebacks and states are in the log only, because they may contain text of a user.
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
"""Incidents that are kept; the oldest is dropped."""
CASCADE: Final = 10
"""Incidents per second that are kept of actors that were killed and not restarted; the others are only counted. A
killed supervisor takes all actors below it along, and ten thousand of them must not displace the other incidents."""
KILLED: Final = "killed"
"""Stands for the error class of an actor that was killed."""


@frozen
class Incident:
    """An abnormal end of an actor's incarnation, at `at` (Unix seconds). `number` counts from 1.

    `error` is the class of the error, or `killed`; `message_type` is the type of the message being handled, or None;
    `decision` is the supervisor's.
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
    """The latest incidents, and the count of all. `clock` returns Unix seconds."""

    clock: Callable[[], float]
    count: int = field(default=0, init=False)
    _cascade: deque[float] = field(factory=lambda: deque(maxlen=CASCADE), init=False, repr=False)
    _latest: deque[Incident] = field(factory=lambda: deque(maxlen=MAX_INCIDENTS), init=False, repr=False)

    def record(self, event: object) -> str | None:
        """Record an event of the tree if it is an incident. Return its error id, for the log line with the details."""
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
        """Return the kept incidents with higher numbers, the oldest first."""
        return [incident for incident in self._latest if incident.number > number]
