import pytest

from actors import AutoShutdown, ChildSpec, Restart, Strategy, Supervision
from tests.actors.troupe import Player


@pytest.mark.promise("start.defaults")
def test_the_defaults_are_those_of_otp():
    spec, supervision = ChildSpec("a", Player), Supervision()
    assert (spec.restart, spec.shutdown_s, spec.backoff) == (Restart.PERMANENT, None, None)
    assert (supervision.strategy, supervision.intensity, supervision.period_s) == (Strategy.ONE_FOR_ONE, 1, 5.0)
    assert (supervision.max_children, supervision.auto_shutdown) == (None, AutoShutdown.NEVER)
