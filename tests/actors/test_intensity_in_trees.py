"""How many restarts are too many, in a living tree: what counts, where it counts, and what follows."""

import pytest
import trio
import trio.testing

from actors import (
    ActorCrashed,
    ActorSystem,
    ChildSpec,
    Crashed,
    Decision,
    RestartChild,
    StopChild,
    Strategy,
    Supervisor,
    SystemFailed,
)
from tests.actors.groups import crash, open_family
from tests.actors.troupe import Boom, Read, of_type, player


@pytest.mark.promise("restart.intensity", "restart.intensity-slides")
async def test_a_restart_is_forgotten_when_the_period_has_passed_since_it(autojump_clock, system):
    ref, kids = await open_family(system, player("a"), intensity=2, period_s=10.0)
    for pause_s in (6.0, 4.5, 6.0, 4.5, 6.0):
        await crash(kids["a"])
        await trio.sleep(pause_s)
    assert ref.alive
    for _ in range(2):
        await crash(kids["a"])
    assert not ref.alive


@pytest.mark.promise("restart.intensity")
async def test_a_supervisor_that_comes_back_has_a_clean_slate(autojump_clock, system):
    spec = ChildSpec("inner", lambda: Supervisor([player("a")], intensity=1))
    _, kids = await open_family(system, spec, intensity=9)
    for _ in range(2):
        await crash(kids["inner"].children()[0])
    assert system.explain(kids["inner"].path).incarnation == 2
    await crash(kids["inner"].children()[0])
    assert system.explain(kids["inner"].path).incarnation == 2


@pytest.mark.promise("restart.intensity")
async def test_starting_and_stopping_by_hand_counts_for_nothing(autojump_clock, system):
    ref, _ = await open_family(system, player("a"), intensity=1)
    for _ in range(10):
        await ref.ask(StopChild("a"))
        await ref.ask(RestartChild("a"))
    assert ref.alive


@pytest.mark.promise("restart.intensity-stops-in-order", "restart.intensity-names-offender", "report.crash-once")
async def test_the_offender_is_told_before_the_supervisor_fails(autojump_clock, system, events):
    diary = []
    ref, kids = await open_family(system, *(player(name, diary) for name in "abc"), intensity=0)
    diary.clear()
    await crash(kids["b"], KeyError("why"))
    await ref.wait_stopped()
    assert diary == ["stop b (crashed: KeyError)", "stop c (shutdown)", "stop a (shutdown)"]
    crashes = of_type(events, ActorCrashed)
    assert [(event.path, event.decision) for event in crashes] == [
        ("/test/sup/b", Decision.ESCALATE),
        ("/test/sup", Decision.STOP),
    ]
    assert isinstance(crashes[0].reason.error, KeyError)
    error = crashes[1].reason.error
    assert (error.path, error.offender, error.intensity, error.period_s) == ("/test/sup", "/test/sup/b", 0, 5.0)
    assert error.__cause__ is crashes[0].reason.error
    assert str(error) == "/test/sup: more than 0 restarts in 5 s, the last of /test/sup/b"


@pytest.mark.promise("bitten.failures-reach-owner", "restart.intensity")
async def test_a_failure_that_nobody_tolerates_goes_up_to_the_owner_of_the_system(autojump_clock):
    error = ValueError("deep down")

    async def live():
        inner = ChildSpec("inner", lambda: Supervisor([player("leaf")], intensity=0))
        outer = ChildSpec("outer", lambda: Supervisor([inner], intensity=0))
        async with ActorSystem("s", [outer], intensity=0, on_event=lambda _: None) as system:
            system.find("/s/outer/inner/leaf").tell(Boom(error))
            await trio.sleep_forever()

    with pytest.raises(SystemFailed) as caught:
        await live()
    causes = []
    cause = caught.value.__cause__
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__
    assert [getattr(cause, "path", None) for cause in causes] == ["/s", "/s/outer", "/s/outer/inner", None]
    assert causes[-1] is error


@pytest.mark.promise("bitten.intensity-counts-attempts", "restart.intensity")
@pytest.mark.parametrize("strategy", list(Strategy))
async def test_the_bound_means_the_same_for_every_strategy(autojump_clock, system, strategy):
    ref, kids = await open_family(system, player("a"), player("b"), intensity=2, strategy=strategy)
    for _ in range(2):
        await crash(kids["a"])
    assert await kids["a"].ask(Read()) == []
    await crash(kids["a"])
    assert isinstance(await ref.wait_stopped(), Crashed)


@pytest.mark.promise("restart.intensity")
async def test_the_restarts_of_each_child_may_be_counted_apart(autojump_clock, system):
    ref, kids = await open_family(system, player("a"), player("b"), player("c"), intensity=1, per_child=True)
    for kid in kids.values():
        await crash(kid)
    assert ref.alive
    await crash(kids["b"])
    assert (await ref.wait_stopped()).error.offender == kids["b"].path
