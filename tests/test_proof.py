"""The parts of the proof: which tests and files belong to them, and what is recorded."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import frozen

from tests import proof
from tests.proof import Part, Result, Table
from tests.servers.needed import program

TABLE = Table(
    {"fuzz": Part("fuzz", "random frames"), "soak": Part("soak", "a faulty network", ("timeit pass",))},
    {"actors/": ["soak"], "actors/testing/": [], "transport/": ["fuzz", "soak"]},
)
NOW = datetime(2026, 11, 25, tzinfo=UTC)


@frozen
class Marker:
    """What pytest returns for a marker."""

    args: tuple[str, ...]


@frozen
class Item:
    """A test of which only its part is known."""

    part: str | None

    def get_closest_marker(self, name: str) -> Any:
        assert name == "proof"
        return None if self.part is None else Marker((self.part,))


def test_every_file_is_in_the_table() -> None:
    """A new folder gets a line that says which parts its changes touch, if any."""
    program("git")
    table = proof.load()
    paths = proof.files()
    assert [path for path in paths if table.touched_by(path) is None] == []
    unused = [start for start in table.touched if not any(path.startswith(start) for path in paths)]
    assert unused == [], "these are gone: take them out of the table"
    assert {name for parts in table.touched.values() for name in parts} == table.parts.keys()


def test_the_longest_beginning_of_a_path_counts() -> None:
    assert TABLE.touched_by("actors/mailbox.py") == ["soak"]
    assert TABLE.touched_by("actors/testing/clock.py") == []
    assert TABLE.touched_by("understudy/app/build.py") is None


def test_tests_of_the_proof_run_only_when_their_part_is_asked_for() -> None:
    fast, fuzz, cases = items = [Item(None), Item("fuzz"), Item("cases")]
    assert proof.select(items, None) == [fast]
    assert proof.select(items, "fuzz") == [fuzz]
    assert proof.select(items, "cases,soak") == [cases]
    assert proof.select(items, "all") == [fuzz, cases]


@pytest.mark.parametrize("wanted", ["fuss", "fuzz,", ""])
def test_a_part_that_does_not_exist_is_refused(wanted: str) -> None:
    """Nothing would run, and that would look like success."""
    with pytest.raises(pytest.UsageError, match="parts are benchmarks, cases"):
        proof.select([Item("fuzz")], wanted)


def test_a_marker_with_an_unknown_part_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match="fuss"):
        proof.select([Item("fuss")], None)


@pytest.mark.parametrize(
    ("outcomes", "passed"),
    [({"passed": 2}, True), ({"passed": 2, "skipped": 1}, False), ({"passed": 2, "failed": 1}, False), ({}, False)],
)
def test_a_part_passes_if_all_ran_and_passed(outcomes: dict[str, int], passed: bool) -> None:
    assert Result(Counter(outcomes)).passed is passed


def test_a_parts_result_is_that_of_its_own_tests() -> None:
    lines = [
        {"test": "a", "proof": "fuzz", "outcome": "passed", "wall_s": 1.0},
        {"test": "b", "proof": "fuzz", "outcome": "skipped", "wall_s": 2.0},
        {"test": "c", "proof": "soak", "outcome": "failed", "wall_s": 4.0},
        {"fixture": "d", "by": "a", "wall_s": 8.0},
    ]
    assert proof.of_tests("fuzz", lines) == Result(Counter(passed=1, skipped=1), ["b"], 3.0)


def test_only_a_part_that_passed_counts_as_recorded() -> None:
    page = "# Proof\n\n<!-- results -->\n| part |\n| --- |\n| `gone` | x | passed: 1 passed | 1 | `0` |\n"
    for name, outcomes, digest in ("soak", {"failed": 1}, "aa11"), ("fuzz", {"passed": 3}, "bb22"):
        line = proof.row(TABLE.parts[name], Result(Counter(outcomes)), digest, "c0ffee00", "2 cores", NOW)
        page = proof.written(page, {name: line}, TABLE.parts)
    assert page.splitlines()[:5] == ["# Proof", "", "<!-- results -->", "| part |", "| --- |"]
    assert [line.split()[1] for line in page.splitlines()[5:]] == ["`fuzz`", "`soak`"]
    assert proof.recorded(page) == {"fuzz": "bb22"}


def test_a_changed_file_changes_the_digests_of_the_parts_it_touches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for path in ("actors/a.py", "transport/t.py"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text("before")
    monkeypatch.setattr(proof, "ROOT", tmp_path)
    monkeypatch.setattr(proof, "files", lambda: ["actors/a.py", "transport/t.py"])
    digests = proof.digests(TABLE)
    (tmp_path / "actors/a.py").write_text("after")
    after = proof.digests(TABLE)
    assert after["fuzz"] == digests["fuzz"]
    assert after["soak"] != digests["soak"]
