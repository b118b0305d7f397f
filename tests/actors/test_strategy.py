import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import AutoShutdown, ChildSpec, Crashed, Decision, Directive, Killed, Normal, Restart, Shutdown, Strategy
from actors.strategy import Intensity, affected, decide, shuts_down
from tests.actors.troupe import Player

CRASH = Crashed(ValueError("boom"))


@pytest.mark.promise("restart.types")
@pytest.mark.parametrize(
    ("restart", "restarted_after"),
    [
        (Restart.PERMANENT, {"normal", "shutdown", "killed", "crashed: ValueError"}),
        (Restart.TRANSIENT, {"killed", "crashed: ValueError"}),
        (Restart.TEMPORARY, set()),
    ],
)
def test_the_restart_type_decides_by_the_exit(restart, restarted_after):
    spec = ChildSpec("a", Player, restart=restart)
    ends = [Normal(), Shutdown(), Killed(), CRASH]
    assert {str(end) for end in ends if decide(spec, end) is Decision.RESTART} == restarted_after


@pytest.mark.promise("restart.one-for-one", "restart.one-for-all", "restart.rest-for-one")
@pytest.mark.parametrize(
    ("strategy", "failed", "replaced"),
    [
        (Strategy.ONE_FOR_ONE, "b", ["b"]),
        (Strategy.ONE_FOR_ALL, "b", ["a", "b", "c"]),
        (Strategy.REST_FOR_ONE, "a", ["a", "b", "c"]),
        (Strategy.REST_FOR_ONE, "b", ["b", "c"]),
        (Strategy.REST_FOR_ONE, "c", ["c"]),
    ],
)
def test_the_strategy_says_who_is_replaced(strategy, failed, replaced):
    assert affected(strategy, ["a", "b", "c"], failed) == replaced


@pytest.mark.promise("restart.directives")
@pytest.mark.parametrize(
    ("error", "decision"),
    [(KeyError("k"), Decision.STOP), (LookupError("l"), Decision.ESCALATE), (ValueError("v"), Decision.RESTART)],
)
def test_a_directive_is_chosen_by_the_nearest_class_of_the_error(error, decision):
    """KeyError is a LookupError, but its own entry is nearer."""
    spec = ChildSpec("a", Player, directives={LookupError: Directive.ESCALATE, KeyError: Directive.STOP})
    assert decide(spec, Crashed(error)) is decision


@pytest.mark.promise("restart.significant")
@pytest.mark.parametrize(
    ("auto", "significant", "left", "ends"),
    [
        (AutoShutdown.NEVER, True, 0, False),
        (AutoShutdown.ANY, True, 2, True),
        (AutoShutdown.ANY, False, 0, False),
        (AutoShutdown.ALL, True, 1, False),
        (AutoShutdown.ALL, True, 0, True),
        (AutoShutdown.ALL, False, 0, False),
    ],
)
def test_significant_children_end_their_supervisor(auto, significant, left, ends):
    spec = ChildSpec("a", Player, restart=Restart.TEMPORARY, significant=significant)
    assert shuts_down(auto, spec, left) is ends


@pytest.mark.promise("restart.intensity-slides")
def test_the_window_slides():
    """A restart leaves the window a period after it happened, not when some bucket ends."""
    window = Intensity(2, 5.0)
    assert window.record(0.0)
    assert window.record(4.0)
    assert window.record(5.1)
    assert window.count(5.1) == 2
    assert not window.record(5.2)


@pytest.mark.promise("restart.intensity", "restart.intensity-slides")
@given(st.integers(0, 4), st.lists(st.floats(0, 3.0), min_size=1, max_size=40))
def test_the_intensity_agrees_with_counting_by_hand(limit, gaps):
    window = Intensity(limit, 5.0)
    times: list[float] = []
    for gap in gaps:
        times.append((times[-1] if times else 0.0) + gap)
        within = sum(1 for time in times if time >= times[-1] - 5.0)
        assert window.record(times[-1]) is (within <= limit)
