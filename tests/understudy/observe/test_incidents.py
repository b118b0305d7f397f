"""Incidents of actors, and actors that back off."""

import logging

import pytest

from actors.events import ActorCrashed, ActorRestarting, ActorStarted, ActorStopped
from actors.exit_reasons import KILLED, NORMAL, Crashed, Exit
from actors.strategy import Decision
from understudy.observe.backoffs import Backoffs
from understudy.observe.incidents import CASCADE, MAX_INCIDENTS, Incidents
from understudy.observe.tree_log import log_event

WORDS = "words of a user"


def crash(path: str = "/system/a", reason: Exit | None = None, decision: Decision = Decision.RESTART) -> ActorCrashed:
    """An end that is worth a record."""
    return ActorCrashed(path, 1, reason or Crashed(ValueError(WORDS)), "Say", f"Traceback: {WORDS}", decision, WORDS)


def test_an_incident_has_the_class_of_the_error_and_no_text() -> None:
    """Its id is the one that stands in the log beside the rest."""
    incidents = Incidents(lambda: 5.0)
    error_id = incidents.record(crash())
    (incident,) = incidents.after()
    assert error_id == incident.error_id
    assert (incident.at, incident.path, incident.error, incident.decision) == (
        5.0,
        "/system/a",
        "ValueError",
        "restart",
    )
    assert WORDS not in repr(incident)


def test_what_is_no_incident_is_not_remembered() -> None:
    """Starts, restarts and ends in order are no news here."""
    incidents = Incidents(lambda: 5.0)
    for event in (ActorStarted("/s", 1), ActorRestarting("/s", 1, 0.1), ActorStopped("/s", NORMAL)):
        assert incidents.record(event) is None
    assert (incidents.after(), incidents.count) == ([], 0)


def test_the_oldest_are_forgotten_and_all_are_counted() -> None:
    incidents = Incidents(lambda: 5.0)
    for _ in range(MAX_INCIDENTS + 5):
        incidents.record(crash())
    assert [each.number for each in incidents.after()] == list(range(6, MAX_INCIDENTS + 6))
    assert [each.number for each in incidents.after(MAX_INCIDENTS + 3)] == [MAX_INCIDENTS + 4, MAX_INCIDENTS + 5]


def test_those_that_die_with_their_supervisor_do_not_push_out_what_matters() -> None:
    """A few of ten thousand killed children are remembered, and the next second a few again; crashes always are."""
    now = [5.0]
    incidents = Incidents(lambda: now[0])
    incidents.record(crash("/system/first"))
    ids = [incidents.record(crash(reason=KILLED, decision=Decision.STOP)) for _ in range(10_000)]
    assert sum(each is not None for each in ids) == CASCADE
    incidents.record(crash("/system/parent", KILLED, Decision.BACK_OFF))
    now[0] += 1.0
    incidents.record(crash("/system/later", KILLED, Decision.STOP))
    assert [each.path for each in incidents.after()] == [
        "/system/first", *["/system/a"] * CASCADE, "/system/parent", "/system/later",
    ]  # fmt: skip
    assert incidents.count == 10_003


@pytest.mark.parametrize("reason", [KILLED, None], ids=["killed", "crashed"])
def test_the_log_line_has_the_id_of_the_incident(reason: Exit | None, caplog: pytest.LogCaptureFixture) -> None:
    """So an operator finds what the page does not show."""
    with caplog.at_level(logging.DEBUG):
        log_event(crash(reason=reason), "0123456789abcdef")
    assert [record.error_id for record in caplog.records] == ["0123456789abcdef"]  # type: ignore[attr-defined]


def test_who_rests_is_counted_for_all_above() -> None:
    """Until it runs again, or has ended; who comes back at once never rested."""
    resting = Backoffs()
    for path in ("/s/a/1", "/s/a/2", "/s/a/2"):
        resting.record(ActorRestarting(path, 1, 0.5))
    resting.record(ActorRestarting("/s/b", 1, 0.0))
    assert [resting.count_below(path) for path in ("/s", "/s/a", "/s/a/1", "/s/b")] == [2, 2, 0, 0]
    resting.record(ActorStarted("/s/a/1", 2))
    resting.record(ActorStarted("/s/a/1", 2))
    assert (resting.count_below("/s"), resting.count_below("/s/a")) == (1, 1)
    resting.record(ActorStopped("/s/a/2", KILLED))
    assert (resting.count_below("/s"), resting.count_below("/s/a")) == (0, 0)
