"""Crash reports: redacted, and built even if the crashed actor's own hooks raise."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from .events import ActorCrashed
from .exit_reasons import Crashed, Exit
from .strategy import Decision

if TYPE_CHECKING:
    from .actor import Actor
    from .cell import Cell

STATE_CHARACTERS = 2_000
"""Most characters of an actor's state in a report; the rest is cut off."""


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
