"""Fixtures for pytest: a system in virtual time that fails its test if an actor crashes unexpectedly.

Load it with `pytest_plugins = ["actors.testing.plugin"]` in the top conftest, or with `-p actors.testing.plugin`; it
needs pytest and, for the fixtures that are async, pytest-trio. Nothing else of the package imports pytest.

A test that uses `virtual_time`, itself or through another fixture, runs on that clock, in an order of steps that
`chaos_seed` decides. Override `virtual_time` with a fixture that returns None to run on the real clock, in any order.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from actors.system import ActorSystem
from actors.testing import clock
from actors.testing.probe import DeadLetterProbe, EventProbe, Probe, ProbeFailure, describe
from actors.testing.simulation import seeded, simulate

T = TypeVar("T")

_SEED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--chaos-seed`."""
    group = parser.getgroup("actors")
    group.addoption("--chaos-seed", type=int, default=None, help="the seed of `chaos_seed`, as a failure printed it")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "allow_crashes(by=Exception): crashes of actors by this error, or by these in a tuple, are expected"
    )


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Run a test on `virtual_time` even if it uses that through other fixtures, which pytest-trio does not see."""
    chosen = getattr(item, "funcargs", {}).get("virtual_time")
    if isinstance(chosen, trio.abc.Clock) and item.get_closest_marker("trio") is not None:
        runs = (marker.kwargs.get("run") for marker in item.iter_markers("trio"))
        run = next((run for run in runs if run is not None), trio.run)
        item.add_marker(pytest.mark.trio(run=partial(_run_on, run, chosen, item.stash.get(_SEED, 0))), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Print the seed of a test that failed."""
    report: pytest.TestReport = yield
    if report.failed and _SEED in item.stash:
        report.sections.append(("chaos seed", f"run again with --chaos-seed={item.stash[_SEED]}"))
    return report


@pytest.fixture
def virtual_time() -> trio.testing.MockClock:
    """The clock of the test: it jumps to the next deadline if all tasks wait."""
    return clock.virtual_time()


@pytest.fixture
def chaos_seed(request: pytest.FixtureRequest) -> int:
    """A random seed, printed on failure; `--chaos-seed` sets it."""
    option = request.config.getoption("--chaos-seed")
    seed: int = random.SystemRandom().randrange(2**32) if option is None else option
    request.node.stash[_SEED] = seed
    return seed


@pytest.fixture
def crashes(request: pytest.FixtureRequest) -> Iterator[EventProbe]:
    """The events of `actor_system`. Call `await crashes.expect_crash(...)` for each crash that the test intends.

    Any other crash fails the test, unless it is marked `allow_crashes(by=...)`. Kills are no crashes. For a system of
    your own, hand it over as `on_event=crashes.heard`.
    """
    probe = EventProbe()
    for marker in request.node.iter_markers("allow_crashes"):
        probe.allow(marker.kwargs.get("by", Exception))
    yield probe
    _check(probe)


@pytest.fixture
async def actor_system(
    virtual_time: trio.testing.MockClock | None,  # noqa: ARG001 - `pytest_runtest_setup` looks for it
    crashes: EventProbe,
    chaos_seed: int,
) -> AsyncIterator[ActorSystem]:
    """A system in virtual time. An actor that is spawned as `weather` has the path `/test/weather`. Its root tolerates
    any number of restarts."""
    async with ActorSystem("test", intensity=10**6, on_event=crashes.heard, seed=chaos_seed) as system:
        yield system
    _check(crashes)


@pytest.fixture
async def probe(actor_system: ActorSystem) -> Probe:
    """A probe in `actor_system`."""
    return await Probe.open(actor_system)


@pytest.fixture
async def dead_letters(actor_system: ActorSystem) -> AsyncIterator[DeadLetterProbe]:
    """The dead letters of `actor_system`."""
    with await DeadLetterProbe.open(actor_system) as letters:
        yield letters


@pytest.fixture
def simulation(chaos_seed: int) -> Callable[..., Any]:
    """`simulate` with the seed of the test, for tests that are not async: `simulation(main, *args)`."""
    return partial(simulate, seed=chaos_seed)


def _run_on(
    run: Callable[..., T],
    chosen: trio.abc.Clock,
    seed: int,
    main: Callable[[], Awaitable[T]],
    *,
    clock: trio.abc.Clock | None,
    instruments: list[trio.abc.Instrument],
) -> T:
    with seeded(seed):
        return run(main, clock=clock or chosen, instruments=instruments)


def _check(probe: EventProbe) -> None:
    """Fail on an unexpected crash, once."""
    unexpected = probe.unexpected
    if unexpected:
        probe.allow(Exception)
        raise ProbeFailure("unexpected crashes:\n" + "\n".join(describe(crash) for crash in unexpected))
