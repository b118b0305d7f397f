import pytest

from actors import AutoShutdown, ChildSpec, InvalidSpec, Restart, Strategy, Supervision, Supervisor
from tests.actors.troupe import Player


@pytest.mark.promise("start.invalid-specs", "bad.taken-id")
def test_an_id_that_comes_twice_is_refused():
    with pytest.raises(InvalidSpec, match="'a' comes twice"):
        Supervisor([ChildSpec("a", Player), ChildSpec("a", Player)])


@pytest.mark.promise("start.invalid-specs", "bad.spec")
def test_something_else_than_a_spec_is_refused():
    with pytest.raises(InvalidSpec, match="must be ChildSpecs"):
        Supervisor([Player])


@pytest.mark.promise("start.defaults")
def test_the_defaults_are_those_of_otp():
    spec, supervision = ChildSpec("a", Player), Supervision()
    assert (spec.restart, spec.shutdown_s, spec.backoff) == (Restart.PERMANENT, None, None)
    assert (supervision.strategy, supervision.intensity, supervision.period_s) == (Strategy.ONE_FOR_ONE, 1, 5.0)
    assert (supervision.max_children, supervision.auto_shutdown) == (None, AutoShutdown.NEVER)
