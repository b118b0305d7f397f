"""The incarnations of an actor so far: their number, their last ends, kept to explain its state, and the next start.

Reports are redacted, and made even if the crashed actor's own hooks raise.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable

from attrs import field, frozen

from .backoff import Backoff
from .errors import StartFailed
from .lifecycle import Decision, State
from .timers import Timer

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
        state = "restarting" if self.state is State.BACKING_OFF else self.state.value
        head = f"{self.path} ({self.type}) is {state} since {self.for_s:.1f} s: incarnation {self.incarnation}"
        lines = [f"{head}, {self.restarts} restarts"]
        lines += [f"  {incident.text(self.now_s)}" for incident in reversed(self.incidents)]
        return "\n".join(lines if self.incidents else [*lines, "  none of its incarnations has ended"])


class ActorHistory:
    """The incarnations of an actor so far, and when the next one begins."""

    __slots__ = (
        "ever_started", "failures_in_row", "in_group_restart", "incarnations", "incidents", "last_error",
        "restart_timer", "restarts", "since", "start_error",
    )  # fmt: skip

    def __init__(self, since: float) -> None:
        self.incarnations: int = 0
        """The number of incarnations started so far, and so the number of the latest."""
        self.restarts: int = 0
        self.failures_in_row: int = 0
        """Failures in a row, as the backoff counts them."""
        self.since: float = since
        """When the latest incarnation started, or the wait for the next one began, on trio's clock."""
        self.ever_started: bool = False
        self.in_group_restart: bool = False
        """True while a group restart is stopping this child or is about to start it again."""
        self.last_error: str | None = None
        self.start_error: StartFailed | None = None
        self.restart_timer: Timer | None = None
        self.incidents: deque[Incident] | None = None

    def note(self, incident: Incident) -> None:
        """Keep one more end of an incarnation."""
        if self.incidents is None:
            self.incidents = deque(maxlen=MAX_INCIDENTS)
        self.incidents.append(incident)

    def next_delay(self, backoff: Backoff | None, ran_s: float, chance: float) -> float:
        """Count one more failure in a row, of an incarnation that ran for `ran_s` seconds; `chance` is from 0 to 1.

        Return the delay before the next incarnation in seconds.
        """
        if backoff is None:
            return 0.0
        if backoff.forgets(ran_s):
            self.failures_in_row = 0
        self.failures_in_row += 1
        return backoff.delay(self.failures_in_row - 1, chance)

    def wait_no_longer(self) -> None:
        """Cancel the timer of the next incarnation, if there is one."""
        if self.restart_timer is not None:
            self.restart_timer.cancel()
            self.restart_timer = None


def traceback_text(error: BaseException) -> str:
    """Return the traceback of `error` and of its causes, as Python prints it."""
    return "".join(traceback.format_exception(error))


def state_text(report_state: Callable[[], object]) -> str:
    """Return the state of an actor as text for a report."""
    try:
        text = str(report_state())
    except BaseException as error:
        return f"report_state raised {type(error).__name__}"
    return text if len(text) <= STATE_CHARACTERS else f"{text[:STATE_CHARACTERS]}…"
