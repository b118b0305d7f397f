"""Random trees under random faults, by the hundred; and faults planted in the runtime, which must be found."""

import re

import pytest

from actors import Strategy, cell, children, dead_letters, watch
from actors.lanes import LaneQueue
from actors.testing.stress import play
from actors.testing.stress.command import main, play_many
from actors.testing.stress.plan import End, PlannedFault, make_plan


@pytest.mark.promise("testing.random-trees")
def test_random_trees_under_random_faults_come_back():
    """Whoever is left answers, every ask ended, every message came to one end, and no table holds anything."""
    tally = play_many(range(300))
    assert not tally.failed
    assert tally.rounds == 300
    assert tally.incarnations > 3000


def test_rounds_are_many_and_different():
    """All faults and all ends come, in trees of all strategies."""
    plans = [make_plan(seed) for seed in range(100)]
    assert {act.fault for plan in plans for act in plan.acts} == set(PlannedFault)
    assert {plan.end for plan in plans} == set(End)
    strategies = {traits.supervision.strategy for plan in plans for traits in plan.tree if traits.supervision}
    assert strategies == set(Strategy)
    assert len({repr(plan.tree) for plan in plans}) == 100


def lose(*_):
    """Do nothing."""


def in_order(queue):
    """Let the newest message overtake."""
    plain = queue.__init__

    def init(self, *args, **options):
        plain(self, *args, **options)
        self.items = type("Stack", (type(self.items),), {"append": lambda items, item: items.insert(0, item)})()

    return init


def twice(function):
    """Do it a second time."""

    def doubled(*args):
        function(*args)
        function(*args)

    return doubled


def overtake(notify):
    """Let a notice go before all lanes, as if its watch were urgent."""

    def notify_at_once(watcher, notice, wishes):
        notify(watcher, notice, watch.Watch(vital=wishes.vital, restarts=wishes.restarts, urgent=True))

    return notify_at_once


PLANTED = {
    "queued messages of the dead are lost": (dead_letters, "bury_message", lambda _: lose),
    "dropped messages are lost": (dead_letters, "_lose", lambda _: lose),
    "callers of the dead wait": (dead_letters, "fail_calls", lambda _: lose),
    "watchers hear nothing": (cell, "notify_watchers", lambda _: lose),
    "watchers hear all twice": (watch, "_notify", twice),
    "notices overtake messages": (watch, "_notify", overtake),
    "watches outlive the watcher": (cell, "unwatch_all", lambda _: lose),
    "one strategy for all": (
        children,
        "affected",
        lambda affected: lambda _, ids, failed: affected(STRATEGY, ids, failed),
    ),
    "the newest message overtakes": (LaneQueue, "__init__", lambda _: in_order(LaneQueue)),
}
STRATEGY = Strategy.ONE_FOR_ALL


@pytest.mark.parametrize("planted", PLANTED)
def test_a_fault_planted_in_the_runtime_is_found(planted, monkeypatch):
    """Within some hundred rounds, and again by its seed."""
    where, name, change = PLANTED[planted]
    monkeypatch.setattr(where, name, change(getattr(where, name)))
    seed = next(seed for seed in range(400) if play(seed).faults)
    assert play(seed).faults == play(seed).faults != []
    monkeypatch.undo()
    assert play(seed).faults == []


def test_the_command_sums_up(capsys):
    """Rounds, seeds, incarnations and failures, in one line."""
    assert main(["--rounds", "5", "--seed", "1000"]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(r"5 rounds, seeds 1000 to 1004, \d+ incarnations, 0 failed, [\d.]+ s\n", printed)


def test_the_command_names_the_seed_that_failed_and_replays_it(capsys, monkeypatch):
    """With everything that happened in it."""
    monkeypatch.setattr(dead_letters, "bury_message", lose)
    assert main(["--rounds", "30"]) == 1
    printed = capsys.readouterr().out
    seeds = re.findall(r"python -m actors.testing.stress --replay (\d+)", printed)
    assert seeds
    assert f"{len(seeds)} failed" in printed
    assert main(["--replay", seeds[0]]) == 1
    first = capsys.readouterr().out
    assert re.search(r"FAULT .*came to 0 ends, not 1", first)
    assert re.search(r"/s/a #1 begins", first)
    assert main(["--replay", seeds[0]]) == 1
    assert capsys.readouterr().out == first
    monkeypatch.undo()
    assert main(["--replay", seeds[0]]) == 0
    assert "FAULT none" in capsys.readouterr().out


def test_the_command_stops_in_time(capsys):
    """It starts nothing after its time."""
    assert main(["--rounds", "1000000", "--time-limit", "0"]) == 0
    assert capsys.readouterr().out.startswith("0 rounds, no seeds, 0 incarnations, 0 failed")


def test_the_command_uses_several_processes(capsys):
    """With the same rounds as one alone."""
    assert main(["--rounds", "60", "--processes", "2"]) == 0
    together = capsys.readouterr().out
    assert main(["--rounds", "60"]) == 0
    alone = capsys.readouterr().out
    assert together.rsplit(",", 1)[0] == alone.rsplit(",", 1)[0]
