"""What one message takes, in counts that do not depend on what else the machine does."""

import json
import subprocess
import sys
from typing import Any

import pytest
from attrs import define, field

from actors import ActorRef
from actors.watchdog import Pause
from benchmarks import path
from benchmarks.path_kinds import KINDS, NOT_YET, OF_FEATURES, PLAIN

GROWTH = 1.05
"""What a count may be, times what is kept of it: random ids decide how many of some calls there are."""
only_311 = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the counts are those of the code of Python 3.11")


@define
class Measured:
    """What the benchmark prints: the counts by kind, and by kind the functions on its way, as `FILE NAME`."""

    counts: dict[str, dict[str, int]] = field(factory=dict)
    functions: dict[str, list[str]] = field(factory=dict)


@pytest.fixture(scope="module")
def measured() -> Measured:
    command = [sys.executable, "-m", "benchmarks", "path", "--json", "--list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return read(done.stdout)


def read(printed: str) -> Measured:
    measured = Measured()
    functions: list[str] = []
    file = ""
    for line in printed.splitlines():
        if line.startswith("{"):
            figure: dict[str, Any] = json.loads(line)
            name = figure["figure"].removeprefix("path_")
            for kind, count in {PLAIN: figure["ours"], **figure["peers"]}.items():
                measured.counts.setdefault(kind, {})[name] = count
        elif line.startswith("# "):
            functions = measured.functions.setdefault(line.removeprefix("# ").partition(":")[0], [])
        elif line.startswith(" "):
            functions.append(f"{file} {line.strip()}")
        else:
            file = line.rpartition(" ")[0]
    return measured


def grown(counts: dict[str, int], kept: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return the counts that are more than a twentieth above those that are kept: what is kept, and what it is."""
    return {name: (kept[name], now) for name, now in counts.items() if now > kept[name] * GROWTH}


def entered(functions: list[str]) -> set[str]:
    """Return those of a feature among these."""
    return {function for function in functions if function.startswith(OF_FEATURES)}


@only_311
def test_a_message_of_no_kind_takes_more_than_is_kept(measured: Measured) -> None:
    """A change that needs more says why, and keeps the new counts: `python -m benchmarks path --keep`."""
    kept = json.loads(path.KEPT.read_text())
    assert list(measured.counts) == list(kept) == list(KINDS)
    assert all(list(counts) == list(path.UNITS) for counts in measured.counts.values())
    assert min(min(counts.values()) for counts in measured.counts.values()) > 0, "something is not counted any more"
    more = {kind: growth for kind in KINDS if (growth := grown(measured.counts[kind], kept[kind]))}
    assert more == {}, "counts that have grown"


@only_311
def test_a_plain_message_enters_no_function_of_a_feature(measured: Measured) -> None:
    """What a message does not use is not on its way: neither an extension, nor a module of `OF_FEATURES`."""
    functions = entered(measured.functions[PLAIN])
    assert functions - NOT_YET.keys() == set(), "a plain message pays for these"
    assert NOT_YET.keys() - functions == set(), "these are not entered any more: take them off the list"


@only_311
def test_a_feature_is_on_the_way_of_its_message_alone(measured: Measured) -> None:
    """Each kind uses its feature: otherwise its line would be the plain one under another name."""
    idle = [kind for kind in KINDS if kind not in (PLAIN, "budget") and not entered(measured.functions[kind])]
    assert idle == []


def test_the_modules_of_features_are_there() -> None:
    root = path.ROOT
    assert [name for name in (*OF_FEATURES, *NOT_YET) if not (root / name.partition(" ")[0]).exists()] == []
    assert [name for name in NOT_YET if not entered([name])] == []


def test_what_has_grown_is_found() -> None:
    assert grown({"steps": 42, "calls": 106}, {"steps": 40, "calls": 100}) == {"calls": (100, 106)}
    undo = "understudy/extensions/undo/undos.py Undos.run"
    assert entered([undo, "understudy/chat/run/loop.py answer"]) == {undo}


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SystemExit, match="there is no kind 'none'"):
        next(path.figures(only="none"))


def test_calls_are_counted_by_file_and_function() -> None:
    code = test_calls_are_counted_by_file_and_function.__code__
    calls = path.Counter({code: 3})
    assert path.called(calls, "benchmarks/test_path.py", code.co_qualname) == 3
    assert path.called(calls, "benchmarks/other.py", code.co_qualname) == 0
    assert not path.is_ours(code)


def test_the_watchdog_is_not_on_the_path_of_a_message() -> None:
    """It looks so many times a second, however many messages there are."""
    assert path.is_ours(ActorRef.tell.__code__)
    assert not path.is_ours(Pause.before_io_wait.__code__)
