"""The decision after a child has ended, as pure functions: no trio, no clock, no effects."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from .exit_reasons import Crashed, Exit
from .spec import AutoShutdown, ChildSpec, Directive, Restart, Strategy


class Decision(Enum):
    """What a supervisor did with a child that ended; part of the crash report."""

    RESTART = "restart"
    BACK_OFF = "back_off"
    RESUME = "resume"
    STOP = "stop"
    ESCALATE = "escalate"


def decide(spec: ChildSpec, reason: Exit) -> Decision:
    """Return the spec's decision after this exit: `RESTART`, `STOP` or `ESCALATE`. Intensity and backoff come later."""
    if isinstance(reason, Crashed):
        directive = spec.directive(reason.error)
        if directive is Directive.STOP:
            return Decision.STOP
        if directive is Directive.ESCALATE:
            return Decision.ESCALATE
    if spec.restart is Restart.PERMANENT:
        return Decision.RESTART
    if spec.restart is Restart.TRANSIENT and reason.abnormal:
        return Decision.RESTART
    return Decision.STOP


def affected(strategy: Strategy, ids: Sequence[str], failed: str) -> list[str]:
    """Return the ids to restart, in start order, after `failed`, one of `ids`, has failed. Stop them in reverse."""
    if strategy is Strategy.ONE_FOR_ALL:
        return list(ids)
    if strategy is Strategy.REST_FOR_ONE:
        return list(ids[ids.index(failed) :])
    return [failed]


def shuts_down(auto: AutoShutdown, ended: ChildSpec, significant_left: int) -> bool:
    """Whether the end of `ended` for good ends its supervisor; `significant_left` counts the others still alive."""
    if not ended.significant or auto is AutoShutdown.NEVER:
        return False
    return auto is AutoShutdown.ANY or significant_left == 0
