"""Watches the open runs of this process: finds silent runs, and counts violations of the guarantees for runs.

The watchdog ends no run. It sees only committed events, of runs that this process accepted: runs that are resumed after
a restart are unknown to it.
"""

from collections import OrderedDict
from typing import Final

from attrs import define, field

from understudy.wire.events import (
    TERMINAL,
    ApprovalDecided,
    ApprovalRequired,
    MessageAccepted,
    QuestionAnswered,
    QuestionAsked,
    ToolCompleted,
    ToolExecuting,
)

OPEN_RUNS_MAX: Final = 10_000
"""Open runs that are tracked: ten times the default limit of concurrent runs. Beyond it the oldest is dropped."""
ENDED_RUNS_MAX: Final = 10_000
"""Ended runs that are remembered, to tell a second end from the end of an unknown run."""
HASH_BYTES: Final = 8
SILENT_S: Final = 60.0
"""Seconds without any event after which a run counts as silent. Models seldom think for longer."""

_ENDING: Final = frozenset(event.type for event in TERMINAL)
_ASKS: Final = frozenset({ApprovalRequired.type, QuestionAsked.type})
_SETTLES: Final = frozenset({ApprovalDecided.type, QuestionAnswered.type})


@define
class OpenRun:
    """An accepted run without a terminal event.

    In Unix seconds: `arrived` and `accepted` are the times of its message, `last_at` that of the commit of its latest
    event. `first_s` are the seconds to its first event. `calls` are the open tool calls; `asked` maps each approval and
    question that the user has not settled to the call that asks. `watched`: a client of the user was connected when the
    message was accepted.
    """

    arrived: float
    accepted: float
    owner: str
    last_event: str
    last_at: float
    first_s: float | None = None
    thread_id: str | None = None
    calls: set[str] = field(factory=set)
    asked: dict[str, str] = field(factory=dict)
    watched: bool = False


class RunWatchdog:
    """Tracks every accepted run until its terminal event.

    `double_ends` counts terminal events of runs that had ended, `unpaired_calls` the tool calls of ended runs that have
    no result, `misplaced` the events with another thread than their run, `abandoned` the runs that ended when no client
    of their user was connected, although one was at the beginning. `last_sent` is the time of each run's latest event
    that is not logged, such as a piece of its answer.

    Beyond `open_max` the oldest open run is dropped; of ended runs only the last `ended_max` ids are remembered.
    """

    def __init__(self, *, open_max: int = OPEN_RUNS_MAX, ended_max: int = ENDED_RUNS_MAX) -> None:
        self.double_ends = self.unpaired_calls = self.misplaced = self.abandoned = 0
        self.open: OrderedDict[str, OpenRun] = OrderedDict()
        self.last_sent: dict[str, float] = {}
        # A ring of hashes of run ids, in one block: small objects that outlive their run would fragment the memory that
        # the run has freed, so that it could not be returned to the system.
        self._ended = bytearray(ended_max * HASH_BYTES)
        self._next_ended = 0
        self._open_max = open_max

    def record_passing(self, run_id: str, now: float) -> None:
        """Record that a run sent an event that is not logged."""
        if run_id not in self.last_sent and len(self.last_sent) >= self._open_max:
            del self.last_sent[next(iter(self.last_sent))]
        self.last_sent[run_id] = now

    def record_event(
        self,
        run_id: str,
        event_type: str,
        now: float,
        arrived_at: float | None = None,
        owner: str = "",
        *,
        thread_id: str | None = None,
        call_id: str = "",
        question_id: str = "",
        watched: bool = False,
    ) -> tuple[float | None, float | None]:
        """Record an event of a run. A repeated `message_accepted` is ignored; the order of other events is not checked.

        Return two durations in seconds, each None unless this event completes it: from the message's arrival to the
        run's first event, and from acceptance to the terminal event. `now` is in seconds of any one clock; `arrived_at`
        is when an accepted message arrived, None if at `now`; `call_id` and `question_id` are those of the event;
        `watched`: a client of the user is connected.
        """
        run = self.open.get(run_id)
        if event_type in _ENDING:
            self.last_sent.pop(run_id, None)
        if event_type == MessageAccepted.type:
            if run is None and not self._has_ended(run_id):
                arrived = now if arrived_at is None else arrived_at
                self.open[run_id] = OpenRun(arrived, now, owner, event_type, now, thread_id=thread_id, watched=watched)
                if len(self.open) > self._open_max:
                    self.open.popitem(last=False)
            return None, None
        if run is None:
            self.double_ends += event_type in _ENDING and self._has_ended(run_id)
            return None, None
        self.misplaced += thread_id != run.thread_id
        run.last_event, run.last_at = event_type, now
        if event_type == ToolExecuting.type:
            run.calls.add(call_id)
        elif event_type == ToolCompleted.type:
            run.calls.discard(call_id)
            run.asked = {name: call for name, call in run.asked.items() if call != call_id}
        elif event_type in _ASKS:
            run.asked[question_id or call_id] = call_id
        elif event_type in _SETTLES:
            run.asked.pop(question_id or call_id, None)
        first_s = None
        if run.first_s is None:
            first_s = run.first_s = max(0.0, now - run.arrived)
        if event_type not in _ENDING:
            return first_s, None
        self.unpaired_calls += len(run.calls)
        self.abandoned += run.watched and not watched
        del self.open[run_id]
        self._ended[self._next_ended : self._next_ended + HASH_BYTES] = _hashed(run_id)
        self._next_ended = (self._next_ended + HASH_BYTES) % len(self._ended)
        return first_s, now - run.accepted

    def _has_ended(self, run_id: str) -> bool:
        run_hash = _hashed(run_id)
        at = self._ended.find(run_hash)
        while at > 0 and at % HASH_BYTES:  # a match that spans two hashes is none
            at = self._ended.find(run_hash, at + 1)
        return at >= 0

    def count_silent(self, now: float) -> int:
        """Return the number of open runs without an event for `SILENT_S` that wait neither for their user nor for an
        earlier run of their thread."""
        silent, busy_threads = 0, set()
        for run_id, run in self.open.items():  # in the order of acceptance
            queued = run.last_event == MessageAccepted.type and run.thread_id in busy_threads
            busy_threads.add(run.thread_id)
            last_at = max(run.last_at, self.last_sent.get(run_id, 0.0))
            silent += now - last_at > SILENT_S and not queued and not run.asked
        return silent


def _hashed(run_id: str) -> bytes:
    return hash(run_id).to_bytes(HASH_BYTES, "little", signed=True)
