"""What is said about a crash: once, redacted, and whatever the crashed actor's own hooks do."""

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
"""A report holds at most this much of an actor's state."""


def crash_report(cell: Cell, reason: Exit, decision: Decision) -> ActorCrashed:
    """The record of an abnormal end of the incarnation that `cell` holds."""
    error = reason.error if isinstance(reason, Crashed) else cell.incarnation.failure
    text = "" if error is None else traceback_text(error)
    life, redacted = cell.incarnation, cell.system.redacted
    state = redacted(_state(life.actor)) if life.actor is not None else ""
    return ActorCrashed(cell.path, cell.incarnations, reason, life.message_type, redacted(text), decision, state)


def traceback_text(error: BaseException) -> str:
    """The traceback of `error` and of its causes, as Python prints it."""
    return "".join(traceback.format_exception(error))


def _state(actor: Actor) -> str:
    try:
        text = str(actor.report_state())
    except BaseException as error:
        return f"report_state raised {type(error).__name__}"
    return text if len(text) <= STATE_CHARACTERS else f"{text[:STATE_CHARACTERS]}…"
