import math

import pytest

from actors import AutoShutdown, ChildSpec, InvalidSpec, MailboxSpec, Restart, Strategy, Supervision, Supervisor
from tests.actors.troupe import Player


@pytest.mark.promise("start.invalid-specs", "bad.spec")
@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("id", {"id": ""}),
        ("id", {"id": None}),
        ("id", {"id": "a/b"}),
        ("factory", {"factory": "Player"}),
        ("restart", {"restart": "permanent"}),
        ("shutdown_s", {"shutdown_s": -1}),
        ("shutdown_s", {"shutdown_s": math.nan}),
        ("shutdown_s", {"shutdown_s": "5"}),
        ("start_timeout_s", {"start_timeout_s": 0}),
        ("significant", {"significant": True, "restart": Restart.PERMANENT}),
    ],
)
def test_a_wrong_field_of_a_child_is_refused_by_name(field, options):
    """Before anything starts."""
    with pytest.raises(InvalidSpec) as caught:
        ChildSpec(**({"id": "a", "factory": Player} | options))
    assert caught.value.field == field


@pytest.mark.promise("start.invalid-specs", "bad.spec")
@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("strategy", {"strategy": "one_for_one"}),
        ("intensity", {"intensity": -1}),
        ("intensity", {"intensity": math.inf}),
        ("period_s", {"period_s": 0}),
        ("period_s", {"period_s": math.inf}),
        ("max_children", {"max_children": 0}),
        ("auto_shutdown", {"auto_shutdown": "any"}),
    ],
)
def test_a_wrong_field_of_a_supervision_is_refused_by_name(field, options):
    """For `Supervision` and for `Supervisor`, which takes the same."""
    for kind in (Supervision, Supervisor):
        with pytest.raises(InvalidSpec) as caught:
            kind(**options)
        assert caught.value.field == field


@pytest.mark.promise("start.invalid-specs", "bad.taken-id")
def test_an_id_that_comes_twice_is_refused():
    """Two children of one name cannot be told apart."""
    with pytest.raises(InvalidSpec, match="'a' comes twice"):
        Supervisor([ChildSpec("a", Player), ChildSpec("a", Player)])


@pytest.mark.promise("start.invalid-specs", "bad.spec")
def test_something_else_than_a_spec_is_refused():
    """An actor class is not a spec."""
    with pytest.raises(InvalidSpec, match="must be ChildSpecs"):
        Supervisor([Player])


@pytest.mark.promise("start.defaults")
def test_the_defaults_are_those_of_otp():
    """permanent, 1 restart in 5 s, one for one; the grace is chosen by kind at run time."""
    spec, supervision = ChildSpec("a", Player), Supervision()
    assert (spec.restart, spec.shutdown_s, spec.backoff) == (Restart.PERMANENT, None, None)
    assert (supervision.strategy, supervision.intensity, supervision.period_s) == (Strategy.ONE_FOR_ONE, 1, 5.0)
    assert (supervision.max_children, supervision.auto_shutdown) == (None, AutoShutdown.NEVER)


@pytest.mark.promise("start.invalid-specs", "bad.spec")
@pytest.mark.parametrize("options", [{"capacity": 0}, {"capacity": True}, {"overflow": "wait"}])
def test_a_wrong_bound_of_a_mailbox_is_refused_by_name(options):
    """A lane without room, or with an unknown policy."""
    with pytest.raises(InvalidSpec) as caught:
        MailboxSpec(**options)
    assert caught.value.field in options
