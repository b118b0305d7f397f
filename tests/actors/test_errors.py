"""Errors of the runtime and of its behaviours, as values."""

import pickle

import pytest

from actors import ActorUnavailable, AskTimeout, IncarnationDied, Killed
from actors.behaviours.breaker import CallTimeout, CircuitOpen
from actors.behaviours.job import AttemptTimeout, JobCancelled, JobFailed, JobTimedOut
from actors.behaviours.leases import ResourceLost, ResourceUnavailable
from actors.behaviours.pool import AskedPool, NoWorkers
from actors.behaviours.registry import NotRegistered
from actors.behaviours.resource_actor import CheckTimeout, OpenTimeout, ResourceEnded
from actors.behaviours.state_machine import OutsideHandler, TransitionRefused
from actors.stash import StashCleared, StashFull

ERRORS = [
    ActorUnavailable("/a", "backing_off"),
    AskTimeout("/a", "Read", 5.0),
    AskedPool("/test/pool", "Who"),
    AttemptTimeout("/a", 2, 3.0),
    CallTimeout("db", 2.0),
    CheckTimeout("/a", 3.0),
    CircuitOpen("db", 3.0),
    IncarnationDied("/a", Killed()),
    JobCancelled("/a", Killed()),
    JobFailed("/a", (OSError("1"), ValueError("2"))),
    JobTimedOut("/a", 3.0, (OSError("1"),)),
    NoWorkers("/test/pool"),
    NotRegistered("name", 5.0),
    OpenTimeout("/a", 3.0),
    OutsideHandler("become"),
    ResourceEnded("/a"),
    ResourceLost("/a"),
    ResourceUnavailable("/a", 1.0, 2.0),
    StashCleared("/a", "Put"),
    StashFull("/a", 3),
    TransitionRefused("a", "b"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_with_its_fields_and_its_text(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert repr(copy) == repr(error)  # errors among the fields are equal to none but themselves
    assert str(copy) == str(error)


def test_a_timed_out_request_names_the_actor_the_message_and_the_limit():
    assert str(AskTimeout("/a", "Read", 5.0)) == "/a did not answer Read within 5 s"
