"""Logs and counts the events of a server's actors, and keeps the latest incidents and the current backoffs.

Error messages, tracebacks and states go to the log only, because they may contain text of a user.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final

from attrs import define, field, frozen

from actors import (
    ActorCrashed,
    ActorRestarting,
    ActorStarted,
    ActorStopped,
    Crashed,
    DeadLetter,
    Decision,
    Event,
    Killed,
    MessageUnhandled,
    ShutdownOverdue,
    ShutdownTaskFailed,
    SlowHandler,
    WatchdogDied,
)
from understudy.observe.actor_metrics import ActorMetrics
from understudy.observe.logs import new_error_id

log = logging.getLogger("understudy.tree")

MAX_INCIDENTS: Final = 100
"""Incidents that are kept; beyond that the oldest is dropped."""
CASCADE: Final = 10
"""Incidents per second that are kept of actors that were killed and not restarted; further ones are only counted. The
kill of a supervisor kills all actors below it, and ten thousand of them must not displace the other incidents."""
HOLD_S: Final = 0.25
"""Seconds for which a loop must be blocked to be an incident: a person notices a quarter of a second."""
LOOP_HELD: Final = "LoopHeld"
"""The `Incident.error` of an actor, or another task, that blocked a loop."""
KILLED: Final = "killed"
"""The `Incident.error` of an actor that was killed."""


@frozen
class Incident:
    """An abnormal end of an actor's incarnation, or a blocked loop, at `at` (Unix seconds). `number` counts from 1.

    `error` is the class of the error, or `KILLED`; `message_type` is the type of the message being handled, or None;
    `decision` is the supervisor's. For a blocked loop they are `LOOP_HELD`, the name of the task, as in ``tool
    lookup``, and how long it has been blocked.
    """

    number: int
    at: float
    path: str
    error: str
    message_type: str | None
    decision: str
    error_id: str


@define(eq=False)
class ActorEventRecorder:
    """Records the events of a server's actor system, as its `on_event`. `clock` returns Unix seconds.

    `incident_count` counts all incidents, of which the latest are kept. `watchers` are called with the path in each
    event that has one.
    """

    metrics: ActorMetrics
    clock: Callable[[], float]
    incident_count: int = field(default=0, init=False)
    watchers: set[Callable[[str], object]] = field(factory=set, init=False, repr=False)
    _incidents: deque[Incident] = field(factory=lambda: deque(maxlen=MAX_INCIDENTS), init=False, repr=False)
    _cascade: deque[float] = field(factory=lambda: deque(maxlen=CASCADE), init=False, repr=False)
    _backing_off: set[str] = field(factory=set, init=False, repr=False)
    _backing_off_below: Counter[str] = field(factory=Counter, init=False, repr=False)

    def record(self, event: Event) -> None:
        """Record an event, and log it at a level by its importance to an operator."""
        match event:
            case ActorRestarting() | ActorStarted() | ActorStopped():
                if isinstance(event, ActorRestarting):
                    self.metrics.record(event)
                    if event.delay_s > 0 and event.path not in self._backing_off:
                        self._backing_off.add(event.path)
                        self._backing_off_below.update(ancestors(event.path))
                elif event.path in self._backing_off:
                    self._end_backoff(event.path)
                log.debug("actor.event", extra={"event_type": type(event).__name__, "path": event.path})
            case ActorCrashed():
                self._record_end(event)
            case DeadLetter():
                self.metrics.record(event)
                letter = {"path": event.path, "message_type": type(event.message).__name__, "why": event.why}
                log.debug("actor.dead_letter", extra=letter)
            case MessageUnhandled():
                log.warning("actor.unhandled", extra={"path": event.path, "message_type": event.message_type})
            case SlowHandler():
                self.metrics.record(event)
                extra = {"path": event.path, "message_type": event.message_type, "held_ms": round(event.held_s * 1000)}
                error_id = self._record_hold(event) if event.held_s >= HOLD_S else None
                more = {"task": event.task, "stack": event.stack, "error_id": error_id}
                log.warning("actor.loop_held", extra={**extra, **more})
            case ShutdownOverdue():
                self.metrics.record(event)
                log.warning("actor.lingers", extra={"path": event.path, "after_s": event.after_s})
            case WatchdogDied():
                self.metrics.record(event)
                log.error("watchdog.died", extra={"problem": event.problem})
            case ShutdownTaskFailed():
                log.error("shutdown.failed", extra={"phase": event.phase, "task": event.task, "problem": event.problem})
        path = getattr(event, "path", None)
        if path is not None:
            for notify in self.watchers:
                notify(path)

    def _record_hold(self, event: SlowHandler) -> str:
        """Record a loop that is blocked for long as an incident. Return its error id."""
        self.incident_count += 1
        number, path, held, error_id = self.incident_count, event.path or "-", f"{event.held_s:.1f} s", new_error_id()
        self._incidents.append(Incident(number, self.clock(), path, LOOP_HELD, event.task, held, error_id))
        return error_id

    def incidents_after(self, number: int = 0) -> list[Incident]:
        """Return the kept incidents with higher numbers, the oldest first."""
        return [incident for incident in self._incidents if incident.number > number]

    def backing_off_below(self, path: str) -> int:
        """Return the number of actors below this path that wait for a restart, in constant time."""
        return self._backing_off_below[path]

    def _record_end(self, event: ActorCrashed) -> None:
        """Record a crash or a kill as an incident, and log it with the incident's error id.

        A kill without a restart is logged at level debug. A crash is logged with its traceback and the message's type.
        """
        self.incident_count += 1
        now, decision, error_id = self.clock(), event.decision.value, None
        stopped = event.decision is Decision.STOP and not isinstance(event.reason, Crashed)
        if not (stopped and len(self._cascade) == CASCADE and now - self._cascade[0] < 1.0):
            if stopped:
                self._cascade.append(now)
            error = type(event.reason.error).__name__ if isinstance(event.reason, Crashed) else KILLED
            error_id = new_error_id()
            number, handled = self.incident_count, event.message_type
            self._incidents.append(Incident(number, now, event.path, error, handled, decision, error_id))
        extra: dict[str, object] = {"path": event.path, "decision": decision, "error_id": error_id}
        if isinstance(event.reason, Killed):
            log.log(logging.DEBUG if stopped else logging.WARNING, "actor.killed", extra=extra)
            return
        extra |= {"incarnation": event.incarnation, "message_type": event.message_type}
        log.error("actor.crashed", extra={**extra, "traceback": event.traceback, "state": event.state})

    def _end_backoff(self, path: str) -> None:
        self._backing_off.discard(path)
        for above in ancestors(path):
            self._backing_off_below[above] -= 1
            if not self._backing_off_below[above]:
                del self._backing_off_below[above]


def ancestors(path: str) -> Iterator[str]:
    """Yield the paths of the parent, of its parent, and so on."""
    while path := path.rpartition("/")[0]:
        yield path
