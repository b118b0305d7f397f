"""The pytest plugin, as its users run it: in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.nested import LEAN

ROOT = Path(__file__).parents[3]

HEAD = """
import pytest, trio
from actors import *
from actors.testing import *

class Fragile(Actor):
    async def receive(self, message, context):
        raise message
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest on a text, with the plugin; return what it printed."""

    def run_pytest(text, *options, plugin=True):
        (tmp_path / "test_it.py").write_text(HEAD + text)
        (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\naddopts = --strict-markers\n")
        chosen = ["-p", "actors.testing.plugin" if plugin else "no:actors.testing.plugin"]
        command = [sys.executable, "-m", "pytest", *LEAN, *chosen, "-p", "no:cacheprovider", "-W", "error", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    return run_pytest


@pytest.mark.promise("testing.virtual-time")
def test_a_system_with_all_fixtures_lives_in_virtual_time(run):
    printed = run(
        """
async def test_all(actor_system, probe, dead_letters, crashes):
    await trio.sleep(86_400)
    assert trio.current_time() == 86_400
    ref = await actor_system.spawn(ChildSpec("a", Fragile))
    ref.tell(ValueError())
    await crashes.expect_crash(ref, ValueError)
    await probe.watch(ref)
    await ref.stop()
    await probe.expect_end(ref)
    ref.tell("late")
    await dead_letters.expect_lost(str, to=ref, why="dead")

async def test_by_name(virtual_time, actor_system):
    assert trio.lowlevel.current_clock() is virtual_time
    await advance(10)
    assert virtual_time.current_time() == 10
"""
    )
    assert "2 passed" in printed, printed


def test_an_unexpected_crash_fails_the_test_unless_it_is_allowed(run):
    printed = run(
        """
async def crash(system, error):
    (await system.spawn(ChildSpec("a", Fragile))).tell(error)
    await trio.sleep(1)

async def test_crash(actor_system):
    await crash(actor_system, ValueError("boom"))

@pytest.mark.allow_crashes
async def test_any(actor_system):
    await crash(actor_system, ValueError("boom"))

@pytest.mark.allow_crashes(by=(ValueError, KeyError))
async def test_these(actor_system):
    await crash(actor_system, KeyError("boom"))

@pytest.mark.allow_crashes(by=KeyError)
async def test_others(actor_system):
    await crash(actor_system, ValueError("boom"))

async def test_kill(actor_system):
    (await actor_system.spawn(ChildSpec("a", Fragile))).kill()
    await trio.sleep(1)

async def test_own(crashes, virtual_time):
    async with ActorSystem("own", intensity=9, on_event=crashes.heard) as system:
        await crash(system, ValueError("boom"))
        await crashes.expect_crash("/own/a")

def test_outside(crashes):
    async def main():
        async with ActorSystem("own", intensity=9, on_event=crashes.heard) as system:
            await crash(system, ValueError("boom"))
    simulate(main)
""",
        "-v",
    )
    passed = {"test_any", "test_these", "test_kill", "test_own", "test_outside"}
    assert set(re.findall(r"::(test_\w+) PASSED", printed)) == passed, printed
    assert set(re.findall(r"::(test_\w+) FAILED", printed)) == {"test_crash", "test_others"}
    assert "ERROR at teardown of test_outside" in printed
    assert "/test/a crashed: ValueError at ValueError" in printed
    assert "2 failed, 5 passed, 1 error" in printed


@pytest.mark.promise("testing.chaos")
def test_the_seed_of_a_failure_is_printed_and_brings_the_same_failure(run):
    text = """
def test_chance(chaos_seed, simulation):
    async def main():
        trace = []
        async def note(n):
            await trio.lowlevel.checkpoint()
            trace.append(n)
        async with trio.open_nursery() as nursery:
            for n in range(9):
                nursery.start_soon(note, n)
        return trace
    print("ORDER", simulation(main), chaos_seed)
    assert False

async def test_order(actor_system, probe, dead_letters):
    trace = []
    async def note(n):
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            trace.append(n)
    async with trio.open_nursery() as nursery:
        for n in range(9):
            nursery.start_soon(note, n)
    print("ORDER", trace)
    assert False

def test_well(chaos_seed):
    pass
"""
    first = run(text)
    (seed, other) = re.findall(r"run again with --chaos-seed=(\d+)", first)
    assert seed != other
    again, once_more = run(text, f"--chaos-seed={other}"), run(text, f"--chaos-seed={other}")

    def orders(printed):
        return re.findall(r"ORDER .*", printed)

    assert len(orders(first)) == 2
    assert orders(again) == orders(once_more)
    assert orders(again)[1] == orders(first)[1]
    assert orders(again)[0] != orders(first)[0]
    assert re.findall(r"run again with --chaos-seed=(\d+)", again) == [other, other]


def test_real_time_is_one_fixture_away(run):
    printed = run(
        """
@pytest.fixture
def virtual_time():
    return None

async def test_real(actor_system):
    assert not isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
    with pytest.raises(TypeError):
        await advance(1)
"""
    )
    assert "1 passed" in printed, printed


def test_the_package_works_without_the_plugin(run):
    printed = run(
        """
def test_own(request):
    with pytest.raises(pytest.FixtureLookupError):
        request.getfixturevalue("actor_system")
    assert simulate(trio.sleep, 3600) is None
""",
        plugin=False,
    )
    assert "1 passed" in printed, printed
    modules = [path for path in (ROOT / "actors").rglob("*.py") if path.name != "plugin.py"]
    assert not [path for path in modules if re.search(r"^\s*(import|from) _?pytest", path.read_text(), re.MULTILINE)]
