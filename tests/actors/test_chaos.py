"""Random trees under random faults: whatever happens, the tree comes back, and nothing is left behind."""

import random

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import (
    ActorDied,
    ActorError,
    ActorSystem,
    AlreadyStarted,
    Backoff,
    ChildSpec,
    Restart,
    StartChild,
    StartFailed,
    StopChild,
    Strategy,
    Supervision,
    Supervisor,
)
from tests.actors.troupe import Boom, Read, Run, player, settled, sleeping

OPTIONS = {"intensity": 1000, "period_s": 1.0}
FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["crash", "kill", "hang", "stop child", "start child", "wait"]),
        st.integers(0, 99),
        st.sampled_from([0.0, 0.0, 0.3, 2.0]),
    ),
    max_size=30,
)


def tree(shape, flaky):
    """A supervisor for each strategy in `shape`, with players that fail to start now and then."""

    def sometimes(_):
        if flaky.random() < 0.2:
            raise OSError("flaky")

    def players(depth):
        backoffs = [None, Backoff(min_s=0.1, max_s=1.0), None]
        return [
            player(f"p{n}{depth}", starting=sometimes if depth else None, backoff=backoffs[n], shutdown_s=1.0)
            for n in range(3)
        ]

    spec = None
    for depth, strategy in enumerate(shape):
        children = players(0) + ([spec] if spec is not None else [])
        spec = ChildSpec(
            f"sup{depth}",
            lambda children=children, strategy=strategy: Supervisor(children, strategy=strategy, **OPTIONS),
        )
    return spec


def living(system):
    """References to everything alive."""
    return [ref for node in system.tree().walk() if (ref := system.find(node.path)) is not None]


async def do(system, fault, choice):
    """One fault, somewhere."""
    refs = living(system)
    ref = refs[choice % len(refs)]
    if ref is system.root:
        return
    supervising = ref.path.rsplit("/", 1)[-1].startswith("sup")
    if fault == "kill":
        ref.kill()
    elif supervising and fault in ("stop child", "start child"):
        request = StartChild(player("added")) if fault == "start child" else StopChild("added")
        try:
            await ref.ask(request)
        except (ActorDied, AlreadyStarted, StartFailed, LookupError):
            return
    elif not supervising and fault in ("crash", "hang"):
        ref.tell(Boom() if fault == "crash" else Run(sleeping(20)))
        if fault == "hang":
            await settled()
            ref.kill()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(list(Strategy)), min_size=1, max_size=3), FAULTS, st.integers(0, 2**16))
def test_a_random_tree_under_random_faults_comes_back(shape, faults, seed):
    """Afterwards every live actor answers, all of the tree's own are there, and no table holds anything."""

    async def main():
        async with ActorSystem("s", **OPTIONS, on_event=lambda _: None, seed=seed) as system:
            await system.spawn(tree(shape, random.Random(seed)))
            before = {ref.path for ref in living(system)}
            for fault, choice, pause_s in faults:
                await do(system, fault, choice)
                await trio.sleep(pause_s)
            await trio.sleep(1000)
            after = living(system)
            assert before <= {ref.path for ref in after}
            for ref in after:
                if not ref.path.rsplit("/", 1)[-1].startswith("s"):
                    assert isinstance(await ref.ask(Read()), list)
                    assert not ref._cell.calls
        assert not system.root.alive

    with_clock(main)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["stop", "kill", "crash", "none"]), min_size=1, max_size=12), st.integers(0, 2**16))
def test_every_ask_ends_whatever_becomes_of_its_target(ends, seed):
    """With a value or an error, without any timeout."""

    async def main():
        ended = []
        async with ActorSystem("s", **OPTIONS, on_event=lambda _: None, seed=seed) as system:

            async def caller(ref):
                try:
                    ended.append(await ref.ask(Read(), timeout_s=float("inf")))
                except ActorError as error:
                    ended.append(error)

            async with trio.open_nursery() as nursery:
                for number, end in enumerate(ends):
                    ref = await system.spawn(player(f"{number}", restart=Restart.TRANSIENT))
                    for _ in range(3):
                        nursery.start_soon(caller, ref)
                    if end == "crash":
                        ref.tell(Boom())
                    elif end == "kill":
                        ref.kill()
                    elif end == "stop":
                        nursery.start_soon(ref.stop)
        assert len(ended) == 3 * len(ends)

    with_clock(main)


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_a_supervisor_killed_during_a_group_restart_leaves_no_task(autojump_clock, system, strategy):
    """Its own parent restarts it, whole."""
    children = [player(name, backoff=Backoff(min_s=3.0), supervision=Supervision()) for name in "abc"]
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, strategy=strategy, intensity=9)))
    ref.children()[0].kill()
    await trio.sleep(1)
    ref.kill()
    await settled()
    assert [await child.ask(Read()) for child in ref.children()] == [[], [], []]


def with_clock(main):
    """Run in virtual time of its own: hypothesis runs many."""
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
