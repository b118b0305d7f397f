"""What the watchdog of runs counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rigs.memory import kept_bytes
from understudy.observe.run_watchdog import SILENT_S, RunWatchdog


@pytest.fixture
def watchdog() -> RunWatchdog:
    return RunWatchdog()


def test_a_run_is_open_from_accepted_to_its_terminal_event(watchdog: RunWatchdog) -> None:
    assert watchdog.record_event("r", "message_accepted", 10.0) == (None, None)
    assert "r" in watchdog.open
    assert watchdog.record_event("r", "agent_started", 10.5) == (0.5, None)
    assert watchdog.record_event("r", "tool_executing", 11.0) == (None, None)
    assert watchdog.record_event("r", "final_response", 13.0) == (None, 3.0)
    assert not watchdog.open


def test_the_first_event_is_counted_from_the_arrival_of_the_message(watchdog: RunWatchdog) -> None:
    watchdog.record_event("r", "message_accepted", 10.0, 7.0)
    assert watchdog.record_event("r", "agent_started", 10.5) == (3.5, None)
    assert watchdog.record_event("r", "final_response", 13.0) == (None, 3.0)


def test_an_error_ends_a_run_even_as_its_first_event(watchdog: RunWatchdog) -> None:
    watchdog.record_event("r", "message_accepted", 0.0)
    assert watchdog.record_event("r", "error", 2.0) == (2.0, 2.0)


def test_a_second_end_is_counted_and_a_late_event_is_not(watchdog: RunWatchdog) -> None:
    for event in ("message_accepted", "final_response", "agent_progress", "error"):
        watchdog.record_event("r", event, 0.0)
    assert watchdog.double_ends == 1


def test_the_same_acceptance_twice_is_one_run(watchdog: RunWatchdog) -> None:
    watchdog.record_event("r", "message_accepted", 0.0)
    watchdog.record_event("r", "message_accepted", 50.0)
    assert watchdog.record_event("r", "error", 61.0) == (61.0, 61.0)
    watchdog.record_event("r", "message_accepted", 62.0)
    assert not watchdog.open


def test_the_end_of_an_unknown_run_is_ignored(watchdog: RunWatchdog) -> None:
    """As after a restart of the process: the run's acceptance was recorded by an earlier one."""
    assert watchdog.record_event("unknown", "final_response", 0.0) == (None, None)
    assert (watchdog.double_ends, len(watchdog.open)) == (0, 0)


def test_tracked_runs_are_bounded() -> None:
    watchdog = RunWatchdog(open_max=3, ended_max=2)
    for number in range(5):
        watchdog.record_event(f"r{number}", "message_accepted", 0.0)
    assert list(watchdog.open) == ["r2", "r3", "r4"]
    for _ in range(2):
        for number in (2, 3, 4):
            watchdog.record_event(f"r{number}", "error", 0.0)
    assert watchdog.double_ends == 2


def test_a_run_is_silent_after_a_minute_without_any_event(watchdog: RunWatchdog) -> None:
    watchdog.record_event("r", "message_accepted", 0.0, thread_id="t")
    watchdog.record_event("r", "tool_executing", 1.0, thread_id="t")
    assert watchdog.count_silent(1.0 + SILENT_S) == 0
    assert watchdog.count_silent(1.1 + SILENT_S) == 1
    watchdog.record_passing("r", 30.0)
    assert watchdog.count_silent(1.1 + SILENT_S) == 0
    watchdog.record_event("r", "error", 31.0, thread_id="t")
    assert watchdog.count_silent(1000.0) == 0


@pytest.mark.parametrize("event", ["approval_required", "question_asked"])
def test_a_run_that_waits_for_a_person_is_not_silent(event: str, watchdog: RunWatchdog) -> None:
    for kind in ("message_accepted", event):
        watchdog.record_event("r", kind, 0.0, thread_id="t")
    assert watchdog.count_silent(1000.0) == 0


@pytest.mark.parametrize(
    ("asks", "settles", "question"),
    [
        ("approval_required", "approval_decided", ""),
        ("question_asked", "question_answered", "q"),
        ("question_asked", "tool_completed", "q"),
    ],
)
def test_a_run_waits_for_a_person_until_that_is_settled(
    asks: str, settles: str, question: str, watchdog: RunWatchdog
) -> None:
    """Also if another call ends meanwhile, or its user steers it. A call that is cut off leaves its question behind."""
    watchdog.record_event("r", "message_accepted", 0.0)
    for call in ("a", "b"):
        watchdog.record_event("r", "tool_executing", 0.0, call_id=call)
    watchdog.record_event("r", asks, 0.0, call_id="a", question_id=question)
    watchdog.record_event("r", "tool_completed", 0.0, call_id="b")
    watchdog.record_event("r", "steer_accepted", 0.0)
    assert watchdog.count_silent(1000.0) == 0
    watchdog.record_event("r", settles, 0.0, call_id="a", question_id="" if settles == "tool_completed" else question)
    assert watchdog.count_silent(1000.0) == 1


def test_a_run_that_waits_for_another_of_its_thread_is_not_silent(watchdog: RunWatchdog) -> None:
    for run, thread in (("first", "t"), ("second", "t"), ("other", "u")):
        watchdog.record_event(run, "message_accepted", 0.0, thread_id=thread)
    assert watchdog.count_silent(1000.0) == 2


def test_a_call_without_result_at_the_end_of_its_run_is_unpaired(watchdog: RunWatchdog) -> None:
    watchdog.record_event("r", "message_accepted", 0.0)
    for event, call in (("tool_executing", "a"), ("tool_executing", "b"), ("tool_completed", "a")):
        watchdog.record_event("r", event, 0.0, call_id=call)
    assert watchdog.unpaired_calls == 0
    watchdog.record_event("r", "final_response", 0.0)
    assert watchdog.unpaired_calls == 1


@pytest.mark.parametrize(
    ("watched_at_first", "after", "abandoned"), [(True, False, 1), (True, True, 0), (False, False, 0)]
)
def test_a_run_is_abandoned_if_its_user_has_left(
    watched_at_first: bool, after: bool, abandoned: int, watchdog: RunWatchdog
) -> None:
    watchdog.record_event("r", "message_accepted", 0.0, watched=watched_at_first)
    watchdog.record_event("r", "final_response", 1.0, watched=after)
    assert watchdog.abandoned == abandoned


def test_an_event_of_another_thread_than_its_run_is_counted(watchdog: RunWatchdog) -> None:
    watchdog.record_event("r", "message_accepted", 0.0, thread_id="t")
    watchdog.record_event("r", "agent_started", 0.0, thread_id="t")
    assert watchdog.misplaced == 0
    watchdog.record_event("r", "agent_progress", 0.0, thread_id="u")
    assert watchdog.misplaced == 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["message_accepted", "agent_started", "error"]))))
def test_open_runs_are_those_accepted_and_not_ended(events: list[tuple[str, str]]) -> None:
    watchdog, accepted, ended = RunWatchdog(), set(), set()
    for run, event in events:
        watchdog.record_event(run, event, 0.0)
        if event == "message_accepted":
            accepted.add(run)
        elif event == "error" and run in accepted:
            ended.add(run)
    assert set(watchdog.open) == accepted - ended


def test_runs_that_ended_leave_no_objects(watchdog: RunWatchdog) -> None:
    ids = [f"run-{number}" for number in range(1_000)]
    with kept_bytes() as kept:
        for run_id in ids:
            watchdog.record_event(run_id, "message_accepted", 0.0)
            watchdog.record_event(run_id, "error", 1.0)
    assert kept.size < 5_000
    for run_id in ids:
        watchdog.record_event(run_id, "error", 2.0)
    watchdog.record_event("another", "error", 2.0)
    assert watchdog.double_ends == 1_000
