"""Processes for untrusted text are made to confine themselves, and bounded in number and memory."""

import ast
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import understudy
from tests.rigs.server_pair import eventually
from understudy.sandbox import MIB, Program, run, spawner
from understudy.sandbox.spawner import LARGEST, PROCESSES, ProcessLimiter

READER = """
import json, sys

steps = []

def prepare():
    steps.append("prepared")

def confine(read, write):
    steps.extend([read, write])

def main():
    from stranger.words import WORD
    json.dump([*steps, WORD, "trio" in sys.modules, sys.stdin.read()], sys.stdout)
    return 0
"""
NAKED = """
import sys

def prepare():
    pass

def main():
    print(len(bytearray(int(sys.stdin.read()))))
    return 0
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a package with two programs: `reader`, and `naked`, which has no `confine`."""
    package = tmp_path / "stranger"
    package.mkdir()
    for name, text in {"__init__": "import trio", "words": "WORD = 'hello'", "reader": READER, "naked": NAKED}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stranger", raising=False)  # that of another test, in a folder of its own
    return package


async def test_a_program_confines_itself_to_its_code_and_what_it_is_given(stranger: Path) -> None:
    """It prepares itself before, and loads modules of its package at any time, without the package's `__init__`."""
    ended = await run(Program("stranger.reader", 256 * MIB), b"words", read=["/mine"], write=["/folder"])
    prepared, read, write, *rest = json.loads(ended.stdout)
    assert prepared == "prepared"
    assert {str(stranger), str(Path(understudy.__file__).parent), os.path.dirname(os.__file__), "/mine"} <= set(read)
    assert write == ["/folder"]
    assert rest == ["hello", False, "words"]


@pytest.mark.parametrize(("is_open", "code", "output"), [(True, 0, b"5\n"), (False, 1, b"")])
async def test_only_an_open_program_runs_without_a_confinement(
    stranger: Path, is_open: bool, code: int, output: bytes
) -> None:
    ended = await run(Program("stranger.naked", 256 * MIB, open=is_open), b"5")
    assert (ended.returncode, ended.stdout) == (code, output)
    assert is_open or b"no attribute 'confine'" in ended.stderr


@pytest.mark.parametrize(("size", "code"), [(1 * MIB, 0), (100 * MIB, 1)])
async def test_memory_is_bounded(stranger: Path, size: int, code: int) -> None:
    assert (await run(Program("stranger.naked", 64 * MIB, open=True), str(size).encode())).returncode == code


def test_nothing_else_of_the_server_starts_processes() -> None:
    starts = {"run_process", "open_process", "Popen", "system", "fork", "posix_spawn", "check_output"}
    modules = {
        str(path.relative_to(Path(understudy.__file__).parent))
        for path in Path(understudy.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in starts
        if isinstance(node.func.value, ast.Name) and node.func.value.id in {"trio", "subprocess", "os", "lowlevel"}
    }
    assert modules == {"sandbox/spawner.py"}


async def test_processes_are_bounded_by_number_and_bytes() -> None:
    places, begun = ProcessLimiter(processes=2, memory=10), list[int]()
    free = [trio.Event() for _ in range(5)]

    async def use(number: int, memory: int) -> None:
        async with places.permit(memory):
            begun.append(number)
            await free[number].wait()

    async with trio.open_nursery() as nursery:
        impatient = trio.CancelScope()

        async def wait_in_vain() -> None:
            with impatient:
                await use(2, 1)

        for number, memory in ((0, 6), (1, 6)):
            nursery.start_soon(use, number, memory)
            await wait_all_tasks_blocked()
        nursery.start_soon(wait_in_vain)
        await wait_all_tasks_blocked()
        nursery.start_soon(use, 3, 1)
        await wait_all_tasks_blocked()
        assert begun == [0]  # two fit by number, but not by bytes, and calls keep their order
        impatient.cancel()
        await wait_all_tasks_blocked()
        free[0].set()
        await wait_all_tasks_blocked()
        assert sorted(begun) == [0, 1, 3]
        nursery.start_soon(use, 4, 1)
        await wait_all_tasks_blocked()
        assert len(begun) == 3
        free[1].set()
        await wait_all_tasks_blocked()
        assert begun[3:] == [4]
        nursery.cancel_scope.cancel()
    with pytest.raises(ValueError, match="more than all processes"):
        async with places.permit(11):
            pass


def test_every_program_fits() -> None:
    assert ProcessLimiter().processes == PROCESSES
    assert LARGEST <= ProcessLimiter().memory <= PROCESSES * LARGEST


async def test_a_cancelled_call_has_ended_its_process_when_it_returns(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    killed: list[trio.Process] = []
    kill = spawner._kill

    async def note(process: trio.Process) -> None:
        killed.append(process)
        await kill(process)

    monkeypatch.setattr(spawner, "_kill", note)
    program = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    monkeypatch.setattr(spawner, "command", lambda: [sys.executable, "-c", program])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spawner.run, Program("stranger.reader", MIB), b"")
        await eventually(begun.exists)
        nursery.cancel_scope.cancel()
    assert [process.returncode for process in killed] == [-signal.SIGKILL]
