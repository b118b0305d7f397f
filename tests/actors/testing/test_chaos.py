"""Chaos: seeded, in a subtree, written down, and done again exactly."""

import json
import math

import pytest
import trio
from attrs import frozen

from actors import (
    ActorDied,
    ActorSystem,
    Ask,
    AskTimeout,
    ChildSpec,
    Crashed,
    InvalidSpec,
    Killed,
    Supervision,
    Supervisor,
)
from actors.testing import (
    ChaosFault,
    EventProbe,
    Fault,
    FaultKind,
    Probe,
    Rates,
    chaos,
    dump_faults,
    load_faults,
    replay,
    settle,
    simulate,
)
from tests.actors.troupe import Read, player

MANY = Supervision(intensity=10**6)


@frozen(eq=False)
class Say(Ask[int]):
    """Answer with the number."""

    n: int


def tree(*names):
    return ChildSpec("sup", lambda: Supervisor([player(name) for name in names], intensity=10**6))


PATHS = ("/s/calm/c", "/s/calm/d", "/s/sup/a", "/s/sup/b")


async def talk(system, messages=40, pause_s=0.1):
    """Tell each player its messages, whoever it is at the time."""
    for n in range(messages):
        for path in PATHS:
            if (ref := system.find(path)) is not None:
                ref.tell((path, n))
        await trio.sleep(pause_s)
    await trio.sleep(60)


async def scene(weather):
    """Two subtrees of two, a weather in the first, and everything that came of it."""
    async with ActorSystem("s", intensity=10**6, on_event=lambda _: None) as system:
        await system.spawn(ChildSpec("calm", lambda: Supervisor([player("c"), player("d")])))
        await system.spawn(tree("a", "b"))
        with await EventProbe.open(system) as log:
            async with weather(system) as storm:
                await talk(system)
            messages = [await system.find(path).ask(Read()) for path in PATHS]
        story = [repr(event) for event in log.seen]
    return storm.log, messages, story, storm.json()


RATES = Rates(kill=0.05, delay=0.1, fail=0.1, drop=0.1, kills_per_s=0.3, delay_s=0.5)


def stormy(seed, rates=RATES, subtree="/s/sup"):
    return lambda system: chaos(system, seed=seed, rates=rates, subtree=subtree)


@pytest.mark.promise("testing.chaos")
def test_every_kind_of_fault_comes_and_only_in_the_subtree():
    log, received, story, _ = simulate(scene, stormy(1), seed=1)
    assert {fault.kind for fault in log} == set(FaultKind)
    assert all(fault.path.startswith("/s/sup") for fault in log)
    assert any(fault.message is None for fault in log)
    assert [len(messages) for messages in received[:2]] == [40, 40]
    assert 80 * 0.2 < sum(fault.message is not None for fault in log) < 80 * 0.5
    assert any("Killed" in line for line in story)
    assert any("ChaosFault" in line for line in story)


@pytest.mark.promise("testing.chaos")
def test_the_same_seed_brings_the_same_faults_and_another_brings_others():
    first = simulate(scene, stormy(7), seed=1)
    assert simulate(scene, stormy(7), seed=1) == first
    assert simulate(scene, stormy(8), seed=1)[0] != first[0]


def test_the_faults_at_messages_do_not_depend_on_the_order_of_tasks():
    rates = Rates(fail=0.1, drop=0.1, delay=0.1)

    def faults(order):
        log = simulate(scene, stormy(3, rates), seed=order)[0]
        return {(fault.path, fault.message, fault.kind, fault.seconds) for fault in log}

    assert faults(1) == faults(2) == faults(3)


@pytest.mark.promise("testing.chaos")
@pytest.mark.parametrize("seed", range(4))
def test_a_log_that_went_through_json_is_replayed_exactly(seed):
    log, received, story, text = simulate(scene, stormy(seed), seed=seed)
    assert len(log) > 10
    again = simulate(scene, lambda system: replay(system, load_faults(text)), seed=seed)
    assert again == (log, received, story, text)


def test_half_a_log_brings_half_the_faults():
    log, *_ = simulate(scene, stormy(2, Rates(drop=0.2)), seed=1)
    half, received, *_ = simulate(scene, lambda system: replay(system, log[::2]), seed=1)
    assert half == log[::2]
    assert sum(len(messages) for messages in received) == 160 - len(half)


def test_faults_are_plain_json():
    faults = [Fault(1.5, "/s/a", FaultKind.DELAY, 3, 0.25), Fault(2.0, "/s/b", FaultKind.KILL)]
    text = dump_faults(faults)
    assert json.loads(text)[0] == {"at_s": 1.5, "path": "/s/a", "kind": "delay", "message": 3, "seconds": 0.25}
    assert len(text.splitlines()) == 2
    assert load_faults(text) == faults
    for wrong in ("{", "[1]", '[{"kind": "drop"}]', '[{"kind": "wink", "at_s": 0, "path": "/"}]'):
        with pytest.raises(ValueError, match=r"."):
            load_faults(wrong)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"kill": -0.1}, "rates.kill"),
        ({"drop": 1.1}, "rates.drop"),
        ({"kills_per_s": -1}, "rates.kills_per_s"),
        ({"delay_s": math.nan}, "rates.delay_s"),
        ({"fail": 0.6, "drop": 0.6}, "rates"),
    ],
)
def test_rates_that_cannot_be_are_refused(options, field):
    with pytest.raises(InvalidSpec, match=f"^{field}: "):
        Rates(**options)


@pytest.mark.promise("testing.chaos")
async def test_a_failure_is_an_error_of_its_own(autojump_clock, system, ref):
    with await EventProbe.open(system) as log:
        async with chaos(system, seed=1, rates=Rates(fail=1.0), subtree="/test/a"):
            with pytest.raises(ActorDied) as died:
                await ref.ask(Read())
        assert isinstance(died.value.__cause__, ChaosFault)
        assert str(died.value.__cause__) == "chaos: /test/a fails at message 0"
        assert isinstance((await log.expect_crash(ref, ChaosFault)).reason, Crashed)


async def test_a_kill_ends_the_incarnation_before_the_message_is_handled(autojump_clock, system, ref):
    async with chaos(system, seed=1, rates=Rates(kill=1.0), subtree="/test/a") as storm:
        with pytest.raises(ActorDied) as died:
            await ref.ask(Read(), timeout_s=math.inf)
    assert died.value.reason == Killed()
    assert [(fault.kind, fault.message) for fault in storm.log] == [(FaultKind.KILL, 0)]
    assert await ref.ask(Read()) == []


async def test_a_delayed_message_comes_later(autojump_clock, system, ref):
    async with chaos(system, seed=1, rates=Rates(delay=1.0, delay_s=10.0), subtree="/test/a") as storm:
        ref.tell(1)
        ref.tell(2)
        assert await ref.ask(Read(), timeout_s=60.0) == [1, 2]
    assert trio.current_time() == pytest.approx(sum(fault.seconds for fault in storm.log))
    assert 0 < max(fault.seconds for fault in storm.log) <= 10


@pytest.mark.promise("testing.chaos")
async def test_a_dropped_ask_waits_out_its_own_timeout(autojump_clock, system, ref):
    async with chaos(system, seed=1, rates=Rates(drop=1.0), subtree="/test/a"):
        with pytest.raises(AskTimeout):
            await ref.ask(Read(), timeout_s=20.0)
        assert trio.current_time() == pytest.approx(20.0, abs=0.02)
        with pytest.raises(ChaosFault):
            await ref.ask(Read(), timeout_s=math.inf)
        assert trio.current_time() == pytest.approx(20.0, abs=0.02)
    assert await ref.ask(Read()) == []


async def test_notices_are_never_dropped(autojump_clock, system):
    probe = await Probe.open(system)
    ref = await system.spawn(player("a"))
    await probe.watch(ref)
    async with chaos(system, seed=1, rates=Rates(drop=1.0)) as storm:
        await ref.stop()
        await probe.expect_end(ref)
        probe.ref.tell("lost")
        await probe.expect_none()
    assert [fault.message for fault in storm.log] == [1]


async def test_kills_between_messages_come_at_their_rate(autojump_clock, system):
    refs = [await system.spawn(player(name, supervision=MANY)) for name in "ab"]
    below = await refs[0].ask(_spawn(player("below")))
    system_intensity = []
    async with chaos(system, seed=4, rates=Rates(kills_per_s=2.0), subtree=below.path) as storm:
        await trio.sleep(10)
    system_intensity += [fault.path for fault in storm.log]
    assert set(system_intensity) == {"/test/a/below"}
    assert 8 < len(system_intensity) < 40
    await trio.sleep(100)
    assert len(storm.log) == len(system_intensity)


async def test_live_actors_are_struck_from_their_next_message_on_and_spared_after_the_block(
    autojump_clock, system, ref
):
    ref.tell("before")
    await settle()
    async with chaos(system, seed=1, rates=Rates(drop=1.0)) as storm:
        ref.tell("lost")
        await settle()
    ref.tell("after")
    assert await ref.ask(Read()) == ["before", "after"]
    assert [fault.message for fault in storm.log] == [0]


def _spawn(spec):
    from tests.actors.troupe import Run

    return Run(lambda context: context.spawn(spec))
