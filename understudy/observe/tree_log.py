"""Events of the actor tree as log lines: each crash once, kills and lost messages by their severity."""

import logging

from actors import (
    ActorCrashed,
    DeadLetter,
    Decision,
    Event,
    Killed,
    MessageUnhandled,
    ShutdownOverdue,
    ShutdownTaskFailed,
    SlowHandler,
)

log = logging.getLogger("understudy.tree")


def log_event(event: Event, error_id: str | None = None) -> None:
    """Log an event at the level that its importance to an operator deserves.

    A kill that is part of a stop is logged for debugging only. A crash carries the traceback; messages are named by
    their type only. `error_id` is shown to operators with a crash or a kill, to find its line.
    """
    match event:
        case ActorCrashed(reason=Killed()):
            level = logging.DEBUG if event.decision is Decision.STOP else logging.WARNING
            log.log(
                level,
                "actor.killed",
                extra={"path": event.path, "decision": event.decision.value, "error_id": error_id},
            )
        case ActorCrashed():
            extra = {
                "path": event.path,
                "incarnation": event.incarnation,
                "decision": event.decision.value,
                "message_type": event.message_type,
                "traceback": event.traceback,
                "state": event.state,
                "error_id": error_id,
            }
            log.error("actor.crashed", extra=extra)
        case DeadLetter():
            extra = {"path": event.path, "message_type": type(event.message).__name__, "why": event.why}
            log.debug("actor.dead_letter", extra=extra)
        case MessageUnhandled():
            log.warning("actor.unhandled", extra={"path": event.path, "message_type": event.message_type})
        case SlowHandler():
            extra = {"path": event.path, "message_type": event.message_type, "held_ms": round(event.held_s * 1000)}
            log.warning("actor.loop_held", extra={**extra, "task": event.task, "stack": event.stack})
        case ShutdownOverdue():
            log.warning("actor.lingers", extra={"path": event.path, "after_s": event.after_s})
        case ShutdownTaskFailed():
            log.error("shutdown.failed", extra={"phase": event.phase, "task": event.task, "problem": event.problem})
        case _:
            log.debug("actor.event", extra={"event_type": type(event).__name__, "path": event.path})
