"""Events of actors: incidents, log lines, metrics, and the count of actors that back off."""

import logging
from collections.abc import Callable

import pytest

from actors.events import ActorCrashed, ActorRestarting, ActorStarted, ActorStopped, SlowHandler
from actors.exit_reasons import KILLED, NORMAL, Crashed, Exit
from actors.lifecycle import Decision
from understudy.observe.actor_events import CASCADE, MAX_INCIDENTS, ActorEventRecorder
from understudy.observe.metrics import Metrics

WORDS = "words of a user"


def crash(path: str = "/system/a", reason: Exit | None = None, decision: Decision = Decision.RESTART) -> ActorCrashed:
    """The end of an incarnation whose error, traceback and state contain text of a user."""
    return ActorCrashed(path, 1, reason or Crashed(ValueError(WORDS)), "Say", f"Traceback: {WORDS}", decision, WORDS)


def recorder_at(clock: Callable[[], float] = lambda: 5.0) -> ActorEventRecorder:
    return ActorEventRecorder(Metrics().actors, clock)


def test_an_incident_has_the_class_of_the_error_and_no_text() -> None:
    recorder = recorder_at()
    recorder.record(crash())
    (incident,) = recorder.incidents_after()
    assert (incident.at, incident.path, incident.error, incident.decision) == (
        5.0,
        "/system/a",
        "ValueError",
        "restart",
    )
    assert WORDS not in repr(incident)


def test_a_long_hold_of_a_loop_is_an_incident_with_the_name_of_its_task(caplog: pytest.LogCaptureFixture) -> None:
    recorder = recorder_at()
    for held_s in (0.1, 4.84):
        recorder.record(SlowHandler("/system/run/call", None, held_s, "tool lookup", "time.sleep(5)"))
    (incident,) = recorder.incidents_after()
    named = (incident.path, incident.error, incident.message_type, incident.decision)
    assert named == ("/system/run/call", "LoopHeld", "tool lookup", "4.8 s")
    assert [record.__dict__["error_id"] for record in caplog.records] == [None, incident.error_id]


def test_starts_restarts_and_normal_ends_are_no_incidents() -> None:
    recorder = recorder_at()
    for event in (ActorStarted("/s", 1), ActorRestarting("/s", 1, 0.1), ActorStopped("/s", NORMAL)):
        recorder.record(event)
    assert (recorder.incidents_after(), recorder.incident_count) == ([], 0)


def test_the_oldest_incidents_are_dropped_and_all_are_counted() -> None:
    recorder = recorder_at()
    for _ in range(MAX_INCIDENTS + 5):
        recorder.record(crash())
    assert recorder.incident_count == MAX_INCIDENTS + 5
    assert [incident.number for incident in recorder.incidents_after()] == list(range(6, MAX_INCIDENTS + 6))
    last = [incident.number for incident in recorder.incidents_after(MAX_INCIDENTS + 3)]
    assert last == [MAX_INCIDENTS + 4, MAX_INCIDENTS + 5]


def test_actors_that_die_with_their_supervisor_do_not_displace_other_incidents() -> None:
    """A few of ten thousand killed children are kept, and in the next second a few again; crashes always are."""
    now = [5.0]
    recorder = recorder_at(lambda: now[0])
    recorder.record(crash("/system/first"))
    for _ in range(10_000):
        recorder.record(crash(reason=KILLED, decision=Decision.STOP))
    recorder.record(crash("/system/parent", KILLED, Decision.BACK_OFF))
    now[0] += 1.0
    recorder.record(crash("/system/later", KILLED, Decision.STOP))
    paths = [incident.path for incident in recorder.incidents_after()]
    assert paths == ["/system/first", *["/system/a"] * CASCADE, "/system/parent", "/system/later"]
    assert recorder.incident_count == 10_003


@pytest.mark.parametrize("reason", [KILLED, None], ids=["killed", "crashed"])
def test_the_log_line_has_the_id_of_the_incident(reason: Exit | None, caplog: pytest.LogCaptureFixture) -> None:
    """A kill that is not kept as an incident is logged without one."""
    recorder, kept = recorder_at(), CASCADE if reason is KILLED else CASCADE + 1
    with caplog.at_level(logging.DEBUG):
        for _ in range(CASCADE + 1):
            recorder.record(crash(reason=reason, decision=Decision.STOP))
    ids = [incident.error_id for incident in recorder.incidents_after()]
    assert [record.error_id for record in caplog.records] == [*ids, *[None] * (CASCADE + 1 - kept)]
    assert len(ids) == kept


def test_an_actor_that_backs_off_is_counted_for_its_ancestors_until_it_starts_or_stops() -> None:
    recorder = recorder_at()
    for path in ("/s/a/1", "/s/a/2", "/s/a/2"):
        recorder.record(ActorRestarting(path, 1, 0.5))
    recorder.record(ActorRestarting("/s/b", 1, 0.0))
    assert [recorder.backing_off_below(path) for path in ("/s", "/s/a", "/s/a/1", "/s/b")] == [2, 2, 0, 0]
    recorder.record(ActorStarted("/s/a/1", 2))
    recorder.record(ActorStarted("/s/a/1", 2))
    assert (recorder.backing_off_below("/s"), recorder.backing_off_below("/s/a")) == (1, 1)
    recorder.record(ActorStopped("/s/a/2", KILLED))
    assert (recorder.backing_off_below("/s"), recorder.backing_off_below("/s/a")) == (0, 0)


def test_watchers_get_the_path_of_each_event() -> None:
    recorder, paths = recorder_at(), list[str]()
    recorder.watchers.add(paths.append)
    for event in (ActorStarted("/s/a", 1), crash("/s/b")):
        recorder.record(event)
    assert paths == ["/s/a", "/s/b"]
