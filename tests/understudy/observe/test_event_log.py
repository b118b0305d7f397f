"""Whether the events of a run are logged."""

import logging

import pytest

from transport.wire.events import Envelope, MessageAccepted, PartialResult
from understudy.observe.event_log import LoggingMetrics

LOW, HIGH = "0" * 32, "f" * 32


@pytest.mark.parametrize(("ratio", "logged"), [(0.5, {LOW}), (1.0, {LOW, HIGH}), (0.0, set())])
def test_a_share_of_all_runs_is_logged_whole(ratio: float, logged: set[str], caplog: pytest.LogCaptureFixture) -> None:
    """By the id of the run, so that a run has all of its events in the log, or none; all are counted."""
    metrics = LoggingMetrics(ratio)
    with caplog.at_level(logging.DEBUG):
        for run_id in (LOW, HIGH):
            metrics.event(
                Envelope(MessageAccepted("m", run_id, "hidden"), timestamp=1.0, seq=1, thread_id="t", run_id=run_id)
            )
            metrics.passing(Envelope(PartialResult("hidden", 0), timestamp=1.0, thread_id="t", run_id=run_id))
    lines = [(each.run_id, each.type, each.seq) for each in caplog.records if each.msg == "run.event"]  # type: ignore[attr-defined]
    assert lines == [
        (run_id, *event)
        for run_id in (LOW, HIGH)
        if run_id in logged
        for event in (("message_accepted", 1), ("partial_result", None))
    ]
    assert "hidden" not in caplog.text
    assert metrics.watchdog.open.keys() == metrics.watchdog.last_sent.keys() == {LOW, HIGH}
