"""The open runs of this process: which of them are silent, and which of their promises did not hold.

The watchdog ends no run. It sees committed events only, and runs that were accepted by this process: after a restart
the runs that go on are unknown to it.
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
"""Open runs that are tracked: ten times the runs a server starts at once by default. Beyond, the oldest is dropped."""
ENDED_RUNS_MAX: Final = 10_000
"""Ended runs that are remembered, to tell a second end from an unknown run."""
HASH_BYTES: Final = 8
SILENT_S: Final = 60.0
"""Seconds without any event after which a run is silent: a model may think for longer, which is rare."""

_ENDING: Final = frozenset(event.type for event in TERMINAL)
_ASKS: Final = frozenset({ApprovalRequired.type, QuestionAsked.type})
_SETTLES: Final = frozenset({ApprovalDecided.type, QuestionAnswered.type})


@define
class OpenRun:
    """An accepted run without a terminal event.

    `arrived` and `accepted` are when its message did and was, `last_at` is when its latest event was committed (Unix
    seconds), `first_s` the seconds to its first event. `calls` are the tool calls that began and did not end; `asked`
    has the id of each approval and question that a person has not settled, with the call that asked. `watched`: a
    client of the user was connected at its acceptance.
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
    no result, `misplaced` events with another thread than their run, `abandoned` the runs that ended with no client of
    their user connected though one was at the beginning. `last_sent` is when each run last sent something that is not
    in its log, such as a piece of its answer.

    Beyond `open_max` the oldest open run is dropped; of ended runs only the last `ended_max` ids are kept.
    """

    def __init__(self, *, open_max: int = OPEN_RUNS_MAX, ended_max: int = ENDED_RUNS_MAX) -> None:
        self.double_ends = self.unpaired_calls = self.misplaced = self.abandoned = 0
        self.open: OrderedDict[str, OpenRun] = OrderedDict()
        self.last_sent: dict[str, float] = {}
        # Hashes of their ids in one block, the oldest overwritten first. Each object that outlives a run would keep the
        # memory around it, which the run has freed, from the system.
        self._ended = bytearray(ended_max * HASH_BYTES)
        self._next_ended = 0
        self._open_max = open_max

    def record_passing(self, run_id: str, now: float) -> None:
        """Record that a run sent something that is not logged."""
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

        Return two durations in seconds, None if this event does not complete them: from the message's arrival to the
        run's first event, and from acceptance to the terminal event. `now` is in seconds of any one clock;
        `arrived_at`: when the accepted message arrived, None at its acceptance; `call_id` is that of the call that the
        event is about, `question_id` that of a question; `watched`: a client of the user is connected.
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
        wanted = _hashed(run_id)
        at = self._ended.find(wanted)
        while at > 0 and at % HASH_BYTES:
            at = self._ended.find(wanted, at + 1)
        return at >= 0

    def count_silent(self, now: float) -> int:
        """Return the number of open runs of which nothing came for `SILENT_S`, though nothing says why.

        Not counted are runs that wait for a person, and those that wait for an earlier run of their thread.
        """
        silent, begun = 0, set()
        for run_id, run in self.open.items():  # in the order of acceptance
            queued = run.last_event == MessageAccepted.type and run.thread_id in begun
            begun.add(run.thread_id)
            last_at = max(run.last_at, self.last_sent.get(run_id, 0.0))
            silent += now - last_at > SILENT_S and not queued and not run.asked
        return silent


def _hashed(run_id: str) -> bytes:
    return hash(run_id).to_bytes(HASH_BYTES, "little", signed=True)
