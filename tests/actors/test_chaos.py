"""Trees under seeded chaos: whatever happens, the tree comes back, every ask ends, and nothing is left behind."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import ActorSystem, Backoff, ChildSpec, Strategy, Supervision, Supervisor
from actors.testing import Rates, chaos, settle, simulate
from tests.actors.troupe import Read, held, player

OPTIONS = {"intensity": 10**6, "period_s": 1.0}
RATES = st.builds(
    Rates,
    kill=st.floats(0, 0.2),
    delay=st.floats(0, 0.2),
    fail=st.floats(0, 0.2),
    drop=st.floats(0, 0.2),
    kills_per_s=st.floats(0, 2.0),
    delay_s=st.floats(0, 5.0),
)


def tree(shape):
    """A supervisor for each strategy in `shape`, each below the one before, with three players each."""
    spec = None
    for depth, strategy in enumerate(shape):
        backoffs = [None, Backoff(min_s=0.1, max_s=1.0), None]
        children = [player(f"p{n}{depth}", backoff=backoffs[n], shutdown_s=1.0) for n in range(3)]
        children += [spec] if spec is not None else []
        spec = ChildSpec(
            f"sup{depth}",
            lambda children=children, strategy=strategy: Supervisor(children, strategy=strategy, **OPTIONS),
        )
    return spec


def living(system):
    return {node.path: system.find(node.path) for node in system.tree().walk()}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(list(Strategy)), min_size=1, max_size=3), RATES, st.integers(0, 2**16))
def test_a_tree_under_chaos_comes_back(shape, rates, seed):
    async def talk(system):
        for _ in range(10):
            for path, ref in living(system).items():
                if ref is not None and "/p" in path:
                    ref.tell("hello")
            await trio.sleep(0.3)

    async def main():
        async with ActorSystem("s", **OPTIONS, on_event=lambda _: None) as system:
            await system.spawn(tree(shape))
            paths = set(living(system))
            async with chaos(system, seed=seed, rates=rates):
                await talk(system)
            await trio.sleep(1000)
            after = living(system)
            assert set(after) == paths
            for path, ref in after.items():
                if "/p" in path:
                    assert isinstance(await ref.ask(Read()), list)
                    assert held(ref) == {}
        assert not system.root.alive

    simulate(main, seed=seed)


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_a_supervisor_killed_during_a_group_restart_leaves_no_task(autojump_clock, system, strategy):
    children = [player(name, backoff=Backoff(min_s=3.0), supervision=Supervision()) for name in "abc"]
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, strategy=strategy, intensity=9)))
    ref.children()[0].kill()
    await trio.sleep(1)
    ref.kill()
    await settle()
    assert [await child.ask(Read()) for child in ref.children()] == [[], [], []]
