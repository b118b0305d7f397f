"""Simulated runs: the seed decides, the same seed decides the same, and nothing is left behind."""

import os
import random
import subprocess
import sys
import time

import pytest
import trio

from actors import Actor, ActorSystem, Ask, Backoff, ChildSpec, serving
from actors.testing import SimulationFailed, SimulationStuck, Trace, seeded, simulate, simulate_many
from tests.actors.stress import play
from tests.actors.troupe import Read, player


class Door(Actor):
    """Four must come in the order of their numbers from last to first for the planted fault to show."""

    def __init__(self):
        self.came = []

    async def receive(self, message, context):
        match message:
            case Came():
                self.came.append(await Came.number(message))
                message.reply(self.came)


class Came(Ask[list[int]]):
    """Somebody came."""

    def __init__(self, n):
        self.n = n

    async def number(self):
        await trio.lowlevel.checkpoint()
        return self.n


async def race():
    async with ActorSystem("s", on_event=lambda _: None) as system:
        door = await system.spawn(ChildSpec("door", Door))
        async with trio.open_nursery() as nursery:
            for n in range(4):
                nursery.start_soon(door.ask, Came(n))
        came = await door.ask(Came(4))
    assert came != [3, 2, 1, 0, 4], "the planted fault"
    return came


@pytest.mark.promise("testing.chaos")
def test_a_planted_race_is_found_by_some_seed_and_comes_again_with_it():
    with pytest.raises(SimulationFailed) as caught:
        simulate_many(race, seeds=range(500))
    seed = caught.value.seed
    assert caught.value.passed == seed
    assert isinstance(caught.value.__cause__, AssertionError)
    assert f"seed {seed} failed after {seed} that passed" in str(caught.value)
    for _ in range(3):
        with pytest.raises(AssertionError, match="planted") as again:
            simulate(race, seed=seed)
        assert again.value.__notes__ == [f"in a simulation with seed={seed}"]


def test_seeds_that_pass_give_their_results():
    results = simulate_many(race, seeds=range(5))
    assert list(results) == [0, 1, 2, 3, 4]
    assert len({tuple(came) for came in results.values()}) > 1
    assert simulate(race, seed=3) == results[3]


def test_arguments_and_results_go_through():
    async def add(a, b):
        await trio.sleep(3600)
        return a + b

    began = time.monotonic()
    assert simulate(add, 1, 2) == 3
    assert time.monotonic() - began < 60  # a busy machine takes its time, but no hour


def test_the_same_seed_takes_the_same_steps_and_another_takes_others():
    def digest(seed):
        trace = Trace()
        play(seed, trace)
        assert trace.steps > 50
        return trace.digest

    first = [digest(seed) for seed in range(8)]
    assert [digest(seed) for seed in range(8)] == first
    assert len(set(first)) == 8


def test_one_program_under_two_seeds_takes_other_steps():
    def traced(seed):
        trace = Trace()
        simulate(race, seed=seed, trace=trace)
        return trace.digest

    assert traced(1) == traced(1)
    assert len({traced(seed) for seed in range(6)}) == 6


def test_the_same_seed_takes_the_same_steps_in_another_process():
    """With other addresses and other hashes of strings."""
    script = (
        "from actors.testing import Trace\nfrom tests.actors.stress import play\n"
        "for seed in range(40):\n    trace = Trace(); play(seed, trace); print(seed, trace.steps, trace.digest)\n"
    )

    def run(hash_seed):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first = run("1")
    assert len(first.splitlines()) == 40
    assert run("2") == first


def test_a_system_without_a_seed_gets_one_from_the_simulation():
    async def delays():
        async with ActorSystem("s", intensity=9, on_event=lambda _: None) as system:
            ref = await system.spawn(player("a", backoff=Backoff(jitter=0.5)))
            for _ in range(3):
                ref.kill()
                await ref.ask(Read())
            return trio.current_time(), random.random()

    assert simulate(delays, seed=1) == simulate(delays, seed=1)
    assert simulate(delays, seed=1) != simulate(delays, seed=2)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails, monkeypatch):
    scheduler = trio._core._run
    monkeypatch.setattr(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", False)

    def state():
        switch = scheduler._ALLOW_DETERMINISTIC_SCHEDULING
        return scheduler._r.getstate(), random.getstate(), switch, serving.perf_counter

    async def main():
        assert all(now != then for now, then in zip(state(), before, strict=True))
        assert not fails

    before = state()
    try:
        simulate(main, seed=5)
    except AssertionError:
        assert fails
    assert state() == before


def test_a_simulation_in_which_all_wait_for_ever_ends():
    with pytest.raises(SimulationStuck, match=r"not over after 60 virtual seconds") as stuck:
        simulate(trio.sleep_forever, seed=3, limit_s=60.0)
    assert stuck.value.__notes__ == ["in a simulation with seed=3"]


def test_a_simulation_that_goes_in_circles_ends():
    async def circle():
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(SimulationStuck, match="circles"):
        simulate(circle, stuck_turns=1000)


SHIELDED = """
import trio
from actors.testing import SimulationStuck, simulate

async def shielded():
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()

try:
    simulate(shielded, seed=8, stuck_turns=1000)
except SimulationStuck as stuck:
    print(stuck, stuck.__notes__)
print(simulate(trio.sleep, 1))
"""


def test_a_simulation_ends_even_if_a_task_shields_itself_from_its_end():
    """Its tasks are left as they are then, so this runs apart; the next simulation is not disturbed."""
    command = [sys.executable, "-c", SHIELDED]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True, text=True)
    assert "shields itself from its end ['in a simulation with seed=8']\nNone\n" in done.stdout, done


def test_a_simulated_actor_that_floods_itself_does_not_keep_the_others_from_running():
    answers = []

    class Flood(Actor):
        async def receive(self, message, context):
            context.ref.tell(message)

    async def main():
        async with ActorSystem("s", on_event=lambda _: None) as system:
            (await system.spawn(ChildSpec("flood", Flood))).tell("on")
            answers.append(await (await system.spawn(player("a"))).ask(Read()))
            await trio.sleep(1)

    with pytest.raises(SimulationStuck, match="circles"):
        simulate(main, stuck_turns=1000)
    assert answers == [[]]


def test_a_block_of_ones_own_can_be_seeded():
    async def main():
        order = []

        async def note(n):
            await trio.lowlevel.checkpoint()
            order.append(n)

        async with trio.open_nursery() as nursery:
            for n in range(6):
                nursery.start_soon(note, n)
        return order

    def run(seed):
        with seeded(seed):
            return trio.run(main)

    assert run(1) == run(1)
    assert len({tuple(run(seed)) for seed in range(6)}) > 3
