"""Random trees under random faults, by the hundred; and faults planted in the runtime, which must be found."""

import re

import pytest

from actors import Strategy, children, inbox, watch
from actors.inbox import ActorInbox
from actors.lanes import LaneQueue
from tests.actors.stress import play
from tests.actors.stress.__main__ import main
from tests.actors.stress.plan import ENDS, FAULTS, make_plan


@pytest.mark.promise("testing.random-trees")
def test_random_trees_under_random_faults_come_back():
    reports = [play(seed) for seed in range(300)]
    assert {report.seed: report.faults for report in reports if report.faults} == {}
    assert sum(report.incarnations for report in reports) > 3000


def test_rounds_are_many_and_different():
    plans = [make_plan(seed) for seed in range(100)]
    assert {act.fault for plan in plans for act in plan.acts} == set(FAULTS)
    assert {plan.end for plan in plans} == set(ENDS)
    strategies = {traits.supervision.strategy for plan in plans for traits in plan.tree if traits.supervision}
    assert strategies == set(Strategy)
    assert len({repr(plan.tree) for plan in plans}) == 100


def lose(*_):
    """Do nothing."""


def in_order(plain):
    """Let the newest message overtake."""

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


def all_affected(affected):
    """Replace all siblings, whatever the strategy is."""
    return lambda _, ids, failed: affected(Strategy.ONE_FOR_ALL, ids, failed)


PLANTED = {
    "queued messages of the dead are lost": (ActorInbox, "_bury_message", lambda _: lose),
    "dropped messages are lost": (ActorInbox, "_lose", lambda _: lose),
    "callers of the dead wait": (inbox, "fail_calls", lambda _: lose),
    "watchers hear nothing": (watch, "notify_watchers", lambda _: lose),
    "watchers hear all twice": (watch, "_notify", twice),
    "notices overtake messages": (watch, "_notify", overtake),
    "watches outlive the watcher": (watch, "unwatch_all", lambda _: lose),
    "one strategy for all": (children, "affected", all_affected),
    "the newest message overtakes": (LaneQueue, "__init__", in_order),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_fault_planted_in_the_runtime_is_found_and_again_by_its_seed(planted, monkeypatch):
    where, name, change = PLANTED[planted]
    monkeypatch.setattr(where, name, change(getattr(where, name)))
    seed = next(seed for seed in range(400) if play(seed).faults)
    assert play(seed).faults == play(seed).faults != []
    monkeypatch.undo()
    assert play(seed).faults == []


def test_the_command_sums_up_rounds_played_in_processes(capsys):
    assert main(["--rounds", "60", "--seed", "1000", "--processes", "2"]) == 0
    incarnations = sum(play(seed).incarnations for seed in range(1000, 1060))
    assert capsys.readouterr().out == f"60 rounds from seed 1000, {incarnations} incarnations, 0 failed\n"


def test_the_command_replays_a_failed_seed(capsys, monkeypatch):
    monkeypatch.setattr(ActorInbox, "_bury_message", lose)
    seed = next(seed for seed in range(400) if play(seed).faults)
    assert main(["--replay", f"{seed}"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"FAULT .*came to 0 ends, not 1", printed)
    assert re.search(r"/s/a #1 begins", printed)
    monkeypatch.undo()
    assert main(["--replay", f"{seed}"]) == 0
    assert "FAULT none" in capsys.readouterr().out
