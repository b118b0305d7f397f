"""The ledger knows which accepted runs have no end, and which ended twice."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.observe.run_watchdog import Overdue, RunTimes, RunWatchdog


def test_a_run_is_open_from_accepted_to_its_terminal_event() -> None:
    ledger = RunWatchdog()
    assert ledger.record_event("r", "message_accepted", 10.0) == RunTimes()
    assert "r" in ledger
    assert ledger.record_event("r", "agent_started", 10.5) == RunTimes(first_s=0.5)
    assert ledger.record_event("r", "tool_executing", 11.0) == RunTimes()
    assert ledger.record_event("r", "final_response", 13.0) == RunTimes(ended_s=3.0)
    assert len(ledger) == 0


def test_the_first_event_is_counted_from_the_arrival_of_the_message() -> None:
    ledger = RunWatchdog()
    ledger.record_event("r", "message_accepted", 10.0, 7.0)
    assert ledger.record_event("r", "agent_started", 10.5) == RunTimes(first_s=3.5)
    assert ledger.record_event("r", "final_response", 13.0) == RunTimes(ended_s=3.0)


def test_an_error_ends_a_run_too() -> None:
    """Even as its first event."""
    ledger = RunWatchdog()
    ledger.record_event("r", "message_accepted", 0.0)
    assert ledger.record_event("r", "error", 2.0) == RunTimes(first_s=2.0, ended_s=2.0)


def test_a_second_end_is_counted() -> None:
    """A run has exactly one end; late events that are no end are not judged."""
    ledger = RunWatchdog()
    for event in ("message_accepted", "final_response", "agent_progress", "error"):
        ledger.record_event("r", event, 0.0)
    assert (ledger.double_ends, ledger.strays) == (1, 0)


def test_the_same_acceptance_twice_is_one_run() -> None:
    """Repeats change neither an open run's age nor wake an ended one."""
    ledger = RunWatchdog()
    ledger.record_event("r", "message_accepted", 0.0)
    ledger.record_event("r", "message_accepted", 50.0)
    assert ledger.overdue(60.0, 55.0) == [Overdue("r", 60.0, 60.0)]
    ledger.record_event("r", "error", 61.0)
    ledger.record_event("r", "message_accepted", 62.0)
    assert len(ledger) == 0


def test_overdue_runs_come_oldest_first() -> None:
    """Only those over the limit, with how long they have been silent."""
    ledger = RunWatchdog()
    for number in range(3):
        ledger.record_event(f"r{number}", "message_accepted", float(number * 10))
    ledger.record_event("r0", "agent_started", 25.0)
    assert ledger.overdue(30.0, 15.0) == [Overdue("r0", 30.0, 5.0), Overdue("r1", 20.0, 20.0)]
    assert ledger.overdue(30.0, 30.0) == []


def test_events_of_unknown_runs_are_strays() -> None:
    ledger = RunWatchdog()
    assert ledger.record_event("unknown", "final_response", 0.0) == RunTimes()
    assert (ledger.strays, ledger.double_ends, len(ledger)) == (1, 0, 0)


def test_the_ledger_is_bounded() -> None:
    """The oldest open run is forgotten and counted; of ended runs the last ids are kept."""
    ledger = RunWatchdog(open_max=3, ended_max=2)
    for number in range(5):
        ledger.record_event(f"r{number}", "message_accepted", 0.0)
    assert (len(ledger), ledger.forgotten, "r0" in ledger, "r4" in ledger) == (3, 2, False, True)
    for number in (2, 3, 4):
        ledger.record_event(f"r{number}", "error", 0.0)
    for number in (2, 3, 4):
        ledger.record_event(f"r{number}", "error", 0.0)
    assert (ledger.double_ends, ledger.strays) == (2, 1)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["message_accepted", "agent_started", "error"]))))
def test_open_runs_are_those_accepted_and_not_ended(events: list[tuple[str, str]]) -> None:
    """Against the obvious model."""
    ledger, begun, ended = RunWatchdog(), set(), set()
    for run, event in events:
        ledger.record_event(run, event, 0.0)
        if event == "message_accepted":
            begun.add(run)
        elif event == "error" and run in begun:
            ended.add(run)
    assert {run for run in "abcd" if run in ledger} == begun - ended
